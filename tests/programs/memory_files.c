/* Files in memory: what may be put into them, and what they take. With an argument: what no machine has room for, asked for
 * again and again. (Natively the host might try.) */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096L

static void say(const char *what, long answer)
{
    int error = errno;

    printf("%s: %ld%s%s\n", what, answer, answer < 0 ? " " : "", answer < 0 ? strerror(error) : "");
    fflush(stdout);
}

static int in_shm(void)
{
    char name[] = "/dev/shm/pagewalk-test-XXXXXX";
    int file = mkstemp(name);

    unlink(name);
    return file;
}

static long kilobytes(int file)
{
    struct stat found;

    fstat(file, &found);
    return found.st_blocks / 2;
}

static void calls(int file)
{
    static char bytes[3 * PAGE];
    struct iovec parts[2] = { { bytes, 100 }, { bytes, PAGE } };
    int source = memfd_create("source", 0), reader;
    char path[64];
    off_t at = 0;

    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    reader = open(path, O_RDONLY);
    say("write", write(file, bytes, sizeof bytes));
    say("pwrite", pwrite(file, bytes, 10, 100 * PAGE));
    say("writev", writev(file, parts, 2));
    say("pwritev2", pwritev2(file, parts, 2, 200 * PAGE, 0));
    say("fallocate", fallocate(file, 0, 300 * PAGE, 5 * PAGE));
    say("fallocate, size kept", fallocate(file, FALLOC_FL_KEEP_SIZE, 400 * PAGE, 5 * PAGE));
    say("kilobytes", kilobytes(file));
    say("a hole", fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 300 * PAGE, 100 * PAGE));
    say("kilobytes", kilobytes(file));
    say("fallocate of nothing", fallocate(file, 0, 0, 0));
    say("fallocate before the start", fallocate(file, 0, -PAGE, PAGE));
    say("fallocate beyond all", fallocate(file, 0, 0x7ffffffffffff000, 2 * PAGE));
    say("fallocate by a reader", fallocate(reader, 0, 0, 1L << 40));
    say("write by a reader", write(reader, bytes, PAGE));
    say("bytes of the source", write(source, bytes, 2 * PAGE));
    say("sendfile of as much as there is", sendfile(file, source, &at, 0x7ffff000));
    at = 0;
    say("copy_file_range", copy_file_range(source, &at, file, NULL, 1L << 40, 0));
    close(reader);
    close(source);
}

static void maps(int file)
{
    long pages = 4096;
    char *start;

    ftruncate(file, 0);
    ftruncate(file, pages * PAGE);
    start = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    say("kilobytes of a sparse file", kilobytes(file));
    for (long page = 0; page < pages; page += 512)
        start[page * PAGE] = (char)(page / 512 + 1);
    msync(start, pages * PAGE, MS_SYNC);
    say("kilobytes of eight pages of it", kilobytes(file));
    say("removed", madvise(start, 2048 * PAGE, MADV_REMOVE));
    say("a byte there", start[512 * PAGE]);
    say("a byte behind", start[2048 * PAGE]);
    for (long page = 0; page < pages; page++)
        start[page * PAGE] = 1;
    munmap(start, pages * PAGE);
    say("kilobytes when it is full", kilobytes(file));
}

static void seals(void)
{
    int file = memfd_create("sealed", MFD_ALLOW_SEALING);

    ftruncate(file, 4 * PAGE);
    fcntl(file, F_ADD_SEALS, F_SEAL_GROW);
    say("fallocate of a file that may not grow", fallocate(file, 0, 0, 1L << 40));
    say("fallocate in it", fallocate(file, 0, 0, 4 * PAGE));
    say("write behind it", pwrite(file, "x", 1, 1L << 30));
    close(file);
}

/* Each is refused, and the files can be used as before. */
static int bombs(void)
{
    int files[2] = { memfd_create("bomb", 0), in_shm() }, refused = 0;
    long size = 1L << 40;
    char *start;

    for (int i = 0; i < 2; i++) {
        say("fallocate", fallocate(files[i], 0, 0, size));
        say("fallocate, size kept", fallocate(files[i], FALLOC_FL_KEEP_SIZE, 0, size));
        say("fallocate at the end", fallocate(files[i], 0, 0x7fffffffffffffff - size, size));
        say("write", write(files[i], "all is well", 11));
        say("kilobytes", kilobytes(files[i]));
    }
    for (int i = 0; i < 500; i++) {
        int file = memfd_create("one of many", 0);

        refused += fallocate(file, 0, 0, size / 8) < 0 && errno == ENOSPC;
        fallocate(file, 0, 0, 16 * PAGE);
    }
    say("refused", refused);
    ftruncate(files[0], size);
    start = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, files[0], 0);
    start[size / 2] = 1;
    say("removed from a sparse file", madvise(start, size, MADV_REMOVE));
    say("kilobytes", kilobytes(files[0]));
    return start[size / 2];
}

int main(int count, char **arguments)
{
    int files[2] = { memfd_create("calls", 0), in_shm() };

    (void)arguments;
    if (count > 1)
        return bombs();
    for (int i = 0; i < 2; i++) {
        calls(files[i]);
        maps(files[i]);
    }
    seals();
    return 0;
}
