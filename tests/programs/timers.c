// Timers: of real time, of CPU time, with a signal to a process and to a thread, overruns, and what they tell.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static volatile sig_atomic_t count, last_code, last_value;
static volatile pid_t taken_by;

static void on_signal(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    taken_by = (pid_t)syscall(SYS_gettid);
    last_code = info->si_code;
    last_value = info->si_value.sival_int;
    count++;
}

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static void handle(int signal) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(signal, &action, NULL);
    count = 0;
}

// A tight loop: no call, no memory but the counter, until the handler has run so often.
static void spin_until(int times) {
    while (count < times) {}
}

static void intervals(int which, int signal, const char *name) {
    struct itimerval timer = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}}, told;
    handle(signal);
    say(name, setitimer(which, &timer, NULL));
    spin_until(5);
    getitimer(which, &told);
    printf("interval %ld us, rest at most that: %d, code %d\n", (long)told.it_interval.tv_usec,
           told.it_value.tv_sec == 0 && told.it_value.tv_usec <= 5000, last_code);
    setitimer(which, &off, &told);
    printf("old interval %ld us\n", (long)told.it_interval.tv_usec);
    int before = count;
    for (volatile int turn = 0; turn < 3000000; turn++) {}
    printf("off: %d\n", count - before);
}

static void posix(clockid_t clock, const char *name) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2, .sigev_value.sival_int = 77};
    struct itimerspec set = {{0, 3000000}, {0, 3000000}}, told;
    timer_t timer;
    handle(SIGRTMIN + 2);
    say(name, timer_create(clock, &event, &timer));
    say("set", timer_settime(timer, 0, &set, NULL));
    spin_until(3);
    printf("code %d, value %d\n", last_code, last_value);
    timer_gettime(timer, &told);
    printf("interval %ld ns\n", told.it_interval.tv_nsec);
    say("delete", timer_delete(timer));
    say("twice", syscall(SYS_timer_delete, timer));
}

static void absolute(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID};
    for (int index = 0; index < 3; index++) {
        timer_t timer;
        struct itimerspec set = {{0, 0}, {0, 0}};
        handle(SIGUSR1);
        clock_gettime(clocks[index], &set.it_value);
        set.it_value.tv_nsec += 20000000;
        if (set.it_value.tv_nsec >= 1000000000) set.it_value.tv_nsec -= 1000000000, set.it_value.tv_sec++;
        timer_create(clocks[index], &event, &timer);
        timer_settime(timer, TIMER_ABSTIME, &set, NULL);
        spin_until(1);
        struct timespec now;
        clock_gettime(clocks[index], &now);
        printf("not before its time: %d\n", now.tv_sec > set.it_value.tv_sec ||
               (now.tv_sec == set.it_value.tv_sec && now.tv_nsec >= set.it_value.tv_nsec));
        timer_gettime(timer, &set);
        printf("then it is off: %ld %ld\n", (long)set.it_value.tv_sec, set.it_value.tv_nsec);
        timer_delete(timer);
    }
}

static volatile pid_t waiter;
static volatile int done;

static void *wait_here(void *nothing) {
    waiter = (pid_t)syscall(SYS_gettid);
    while (!done) usleep(1000);
    return nothing;
}

static void to_a_thread(void) {
    pthread_t thread;
    timer_t timer;
    pthread_create(&thread, NULL, wait_here, NULL);
    while (waiter == 0) usleep(1000);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
    struct itimerspec set = {{0, 0}, {0, 1000000}};
    event.sigev_notify_thread_id = waiter;
    handle(SIGUSR2);
    say("for a thread", timer_create(CLOCK_MONOTONIC, &event, &timer));
    timer_settime(timer, 0, &set, NULL);
    spin_until(1);
    printf("taken by it: %d\n", taken_by == waiter);
    event.sigev_notify_thread_id = 99999;
    say("for no thread", timer_create(CLOCK_MONOTONIC, &event, &timer));
    done = 1;
    pthread_join(thread, NULL);
}

static void overrun(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1};
    struct itimerspec set = {{0, 1000000}, {0, 1000000}};
    timer_t timer;
    sigset_t blocked;
    siginfo_t info;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &set, NULL);
    usleep(30000);
    sigwaitinfo(&blocked, &info);
    printf("one signal for many: %d, overrun told twice the same: %d\n", info.si_overrun >= 15,
           timer_getoverrun(timer) == info.si_overrun);
    timer_delete(timer);
    /* Before Linux 6.13 the signal of an end since then is still delivered. */
    while (sigtimedwait(&blocked, NULL, &(struct timespec){0}) > 0)
        ;
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
}

