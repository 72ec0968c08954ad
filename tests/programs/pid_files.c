/* Descriptors of processes: waiting for them, signals through them, and what is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define P_PIDFD_ 3

static int pidfd_open_(pid_t pid, unsigned flags) { return (int)syscall(SYS_pidfd_open, pid, flags); }
static long send_(int file, int signal, siginfo_t *info, unsigned flags)
{
    return syscall(SYS_pidfd_send_signal, file, signal, info, flags);
}

static void say(const char *what, long answer)
{
    int error = errno;

    printf("%s: %s\n", what, answer >= 0 ? "done" : strerrorname_np(error));
}

static pid_t child(int ends[2])
{
    pid_t pid;
    char byte;

    if (pipe(ends) < 0)
        return -1;
    fflush(stdout);
    if ((pid = fork()) == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) == 1 ? 7 : 8);
    }
    close(ends[0]);
    return pid;
}

static int is_ready(int file, int wait_ms)
{
    struct pollfd asked = { .fd = file, .events = POLLIN };

    return poll(&asked, 1, wait_ms) == 1 && (asked.revents & POLLIN);
}

static volatile sig_atomic_t got, value;
static void on_signal(int signal, siginfo_t *info, void *context)
{
    got = signal;
    value = info->si_code == SI_QUEUE ? info->si_value.sival_int : -(info->si_pid == getpid());
}

static void *opens_thread(void *tid)
{
    *(pid_t *)tid = (pid_t)syscall(SYS_gettid);
    pause();
    return NULL;
}

/* Exits with whether it has the descriptor that its maker got. */
static long cloned(unsigned long flags, int *file)
{
    long pid;

    fflush(stdout);
    if ((pid = syscall(SYS_clone, flags, 0, file, NULL, 0)) == 0)
        _exit(fcntl(*file, F_GETFD) >= 0);
    return pid;
}

