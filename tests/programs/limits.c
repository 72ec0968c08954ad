// Limits that calls honour: descriptors, queued signals, the size of files; and what setrlimit itself refuses.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static void descriptors(void) {
    struct rlimit limit, small = {20, 20};
    int pipes[2], last = -1, next;
    // Whatever the caller left open is closed, so that numbers are the same.
    for (int number = 3; number < 1024; number++) close(number);
    getrlimit(RLIMIT_NOFILE, &limit);
    small.rlim_max = limit.rlim_max;
    say("a limit of 20", setrlimit(RLIMIT_NOFILE, &small));
    while ((next = open("/dev/null", O_RDONLY)) >= 0) last = next;
    say("open", next);
    printf("the last was %d\n", last);
    say("dup", dup(0));
    say("dup2 beyond", dup2(0, 20));
    say("dup2 within", dup2(0, 19));
    say("fcntl beyond", fcntl(0, F_DUPFD, 20));
    say("fcntl within", fcntl(0, F_DUPFD, 5));
    say("socket", socket(AF_UNIX, SOCK_STREAM, 0));
    say("eventfd", eventfd(0, 0));
    say("epoll", epoll_create1(0));
    say("timerfd", timerfd_create(CLOCK_MONOTONIC, 0));
    say("inotify", inotify_init());
    say("a file is not made", open("/tmp/must-not-be-there", O_CREAT | O_RDWR, 0600));
    say("it is not there", access("/tmp/must-not-be-there", F_OK));
    close(7);
    say("a pipe needs two", pipe(pipes));
    close(9);
    say("now", pipe(pipes));
    printf("they are %d and %d\n", pipes[0], pipes[1]);
    setrlimit(RLIMIT_NOFILE, &limit);
    say("again", dup(0));
    struct rlimit wrong = {30, 20};
    say("more than the hard one", setrlimit(RLIMIT_NOFILE, &wrong));
    say("no such", getrlimit(99, &wrong));
}

static void signals(void) {
    struct rlimit limit, small;
    sigset_t set;
    siginfo_t info;
    union sigval value = {.sival_int = 0};
    int queued = 10;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 3);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    getrlimit(RLIMIT_SIGPENDING, &limit);
    small = limit;
    small.rlim_cur = 0;
    setrlimit(RLIMIT_SIGPENDING, &small);
    say("none may wait", sigqueue(getpid(), SIGRTMIN, value));
    setrlimit(RLIMIT_SIGPENDING, &limit);
    for (value.sival_int = 0; value.sival_int < queued; value.sival_int++) sigqueue(getpid(), SIGRTMIN, value);
    value.sival_int = 100;
    sigqueue(getpid(), SIGRTMIN + 3, value);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    struct timespec now = {0, 0};
    int expected = 0, in_order = 1, taken = 0, got, order[3] = {0}, kinds = 0;
    while ((got = sigtimedwait(&set, &info, &now)) > 0) {
        taken++;
        if (got == SIGRTMIN) in_order &= info.si_value.sival_int == expected++ && info.si_code == SI_QUEUE;
        if (kinds == 0 || order[kinds - 1] != got) order[kinds++] = got;
    }
    printf("all that were queued, in order: %d %d; then none: %s\n", taken == queued + 2, in_order, strerror(errno));
    printf("kinds in order: %d %d %d\n", order[0] == SIGUSR1, order[1] == SIGRTMIN, order[2] == SIGRTMIN + 3);
    info.si_signo = SIGUSR1;
    info.si_code = SI_USER;
    say("as the kernel to another", sigqueue(99999, SIGUSR1, value));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    descriptors();
    signals();
    return 0;
}
