// Children: how they are waited for, who gets them when their parent ends, what they cost, and a program executed by a
// thread that is not the first.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static void tell_info(const char *what, int answer, const siginfo_t *info, pid_t child) {
    printf("%s: %d, signal %d, code %d, status %d, %s\n", what, answer, info->si_signo, info->si_code, info->si_status,
           info->si_pid == child ? "the child" : info->si_pid == 0 ? "nobody" : "another");
}

static void changes(void) {
    siginfo_t info = {0};
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        for (;;) pause();
    }
    tell_info("nothing yet", waitid(P_PID, child, &info, WEXITED | WNOHANG), &info, child);
    kill(child, SIGSTOP);
    tell_info("stopped", waitid(P_PID, child, &info, WSTOPPED), &info, child);
    tell_info("told once", waitid(P_PID, child, &info, WSTOPPED | WNOHANG), &info, child);
    kill(child, SIGCONT);
    tell_info("continued", waitid(P_PGID, getpgrp(), &info, WCONTINUED | WNOWAIT), &info, child);
    printf("again by waitpid: %d", waitpid(child, &status, WCONTINUED) == child);
    printf(" continued %d\n", WIFCONTINUED(status));
    kill(child, SIGTSTP);
    printf("by the terminal's signal: %d", waitpid(child, &status, WUNTRACED) == child);
    printf(" stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    kill(child, SIGKILL);
    tell_info("killed", waitid(P_ALL, 0, &info, WEXITED | WNOWAIT), &info, child);
    printf("still there: %d", waitpid(-1, &status, 0) == child);
    printf(" by %d\n", WTERMSIG(status));
    say("no more", waitpid(-1, &status, 0));
    say("no such", waitpid(99999, &status, 0));
    say("what", waitid(P_ALL, 0, &info, 0));
    say("unknown", waitpid(-1, &status, 0x40));
    signal(SIGCHLD, SIG_IGN);
    if (fork() == 0) _exit(1);
    say("ignored", waitpid(-1, &status, 0));
    signal(SIGCHLD, SIG_DFL);
    // One that does not end with SIGCHLD is waited for on request.
    child = (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
    if (child == 0) _exit(5);
    say("without a signal", waitpid(child, &status, 0));
    printf("as a clone: %d", waitpid(child, &status, __WCLONE) == child);
    printf(" status %d\n", WEXITSTATUS(status));
}

static void usage(void) {
    struct rusage before, child_usage, after;
    int status;
    getrusage(RUSAGE_CHILDREN, &before);
    pid_t child = fork();
    if (child == 0) {
        // A grandchild's usage is in its parent's children's, and so in ours.
        if (fork() == 0) {
            char *memory = malloc(64 * 4096);
            for (int page = 0; page < 64; page++) memory[page * 4096] = 1;
            _exit(0);
        }
        wait(NULL);
        struct timespec now;
        do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        while (now.tv_nsec < 60000000);
        _exit(0);
    }
    wait4(child, &status, 0, &child_usage);
    getrusage(RUSAGE_CHILDREN, &after);
    long ms = (child_usage.ru_utime.tv_sec + child_usage.ru_stime.tv_sec) * 1000 +
              (child_usage.ru_utime.tv_usec + child_usage.ru_stime.tv_usec) / 1000;
    printf("60 ms of CPU time: %d\n", ms >= 59);
    printf("64 faults more: %d\n", child_usage.ru_minflt >= 64);
    printf("what the child used is the children's: %d %d\n",
           after.ru_minflt - before.ru_minflt == child_usage.ru_minflt, after.ru_maxrss >= child_usage.ru_maxrss);
}

static void orphans(void) {
    int pipes[2], status;
    pid_t subreaper = getpid();
    if (pipe(pipes) < 0) return;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    pid_t child = fork();
    if (child == 0) {
        pid_t first = getpid();
        if (fork() == 0) {
            // Its parent ends; it is the subreaper's then.
            while (getppid() == first) usleep(1000);
            dprintf(pipes[1], "the orphan's parent is the subreaper: %d\n", getppid() == subreaper);
            _exit(7);
        }
        _exit(3);
    }
    for (int count = 0; count < 2; count++) {
        pid_t ended = wait(&status);
        printf("%s ended with %d\n", ended == child ? "the child" : "the orphan", WEXITSTATUS(status));
    }
    char text[128] = {0};
    if (read(pipes[0], text, sizeof text - 1) > 0) printf("%s", text);
    prctl(PR_SET_CHILD_SUBREAPER, 0);
    // A death signal: the grandchild is told of its parent's end.
    if (fork() == 0) {
        pid_t parent = getpid(), grandchild = fork();
        if (grandchild == 0) {
            sigset_t set;
            siginfo_t info;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            sigprocmask(SIG_BLOCK, &set, NULL);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            if (write(pipes[1], "r", 1) < 0) _exit(1);
            int got = sigwaitinfo(&set, &info);
            dprintf(pipes[1], "told by %d, code %d, from its parent %d\n", got == SIGUSR1, info.si_code, info.si_pid == parent);
            _exit(0);
        }
        char ready;
        if (read(pipes[0], &ready, 1) < 0) _exit(1);
        _exit(0);
    }
    wait(NULL);
    memset(text, 0, sizeof text);
    if (read(pipes[0], text, sizeof text - 1) > 0) printf("%s", text);
}

struct clone3_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; };

