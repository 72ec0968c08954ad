// Limits that calls honour: descriptors, queued signals, the size of files; and what setrlimit itself refuses.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
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
    int lowest = open("/proc/self/status", O_RDONLY), next_lowest = open("/proc/uptime", O_RDONLY | O_CLOEXEC);
    printf("the lowest are %d and %d, ", lowest, next_lowest);
    printf("closed on exec: %d %d\n", fcntl(lowest, F_GETFD), fcntl(next_lowest, F_GETFD));
    close(lowest);
    close(next_lowest);
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

static volatile int too_large, from_self;
static void on_too_large(int signal, siginfo_t *info, void *context) {
    too_large++;
    from_self += info->si_code == SI_USER && info->si_pid == getpid();
}

static void told(const char *what, long answer) {
    int error = errno;
    printf("%s: %ld %s, %d signals\n", what, answer, answer == -1 ? strerror(error) : "", too_large);
    too_large = 0;
}

static void file_sizes(void) {
    struct sigaction action = {.sa_sigaction = on_too_large, .sa_flags = SA_SIGINFO};
    struct rlimit limit, small = {1000, 0};
    struct iovec parts[2] = {{"0123456789", 10}, {"0123456789", 10}};
    char name[] = "/tmp/limited-XXXXXX", bytes[600] = {0};
    int file = mkstemp(name), appending = open(name, O_WRONLY | O_APPEND), reading = open(name, O_RDONLY), ends[2];
    off_t at = 995;
    pid_t child;
    int status;
    sigaction(SIGXFSZ, &action, NULL);
    getrlimit(RLIMIT_FSIZE, &limit);
    small.rlim_max = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    told("write", write(file, bytes, 600));
    told("across", write(file, bytes, 600));
    told("beyond", write(file, bytes, 600));
    told("nothing", write(file, bytes, 0));
    told("appended", write(appending, bytes, 1));
    told("pwrite across", pwrite(file, bytes, 10, 995));
    told("pwrite beyond", pwrite(file, bytes, 10, 1000));
    told("not for writing", pwrite(reading, bytes, 10, 1000));
    told("pwritev", pwritev(file, parts, 2, 985));
    told("pwritev beyond", pwritev(file, parts, 2, 1001));
    lseek(file, 989, SEEK_SET);
    told("writev", writev(file, parts, 2));
    told("writev beyond", writev(file, parts, 2));
    told("ftruncate", ftruncate(file, 1001));
    told("truncate", truncate(name, 1001));
    told("shorter", ftruncate(file, 900));
    told("longer", ftruncate(file, 1000));
    told("fallocate", fallocate(file, 0, 500, 501));
    told("fallocate within", fallocate(file, 0, 500, 500));
    told("copy", copy_file_range(reading, NULL, file, &at, 100, 0));
    told("copy beyond", copy_file_range(reading, NULL, file, &at, 100, 0));
    lseek(file, 990, SEEK_SET);
    lseek(reading, 0, SEEK_SET);
    // Whether these two signal when they are cut depends on how many pieces they are made of.
    say("sendfile", sendfile(file, reading, NULL, 100));
    too_large = 0;
    told("sendfile beyond", sendfile(file, reading, NULL, 100));
    pipe(ends);
    told("a pipe", write(ends[1], bytes, 600) + write(ends[1], bytes, 600));
    at = 998;
    say("splice", splice(ends[0], NULL, file, &at, 100, 0));
    too_large = 0;
    printf("in the signal's name: %d\n", from_self >= 10);
    fflush(stdout);
    if ((child = fork()) == 0) {
        signal(SIGXFSZ, SIG_DFL);
        pwrite(file, bytes, 10, 1000);
        _exit(1);
    }
    waitpid(child, &status, 0);
    printf("by default: %d\n", WTERMSIG(status) == SIGXFSZ);
    setrlimit(RLIMIT_FSIZE, &limit);
    told("again", pwrite(file, bytes, 10, 1000));
    unlink(name);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    file_sizes();
    descriptors();
    signals();
    return 0;
}
