/* What clone shares and copies between processes: descriptors, the working directory and umask, signal actions. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[1 << 16] __attribute__((aligned(16)));
static int ends[2];
static char *program;

static void handler(int signal) { (void)signal; }

static int is_open(int file) { return fcntl(file, F_GETFD) >= 0; }

static void say(const char *what, int holds) { printf("%s: %s\n", what, holds ? "yes" : "no"); }

static void wait_for(pid_t child)
{
    int status = -1;

    if (waitpid(child, &status, __WALL) != child)
        printf("waitpid: %s\n", strerror(errno));
    printf("status %#x\n", status);
}

/* As fork, but for the flags. */
static pid_t fork_with(unsigned long flags)
{
    fflush(stdout);
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0, NULL, NULL, 0);
}

static void descriptors(void)
{
    pid_t child;
    int kept = open("/dev/null", O_RDONLY), sealed = open("/dev/null", O_RDONLY | O_CLOEXEC), other;
    char byte;

    if ((child = fork_with(CLONE_FILES)) == 0) {
        close(kept);
        dup2(0, 100);
        _exit(0);
    }
    wait_for(child);
    say("closed by the child", !is_open(kept));
    say("opened by the child", is_open(100));
    say("all others are there", is_open(sealed) && is_open(1));
    close(100);
    if ((child = fork_with(CLONE_FILES)) == 0) {
        execl(program, program, "look", NULL);
        _exit(9);
    }
    wait_for(child);
    say("executing closed a copy", is_open(sealed));
    if (pipe(ends) < 0)
        exit(1);
    /* The sharer's end closes nothing; the last one's does. */
    if ((child = fork_with(0)) == 0) {
        close(ends[0]);
        pid_t grandchild = fork_with(CLONE_FILES);
        if (grandchild == 0)
            _exit(3);
        wait_for(grandchild);
        say("still writable", write(ends[1], "x", 1) == 1);
        fflush(stdout);
        _exit(4);
    }
    close(ends[1]);
    say("read", read(ends[0], &byte, 1) == 1);
    say("then the end", read(ends[0], &byte, 1) == 0);
    wait_for(child);
    other = ends[0];
    if ((child = fork_with(0)) == 0) {
        close(other);
        _exit(0);
    }
    wait_for(child);
    say("a copy's are its own", is_open(other));
}

static void directories(void)
{
    char before[4096], now[4096];
    pid_t child;

    umask(022);
    if (getcwd(before, sizeof before) == NULL)
        exit(1);
    if ((child = fork_with(CLONE_FS)) == 0) {
        umask(027);
        _exit(chdir("/usr"));
    }
    wait_for(child);
    printf("now in %s, umask %03o\n", getcwd(now, sizeof now), umask(022));
    if ((child = fork_with(CLONE_FS)) == 0)
        _exit(chdir("/proc"));
    wait_for(child);
    say("in a directory of the kernel's", getcwd(now, sizeof now) != NULL && strcmp(now, "/proc") == 0);
    if ((child = fork_with(0)) == 0) {
        umask(077);
        _exit(chdir("/etc"));
    }
    wait_for(child);
    printf("still in %.6s, umask %03o\n", getcwd(now, sizeof now), umask(022));
    if ((child = fork_with(CLONE_FS | CLONE_FILES)) == 0)
        _exit(chdir("/"));
    wait_for(child);
    printf("now in %s\n", getcwd(now, sizeof now));
    if (chdir(before) < 0)
        exit(1);
}

static int sets_handler(void *unused)
{
    (void)unused;
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    return 5;
}

static int executes(void *unused)
{
    (void)unused;
    execl(program, program, "nothing", NULL);
    return 9;
}

static int is_handled(int number)
{
    struct sigaction action;

    sigaction(number, NULL, &action);
    return action.sa_handler == handler;
}

static void actions(void)
{
    struct sigaction action;
    pid_t child;

    fflush(stdout);
    wait_for(clone(sets_handler, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL));
    say("a copy's handler", is_handled(SIGUSR1));
    wait_for(clone(sets_handler, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | SIGCHLD, NULL));
    say("a sharer's handler", is_handled(SIGUSR1));
    sigaction(SIGUSR2, NULL, &action);
    say("ignored by the sharer", action.sa_handler == SIG_IGN);
    wait_for(clone(executes, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS | SIGCHLD, NULL));
    say("after it executed another program", is_handled(SIGUSR1));
    say("shared without memory", fork_with(CLONE_SIGHAND) < 0 && errno == EINVAL);
    if ((child = fork_with(0)) == 0) {
        signal(SIGUSR1, SIG_DFL);
        _exit(0);
    }
    wait_for(child);
    say("after a copy reset it", is_handled(SIGUSR1));
    char *words[] = { program, "nothing", NULL };
    if (posix_spawn(&child, program, NULL, NULL, words, NULL) == 0)
        wait_for(child);
    if ((child = vfork()) == 0)
        _exit(signal(SIGUSR1, SIG_DFL) == handler ? 6 : 7);
    wait_for(child);
    say("after vfork", is_handled(SIGUSR1));
}

