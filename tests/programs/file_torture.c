/* Two processes torture one file at once: ./file_torture FILE SEED STEPS
 *
 * The file's head is cut into stripes that belong to the two by turns, shorter than a page, so that both change every
 * page of it: by write, pwrite, pwritev, sendfile, copy_file_range and stores to a shared mapping. Each knows what its
 * stripes must hold, and looks by read, pread, preadv, copies to a pipe, loads from the shared mapping and from a new
 * private one. Behind the head is a tail that both make longer and shorter, under a lock; what comes back is zero. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STRIPE = 1500, STRIPES = 64, HEAD = STRIPE * STRIPES, TAIL = 40000, PAGE = 4096 };

static uint64_t state;
static unsigned me;
static int file, spare, step;
static const char *doing = "nothing";
static unsigned char *shared, own[HEAD];

static unsigned chance(unsigned below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 20) % below;
}

static void fail(const char *what, long at)
{
    printf("process %u, step %d, %s: %s at %ld: %s\n", me, step, doing, what, at, strerror(errno));
    fflush(stdout);
    _exit(1);
}

static void must(int is, const char *what, long at)
{
    if (!is)
        fail(what, at);
}

/* A part of one of our stripes. */
static size_t part(off_t *at)
{
    unsigned begin = chance(STRIPE), length = 1 + chance(STRIPE - begin);

    *at = (off_t)(chance(STRIPES / 2) * 2 + me) * STRIPE + begin;
    return length;
}

static void change(void)
{
    static unsigned char bytes[STRIPE];
    off_t at, from = 0, to;
    size_t length = part(&at), first;
    ssize_t done;

    to = at;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (unsigned char)chance(256);
    first = chance((unsigned)length);
    switch (chance(6)) {
    case 0:
        doing = "write";
        must(lseek(file, at, SEEK_SET) == at, "lseek", at);
        done = write(file, bytes, length);
        break;
    case 1:
        doing = "pwrite";
        done = pwrite(file, bytes, length, at);
        break;
    case 2:
        doing = "pwritev";
        done = pwritev(file, (struct iovec[]){ { bytes, first }, { bytes + first, length - first } }, 2, at);
        break;
    case 3:
        doing = "sendfile";
        must(pwrite(spare, bytes, length, 0) == (ssize_t)length, "the other file", at);
        must(lseek(file, at, SEEK_SET) == at, "lseek", at);
        done = sendfile(file, spare, &from, length);
        break;
    case 4:
        doing = "copy_file_range";
        must(pwrite(spare, bytes, length, 0) == (ssize_t)length, "the other file", at);
        done = copy_file_range(spare, &from, file, &to, length, 0);
        break;
    default:
        doing = "store";
        memcpy(shared + at, bytes, length);
        done = (ssize_t)length;
    }
    must(done == (ssize_t)length, "it is short", at);
    memcpy(own + at, bytes, length);
}

static void look(void)
{
    static unsigned char bytes[STRIPE];
    off_t at, begin;
    size_t length = part(&at), first = chance((unsigned)length);
    ssize_t done = (ssize_t)length;
    unsigned char *map;
    int ends[2];

    switch (chance(6)) {
    case 0:
        doing = "read";
        must(lseek(file, at, SEEK_SET) == at, "lseek", at);
        done = read(file, bytes, length);
        break;
    case 1:
        doing = "pread";
        done = pread(file, bytes, length, at);
        break;
    case 2:
        doing = "preadv";
        done = preadv(file, (struct iovec[]){ { bytes, first }, { bytes + first, length - first } }, 2, at);
        break;
    case 3:
        doing = "sendfile to a pipe";
        must(pipe(ends) == 0, "pipe", at);
        begin = at;
        must(sendfile(ends[1], file, &begin, length) == done, "sendfile is short", at);
        close(ends[1]);
        for (size_t got = 0; got < length; got += (size_t)done)
            must((done = read(ends[0], bytes + got, length - got)) > 0, "the pipe is short", at);
        close(ends[0]);
        done = (ssize_t)length;
        break;
    case 4:
        doing = "load";
        memcpy(bytes, shared + at, length);
        break;
    default:
        doing = "load from a private mapping";
        begin = at / PAGE * PAGE;
        map = mmap(NULL, length + (size_t)(at - begin), PROT_READ | PROT_WRITE, MAP_PRIVATE, file, begin);
        must(map != MAP_FAILED, "mmap", at);
        memcpy(bytes, map + (at - begin), length);
        map[0] ^= 0xff; /* It is nobody else's. */
        munmap(map, length + (size_t)(at - begin));
    }
    must(done == (ssize_t)length, "it is short", at);
    for (size_t i = 0; i < length; i++)
        must(bytes[i] == own[at + (off_t)i], "it is another byte", at + (off_t)i);
}

