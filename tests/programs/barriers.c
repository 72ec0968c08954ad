/* membarrier and its registrations, protection keys on processors without, and offsets at the end of all files. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L
/* The commands for rseq, which a Linux may be without. */
#define OF_RSEQ (128 | 256)

static void say(const char *what, long answer)
{
    printf("%s: %ld %s\n", what, answer, answer < 0 ? strerrorname_np(errno) : "");
    fflush(stdout);
}

static void barrier(const char *what, int command, unsigned flags)
{
    say(what, syscall(SYS_membarrier, command, flags, 0));
}

static void of_nobody(const char *what)
{
    puts(what);
    barrier("private", MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0);
    barrier("core", MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0);
    barrier("global", MEMBARRIER_CMD_GLOBAL, 0);
    barrier("expedited", MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0);
    barrier("registered", 512, 0);
}

static void refusals(void)
{
    static const int none[] = {1024, 2048, 3, 9, -1};
    unsigned i;

    for (i = 0; i < sizeof none / sizeof *none; i++)
        barrier("no command", none[i], 0);
    barrier("query with a flag", 0, 1);
    barrier("global with a flag", 1, 1);
    barrier("registration with a flag", 16, 1);
}

static void keys(void)
{
    unsigned a, b, c = 0, d;
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    say("flags of a key", syscall(SYS_pkey_alloc, 1, 0));
    say("rights of a key", syscall(SYS_pkey_alloc, 0, 4));
    say("wide rights of a key", syscall(SYS_pkey_alloc, 0, 1L << 32));
    say("nothing with a key", syscall(SYS_pkey_mprotect, page, 0, PROT_READ, 9));
    say("a page with no key", syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ, 9));
    say("a page without", syscall(SYS_pkey_mprotect, page, PAGE, PROT_READ, -1));
    __get_cpuid_count(7, 0, &a, &b, &c, &d);
    if (c & 1 << 4)
        return;
    /* The first one of a process is EINVAL on x86-64: key 0 is given out, and its rights cannot be set. */
    syscall(SYS_pkey_alloc, 0, 0);
    errno = 0;
    syscall(SYS_pkey_alloc, 0, 0);
    printf("no key: %s\n", strerrorname_np(errno));
}

static void offsets(void)
{
    static const unsigned long end[] = {0x7fffffffffffe000, 0x7ffffffffffff000, 0x8000000000000000, -PAGE};
    int file = memfd_create("far", 0), zero = open("/dev/zero", O_RDONLY);
    unsigned i;

    for (i = 0; i < 4; i++) {
        long map = syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, file, end[i]);

        say("private", map < 0 ? -1 : 0);
        map = syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_SHARED, file, end[i]);
        say("shared", map < 0 ? -1 : 0);
        map = syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, end[i]);
        say("of no file", map < 0 ? -1 : 0);
        map = syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, zero, end[i]);
        say("of zeros", map < 0 ? -1 : 0);
    }
}

int main(int count, char **words)
{
    if (count > 1) {
        of_nobody("a new program");
        return 0;
    }
    say("query", syscall(SYS_membarrier, 0, 0, 0) & ~OF_RSEQ);
    of_nobody("before");
    barrier("register core", MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0);
    of_nobody("core alone");
    barrier("register", MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0);
    barrier("register global", MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0);
    of_nobody("all");
    refusals();
    if (fork() == 0) {
        of_nobody("a child");
        _exit(0);
    }
    wait(NULL);
    keys();
    offsets();
    if (vfork() == 0)
        execl("/proc/self/exe", words[0], "again", NULL);
    wait(NULL);
    of_nobody("still all");
    return 0;
}
