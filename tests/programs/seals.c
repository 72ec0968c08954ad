/* Seals of memory files: against what is mapped, and what a map of a sealed file may do. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)

static void say(const char *what, long answer)
{
    int error = errno;

    printf("%s: %s\n", what, answer >= 0 ? "done" : strerrorname_np(error));
}

static int sealable(unsigned flags)
{
    int file = memfd_create("sealed", MFD_ALLOW_SEALING | flags);

    return ftruncate(file, 2 * PAGE) == 0 ? file : -1;
}

static char *map(const char *what, int file, int rights, int type)
{
    char *map = mmap(NULL, PAGE, rights, type, file, 0);

    if (what)
        say(what, map == MAP_FAILED ? -1 : 0);
    return map;
}

static int seal(int file, int seals) { return fcntl(file, F_ADD_SEALS, seals); }

/* A map that could be stored to is in the way, be it read-only now or a child's. */
static void against_all_writing(void)
{
    int file = sealable(0), again, ends[2];
    char *stored = map(NULL, file, RW, MAP_SHARED), *private, byte = 0, path[40];
    pid_t child;

    stored[0] = 's';
    say("to seal what is mapped", seal(file, F_SEAL_WRITE));
    say("to seal its size", seal(file, F_SEAL_GROW));
    mprotect(stored, PAGE, PROT_READ);
    say("what is protected", seal(file, F_SEAL_WRITE));
    if (pipe(ends) < 0 || (child = fork()) < 0)
        return;
    if (child == 0) {
        close(ends[1]);
        _exit(read(ends[0], &byte, 1) != 0);
    }
    munmap(stored, PAGE);
    say("what a child has mapped", seal(file, F_SEAL_WRITE));
    close(ends[1]);
    waitpid(child, NULL, 0);
    stored = map(NULL, file, PROT_READ, MAP_SHARED);
    say("what is mapped to be read, but need not be", seal(file, F_SEAL_WRITE));
    munmap(stored, PAGE);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    again = open(path, O_RDONLY);
    private = map(NULL, file, RW, MAP_PRIVATE);
    stored = map(NULL, again, PROT_READ, MAP_SHARED);
    say("what is mapped to be read, and privately", seal(file, F_SEAL_WRITE));
    private[0] = 'p';
    printf("seals: %x, it has %c, privately %c\n", fcntl(file, F_GET_SEALS), stored[0], private[0]);
    say("write", write(file, "w", 1));
    map("a shared map to be stored to", file, RW, MAP_SHARED);
    map("without the right to", again, RW, MAP_SHARED);
    map("a private one", file, RW, MAP_PRIVATE);
    stored = map("one to be read", file, PROT_READ, MAP_SHARED);
    say("to store there", mprotect(stored, PAGE, RW));
    say("seals again", seal(file, F_SEAL_WRITE | F_SEAL_SEAL));
    say("no more", seal(file, F_SEAL_SHRINK));
}

/* Maps that are older still change the file, in whatever process. */
static void against_future_writing(void)
{
    int file = sealable(0);
    char *old = map(NULL, file, RW, MAP_SHARED), found[4] = "", far = 0, *longer;
    pid_t child;

    old[2] = 'n';
    say("to seal it against future writing", seal(file, F_SEAL_FUTURE_WRITE));
    old[0] = 'p';
    if ((child = fork()) == 0) {
        old[1] = 'c';
        _exit(0);
    }
    waitpid(child, NULL, 0);
    say("read", pread(file, found, 3, 0));
    printf("the file has: %s\n", found);
    say("write", pwrite(file, "w", 1, 0));
    say("remove", madvise(old, PAGE, MADV_REMOVE));
    map("a shared map to be stored to", file, RW, MAP_SHARED);
    say("to store to one to be read", mprotect(map(NULL, file, PROT_READ, MAP_SHARED), PAGE, RW));
    say("to seal it against all writing", seal(file, F_SEAL_WRITE));
    say("grow", ftruncate(file, 5 * PAGE));
    longer = mremap(old, PAGE, 5 * PAGE, MREMAP_MAYMOVE);
    longer[4 * PAGE + 7] = 'f';
    say("read", pread(file, &far, 1, 4 * PAGE + 7));
    printf("far away: %c\n", far);
    longer[1] = 'u';
    say("shrink", ftruncate(file, 10));
    munmap(longer, 5 * PAGE);
    say("to seal it once nobody stores", seal(file, F_SEAL_WRITE));
    say("read", pread(file, found, 3, 0));
    printf("the file has: %s\n", found);
}

static void what_has_no_seals(void)
{
    int ends[2], file = memfd_create("never", 0);

    say("seal what cannot be", seal(file, F_SEAL_WRITE));
    printf("seals: %x\n", fcntl(file, F_GET_SEALS));
    if (pipe(ends) == 0)
        say("seal a pipe", seal(ends[0], F_SEAL_WRITE));
    say("unknown seals", seal(sealable(0), 0x8000));
    say("nothing", seal(99, F_SEAL_WRITE));
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    against_all_writing();
    against_future_writing();
    what_has_no_seals();
    return 0;
}
