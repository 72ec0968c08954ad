/* Two threads wait, a third stores to address 16 with a known value in a vector register. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

static sem_t waiting;

static void *waits_in_vain(void *unused)
{
    sem_post(&waiting);
    pause();
    return unused;
}

static void *stores_nowhere(void *unused)
{
    static const unsigned long value[4] = { 0x1111, 0x2222, 0x3333, 0x4444 };
    volatile int *volatile nowhere = (int *)16;

    sem_wait(&waiting);
    sem_wait(&waiting);
    puts(__builtin_cpu_supports("avx") ? "avx" : "no avx");
    fflush(stdout);
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vmovdqu %0, %%ymm5\n\tmovl $1, (%1)" : : "m"(value), "r"(nowhere) : "xmm5", "memory");
    *nowhere = 1;
    return unused;
}

int main(void)
{
    pthread_t threads[3];

    sem_init(&waiting, 0, 0);
    pthread_create(&threads[0], NULL, waits_in_vain, NULL);
    pthread_create(&threads[1], NULL, waits_in_vain, NULL);
    pthread_create(&threads[2], NULL, stores_nowhere, NULL);
    pthread_join(threads[2], NULL);
    return 0;
}
