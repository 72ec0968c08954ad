// What a signal does to a call that waits: with a handler and SA_RESTART, with a handler and without, and without a
// handler (stopped and continued again and again), when the call ends when it was to end all the same.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t handled;
static int pipes[2], sockets[2], epoll_fd, semaphore, queue;
static unsigned word;

static void on_signal(int signal) {
    (void)signal;
    handled++;
}

static long call_read(int ms) { char byte; (void)ms; return read(pipes[0], &byte, 1); }
static long call_recv(int ms) { char byte; (void)ms; return recv(sockets[0], &byte, 1, 0); }
static long call_nanosleep(int ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L}, left = {-1, -1};
    long answer = nanosleep(&time, &left);
    if (answer < 0 && (left.tv_sec < 0 || left.tv_sec > time.tv_sec)) puts("a wrong rest");
    return answer;
}
static long call_clock_nanosleep(int ms) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += ms / 1000;
    time.tv_nsec += ms % 1000 * 1000000L;
    if (time.tv_nsec >= 1000000000L) time.tv_nsec -= 1000000000L, time.tv_sec++;
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}
static long call_poll(int ms) { struct pollfd fd = {pipes[0], POLLIN, 0}; return poll(&fd, 1, ms); }
static long call_ppoll(int ms) {
    struct pollfd fd = {pipes[0], POLLIN, 0};
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    return ppoll(&fd, 1, &time, NULL);
}
static long call_select(int ms) {
    fd_set set;
    struct timeval time = {ms / 1000, ms % 1000 * 1000};
    FD_ZERO(&set);
    FD_SET(pipes[0], &set);
    return select(pipes[0] + 1, &set, NULL, NULL, &time);
}
static long call_epoll_wait(int ms) { struct epoll_event event; return epoll_wait(epoll_fd, &event, 1, ms); }
static long call_epoll_pwait2(int ms) {
    struct epoll_event event;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    return syscall(441, epoll_fd, &event, 1, &time, NULL, 8);
}
static long call_futex(int ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time, NULL, 0);
}
static long call_futex_forever(int ms) { (void)ms; return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0); }
static long call_sigtimedwait(int ms) {
    sigset_t set;
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return sigtimedwait(&set, NULL, &time);
}
static long call_semop(int ms) { struct sembuf down = {0, -1, 0}; (void)ms; return semop(semaphore, &down, 1); }
static long call_semtimedop(int ms) {
    struct sembuf down = {0, -1, 0};
    struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
    return semtimedop(semaphore, &down, 1, &time);
}
static long call_msgrcv(int ms) { struct { long type; char text[8]; } message; (void)ms; return msgrcv(queue, &message, 8, 0, 0); }
static long call_pause(int ms) { (void)ms; return pause(); }
static long call_sigsuspend(int ms) { sigset_t set; (void)ms; sigemptyset(&set); return sigsuspend(&set); }
static long call_wait(int ms) { (void)ms; return waitpid(-1, NULL, 0) > 0 ? 0 : -1; }

struct call {
    const char *name;
    long (*make)(int ms);
    int ends; // by itself, after so many milliseconds
};
static const struct call calls[] = {
    {"read", call_read, 0},           {"recv", call_recv, 0},
    {"nanosleep", call_nanosleep, 1}, {"clock_nanosleep", call_clock_nanosleep, 1},
    {"poll", call_poll, 1},           {"ppoll", call_ppoll, 1},
    {"select", call_select, 1},       {"epoll_wait", call_epoll_wait, 1},
    {"epoll_pwait2", call_epoll_pwait2, 1},
    {"futex", call_futex, 1},         {"futex for ever", call_futex_forever, 0},
    {"sigtimedwait", call_sigtimedwait, 1}, {"semop", call_semop, 0},
    {"semtimedop", call_semtimedop, 1}, {"msgrcv", call_msgrcv, 0},
    {"pause", call_pause, 0},         {"sigsuspend", call_sigsuspend, 0},
};

// Sends the parent a signal until the parent kills it, and lets waits end after a while: a byte for each descriptor.
static pid_t pester(int first, int second, int wakes) {
    pid_t child = fork();
    if (child > 0) return child;
    struct timespec pause = {0, 20 * 1000000L};
    for (int round = 0; round < 150; round++) {
        nanosleep(&pause, NULL);
        kill(getppid(), first);
        if (second) nanosleep(&pause, NULL), kill(getppid(), second);
        if (wakes && round == 4) {
            struct sembuf up = {0, 1, 0};
            struct { long type; char text[8]; } message = {1, "hello"};
            if (write(pipes[1], "x", 1) < 0 || write(sockets[1], "x", 1) < 0) _exit(1);
            semop(semaphore, &up, 1);
            msgsnd(queue, &message, 8, 0);
        }
    }
    _exit(0);
}

static void report(const char *how, const struct call *call, long answer, int error) {
    printf("%s, %s: %ld %s\n", how, call->name, answer, answer < 0 ? strerror(error) : "");
}

