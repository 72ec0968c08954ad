/* Instructions that are a kernel's: what each raises, and what those tell that Linux answers in the processor's stead. With an
 * argument, the latter; with "halt", it dies of one. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

static sigjmp_buf back;
static char *begin;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    printf(" signal %d code %d trap %lld error %#llx, code+%lld", signal, info->si_code, registers[REG_TRAPNO],
           registers[REG_ERR], registers[REG_RIP] - (long long)begin);
    printf(" at %s\n", info->si_addr == NULL ? "0" : info->si_addr == (void *)registers[REG_RIP] ? "rip" : "elsewhere");
    siglongjmp(back, 1);
}

#define CASES                                                                                                          \
    CASE(rdmsr, "rdmsr") CASE(wrmsr, "wrmsr") CASE(rdpmc, "rdpmc") CASE(hlt, "hlt") CASE(cli, "cli") CASE(sti, "sti")  \
    CASE(in, "inb $0x60, %al") CASE(out, "outb %al, $0x60") CASE(ins, "insb") CASE(outs, "outsb") CASE(clts, "clts")   \
    CASE(invd, "invd") CASE(wbinvd, "wbinvd") CASE(invlpg, "invlpg (%rax)") CASE(lgdt, "lgdt (%rax)")                  \
    CASE(lidt, "lidt (%rax)") CASE(lldt, "lldt %ax") CASE(ltr, "ltr %ax") CASE(lmsw, "lmsw %ax")                       \
    CASE(from_cr0, "movq %cr0, %rax") CASE(to_cr3, "movq %rax, %cr3") CASE(from_cr1, ".byte 0x0f, 0x20, 0xc8")         \
    CASE(from_dr0, "movq %dr0, %rax") CASE(swapgs, "swapgs") CASE(sysret, "sysretq") CASE(xsetbv, "xsetbv")            \
    CASE(int0, "int $0") CASE(int1, "int $1") CASE(int3, ".byte 0xcd, 3") CASE(breakpoint, "int3")                     \
    CASE(int4, "int $4") CASE(int5, "int $5") CASE(int2e, "int $0x2e") CASE(intff, "int $0xff") CASE(into, ".byte 0xce") \
    CASE(bad_ds, "movl $0xffff, %eax\n movw %ax, %ds") CASE(null_ss, "xorl %eax, %eax\n movw %ax, %ss")                \
    CASE(bad_ss, "movl $0x1238, %eax\n movw %ax, %ss") CASE(to_cs, ".byte 0x8e, 0xc8") CASE(ud0, ".byte 0x0f, 0xff, 0xc0") \
    CASE(ud1, ".byte 0x0f, 0xb9, 0xc0") CASE(ud2, "ud2") CASE(locked_load, ".byte 0xf0, 0x8b, 0x00")                   \
    CASE(locked_register, ".byte 0xf0, 0x01, 0xc0") CASE(daa, ".byte 0x27") CASE(far_call, ".byte 0x9a")
#define CASE(name, text)                                                                                               \
    extern char name##_code[];                                                                                         \
    __asm__(".text\n" #name "_code:\n" text "\n ud2\n");
CASES
#undef CASE

static void run(const char *name, char *code)
{
    printf("%s:", name);
    fflush(stdout);
    begin = code;
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("jmp *%0" : : "r"(code), "a"(0), "c"(0), "d"(0) : "memory", "cc", "rbx");
    fflush(stdout);
}

#define TELL(instruction)                                                                                              \
    do {                                                                                                               \
        uint64_t whole = -1, half = -1, quarter = -1, memory = -1;                                                     \
        __asm__ volatile(".byte 0x48\n" instruction " %k0" : "+a"(whole));                                             \
        __asm__ volatile(instruction " %k0" : "+r"(half));                                                             \
        __asm__ volatile(instruction " %w0" : "+r"(quarter));                                                          \
        __asm__ volatile(instruction " %0" : "+m"(memory));                                                            \
        printf("%s: %lx %lx %lx %lx\n", instruction, whole, half, quarter, memory);                                    \
    } while (0)

static void tell(void)
{
    unsigned char table[16];
    size_t i;

    memset(table, 0xcc, sizeof table);
    __asm__ volatile("sgdt %0" : "+m"(table));
    for (i = 0; i < sizeof table; i++)
        printf("%02x", table[i]);
    memset(table, 0xcc, sizeof table);
    __asm__ volatile("sidt %0" : "+m"(table));
    for (i = 0; i < sizeof table; i++)
        printf("%02x", table[i]);
    printf("\n");
    TELL("smsw");
    TELL("sldt");
    TELL("str");
}

int main(int count, char **arguments)
{
    static char stack[1 << 16];
    const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    size_t i;

    if (count > 1 && strcmp(arguments[1], "halt") == 0)
        __asm__ volatile("hlt");
    if (count > 1) {
        tell();
        return 0;
    }
    sigaltstack(&alternate, NULL);
    for (i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
#define CASE(name, text) run(#name, name##_code);
    CASES
    return 0;
}