static void clone3_forms(void) {
    struct clone3_args args = {.exit_signal = SIGCHLD};
    int status;
    long child = syscall(435, &args, sizeof args);
    if (child == 0) _exit(9);
    if (child > 0) waitpid((pid_t)child, &status, 0), printf("clone3: %d\n", WEXITSTATUS(status));
    say("too small", syscall(435, &args, 56));
    args.exit_signal = 65;
    say("no signal", syscall(435, &args, sizeof args));
    args.exit_signal = SIGCHLD;
    args.stack = 4096;
    say("a stack of no size", syscall(435, &args, sizeof args));
    args.stack = 0;
    args.flags = CLONE_THREAD;
    say("a thread that tells of its end", syscall(435, &args, sizeof args));
    // CLONE_CLEAR_SIGHAND: handlers are gone, what is ignored stays so.
    signal(SIGUSR1, (void (*)(int))clone3_forms);
    signal(SIGUSR2, SIG_IGN);
    args.flags = 0x100000000ull;
    child = syscall(435, &args, sizeof args);
    if (child == 0) {
        struct sigaction first, second;
        sigaction(SIGUSR1, NULL, &first);
        sigaction(SIGUSR2, NULL, &second);
        _exit((first.sa_handler == SIG_DFL) + 2 * (second.sa_handler == SIG_IGN));
    }
    waitpid((pid_t)child, &status, 0);
    printf("cleared: %d\n", WEXITSTATUS(status));
    signal(SIGUSR1, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

static void at_wrong_places(void) {
    union {
        siginfo_t info;
        unsigned char bytes[sizeof(siginfo_t)];
    } told;
    int status;
    pid_t child = fork();
    if (child == 0) _exit(1);
    say("information to nowhere", syscall(SYS_waitid, P_PID, child, 8, WEXITED, 0));
    say("it is gone", waitpid(child, &status, 0));
    if ((child = fork()) == 0) _exit(1);
    say("status to nowhere", syscall(SYS_wait4, child, 8, 0, 0));
    say("it is gone", waitpid(child, &status, 0));
    if ((child = fork()) == 0) _exit(1);
    say("usage to nowhere", syscall(SYS_wait4, child, &status, 0, 8));
    say("it is gone", waitpid(child, &status, 0));
    memset(&told, 0x55, sizeof told);
    say("nobody", syscall(SYS_waitid, P_PID, child, &told, WEXITED, 0));
    int count = 0;
    for (size_t at = 0; at < sizeof told; at++) count += told.bytes[at] == 0x55;
    printf("untouched: %d, of nobody: %d %d\n", count, told.info.si_signo, told.info.si_pid);
}

static siginfo_t last;

static void on_child(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    last = *info;
}

// What a child used and how often it slept, as its parent is told.
static void costs(void) {
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART}, before;
    struct rusage used;
    struct timespec now;
    int status;
    sigaction(SIGCHLD, &action, &before);
    pid_t child = fork();
    if (child == 0) {
        // The kernel counts ticks by looking who runs when one ends: on a busy machine it may miss most of them.
        do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        while (now.tv_nsec < 400000000);
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("ticks told: %d\n", last.si_utime + last.si_stime >= 4);
    if ((child = fork()) == 0) {
        for (int round = 0; round < 20; round++) usleep(300);
        _exit(0);
    }
    wait4(child, &status, 0, &used);
    printf("slept 20 times: %d\n", used.ru_nvcsw >= 20);
    sigaction(SIGCHLD, &before, NULL);
}

static void *ends_process(void *pipe) {
    char byte;
    if (read(*(int *)pipe, &byte, 1) < 0) perror("read");
    syscall(SYS_exit_group, 42);
    return NULL;
}

// A process whose first thread has ended goes on, and shows a zombie until its end.
static void without_its_first(void) {
    int ends[2], status;
    char path[64], text[512] = {0};
    pthread_t thread;
    if (pipe(ends) != 0) return;
    pid_t child = fork();
    if (child == 0) {
        pthread_create(&thread, NULL, ends_process, ends);
        syscall(SYS_exit, 7);
    }
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    for (char state = 0; state != 'Z';) {
        FILE *file = fopen(path, "r");
        if (file == NULL || fgets(text, sizeof text, file) == NULL) return;
        fclose(file);
        state = strrchr(text, ')')[2];
        usleep(1000);
    }
    printf("nobody has ended: %d\n", waitpid(child, &status, WNOHANG));
    snprintf(path, sizeof path, "/proc/%d/task/%d", child, child);
    printf("the first is there: %d\n", access(path, F_OK));
    if (write(ends[1], "x", 1) < 0) perror("write");
    waitpid(child, &status, 0);
    printf("ended with %d\n", WEXITSTATUS(status));
}

static int blocked_pipe[2];

static volatile sig_atomic_t told;

static void on_end(int signal) { told = signal; }

// A child's child that is our child: we wait for it, and are told with the signal that its maker's end is told with.
static void siblings(void) {
    int status, ends[2];
    pid_t sibling = 0, child;
    signal(SIGUSR2, on_end);
    if (pipe(ends) != 0) return;
    child = fork();
    if (child == 0) {
        sibling = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGUSR2, 0, 0, 0, 0);
        if (sibling == 0) _exit(9);
        say("not the maker's to wait for", waitpid(sibling, &status, 0));
        _exit(write(ends[1], &sibling, sizeof sibling) != sizeof sibling);
    }
    if (read(ends[0], &sibling, sizeof sibling) != sizeof sibling) return;
    say("the sibling", waitpid(sibling, &status, 0) == sibling);
    printf("ended with %d, told by %d\n", WEXITSTATUS(status), told);
    say("its maker", waitpid(child, &status, 0) == child);
    close(ends[0]), close(ends[1]);
}

static void *sleep_in_read(void *nothing) {
    char byte;
    if (read(blocked_pipe[0], &byte, 1) < 0) return NULL;
    return nothing;
}

static void *sleep_in_futex(void *mutex) {
    pthread_mutex_lock(mutex);
    return NULL;
}

static const char *self;

static void *execute(void *nothing) {
    char pid[16];
    snprintf(pid, sizeof pid, "%d", getpid());
    usleep(20000);
    execl(self, self, "executed", pid, NULL);
    return nothing;
}

static void from_a_thread(void) {
    int status;
    fflush(stdout);
    for (int how = 0; how < 3; how++) {
        pid_t child = fork();
        if (child == 0) {
            pthread_t threads[12];
            static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
            pthread_mutex_lock(&mutex);
            if (pipe2(blocked_pipe, O_CLOEXEC) < 0 || dup3(0, 50, O_CLOEXEC) < 0) _exit(1);
            for (int index = 0; index < 10; index++) {
                pthread_create(&threads[index], NULL, index % 2 ? sleep_in_read : sleep_in_futex, &mutex);
            }
            if (how == 2) {
                usleep(20000);
                exit(4); // with all the others blocked
            }
            pthread_create(&threads[10], NULL, execute, NULL);
            if (how == 1) pthread_exit(NULL); // the first thread is gone before
            sleep_in_read(NULL);
            _exit(2);
        }
        waitpid(child, &status, 0);
        printf("the process ended with %d\n", WEXITSTATUS(status));
    }
}

int main(int count, char **arguments) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    self = arguments[0];
    if (count > 2) {
        printf("executed by the same process: %d, by its first thread: %d, descriptor closed: %d\n",
               getpid() == atoi(arguments[2]), getpid() == syscall(SYS_gettid), fcntl(50, F_GETFD) == -1);
        return 6;
    }
    changes();
    usage();
    orphans();
    clone3_forms();
    siblings();
    at_wrong_places();
    costs();
    without_its_first();
    from_a_thread();
    return 0;
}
