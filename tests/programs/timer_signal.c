/* Preloaded into a program: a signal every TIMER_SIGNAL_PERIOD_US us, in every process. A POSIX timer is used, because it ends at an exec
 * together with the signals that it has queued, and SIGURG, because it does nothing where there is no handler (yet).
 * TIMER_SIGNAL_RESTART says whether interrupted system calls go on. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t arrived;
static long period_ns;

static void arrive(int signal) {
    (void)signal;
    arrived++;
}

static void start_timer(void) {
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG};
    struct itimerspec period = {.it_interval.tv_nsec = period_ns, .it_value.tv_nsec = period_ns};
    timer_t timer;
    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &period, NULL) != 0) {
        static const char sentence[] = "timer_signal: no timer\n";
        (void)!write(2, sentence, sizeof sentence - 1);
        _exit(1);
    }
}

__attribute__((constructor)) static void start(void) {
    const char *restart = getenv("TIMER_SIGNAL_RESTART"), *period = getenv("TIMER_SIGNAL_PERIOD_US");
    struct sigaction action = {.sa_handler = arrive};
    action.sa_flags = restart != NULL && strcmp(restart, "off") == 0 ? 0 : SA_RESTART;
    period_ns = (period != NULL ? atol(period) : 200) * 1000;
    sigaction(SIGURG, &action, NULL);
    start_timer();
    pthread_atfork(NULL, NULL, start_timer);
}
