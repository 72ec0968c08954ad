/* What takes all there is of something: ./bombs forks|threads|memory|descriptors|maps */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every child forks as long as it can; when nobody can, all of the group are killed but the first. */
static int forks(void)
{
    int ends[2];
    char byte;
    pid_t bomb;

    if (pipe(ends) != 0)
        return 1;
    bomb = fork();
    if (bomb == 0) {
        setpgid(0, 0);
        close(ends[0]);
        for (;;)
            if (fork() < 0 && write(ends[1], "!", 1) == 1)
                pause();
    }
    setpgid(bomb, bomb);
    close(ends[1]);
    /* Three processes have been refused. */
    for (int i = 0; i < 3; i++)
        if (read(ends[0], &byte, 1) != 1)
            return 1;
    kill(-bomb, SIGKILL);
    /* The pipe ends when the last of them is gone. */
    while (read(ends[0], &byte, 1) == 1)
        ;
    printf("all of them are gone\n");
    return waitpid(bomb, NULL, 0) != bomb;
}

static void *waits(void *unused)
{
    pause();
    return unused;
}

static int threads(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int count = 0, error;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 16384);
    while ((error = pthread_create(&thread, &attributes, waits, NULL)) == 0)
        count++;
    printf("more than a hundred: %d, then: %s\n", count > 100, strerror(error));
    return 0;
}

/* Children take memory until they are told no or killed; the parent goes on. */
static int memory(void)
{
    for (int i = 0; i < 3; i++) {
        int status;
        pid_t pid = fork();

        if (pid == 0)
            for (;;) {
                char *more = malloc(1 << 20);
                if (more == NULL)
                    _exit(3);
                memset(more, 1, 1 << 20);
            }
        waitpid(pid, &status, 0);
        printf("child %d: %s\n", i, WIFSIGNALED(status) ? "killed" : WEXITSTATUS(status) == 3 ? "told" : "?");
    }
    return 0;
}

static int descriptors(void)
{
    int last = -1, next, taken;
    FILE *file;

    while ((next = open("/dev/null", O_RDONLY)) >= 0)
        last = next;
    printf("open: %s\n", strerror(errno));
    printf("pipe: %s\n", pipe((int[2]){ 0, 0 }) < 0 ? strerror(errno) : "?");
    printf("dup: %s\n", dup(0) < 0 ? strerror(errno) : "?");
    printf("maps: %s\n", open("/proc/self/maps", O_RDONLY) < 0 ? strerror(errno) : "?");
    printf("fork: %s\n", (fflush(stdout), fork()) == 0 ? (_exit(0), "") : wait(NULL) > 0 ? "fine" : "?");
    close(last);
    taken = open("/proc/self/exe", O_RDONLY);
    printf("mmap with the last one: %s\n",
           mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, taken, 0) != MAP_FAILED ? "fine" : strerror(errno));
    close(taken);
    close(last - 1);
    file = fopen("/proc/self/status", "r");
    printf("status with the last two: %s\n", file ? "fine" : strerror(errno));
    fflush(stdout);
    if (file)
        fclose(file);
    return system("echo a program with the last two: fine");
}

/* One page is allowed, the next is not: areas until no more are given. */
static int maps(void)
{
    size_t page = 4096, count = 0;

    while (mmap((void *)(0x100000000UL + 2 * page * count), page, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED)
        count++;
    printf("%s after more than 60000: %d\n", strerror(errno), count > 60000);
    return 0;
}

int main(int count, char **arguments)
{
    static const struct { const char *name; int (*bomb)(void); } bombs[] = {
        { "forks", forks }, { "threads", threads }, { "memory", memory }, { "descriptors", descriptors }, { "maps", maps },
    };

    for (size_t i = 0; count == 2 && i < sizeof bombs / sizeof *bombs; i++)
        if (strcmp(arguments[1], bombs[i].name) == 0)
            return bombs[i].bomb();
    return 2;
}
