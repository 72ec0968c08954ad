/* Addresses that are none, through the stack segment and through the others: which exception each instruction raises, where
 * the program stands then and what it has changed. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>

#define NOWHERE 0x4141414141414140UL
#define LAST 0x7ffffffffff8UL /* the last eight bytes of the lower half */

static sigjmp_buf back;
static char *begin; /* the first instruction of the case */
static uint64_t good[16];

static void on_signal(int signal, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    printf(" signal %d code %d", signal, info->si_code);
    if (signal != SIGILL)
        printf(" at %p", info->si_addr);
    printf(" trap %lld error %lld", registers[REG_TRAPNO], registers[REG_ERR]);
    if ((uint64_t)registers[REG_RIP] - (uint64_t)begin < 64)
        printf(", code+%lld", registers[REG_RIP] - (long long)begin);
    if ((char *)registers[REG_RDI] - (char *)good < 128)
        printf(" rdi %+lld", registers[REG_RDI] - (long long)good);
    if ((uint64_t)registers[REG_RSP] - NOWHERE + 0x1000 < 0x2000)
        printf(" rsp nowhere%+lld", registers[REG_RSP] - (long long)NOWHERE);
    if ((uint64_t)registers[REG_RBP] - NOWHERE + 0x1000 < 0x2000)
        printf(" rbp nowhere%+lld", registers[REG_RBP] - (long long)NOWHERE);
    printf(" rcx %llx\n", registers[REG_RCX]);
    siglongjmp(back, 1);
}

/* A case: instructions that find an address in RAX, one of mapped memory in RDI, 2 in RCX. */
#define CASES                                                                                                          \
    CASE(load_rbp, "movq %rax, %rbp\n movl (%rbp), %edx")                                                              \
    CASE(store_rbp, "movq %rax, %rbp\n movl %edx, 16(%rbp)")                                                           \
    CASE(modify_rbp, "movq %rax, %rbp\n addl %edx, 16(%rbp)")                                                          \
    CASE(lock_rbp, "movq %rax, %rbp\n lock addl %edx, 16(%rbp)")                                                       \
    CASE(several_rbp, "movq %rax, %rbp\n movl %ecx, (%rdi)\n movl -8(%rbp), %edx\n movl -16(%rbp), %ebx")              \
    CASE(index_rbp, "movq %rax, %rbp\n movl (%rcx,%rbp), %edx")                                                        \
    CASE(rbp_and_index, "movq %rcx, %rbp\n movl (%rbp,%rax), %edx")                                                    \
    CASE(rsp_and_index, "movl (%rsp,%rax), %edx")                                                                      \
    CASE(load_rsp, "movq %rax, %rsp\n movl 8(%rsp), %edx")                                                             \
    CASE(store_rsp, "movq %rax, %rsp\n movl %edx, 8(%rsp)")                                                            \
    CASE(load_r12, "movq %rax, %r12\n movl 8(%r12), %edx")                                                             \
    CASE(load_r13, "movq %rax, %r13\n movl 8(%r13), %edx")                                                             \
    CASE(load_rax, "movl (%rax), %edx")                                                                                \
    CASE(store_rax, "movl %edx, (%rax)")                                                                               \
    CASE(ss_rax, ".byte 0x36\n movl (%rax), %edx")                                                                     \
    CASE(ds_rbp, "movq %rax, %rbp\n .byte 0x3e\n movl (%rbp), %edx")                                                   \
    CASE(cs_rbp, "movq %rax, %rbp\n .byte 0x2e\n movl (%rbp), %edx")                                                   \
    CASE(fs_rbp, "movq %rax, %rbp\n movl %fs:(%rbp), %edx")                                                            \
    CASE(gs_rsp, "movq %rax, %rsp\n movl %gs:(%rsp), %edx")                                                            \
    CASE(push_register, "movq %rax, %rsp\n pushq %rdx")                                                                \
    CASE(push_word, "movq %rax, %rsp\n pushw %dx")                                                                     \
    CASE(push_number, "movq %rax, %rsp\n pushq $7")                                                                    \
    CASE(push_good, "movq %rax, %rsp\n pushq (%rdi)")                                                                  \
    CASE(push_nowhere, "pushq (%rax)")                                                                                 \
    CASE(push_both, "movq %rax, %rsp\n pushq (%rax)")                                                                  \
    CASE(push_rbp_nowhere, "movq %rax, %rbp\n pushq (%rbp)")                                                           \
    CASE(push_flags, "movq %rax, %rsp\n pushfq")                                                                       \
    CASE(push_segment, "movq %rax, %rsp\n pushq %fs")                                                                  \
    CASE(pop_register, "movq %rax, %rsp\n popq %rdx")                                                                  \
    CASE(pops, "movq %rax, %rsp\n popq %rdx\n popq %rbx\n popq %rsi")                                                  \
    CASE(pop_good, "movq %rax, %rsp\n popq (%rdi)")                                                                    \
    CASE(pop_nowhere, "popq (%rax)")                                                                                   \
    CASE(pop_flags, "movq %rax, %rsp\n popfq")                                                                         \
    CASE(call, "movq %rax, %rsp\n call 1f\n 1: nop")                                                                   \
    CASE(call_register, "leaq 1f(%rip), %rdx\n movq %rax, %rsp\n call *%rdx\n 1: nop")                                 \
    CASE(call_memory, "movq %rax, %rsp\n call *(%rdi)")                                                                \
    CASE(call_nowhere, "call *(%rax)")                                                                                 \
    CASE(call_rbp, "movq %rax, %rbp\n call *8(%rbp)")                                                                  \
    CASE(call_from_and_to, "movq %rax, %rsp\n call *%rax")                                                             \
    CASE(jump_rbp, "movq %rax, %rbp\n jmp *8(%rbp)")                                                                   \
    CASE(jump_rax, "jmp *8(%rax)")                                                                                     \
    CASE(return_, "movq %rax, %rsp\n ret")                                                                             \
    CASE(return_more, "movq %rax, %rsp\n ret $16")                                                                     \
    CASE(return_to, "pushq %rax\n ret")                                                                                \
    CASE(leave, "movq %rax, %rbp\n leave")                                                                             \
    CASE(enter, "movq %rax, %rsp\n enter $16, $0")                                                                     \
    CASE(enter_deep, "movq %rax, %rbp\n enter $16, $3")                                                                \
    CASE(movaps_rbp, "movq %rax, %rbp\n movaps (%rbp), %xmm0")                                                         \
    CASE(movups_rbp, "movq %rax, %rbp\n movups (%rbp), %xmm0")                                                         \
    CASE(misaligned_rbp, "movq %rax, %rbp\n movaps 8(%rbp), %xmm0")                                                    \
    CASE(misaligned_rax, "movaps 8(%rax), %xmm0")                                                                      \
    CASE(misaligned_store, "movq %rax, %rbp\n movaps %xmm0, 8(%rbp)")                                                  \
    CASE(cmpxchg16b, "movq %rax, %rbp\n cmpxchg16b (%rbp)")                                                            \
    CASE(misaligned_cmpxchg16b, "movq %rax, %rbp\n cmpxchg16b 8(%rbp)")                                                \
    CASE(fxsave, "movq %rax, %rbp\n fxsave (%rbp)")                                                                    \
    CASE(misaligned_fxsave, "movq %rax, %rbp\n fxsave 8(%rbp)")                                                        \
    CASE(fld, "movq %rax, %rbp\n fldl (%rbp)")                                                                         \
    CASE(fnstcw, "movq %rax, %rbp\n fnstcw (%rbp)")                                                                    \
    CASE(bit, "movq %rax, %rbp\n bt %rcx, (%rbp)")                                                                     \
    CASE(clflush, "movq %rax, %rbp\n clflush (%rbp)")                                                                  \
    CASE(prefetch, "movq %rax, %rbp\n prefetcht0 (%rbp)")                                                              \
    CASE(moves, "movq %rax, %rsi\n rep movsb")                                                                         \
    CASE(moves_ss, "movq %rax, %rsi\n .byte 0x36\n movsb")                                                             \
    CASE(stores, "xchgq %rdi, %rax\n rep stosb")                                                                       \
    CASE(translate, "movq %rax, %rbx\n xlatb")                                                                         \
    CASE(segment, "movq %rax, %rbp\n movw (%rbp), %es")                                                                \
    CASE(maskmov, "movq %rax, %rdi\n pcmpeqd %xmm0, %xmm0\n maskmovdqu %xmm0, %xmm0")
