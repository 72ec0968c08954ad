// What the scheduler is asked and tells: policies, priorities, nice values, CPUs; and what prctl keeps.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

struct attributes { uint32_t size, policy; uint64_t flags; int32_t nice; uint32_t priority; uint64_t rest[3]; };

static void policies(void) {
    struct sched_param parameters = {0};
    say("policy", sched_getscheduler(0));
    parameters.sched_priority = 5;
    say("other with a priority", sched_setscheduler(0, SCHED_OTHER, &parameters));
    say("fifo above all", (parameters.sched_priority = 100, sched_setscheduler(0, SCHED_FIFO, &parameters)));
    say("no such policy", sched_setscheduler(0, 77, &parameters));
    parameters.sched_priority = 0;
    say("batch", sched_setscheduler(0, SCHED_BATCH | SCHED_RESET_ON_FORK, &parameters));
    say("policy", sched_getscheduler(0));
    if (fork() == 0) {
        say("a child's", sched_getscheduler(0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    say("other", sched_setscheduler(0, SCHED_OTHER, &parameters));
    say("of nobody", sched_getscheduler(99999));
    say("of a negative", sched_getscheduler(-1));
    printf("fifo %d to %d, other %d to %d\n", sched_get_priority_min(SCHED_FIFO), sched_get_priority_max(SCHED_FIFO),
           sched_get_priority_min(SCHED_OTHER), sched_get_priority_max(SCHED_OTHER));
    struct attributes told = {0};
    say("attributes", syscall(SYS_sched_getattr, 0, &told, 48, 0));
    printf("size %u policy %u flags %lu nice %d priority %u\n", told.size, told.policy, (unsigned long)told.flags,
           told.nice, told.priority);
    told.nice = 3;
    say("set", syscall(SYS_sched_setattr, 0, &told, 0));
    say("nice now", getpriority(PRIO_PROCESS, 0));
    say("too small", syscall(SYS_sched_getattr, 0, &told, 40, 0));
}

static void niceness(void) {
    say("nicer", nice(4));
    say("set", setpriority(PRIO_PROCESS, 0, 11));
    say("told", getpriority(PRIO_PROCESS, 0));
    if (fork() == 0) {
        say("a child's", getpriority(PRIO_PROCESS, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    say("too nice", (setpriority(PRIO_PROCESS, 0, 100), getpriority(PRIO_PROCESS, 0)));
    say("of nobody", getpriority(PRIO_PROCESS, 99999));
    say("of what", getpriority(9, 0));
    say("of the group", getpriority(PRIO_PGRP, 0) <= 19);
}

static void cpus(void) {
    cpu_set_t set;
    CPU_ZERO(&set);
    say("told", syscall(SYS_sched_getaffinity, 0, 8, &set) > 0);
    printf("the first is there: %d\n", !!CPU_ISSET(0, &set));
    CPU_ZERO(&set);
    say("none", sched_setaffinity(0, sizeof set, &set));
    CPU_SET(0, &set);
    say("the first", sched_setaffinity(0, sizeof set, &set));
    say("how many", (sched_getaffinity(0, sizeof set, &set), CPU_COUNT(&set)));
    say("too small", syscall(SYS_sched_getaffinity, 0, 4, &set));
    say("of nobody", sched_setaffinity(99999, sizeof set, &set));
    say("of less than nobody", sched_setaffinity(-1, sizeof set, &set));
    say("told of less than nobody", sched_getaffinity(-1, sizeof set, &set));
    say("policy of less than nobody", sched_getscheduler(-1));
    say("from nowhere", syscall(SYS_sched_setaffinity, 99999, sizeof set, 8));
    say("yield", sched_yield());
}

static long io(int who, int number) { return syscall(SYS_ioprio_get, who, number); }

static void *io_of_thread(void *unused) {
    say("of a thread", io(1, 0));
    say("its own", syscall(SYS_ioprio_set, 1, 0, 3 << 13));
    say("told", io(1, 0));
    return unused;
}

static void io_priorities(void) {
    pthread_t thread;
    say("none", io(1, 0));
    say("set", syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 3));
    say("told", io(1, 0));
    say("by number", io(1, getpid()));
    pthread_create(&thread, NULL, io_of_thread, NULL);
    pthread_join(thread, NULL);
    say("still", io(1, 0));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        say("of a child", io(1, 0));
        say("more urgent", syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 1));
        _exit(0);
    }
    waitpid(child, NULL, 0);
    say("a class there is not", syscall(SYS_ioprio_set, 1, 0, 5 << 13));
    say("a level without a class", syscall(SYS_ioprio_set, 1, 0, 3));
    say("of nobody", io(1, 99999));
    say("of what", io(7, 0));
    say("back", syscall(SYS_ioprio_set, 1, 0, 0));
    say("told", io(1, 0));
}

static void process(void) {
    char name[16] = {0};
    int number = -1;
    say("name", prctl(PR_SET_NAME, "a name that is too long"));
    prctl(PR_GET_NAME, name);
    printf("%s\n", name);
    say("dumpable", prctl(PR_GET_DUMPABLE));
    say("not", prctl(PR_SET_DUMPABLE, 0));
    say("dumpable", prctl(PR_GET_DUMPABLE));
    say("2", prctl(PR_SET_DUMPABLE, 2));
    say("parent's death", prctl(PR_SET_PDEATHSIG, SIGUSR1));
    prctl(PR_GET_PDEATHSIG, &number);
    say("is told by", number);
    say("no signal", prctl(PR_SET_PDEATHSIG, 99));
    say("subreaper", prctl(PR_SET_CHILD_SUBREAPER, 1));
    prctl(PR_GET_CHILD_SUBREAPER, &number);
    say("told", number);
    say("new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("none", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    say("new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say("slack", prctl(PR_GET_TIMERSLACK));
    say("set", prctl(PR_SET_TIMERSLACK, 70000));
    say("slack", prctl(PR_GET_TIMERSLACK));
    say("keep", prctl(PR_SET_KEEPCAPS, 1));
    say("kept", prctl(PR_GET_KEEPCAPS));
    say("seccomp", prctl(PR_GET_SECCOMP));
    say("tsc", prctl(PR_GET_TSC, &number) == 0 && number == PR_TSC_ENABLE);
    say("for everybody", prctl(PR_SET_TSC, PR_TSC_ENABLE));
    say("timing", prctl(PR_GET_TIMING));
    say("the same", prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL));
    say("another", prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP));
    say("broken memory", prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
    say("told at once", prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
    say("broken memory", prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
    say("in what way", prctl(PR_MCE_KILL, 7, 0, 0, 0));
    int *place = NULL;
    say("a thread's number", prctl(PR_GET_TID_ADDRESS, &place));
    int cleared = 0;
    syscall(SYS_set_tid_address, &cleared);
    prctl(PR_GET_TID_ADDRESS, &place);
    say("where it is cleared", place == &cleared);
    syscall(SYS_set_tid_address, NULL);
    say("counts", prctl(PR_TASK_PERF_EVENTS_DISABLE));
    say("capability", prctl(PR_CAPBSET_READ, 77));
    say("what", prctl(12345));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    policies();
    niceness();
    cpus();
    io_priorities();
    process();
    return 0;
}
