/* Random bytes run as code, in one child each: ./random_code SEED CHILDREN */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* SplitMix64. */
static uint64_t next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

static void run(uint64_t seed)
{
    struct itimerval soon = { { 0, 0 }, { 0, 100000 } };
    size_t size = 16384;
    unsigned char *code = mmap(NULL, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    for (size_t i = 0; i < size; i++)
        code[i] = (unsigned char)next(&seed);
    /* No system calls: they are another test's, and the files here are real. */
    for (size_t i = 0; i + 1 < size; i++)
        if ((code[i] == 0x0f && (code[i + 1] == 0x05 || code[i + 1] == 0x34)) || code[i] == 0xcd)
            code[i] = 0x90;
    setitimer(ITIMER_REAL, &soon, NULL);
    __asm__ volatile("xorl %%eax, %%eax\n\txorl %%ebx, %%ebx\n\txorl %%ecx, %%ecx\n\txorl %%edx, %%edx\n\t"
                     "xorl %%esi, %%esi\n\txorl %%r8d, %%r8d\n\tcall *%%rdi" : : "D"(code) : "memory");
    _exit(0);
}

int main(int count, char **arguments)
{
    long ends[65] = { 0 }, children = strtol(arguments[count - 1], NULL, 0);

    for (long i = 0; i < children; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
            run(strtoull(arguments[1], NULL, 0) + i);
        waitpid(pid, &status, 0);
        ends[WIFSIGNALED(status) ? WTERMSIG(status) : 0]++;
    }
    for (int signal = 0; signal <= 64; signal++)
        if (ends[signal] > 0)
            printf("signal %d: %ld\n", signal, ends[signal]);
    return 0;
}