/* A thread's number is cleared for those in its memory, as long as there are some. */
static void numbers(void)
{
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned long flags = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
    pid_t child;

    fflush(stdout);
    if ((child = (pid_t)syscall(SYS_clone, flags, 0, NULL, shared, 0)) == 0)
        _exit(shared[0] == getpid());
    wait_for(child);
    say("its number is still there", shared[0] == child);
    wait_for(clone(sets_handler, stack + sizeof stack, CLONE_VM | flags, NULL, NULL, NULL, shared));
    say("cleared for those who are left", shared[0] == 0);
    static const unsigned long wrong[] = {
        CLONE_NEWNS | CLONE_FS, CLONE_NEWUSER | CLONE_FS, CLONE_NEWIPC | CLONE_SYSVSEM, CLONE_THREAD, CLONE_SIGHAND,
        CLONE_NEWPID | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM,
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        say("refused", fork_with(wrong[i]) < 0 && errno == EINVAL);
}

static void refusal(const char *what, int flags)
{
    printf("unshare %s: %s\n", what, unshare(flags) < 0 ? strerror(errno) : "done");
}

/* What a thread does with descriptors and directories of its own, the others do not see. */
static void *goes_away(void *file)
{
    char now[4096];

    refusal("memory beside other threads", CLONE_VM);
    refusal("actions beside other threads", CLONE_SIGHAND);
    refusal("a thread beside others", CLONE_THREAD);
    refusal("undos", CLONE_SYSVSEM);
    if (unshare(CLONE_FILES | CLONE_FS) < 0)
        perror("unshare");
    close(*(int *)file);
    dup2(0, 100);
    umask(011);
    if (chdir("/proc/self") < 0)
        perror("chdir");
    printf("the thread is in %.5s, has %d %d\n", getcwd(now, sizeof now), is_open(*(int *)file), is_open(100));
    /* What it makes begins with what it has. */
    pid_t child = fork_with(0);
    if (child == 0) {
        printf("its child is in %.5s, has %d %d\n", getcwd(now, sizeof now), is_open(*(int *)file), is_open(100));
        fflush(stdout);
        _exit(0);
    }
    wait_for(child);
    return NULL;
}

static int unshares_memory(void *unused)
{
    (void)unused;
    refusal("shared memory", CLONE_VM);
    refusal("perhaps shared actions", CLONE_SIGHAND);
    return 0;
}

static void divided(void)
{
    char now[4096];
    pthread_t thread;
    pid_t child;
    int kept = open("/dev/null", O_RDONLY);

    umask(022);
    if (chdir("/usr") < 0)
        exit(1);
    if ((child = fork_with(CLONE_FILES | CLONE_FS)) == 0) {
        refusal("nothing", 0);
        refusal("descriptors", CLONE_FILES);
        refusal("directories", CLONE_FS);
        close(kept);
        umask(077);
        fflush(stdout);
        _exit(chdir("/etc"));
    }
    wait_for(child);
    printf("in %s, umask %03o, has it %d\n", getcwd(now, sizeof now), umask(022), is_open(kept));
    pthread_create(&thread, NULL, goes_away, &kept);
    pthread_join(thread, NULL);
    printf("in %s, umask %03o, has %d %d\n", getcwd(now, sizeof now), umask(022), is_open(kept), is_open(100));
    /* It may be a moment until the thread that was joined is gone. */
    for (int round = 0; round < 5000 && unshare(CLONE_THREAD) < 0; round++)
        usleep(1000);
    refusal("alone", CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM);
    refusal("what there is not", 1);
    wait_for(clone(unshares_memory, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL));
    wait_for(clone(unshares_memory, stack + sizeof stack, CLONE_VM | CLONE_SIGHAND | CLONE_VFORK | SIGCHLD, NULL));
}

int main(int count, char **words)
{
    program = words[0];
    if (count > 1) {
        if (strcmp(words[1], "look") == 0)
            say("open in the new program", is_open(1) && is_open(3));
        return 2;
    }
    descriptors();
    directories();
    actions();
    numbers();
    divided();
    return 0;
}