// A signal that only the call's own mask lets through waits already: what is ready comes first, and the signal stays.
static void lets_through(void) {
    struct pollfd fd = {pipes[0], POLLIN, 0};
    struct timespec never = {1000, 0}, now = {0, 0};
    struct epoll_event event = {.events = EPOLLIN};
    int poller = epoll_create1(0);
    sigset_t blocked, none, waiting;
    char byte;
    fd_set set;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    epoll_ctl(poller, EPOLL_CTL_ADD, pipes[0], &event);
    sigemptyset(&none);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    for (int is_ready = 1; is_ready >= 0; is_ready--) {
        if ((is_ready ? write(pipes[1], "x", 1) : read(pipes[0], &byte, 1)) < 0) perror("the pipe");
        for (int round = 0; round < 6; round++) {
            struct timespec *time = round % 2 ? &now : &never, left = *time;
            FD_ZERO(&set);
            FD_SET(pipes[0], &set);
            handled = 0;
            kill(getpid(), SIGUSR1);
            long answer = round / 2 == 0   ? ppoll(&fd, 1, &left, &none)
                          : round / 2 == 1 ? pselect(pipes[0] + 1, &set, NULL, NULL, &left, &none)
                                           : epoll_pwait(poller, &event, 1, round % 2 ? 0 : 1000000, &none);
            int error = answer < 0 ? errno : 0;
            sigpending(&waiting);
            printf("ready %d, round %d: %ld %s, handled %d, waits %d\n", is_ready, round, answer,
                   error ? strerror(error) : "", handled, sigismember(&waiting, SIGUSR1));
        }
    }
    handled = 0;
    sigprocmask(SIG_UNBLOCK, &blocked, NULL);
    printf("handled in the end: %d\n", handled);
    close(poller);
}

static void handle(int flags) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    sigaction(SIGUSR1, &action, NULL);
}

static void with_handler(const char *how, int flags) {
    handle(flags);
    for (size_t index = 0; index < sizeof calls / sizeof *calls; index++) {
        const struct call *call = &calls[index];
        int is_restarted = strcmp(call->name, "futex for ever") == 0 && (flags & SA_RESTART);
        if (is_restarted) continue; // nobody would wake it
        pid_t child = pester(SIGUSR1, 0, 1);
        handled = 0;
        long answer = call->make(3000);
        int error = errno;
        kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0) {}
        report(how, call, answer, error);
        if (!handled) puts("the handler did not run");
        // What was not taken is taken now.
        char byte;
        struct { long type; char text[8]; } message;
        fcntl(pipes[0], F_SETFL, O_NONBLOCK);
        while (read(pipes[0], &byte, 1) > 0) {}
        fcntl(pipes[0], F_SETFL, 0);
        while (recv(sockets[0], &byte, 1, MSG_DONTWAIT) > 0) {}
        while (msgrcv(queue, &message, 8, 0, IPC_NOWAIT) > 0) {}
        semctl(semaphore, 0, SETVAL, 0);
    }
}

static void without_handler(void) {
    for (size_t index = 0; index < sizeof calls / sizeof *calls; index++) {
        const struct call *call = &calls[index];
        if (!call->ends) continue;
        pid_t worker = fork();
        if (worker == 0) {
            pid_t child = pester(SIGSTOP, SIGCONT, 0);
            long answer = call->make(300);
            int error = errno;
            // The one who stops and continues us has not come to its end: the time was kept.
            int is_there = waitpid(child, NULL, WNOHANG) == 0;
            kill(child, SIGKILL);
            report("stopped and continued", call, answer, error);
            if (!is_there) puts("it began anew each time");
            fflush(stdout);
            _exit(0);
        }
        while (waitpid(worker, NULL, 0) < 0) {}
    }
}

static void child_ends(const char *how, int flags) {
    handle(flags);
    pid_t child = fork();
    if (child == 0) {
        usleep(300000);
        _exit(3);
    }
    pid_t pest = fork();
    if (pest == 0) {
        for (;;) usleep(10000), kill(getppid(), SIGUSR1);
    }
    int status = 0;
    long answer = waitpid(child, &status, 0);
    int error = errno;
    kill(pest, SIGKILL);
    while (waitpid(pest, NULL, 0) < 0) {}
    if (answer < 0) while (waitpid(child, &status, 0) < 0) {}
    printf("%s, waitpid: %s, then status %d\n", how, answer < 0 ? strerror(error) : "the child", WEXITSTATUS(status));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct epoll_event event = {.events = EPOLLIN};
    if (pipe(pipes) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0) return 1;
    (void)call_wait;
    epoll_fd = epoll_create1(0);
    int idle[2];
    if (pipe(idle) < 0) return 1;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, idle[0], &event);
    semaphore = semget(IPC_PRIVATE, 1, 0600);
    queue = msgget(IPC_PRIVATE, 0600);
    with_handler("with SA_RESTART", SA_RESTART);
    with_handler("without SA_RESTART", 0);
    lets_through();
    child_ends("with SA_RESTART", SA_RESTART);
    child_ends("without SA_RESTART", 0);
    without_handler();
    semctl(semaphore, 0, IPC_RMID);
    msgctl(queue, IPC_RMID, NULL);
    return 0;
}