static void by_clone(void)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
    } all = { .exit_signal = SIGCHLD };
    struct rlimit limit, none;
    int file = -1;
    siginfo_t info;
    long pid = cloned(CLONE_PIDFD | SIGCHLD, &file);

    say("clone", pid);
    printf("closed on exec: %d, ready: %d\n", fcntl(file, F_GETFD) == FD_CLOEXEC, is_ready(file, 5000));
    say("wait", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    printf("it: %d, it had the descriptor: %d\n", info.si_pid == pid, info.si_status);
    close(file);
    pid = cloned(CLONE_PIDFD, &file);
    say("without a signal", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    say("waited for as such", waitid(P_PIDFD_, (id_t)file, &info, WEXITED | __WCLONE));
    printf("it: %d\n", info.si_pid == pid);
    close(file);
    pid = cloned(CLONE_PIDFD | CLONE_FILES | SIGCHLD, &file);
    say("wait", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    printf("a sharer had the descriptor: %d\n", info.si_status);
    close(file);

    all.flags = CLONE_PIDFD | CLONE_VFORK;
    all.pidfd = (uintptr_t)&file;
    if ((pid = syscall(SYS_clone3, &all, sizeof all)) == 0)
        _exit(5);
    say("clone3", pid);
    printf("ready: %d\n", is_ready(file, 5000));
    say("wait", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    printf("it: %d, status %d\n", info.si_pid == pid, info.si_status);
    close(file);

    say("two uses of one argument", cloned(CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, &file));
    say("detached", cloned(CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, &file));
    say("nowhere", syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, 0, 8, NULL, 0));
    getrlimit(RLIMIT_NOFILE, &limit);
    none = limit;
    none.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &none);
    say("too many descriptors", cloned(CLONE_PIDFD | SIGCHLD, &file));
    setrlimit(RLIMIT_NOFILE, &limit);
    say("no child is left", waitpid(-1, NULL, __WALL));
    file = dup(0);
    printf("no descriptor is left: %d\n", file);
    close(file);
}

int main(void)
{
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    struct epoll_event event = { .events = EPOLLIN };
    int ends[2], file, poller;
    siginfo_t info;
    pthread_t thread;
    volatile pid_t tid = 0;
    char byte;
    pid_t pid = child(ends);

    setvbuf(stdout, NULL, _IOLBF, 0);
    file = pidfd_open_(pid, 0);
    say("open", file);
    printf("closed on exec: %d, ready: %d\n", fcntl(file, F_GETFD) == FD_CLOEXEC, is_ready(file, 0));
    say("read", read(file, &byte, 1));
    memset(&info, 0, sizeof info);
    say("wait, not yet", waitid(P_PIDFD_, (id_t)file, &info, WEXITED | WNOHANG));
    printf("nobody: %d\n", info.si_pid == 0);
    say("is it there", send_(file, 0, NULL, 0));
    poller = epoll_create1(0);
    epoll_ctl(poller, EPOLL_CTL_ADD, file, &event);
    if (write(ends[1], "x", 1) != 1)
        return 1;
    printf("ended: %d\n", epoll_wait(poller, &event, 1, 5000));
    printf("ready: %d\n", is_ready(file, 0));
    say("still a zombie", send_(file, 0, NULL, 0));
    say("wait", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    printf("it: %d, status %d, code %d\n", info.si_pid == pid, info.si_status, info.si_code);
    say("gone", send_(file, SIGTERM, NULL, 0));
    say("wait again", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    say("open what is gone", pidfd_open_(pid, 0));
    close(file);

    pid = child(ends);
    file = pidfd_open_(pid, O_NONBLOCK);
    say("not blocking", file);
    say("wait, not blocking", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    say("kill", send_(file, SIGKILL, NULL, 0));
    printf("ready: %d\n", is_ready(file, 5000));
    say("wait", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    printf("killed by %d, code %d\n", info.si_status, info.si_code);
    close(file);

    sigaction(SIGUSR1, &action, NULL);
    file = pidfd_open_(getpid(), 0);
    say("own", file);
    say("to itself", send_(file, SIGUSR1, NULL, 0));
    printf("got %d: %d\n", got == SIGUSR1, value);
    info = (siginfo_t){ .si_signo = SIGUSR1, .si_code = SI_QUEUE };
    info.si_value.sival_int = 42;
    say("with a value", send_(file, SIGUSR1, &info, 0));
    printf("got %d: %d\n", got == SIGUSR1, value);
    say("of another number", send_(file, SIGUSR2, &info, 0));
    say("no signal", send_(file, 65, NULL, 0));
    say("flags", send_(file, 0, NULL, 1 << 20));
    say("a wrong descriptor", send_(0, 0, NULL, 0));
    say("a closed descriptor", send_(999, 0, NULL, 0));
    close(file);
    file = open("/proc/self", O_RDONLY | O_DIRECTORY);
    got = value = 0;
    say("by the directory in /proc", send_(file, SIGUSR1, NULL, 0));
    printf("got %d: %d\n", got == SIGUSR1, value);
    close(file);
    file = open("/proc/self/task", O_RDONLY | O_DIRECTORY);
    say("by another directory there", send_(file, SIGUSR1, NULL, 0));
    close(file);
    file = pidfd_open_(getpid(), 0);
    say("waiting for oneself", waitid(P_PIDFD_, (id_t)file, &info, WEXITED));
    say("waiting for a wrong one", waitid(P_PIDFD_, 0, &info, WEXITED));
    say("nobody", pidfd_open_(0, 0));
    say("less", pidfd_open_(-1, 0));
    say("unknown", pidfd_open_(0x3fffff00, 0));
    say("unknown flags", pidfd_open_(getpid(), 1 << 20));
    close(file);
    close(poller);
    close(ends[1]);
    by_clone();
    pthread_create(&thread, NULL, opens_thread, (void *)&tid);
    while (tid == 0)
        usleep(1000);
    printf("a thread: %d\n", pidfd_open_(tid, 0) < 0);
    return 0;
}