static void set_size(off_t size)
{
    if (chance(3) == 0 && size > HEAD) {
        /* Made longer by a byte at its end, where it is shorter. */
        doing = "write at the end";
        must(ftruncate(file, HEAD) == 0, "ftruncate", size);
        must(pwrite(file, "", 1, size - 1) == 1, "pwrite", size);
    } else {
        doing = "ftruncate";
        must(ftruncate(file, size) == 0, "ftruncate", size);
    }
}

/* The tail belongs to who has the lock: what it writes there is gone once the file was shorter. */
static void resize(void)
{
    static unsigned char bytes[TAIL];
    off_t size = HEAD + 1 + chance(TAIL - 1), smaller;
    size_t length;

    must(flock(file, LOCK_EX) == 0, "flock", 0);
    set_size(HEAD);
    set_size(size);
    length = (size_t)(size - HEAD);
    must(pread(file, bytes, sizeof bytes, HEAD) == (ssize_t)length, "its size is another", size);
    for (size_t i = 0; i < length; i++)
        must(bytes[i] == 0, "it is not zero", HEAD + (off_t)i);
    memset(shared + HEAD, (int)me + 1, length);
    must(pread(file, bytes, sizeof bytes, HEAD) == (ssize_t)length, "a store changed its size", size);
    for (size_t i = 0; i < length; i++)
        must(bytes[i] == me + 1, "a store is missing", HEAD + (off_t)i);
    smaller = HEAD + chance((unsigned)length);
    set_size(smaller);
    must(ftruncate(file, size) == 0, "ftruncate", size);
    for (off_t at = HEAD; at < size; at++)
        must(at < smaller || shared[at] == 0, "it came back", at);
    must(flock(file, LOCK_UN) == 0, "unlock", 0);
}

static void settle(void)
{
    off_t begin = chance(HEAD) / PAGE * PAGE;

    switch (chance(4)) {
    case 0:
        doing = "msync";
        must(msync(shared + begin, PAGE, chance(2) ? MS_SYNC : MS_ASYNC) == 0, "msync", begin);
        break;
    case 1:
        doing = "fdatasync";
        must(fdatasync(file) == 0, "fdatasync", 0);
        break;
    case 2:
        doing = "madvise";
        must(madvise(shared + begin, PAGE, MADV_DONTNEED) == 0, "madvise", begin);
        break;
    default:
        doing = "mapping anew";
        must(munmap(shared, HEAD + TAIL) == 0, "munmap", 0);
        shared = mmap(NULL, HEAD + TAIL, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        must(shared != MAP_FAILED, "mmap", 0);
    }
}

static void torture(const char *path, uint64_t seed, int steps)
{
    char name[4096];

    state = seed * 2654435761u + me + 1;
    file = open(path, O_RDWR);
    snprintf(name, sizeof name, "%s.%u", path, me);
    spare = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(file >= 0 && spare >= 0, "open", 0);
    unlink(name);
    shared = mmap(NULL, HEAD + TAIL, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    must(shared != MAP_FAILED, "mmap", 0);
    for (step = 0; step < steps; step++) {
        unsigned what = chance(100);
        if (what < 45)
            change();
        else if (what < 90)
            look();
        else if (what < 96)
            settle();
        else
            resize();
    }
    _exit(0);
}

int main(int count, char **arguments)
{
    unsigned long sum = 0;
    static unsigned char bytes[HEAD];
    int status, bad = 0;

    if (count != 4)
        return 2;
    file = open(arguments[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    must(file >= 0 && ftruncate(file, HEAD) == 0, "open", 0);
    for (me = 0; me < 2; me++)
        if (fork() == 0)
            torture(arguments[1], strtoul(arguments[2], NULL, 10), atoi(arguments[3]));
    while (wait(&status) > 0)
        bad |= status;
    must(ftruncate(file, HEAD) == 0, "ftruncate", 0);
    must(pread(file, bytes, HEAD, 0) == HEAD, "read", 0);
    for (int i = 0; i < HEAD; i++)
        sum = sum * 31 + bytes[i];
    printf("%s: %lx\n", bad ? "bad" : "good", sum);
    return bad != 0;
}
