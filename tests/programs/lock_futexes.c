/* Futexes that the kernel hands on: mutexes with priority inheritance, and the calls below them; and waits for several
 * futexes at once. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS 8
#define TURNS 2000

static pthread_mutex_t mutex;
static long counter;
static uint32_t word, other;

static long futex(uint32_t *at, int operation, const struct timespec *until)
{
    long answer = syscall(SYS_futex, at, operation, 0, until, NULL, 0);

    return answer < 0 ? -errno : answer;
}

static void say(const char *what, long answer)
{
    printf("%s: %s\n", what, answer == 0 ? "done" : answer < 0 ? strerrorname_np((int)-answer) : "?");
}

static void make(int robust, int shared, pthread_mutex_t *at)
{
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutexattr_setrobust(&attributes, robust ? PTHREAD_MUTEX_ROBUST : PTHREAD_MUTEX_STALLED);
    pthread_mutexattr_setpshared(&attributes, shared ? PTHREAD_PROCESS_SHARED : PTHREAD_PROCESS_PRIVATE);
    say("a mutex", -pthread_mutex_init(at, &attributes));
}

static void *counts(void *unused)
{
    for (int i = 0; i < TURNS; i++) {
        pthread_mutex_lock(&mutex);
        long now = counter;
        if (i % 64 == 0)
            sched_yield();
        counter = now + 1;
        pthread_mutex_unlock(&mutex);
    }
    return unused;
}

static volatile int has_mutex;

static void *dies_with_it(void *unused)
{
    pthread_mutex_lock(&mutex);
    has_mutex = 1;
    usleep(20000);
    return unused;
}

static long locks, unlocks;
static int is_own;
static volatile int is_about_to_wait;

/* Waits until a thread waits for the word, at most ten seconds, and a moment longer: it marks the word first. */
static void until_somebody_waits(void)
{
    for (int tries = 0; tries < 10000 && !(word & FUTEX_WAITERS); tries++)
        usleep(1000);
    usleep(5000);
}

static void *takes_word(void *unused)
{
    struct timespec past = { 1, 0 }, soon;

    say("of another, try", futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, NULL));
    say("of another, in the past", futex(&word, FUTEX_LOCK_PI_PRIVATE, &past));
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 1000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    say("of another, a while", futex(&word, FUTEX_LOCK_PI_PRIVATE, &soon));
    say("of another, unlock", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    /* Told when it has ended: until then the other thread may be printing. */
    is_about_to_wait = 1;
    locks = futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL);
    is_own = (word & FUTEX_TID_MASK) == (uint32_t)gettid();
    unlocks = futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL);
    return unused;
}

static void *closes_circle(void *unused)
{
    say("the other", futex(&other, FUTEX_LOCK_PI_PRIVATE, NULL));
    say("thread waits", futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL));
    say("thread leaves", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    say("and the other", futex(&other, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    return unused;
}

static void calls(void)
{
    pthread_t thread;

    say("lock", futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL));
    printf("the word is the owner: %d\n", word == (uint32_t)gettid());
    say("again", futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL));
    say("try again", futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, NULL));
    pthread_create(&thread, NULL, takes_word, NULL);
    while (!is_about_to_wait)
        usleep(1000);
    until_somebody_waits();
    printf("somebody waits: %d\n", word == ((uint32_t)gettid() | FUTEX_WAITERS));
    say("unlock", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    pthread_join(thread, NULL);
    say("thread locks", locks);
    printf("its own: %d\n", is_own);
    say("thread unlocks", unlocks);
    printf("free: %#x\n", word);
    say("unlock what is free", futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL));
    word = 0x3ffffff0;
    say("of nobody", futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL));
    say("misaligned", futex((uint32_t *)((char *)&word + 1), FUTEX_LOCK_PI_PRIVATE, NULL));
    word = 0;
    say("lock for the circle", futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL));
    fflush(stdout);
    pthread_create(&thread, NULL, closes_circle, NULL);
    until_somebody_waits();
    say("a circle", futex(&other, FUTEX_LOCK_PI_PRIVATE, NULL));
    unlocks = futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL);
    pthread_join(thread, NULL);
    say("unlock for the circle", unlocks);
}

static void mutexes(void)
{
    pthread_t threads[THREADS];
    struct timespec until;
    int i;

    make(0, 0, &mutex);
    for (i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, counts, NULL);
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("counted: %ld\n", counter);
    pthread_mutex_destroy(&mutex);

    make(1, 0, &mutex);
    pthread_create(&threads[0], NULL, dies_with_it, NULL);
    while (!has_mutex)
        usleep(1000);
    say("its owner dies", -pthread_mutex_lock(&mutex));
    say("consistent", -pthread_mutex_consistent(&mutex));
    say("unlock it", -pthread_mutex_unlock(&mutex));
    pthread_join(threads[0], NULL);
    say("lock it again", -pthread_mutex_lock(&mutex));
    if (fork() == 0) {
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    pthread_mutex_unlock(&mutex);

    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile int *steps = (int *)(shared + 1);
    make(1, 1, shared);
    fflush(stdout);
    if (fork() == 0) {
        pthread_mutex_lock(shared);
        *steps = 1;
        while (*steps == 1)
            usleep(1000);
        usleep(20000);
        kill(getpid(), SIGKILL);
    }
    while (*steps == 0)
        usleep(1000);
    clock_gettime(CLOCK_REALTIME, &until);
    say("in time", -pthread_mutex_timedlock(shared, &until));
    *steps = 2;
    say("a process dies", -pthread_mutex_lock(shared));
    say("consistent", -pthread_mutex_consistent(shared));
    say("unlock it", -pthread_mutex_unlock(shared));
    wait(NULL);
}

static struct futex_waitv several[3];
static uint32_t words[3] = { 1, 2, 3 };

static long wait_several(unsigned count, unsigned flags, struct timespec *until)
{
    long answer = syscall(SYS_futex_waitv, several, count, flags, until, CLOCK_MONOTONIC);

    return answer < 0 ? -errno : answer;
}

static void *wakes_second(void *unused)
{
    long woken;

    do {
        usleep(1000);
        woken = syscall(SYS_futex, &words[1], FUTEX_WAKE_PRIVATE, 5, NULL, NULL, 0);
    } while (woken == 0);
    printf("woken: %ld\n", woken);
    return unused;
}

static void waits(void)
{
    struct timespec past = { 1, 0 };
    pthread_t thread;
    int i;

    for (i = 0; i < 3; i++)
        several[i] = (struct futex_waitv){ .val = words[i], .uaddr = (uintptr_t)&words[i], .flags = 2 | 128 };
    say("several, in the past", wait_several(3, 0, &past));
    say("none", wait_several(0, 0, NULL));
    say("flags", wait_several(3, 1, NULL));
    several[2].flags = 0;
    say("of no size", wait_several(3, 0, NULL));
    several[2].flags = 2 | 128;
    several[2].val++;
    say("another value", wait_several(3, 0, NULL));
    several[2].val--;
    fflush(stdout);
    pthread_create(&thread, NULL, wakes_second, NULL);
    long which = wait_several(3, 0, NULL);
    pthread_join(thread, NULL);
    printf("it was number %ld\n", which);
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    calls();
    mutexes();
    waits();
    return 0;
}