static void refusals(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
    struct itimerval wrong = {{0, 1000000}, {0, 1}};
    struct itimerspec set = {{0, 0}, {0, 1000000000}};
    say("no signal", timer_create(CLOCK_MONOTONIC, &event, &timer));
    say("no clock", timer_create(77, NULL, &timer));
    say("no such timer", syscall(SYS_timer_gettime, 4711, &set));
    say("too many us", setitimer(ITIMER_REAL, &wrong, NULL));
    say("which", setitimer(9, &wrong, NULL));
    timer_create(CLOCK_MONOTONIC, NULL, &timer);
    say("too many ns", timer_settime(timer, 0, &set, NULL));
    timer_delete(timer);
    struct timespec time;
    clockid_t clock;
    clock_getcpuclockid(getpid(), &clock);
    say("its own clock", clock_gettime(clock, &time));
    pthread_getcpuclockid(pthread_self(), &clock);
    say("its thread's", clock_gettime(clock, &time));
    say("resolution", clock_getres(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 && time.tv_nsec == 1);
    say("no such", clock_gettime(4711, &time));
}

// As system calls: a library asks the vdso, if there is one.
static void times_of_day(void) {
    struct timespec before, after;
    struct timeval now = {0, 0};
    struct timezone zone = {77, 77};
    time_t second = 0;
    clock_gettime(CLOCK_REALTIME, &before);
    say("time of day", syscall(SYS_gettimeofday, &now, &zone));
    clock_gettime(CLOCK_REALTIME, &after);
    long earliest = before.tv_sec * 1000000 + before.tv_nsec / 1000, latest = after.tv_sec * 1000000 + after.tv_nsec / 1000;
    long found = now.tv_sec * 1000000 + now.tv_usec;
    printf("between: %d, zone %d %d\n", earliest <= found && found <= latest, zone.tz_minuteswest, zone.tz_dsttime);
    long told = syscall(SYS_time, &second);
    printf("second: %d\n", told == second && told >= before.tv_sec - 1 && told <= after.tv_sec + 1);
    printf("without a place: %d\n", syscall(SYS_time, NULL) >= told);
    say("only the zone", syscall(SYS_gettimeofday, NULL, &zone));
    say("nothing", syscall(SYS_gettimeofday, NULL, NULL));
    say("nowhere", syscall(SYS_gettimeofday, 8, NULL));
    say("zone nowhere", syscall(SYS_gettimeofday, NULL, 8));
    say("second nowhere", syscall(SYS_time, 8));
}

static void cpu_limit(void) {
    fflush(stdout);
    pid_t child = fork();
    int status;
    if (child == 0) {
        struct rlimit limit = {1, RLIM_INFINITY};
        handle(SIGXCPU);
        setrlimit(RLIMIT_CPU, &limit);
        spin_until(1);
        printf("told at the soft limit\n");
        fflush(stdout);
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("ended with %d\n", WEXITSTATUS(status));
}

static long long micros(struct timeval time) {
    return time.tv_sec * 1000000LL + time.tv_usec;
}

// Programs alternate with system calls: neither part of what was used may become less.
static void never_less(void) {
    struct rusage before = {0}, now;
    int went_back = 0;
    do {
        for (volatile int turn = 0; turn < 20000; turn++) {}
        for (int turn = 0; turn < 40; turn++) getppid();
        getrusage(RUSAGE_SELF, &now);
        went_back += micros(now.ru_utime) < micros(before.ru_utime) || micros(now.ru_stime) < micros(before.ru_stime);
        before = now;
    } while (micros(now.ru_utime) + micros(now.ru_stime) < 400000);
    printf("less than before: %d\n", went_back);
}

// As /proc lists them, without the process's number.
static void listed(void) {
    // A child has no timers yet.
    pid_t child = fork();
    if (child > 0) {
        waitpid(child, NULL, 0);
        return;
    }
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_ptr = (void *)0x1234};
    timer_t timers[3];
    char text[1024] = {0}, number[32];
    timer_create(CLOCK_MONOTONIC, &event, &timers[0]);
    event.sigev_notify = SIGEV_THREAD_ID;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timers[1]);
    timer_create(CLOCK_REALTIME, NULL, &timers[2]);
    int file = open("/proc/self/timers", O_RDONLY);
    if (read(file, text, sizeof text - 1) < 0) perror("read");
    snprintf(number, sizeof number, "id.%d", getpid());
    for (char *at = text; *at; at++)
        if (strncmp(at, number, strlen(number)) == 0) printf("id.N"), at += strlen(number) - 1;
        else putchar(*at);
    close(file);
    fflush(stdout);
    _exit(0);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    intervals(ITIMER_REAL, SIGALRM, "real");
    intervals(ITIMER_VIRTUAL, SIGVTALRM, "virtual");
    intervals(ITIMER_PROF, SIGPROF, "profile");
    posix(CLOCK_MONOTONIC, "monotonic");
    posix(CLOCK_PROCESS_CPUTIME_ID, "of the process");
    posix(CLOCK_THREAD_CPUTIME_ID, "of the thread");
    absolute();
    to_a_thread();
    overrun();
    refusals();
    listed();
    times_of_day();
    never_less();
    cpu_limit();
    return 0;
}
