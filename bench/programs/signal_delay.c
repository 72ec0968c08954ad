/* How long after a timer's time its handler runs, in a loop that makes no call: ./signal_delay [COUNT] */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 100000 };

static long long due, delays[MOST];
static volatile sig_atomic_t arrived;
static char from[1 << 20], to[1 << 20];

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void arrive(int signal)
{
    (void)signal;
    delays[arrived] = now() - due;
    arrived++;
}

static void count_up(int until)
{
    while (arrived < until)
        ;
}

static void divide(int until)
{
    volatile unsigned long x = ~0UL;

    while (arrived < until)
        x = x / 3 + (~0UL << 20);
}

static void copy(int until)
{
    while (arrived < until)
        __asm__ volatile("rep movsb" ::"D"(to), "S"(from), "c"(sizeof from) : "memory");
}

static int compare(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;

    return (x > y) - (x < y);
}

static void measure(const char *name, void (*loop)(int), int count, timer_t timer)
{
    arrived = 0;
    for (int i = 0; i < count; i++) {
        struct itimerspec at = { 0 };

        due = now() + 300000 + 1000 * (i % 97);
        at.it_value.tv_sec = due / 1000000000;
        at.it_value.tv_nsec = due % 1000000000;
        timer_settime(timer, TIMER_ABSTIME, &at, NULL);
        loop(i + 1);
    }
    qsort(delays, (size_t)count, sizeof *delays, compare);
    printf("%s: %d signals, us after their time: median %.0f, 99 %% within %.0f, longest %.0f; over a millisecond: ", name,
           count, (double)delays[count / 2] / 1e3, (double)delays[count * 99 / 100] / 1e3, (double)delays[count - 1] / 1e3);
    count = 0;
    for (int i = 0; i < (int)arrived; i++)
        count += delays[i] > 1000000;
    printf("%d\n", count);
}

int main(int count, char **arguments)
{
    int signals = count > 1 ? atoi(arguments[1]) : 2000;
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    timer_t timer;

    if (signals < 1 || signals > MOST || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        return 1;
    signal(SIGUSR1, arrive);
    measure("an empty loop", count_up, signals, timer);
    measure("divisions", divide, signals, timer);
    measure("rep movsb of a MiB", copy, signals, timer);
    return 0;
}
