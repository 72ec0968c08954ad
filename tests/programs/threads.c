// Threads and futexes: hundreds of threads, conditions and barriers, robust mutexes whose owner dies, futexes by the
// raw call: bit sets, requeueing, operations, shared between processes, time-outs.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MANY = 300 };

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static long futex(uint32_t *word, int operation, uint32_t value, const void *timeout, uint32_t *second, uint32_t third) {
    return syscall(SYS_futex, word, operation, value, timeout, second, third);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static __thread int own;
static int ready, sum;

static void *one_of_many(void *number) {
    own = (int)(intptr_t)number;
    pthread_barrier_wait(&barrier);
    pthread_mutex_lock(&lock);
    sum += own;
    ready++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
    return (void *)(intptr_t)(own * 2);
}

static void many(void) {
    pthread_t threads[MANY];
    pthread_attr_t small;
    long results = 0;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 64 << 10);
    pthread_barrier_init(&barrier, NULL, MANY);
    for (int index = 0; index < MANY; index++) {
        if (pthread_create(&threads[index], &small, one_of_many, (void *)(intptr_t)index) != 0) puts("no thread");
    }
    pthread_mutex_lock(&lock);
    while (ready < MANY) pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    for (int index = 0; index < MANY; index++) {
        void *result;
        pthread_join(threads[index], &result);
        results += (intptr_t)result;
    }
    printf("%d threads, sum %d, results %ld\n", ready, sum, results);
}

static void *die_with_it(void *mutex) {
    pthread_mutex_lock(mutex);
    return NULL;
}

static void robust(void) {
    pthread_mutexattr_t attributes;
    pthread_mutex_t *mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    volatile int *has_it = (int *)(mutex + 1);
    pthread_t thread;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(mutex, &attributes);
    pthread_create(&thread, NULL, die_with_it, mutex);
    pthread_join(thread, NULL);
    printf("a thread died with it: %s\n", strerror(pthread_mutex_lock(mutex)));
    pthread_mutex_consistent(mutex);
    pthread_mutex_unlock(mutex);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(mutex);
        *has_it = 1;
        usleep(50000);
        _exit(0);
    }
    while (!*has_it) usleep(1000);
    printf("a process did while we waited: %s\n", strerror(pthread_mutex_lock(mutex)));
    waitpid(child, NULL, 0);
    pthread_mutex_unlock(mutex);
    printf("never made consistent: %s\n", strerror(pthread_mutex_lock(mutex)));
}

static uint32_t word, other;
static int bits_of[3], woken_of[3];

// Until a thread is asleep, by what /proc says of it.
static void wait_until_asleep(volatile pid_t *tid) {
    char path[64], text[256] = "";
    while (*tid == 0) usleep(1000);
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", *tid);
    while (strstr(text, ") S ") == NULL) {
        usleep(1000);
        FILE *file = fopen(path, "r");
        if (file == NULL || fgets(text, sizeof text, file) == NULL) puts("no state");
        if (file != NULL) fclose(file);
    }
}

static volatile pid_t tids[3];

static void *wait_for_bits(void *number) {
    int index = (int)(intptr_t)number;
    tids[index] = gettid();
    woken_of[index] = futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits_of[index]) == 0;
    return NULL;
}

static void raw(void) {
    pthread_t threads[3];
    struct timespec now, soon = {0, 5000000}, wrong = {0, 1000000000};
    say("another value", futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    say("in time", futex(&word, FUTEX_WAIT, 0, &soon, NULL, 0));
    say("a wrong time", futex(&word, FUTEX_WAIT, 0, &wrong, NULL, 0));
    clock_gettime(CLOCK_REALTIME, &now);
    say("a time that is past", futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &now, NULL, ~0u));
    say("no bits", futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
    say("an odd address", futex((uint32_t *)((char *)&word + 1), FUTEX_WAKE, 1, NULL, NULL, 0));
    say("no memory", futex((uint32_t *)8, FUTEX_WAIT, 0, NULL, NULL, 0));
    say("no such", futex(&word, 99, 0, NULL, NULL, 0));
    for (int index = 0; index < 3; index++) {
        bits_of[index] = 1 << index;
        pthread_create(&threads[index], NULL, wait_for_bits, (void *)(intptr_t)index);
    }
    for (int index = 0; index < 3; index++) wait_until_asleep(&tids[index]);
    say("who waits for 2", futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 2));
    pthread_join(threads[1], NULL);
    printf("woken: %d\n", woken_of[1]);
    say("requeue one, wake one", futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1, &other, 0));
    say("of another value", futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1, &other, 5));
    say("who waits for the other", futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
    pthread_join(threads[0], NULL);
    pthread_join(threads[2], NULL);
    other = 5;
    say("an operation", futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)));
    printf("it added: %u\n", other);
}

static void between_processes(void) {
    sem_t *semaphore = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status;
    sem_init(semaphore, 1, 0);
    pid_t child = fork();
    if (child == 0) {
        for (int turn = 0; turn < 100; turn++) sem_wait(semaphore);
        _exit(5);
    }
    for (int turn = 0; turn < 100; turn++) sem_post(semaphore);
    waitpid(child, &status, 0);
    printf("a hundred turns: %d\n", WEXITSTATUS(status));
    struct timespec past = {1, 0};
    say("in time", sem_timedwait(semaphore, &past));
}

static volatile sig_atomic_t handled_by;

static void on_signal(int signal) {
    (void)signal;
    handled_by = (int)syscall(SYS_gettid);
}

static volatile int tid_of_waiter, over;

static void *take_signals(void *nothing) {
    sigset_t none;
    sigemptyset(&none);
    tid_of_waiter = (int)syscall(SYS_gettid);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    while (!over) usleep(1000);
    return nothing;
}

static void signals_to_threads(void) {
    pthread_t thread;
    sigset_t blocked;
    signal(SIGUSR1, on_signal);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    pthread_create(&thread, NULL, take_signals, NULL);
    while (tid_of_waiter == 0) usleep(1000);
    usleep(5000);
    kill(getpid(), SIGUSR1); // we block it: the other thread takes it
    while (handled_by == 0) usleep(1000);
    printf("taken by who does not block it: %d\n", handled_by == tid_of_waiter);
    handled_by = 0;
    pthread_kill(thread, SIGUSR1);
    while (handled_by == 0) usleep(1000);
    printf("and by whom it is sent to: %d\n", handled_by == tid_of_waiter);
    over = 1;
    pthread_join(thread, NULL);
    // Who joins is told before the kernel has let go of the number.
    while (syscall(SYS_tgkill, getpid(), tid_of_waiter, 0) == 0) usleep(1000);
    printf("to one that is gone: %s\n", strerror(errno));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    many();
    robust();
    raw();
    between_processes();
    signals_to_threads();
    return 0;
}
