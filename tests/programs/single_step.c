/* A program that steps itself: the trap flag, and where each SIGTRAP finds it. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern char stepped[], stepped_end[];
__asm__(".text\nstepped:\n"
        "pushfq\n orq $0x100, (%rsp)\n popfq\n"
        "nop\n movq %rdi, %rax\n addq $1, (%rsi)\n leaq 1f(%rip), %rax\n jmp *%rax\n nop\n"
        "1: call 2f\n jmp 3f\n"
        "2: ret\n"
        "3: movl $3, %ecx\n"
        "4: decl %ecx\n jnz 4b\n"
        "movl $3, %ecx\n movq %rsi, %rdi\n cld\n rep stosb\n"
        "movl $2, %ecx\n movq %rdx, %rsi\n movq %rdx, %rdi\n incq %rdi\n rep movsb\n"
        "movl $3, %ecx\n repe scasb\n"
        "xorl %ecx, %ecx\n rep stosb\n"
        "movl $0x27, %eax\n syscall\n nop\n"
        "xorl %eax, %eax\n cpuid\n"
        "movl %ss, %eax\n movl %eax, %ss\n nop\n nop\n"
        "pushfq\n popq %rax\n andl $0x100, %eax\n"
        "int3\n nop\n"
        "movq $0, %r8\n movq (%r8), %r8\n nop\n"
        "ud2\n nop\n"
        "pushfq\n andq $~0x100, (%rsp)\n popfq\n nop\n ret\n"
        "stepped_end:\n");

static volatile int traps;
static char page[64];

static void on_trap(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint64_t at = registers[REG_RIP] - (uint64_t)stepped, addr = (uint64_t)info->si_addr - (uint64_t)stepped;

    traps++;
    printf("signal %d code %d at +%#lx, ", signal, info->si_code, at);
    printf(info->si_addr == NULL ? "no address, " : "address +%#lx, ", addr);
    printf("trap %lld, TF %d, rax %s\n", registers[REG_TRAPNO], (int)(registers[REG_EFL] >> 8 & 1),
           registers[REG_RAX] == 0x100 ? "TF" : "other");
    if (signal != SIGTRAP)
        registers[REG_RIP] += signal == SIGILL ? 2 : 3;
    if (at > (uint64_t)(stepped_end - stepped)) /* stepped out of it: enough */
        registers[REG_EFL] &= ~0x100LL;
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
    int status;

    setvbuf(stdout, NULL, _IOLBF, 0);
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    __asm__ volatile("call stepped"
                     :
                     : "D"(1L), "S"(page), "d"(page + 8)
                     : "rax", "rbx", "rcx", "r8", "r11", "memory", "cc");
    printf("%d traps, stored %d\n", traps, page[0]);

    /* A trap that nobody catches. */
    fflush(stdout);
    if (fork() == 0) {
        signal(SIGTRAP, SIG_DFL);
        __asm__ volatile("pushfq\n orq $0x100, (%%rsp)\n popfq\n nop\n nop" : : : "memory", "cc");
        _exit(1);
    }
    wait(&status);
    printf("child: %#x\n", status & 0x7f);

    return 0;
}
