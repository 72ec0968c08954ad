/* Which of two faults an instruction raises, and where the program stands then: misaligned operands and pending x87
 * errors against absent pages, and jumps to addresses that are none. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 4096UL

static sigjmp_buf back;
static char *mapped; /* one page, then one without access, then one that can only be read */
static char *begin;  /* the first instruction of the case */
static uint64_t entry_rsp;

static const char *place(uint64_t address)
{
    static const char *const pages[] = { "mapped", "none", "read-only" };
    static char text[64];
    uint64_t from = address - (uint64_t)mapped;

    if (from < 3 * PAGE)
        snprintf(text, sizeof text, "%s+%#lx", pages[from / PAGE], from % PAGE);
    else if (address - (uint64_t)begin < 64)
        snprintf(text, sizeof text, "code+%ld", address - (uint64_t)begin);
    else
        snprintf(text, sizeof text, "%#lx", address);
    return text;
}

static void on_signal(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    printf(" signal %d code %d at %s", signal, info->si_code, place((uint64_t)info->si_addr));
    printf(" trap %lld error %lld, rip %s", registers[REG_TRAPNO], registers[REG_ERR], place(registers[REG_RIP]));
    printf(" rsp %+lld", registers[REG_RSP] - (long long)entry_rsp);
    printf(" rcx %s", place(registers[REG_RCX]));
    printf(" rdx %#llx\n", registers[REG_RDX]);
    siglongjmp(back, 1);
}

