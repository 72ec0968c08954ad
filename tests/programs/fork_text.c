/* A forked child faults on the text that it executes, although its parent has executed it: fork copies no tables of
 * files. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Farther apart than a fault maps around. */
#define FAR __attribute__((noinline, aligned(65536)))
static volatile int counter;
static FAR void first(void) { counter++; }
static FAR void second(void) { counter += 2; }
static FAR void third(void) { counter += 3; }

static long call_all(void)
{
    static void (*const volatile functions[])(void) = { first, second, third };
    struct rusage before, after;
    size_t i;

    getrusage(RUSAGE_SELF, &before);
    for (i = 0; i < sizeof functions / sizeof *functions; i++)
        functions[i]();
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

int main(void)
{
    call_all();
    printf("again: %ld faults\n", call_all());
    fflush(stdout);
    if (fork() == 0) {
        counter = 0;
        printf("child: %s\n", call_all() > 0 ? "faults" : "no faults");
        printf("child again: %ld faults\n", call_all());
        return 0;
    }
    wait(NULL);
    return 0;
}