#define VECTOR_CASES                                                                                                   \
    CASE(vmovdqu, "movq %rax, %rbp\n vmovdqu (%rbp), %ymm0")                                                           \
    CASE(misaligned_vmovdqa, "movq %rax, %rbp\n vmovdqa 16(%rbp), %ymm0")                                              \
    CASE(vmaskmov, "movq %rax, %rbp\n vpcmpeqd %xmm0, %xmm0, %xmm0\n vpmaskmovd (%rbp), %xmm0, %xmm1")                 \
    CASE(gather, "movq %rax, %rbp\n vpcmpeqd %xmm0, %xmm0, %xmm0\n vpxor %xmm1, %xmm1, %xmm1\n"                        \
                 " vpgatherdd %xmm0, (%rbp,%xmm1), %xmm2")                                                             \
    CASE(xsave, "movq %rax, %rbp\n xorl %eax, %eax\n xorl %edx, %edx\n xsave (%rbp)")
#define CASE(name, text)                                                                                               \
    extern char name##_code[];                                                                                         \
    __asm__(".text\n" #name "_code:\n" text "\n ud2\n");
CASES VECTOR_CASES
#undef CASE

static void run(const char *name, char *code, uint64_t address)
{
    printf("%s %#lx:", name, address);
    fflush(stdout);
    begin = code;
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("xorl %%edx, %%edx\n\tjmp *%2" : : "D"(good), "a"(address), "r"(code), "c"(2)
                         : "rdx", "rbx", "rsi", "memory", "cc");
    __asm__ volatile("fninit");
    fflush(stdout);
}

int main(void)
{
    static char stack[1 << 16];
    const stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    static const uint64_t addresses[] = { NOWHERE, NOWHERE + 1, LAST, LAST + 1, LAST + 8, LAST + 16 };
    size_t i;

    sigaltstack(&alternate, NULL);
    for (i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
#define CASE(name, text) run(#name, name##_code, addresses[i]);
    for (i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        CASES
        if (__builtin_cpu_supports("avx2")) {
            VECTOR_CASES
        }
    }
    return 0;
}
