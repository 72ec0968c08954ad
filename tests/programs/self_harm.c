/* Children that take away what they stand on, or die inside a system call; what wait says of each. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
static void *page_of(const void *at) { return (void *)((uintptr_t)at & ~(PAGE - 1)); }

static void unmaps_its_code(void) { munmap(page_of((void *)unmaps_its_code), PAGE); }
static void unmaps_everything(void) { syscall(SYS_munmap, 0, 0x7ffffffff000UL); }
static void forbids_its_code(void) { mprotect(page_of((void *)forbids_its_code), PAGE, PROT_NONE); }
static void unmaps_its_stack(void)
{
    char here;
    munmap((char *)page_of(&here) - 16 * PAGE, 17 * PAGE);
}
static void overwrites_its_code(void)
{
    mprotect(page_of((void *)overwrites_its_code), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    for (size_t i = 0; i < PAGE; i++)
        ((volatile unsigned char *)page_of((void *)overwrites_its_code))[i] = 0x0f;
}
static void loses_its_stack_pointer(void) { __asm__ volatile("movq $16, %rsp\n\tpushq %rax"); }
static volatile int deeper = 1;
static int recurses(volatile char *above)
{
    volatile char room[1000];
    room[0] = *above;
    return deeper ? recurses(room) + room[0] : 0;
}
static void recurses_for_ever(void)
{
    char top = 1;
    recurses(&top);
}
static void jumps_into_the_kernel(void) { ((void (*)(void))0xffffffff81000000UL)(); }
static void executes_data(void)
{
    static unsigned char data[16] = { 0xc3 };
    ((void (*)(void))data)();
}
static void has_a_signal_and_no_stack(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    action.sa_handler = (void (*)(int))unmaps_its_stack;
    sigaction(SIGUSR1, &action, NULL);
    __asm__ volatile("movq $4096, %%rsp\n\tmovl $39, %%eax\n\tsyscall\n\tmovl %%eax, %%edi\n\tmovl $10, %%esi\n\t"
                     "movl $62, %%eax\n\tsyscall\n\tjmp ." : : : "memory");
}
static void *waits(void *unused)
{
    char byte;
    int ends[2];
    return pipe(ends) == 0 && read(ends[0], &byte, 1) == 1 ? unused : NULL;
}
static void exits_while_a_thread_reads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, waits, NULL);
    usleep(20000);
    _exit(7);
}
static void kills_itself_with_a_thread_reading(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, waits, NULL);
    usleep(20000);
    kill(getpid(), SIGKILL);
}

#define CHILD(f) { #f, f }
static const struct { const char *name; void (*act)(void); } children[] = {
    CHILD(unmaps_its_code), CHILD(unmaps_everything), CHILD(forbids_its_code), CHILD(unmaps_its_stack),
    CHILD(overwrites_its_code), CHILD(loses_its_stack_pointer), CHILD(recurses_for_ever), CHILD(jumps_into_the_kernel),
    CHILD(executes_data), CHILD(has_a_signal_and_no_stack), CHILD(exits_while_a_thread_reads),
    CHILD(kills_itself_with_a_thread_reading),
};

static void tell(const char *name, int status)
{
    printf("%s: ", name);
    if (WIFSIGNALED(status))
        printf("signal %d\n", WTERMSIG(status));
    else
        printf("status %d\n", WEXITSTATUS(status));
}

int main(void)
{
    int status;
    pid_t pid;

    for (size_t i = 0; i < sizeof children / sizeof *children; i++) {
        fflush(stdout);
        pid = fork();
        if (pid == 0) {
            children[i].act();
            _exit(0);
        }
        waitpid(pid, &status, 0);
        tell(children[i].name, status);
    }
    fflush(stdout);
    pid = fork();
    if (pid == 0)
        waits(NULL);
    usleep(20000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    tell("is killed while it reads", status);
    return 0;
}
