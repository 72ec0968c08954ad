/* What comes up to an edge: content that ends in a page that is not there, written to pipes, files and sockets, and a heap
 * that grows up to the next map. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096L

static char *end; /* of sixteen pages; nothing follows */

static void say(const char *what, long valid, long wanted, long answer, int from)
{
    static char drained[1 << 17];
    const char *const error = answer < 0 ? strerrorname_np(errno) : "";
    long arrived = 0, bytes;

    if (from >= 0) {
        fcntl(from, F_SETFL, O_NONBLOCK);
        while ((bytes = read(from, drained, sizeof drained)) > 0)
            arrived += bytes;
    }
    printf("%s %ld of %ld: %ld %s, arrived %ld\n", what, valid, wanted, answer, error, arrived);
}

static void write_to_pipes(long valid, long wanted)
{
    struct iovec parts[] = { { end - 8 * PAGE, 5000 }, { end - valid, wanted }, { end - PAGE, 10 } };
    int ends[2];

    if (pipe(ends) != 0)
        return;
    say("pipe", valid, wanted, write(ends[1], end - valid, wanted), ends[0]);
    say("pipe, parts", valid, wanted, writev(ends[1], parts, 3), ends[0]);
    close(ends[0]);
    close(ends[1]);
}

static void write_to_others(long valid, long wanted)
{
    struct iovec parts[] = { { end - 8 * PAGE, 100 }, { end - valid, wanted } };
    const struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
    int file = memfd_create("edge", 0), ends[2];
    size_t i;

    say("file", valid, wanted, write(file, end - valid, wanted), -1);
    say("file, parts", valid, wanted, writev(file, parts, 2), -1);
    say("file, at a place", valid, wanted, pwrite(file, end - valid, wanted, 10), -1);
    close(file);
    for (i = 0; i < 3; i++) {
        if (socketpair(AF_UNIX, types[i], 0, ends) != 0)
            return;
        say("socket", valid, wanted, write(ends[1], end - valid, wanted), ends[0]);
        say("socket, sent", valid, wanted, send(ends[1], end - valid, wanted, 0), ends[0]);
        say("socket, parts", valid, wanted, writev(ends[1], parts, 2), ends[0]);
        say("socket, message", valid, wanted, sendmsg(ends[1], &message, 0), ends[0]);
        close(ends[0]);
        close(ends[1]);
    }
}

static void grow(unsigned long start, unsigned long next, const char *what)
{
    static const long distances[] = { -0x102000, -0x101000, -0x100fff, -0x2000, -0x1001, -0x1000, -0xfff, -1, 0, 1 };
    size_t i;

    for (i = 0; i < sizeof distances / sizeof *distances; i++) {
        unsigned long wanted = next + distances[i];

        printf("%s, %+ld: %s\n", what, distances[i], (unsigned long)syscall(SYS_brk, wanted) == wanted ? "moved" : "not");
        syscall(SYS_brk, start);
    }
}

int main(void)
{
    static const long valid[] = { 1, 10, 4000, 4096, 4097, 8192, 8200, 20000 }, wanted[] = { 4096, 8192, 20480, 32768 };
    static char output[1 << 16];
    const unsigned long start = syscall(SYS_brk, 0), next = ((start + PAGE - 1) & -PAGE) + 0x300000;
    const struct {
        const char *name;
        int protection, flags;
    } maps[] = { { "data", PROT_READ | PROT_WRITE, 0 }, { "nothing", PROT_NONE, 0 }, { "stack", PROT_READ, MAP_GROWSDOWN } };
    size_t i, j;
    char *pages;

    setvbuf(stdout, output, _IOFBF, sizeof output);
    pages = mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    end = pages + 16 * PAGE;
    munmap(end, 16 * PAGE);
    for (i = 0; i < sizeof valid / sizeof *valid; i++) {
        for (j = 0; j < sizeof wanted / sizeof *wanted; j++) {
            if (wanted[j] > valid[i]) {
                write_to_pipes(valid[i], wanted[j]);
                write_to_others(valid[i], wanted[j]);
            }
        }
    }
    say("event", 4, 8, write(eventfd(0, EFD_NONBLOCK), end - 4, 8), -1);
    say("option", 2, 4, setsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_SNDBUF, end - 2, 4), -1);
    for (i = 0; i < sizeof maps / sizeof *maps; i++) {
        mmap((void *)next, PAGE, maps[i].protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | maps[i].flags, -1, 0);
        grow(start, next, maps[i].name);
        munmap((void *)next, PAGE);
    }
    return 0;
}