/* A case: instructions that find an address in RDI, 0x51 in RCX and 0x52 in RDX. */
#define CASE(name, text)                                                                                               \
    extern char name##_code[], name##_end[];                                                                           \
    __asm__(".text\n" #name "_code:\n" text "\n" #name "_end: ret\n");
CASE(movaps_load, "movaps (%rdi), %xmm0")
CASE(movaps_store, "movaps %xmm0, (%rdi)")
CASE(movups_load, "movups (%rdi), %xmm0")
CASE(paddd, "paddd (%rdi), %xmm0")
CASE(movntdq, "movntdq %xmm0, (%rdi)")
CASE(movntdqa, "movntdqa (%rdi), %xmm0")
CASE(pcmpistri, "pcmpistri $1, (%rdi), %xmm0")
CASE(vmovaps, "vmovaps (%rdi), %ymm0")
CASE(vmovaps_store, "vmovaps %ymm0, (%rdi)")
CASE(vmovntdq, "vmovntdq %ymm0, (%rdi)")
CASE(vpaddd, "vpaddd (%rdi), %xmm0, %xmm1")
CASE(cmpxchg16b, "cmpxchg16b (%rdi)")
CASE(lock_cmpxchg16b, "lock cmpxchg16b (%rdi)")
CASE(fxsave, "fxsave (%rdi)")
CASE(fxrstor, "fxrstor (%rdi)")
CASE(xsave, "xorl %eax, %eax\n xorl %edx, %edx\n xsave (%rdi)")
CASE(xrstor, "xorl %eax, %eax\n xorl %edx, %edx\n xrstor (%rdi)")
CASE(clflush, "clflush (%rdi)")
CASE(clflushopt, "clflushopt (%rdi)")
CASE(clwb, "clwb (%rdi)")
CASE(prefetcht0, "prefetcht0 (%rdi)")
CASE(prefetchw, "prefetchw (%rdi)")
CASE(nop, "nopl (%rdi)")
/* 1 / 0 unmasked is pending before the last instruction. */
#define PENDING "fninit\n pushq $0x37b\n fldcw (%rsp)\n popq %rax\n fld1\n fldz\n fdivrp\n 99: "
CASE(pending_fld, PENDING "fldl (%rdi)")
CASE(pending_fstp, PENDING "fstpl (%rdi)")
CASE(pending_fldcw, PENDING "fldcw (%rdi)")
CASE(pending_fnstcw, PENDING "fnstcw (%rdi)")
CASE(pending_fnstsw, PENDING "fnstsw (%rdi)")
CASE(pending_fnstenv, PENDING "fnstenv (%rdi)")
CASE(pending_fldenv, PENDING "fldenv (%rdi)")
CASE(pending_frstor, PENDING "frstor (%rdi)")
CASE(pending_fnsave, PENDING "fnsave (%rdi)")
CASE(pending_fxsave, PENDING "fxsave (%rdi)")
CASE(pending_fxrstor, PENDING "fxrstor (%rdi)")
CASE(pending_fwait, PENDING "fwait")
CASE(pending_movq, PENDING "movq (%rdi), %mm0")
CASE(pending_movq_store, PENDING "movq %mm0, (%rdi)")
CASE(pending_paddb, PENDING "paddb (%rdi), %mm0")
CASE(pending_cvtpi2ps, PENDING "cvtpi2ps (%rdi), %xmm0")
CASE(pending_cvtpi2pd, PENDING "cvtpi2pd (%rdi), %xmm0")
CASE(pending_cvtps2pi, PENDING "cvtps2pi (%rdi), %mm0")
CASE(pending_cvtpd2pi, PENDING "cvtpd2pi (%rdi), %mm0")
CASE(pending_fisttp, PENDING "fisttpl (%rdi)")
CASE(pending_fbstp, PENDING "fbstp (%rdi)")
CASE(jump_register, "jmp *%rdi")
CASE(jump_memory, "movq %rdi, -16(%rsp)\n jmp *-16(%rsp)")
CASE(call_register, "call *%rdi")
CASE(call_memory, "movq %rdi, -16(%rsp)\n call *-16(%rsp)")
CASE(return_, "pushq %rdi\n ret")
CASE(return_more, "pushq %rdi\n ret $16")

static void run(const char *name, char *code, uint64_t address)
{
    printf("%s %s:", name, place(address));
    begin = code;
    if (sigsetjmp(back, 1) == 0) {
        __asm__ volatile("leaq -264(%%rsp), %%rax\n\tmovq %%rax, %0\n\tmovl $0x51, %%ecx\n\tmovl $0x52, %%edx\n\t"
                         "subq $256, %%rsp\n\tcall *%2\n\taddq $256, %%rsp"
                         : "+m"(entry_rsp) : "D"(address), "r"(code)
                         : "rax", "rcx", "rdx", "rbx", "rsi", "r8", "memory", "cc", "xmm0", "xmm1");
        printf(" went on\n");
    }
    __asm__ volatile("fninit");
    fflush(stdout);
}

int main(void)
{
    static char stack[1 << 16];
    const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    size_t i;

    sigaltstack(&alternate, NULL);
    for (i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
    mapped = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(mapped, 0, 3 * PAGE);
    mprotect(mapped + PAGE, PAGE, PROT_NONE);
    mprotect(mapped + 2 * PAGE, PAGE, PROT_READ);
    char *const none = mapped + PAGE, *const read_only = mapped + 2 * PAGE;
#define AT(name, address) run(#name, name##_code, (uint64_t)(address))
#define MISALIGNED(name)                                                                                               \
    AT(name, none + 1), AT(name, read_only + 1), AT(name, none - 8), AT(name, mapped + 1),                             \
        AT(name, 0x8000000000000001), AT(name, 0xffff800000000001), AT(name, 0x7ffffffffff8)
#define ALIGNED_TOO(name) AT(name, none), MISALIGNED(name)
    ALIGNED_TOO(movaps_load), ALIGNED_TOO(movaps_store), ALIGNED_TOO(movups_load), ALIGNED_TOO(paddd);
    ALIGNED_TOO(movntdq), ALIGNED_TOO(movntdqa), ALIGNED_TOO(pcmpistri), ALIGNED_TOO(cmpxchg16b);
    ALIGNED_TOO(lock_cmpxchg16b), MISALIGNED(fxsave), MISALIGNED(fxrstor);
    if (__builtin_cpu_supports("avx2")) {
        ALIGNED_TOO(vmovaps), ALIGNED_TOO(vmovaps_store), ALIGNED_TOO(vmovntdq), ALIGNED_TOO(vpaddd);
        ALIGNED_TOO(xsave), ALIGNED_TOO(xrstor);
    }
#define UNMAPPED(name)                                                                                                 \
    AT(name, none + 8), AT(name, read_only + 8), AT(name, mapped + 8), AT(name, none - 1), AT(name, 0x8000000000000008)
    UNMAPPED(clflush), UNMAPPED(clflushopt), UNMAPPED(clwb), UNMAPPED(prefetcht0), UNMAPPED(prefetchw), UNMAPPED(nop);
    UNMAPPED(pending_fld), UNMAPPED(pending_fstp), UNMAPPED(pending_fldcw), UNMAPPED(pending_fnstcw);
    UNMAPPED(pending_fnstsw), UNMAPPED(pending_fnstenv), UNMAPPED(pending_fldenv), UNMAPPED(pending_frstor);
    UNMAPPED(pending_fnsave), UNMAPPED(pending_fxsave), UNMAPPED(pending_fxrstor), UNMAPPED(pending_movq);
    UNMAPPED(pending_fwait);
    UNMAPPED(pending_movq_store), UNMAPPED(pending_paddb), UNMAPPED(pending_cvtpi2ps), UNMAPPED(pending_cvtpi2pd);
    UNMAPPED(pending_cvtps2pi), UNMAPPED(pending_cvtpd2pi), UNMAPPED(pending_fisttp), UNMAPPED(pending_fbstp);
#define NOWHERE(name)                                                                                                  \
    AT(name, 0x4141414141414141), AT(name, 0x800000000000), AT(name, 0x7ffffffff000), AT(name, 0xffff800000000000)
    NOWHERE(jump_register), NOWHERE(jump_memory), NOWHERE(call_register), NOWHERE(call_memory);
    NOWHERE(return_), NOWHERE(return_more);
    return 0;
}
