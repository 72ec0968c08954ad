/* Transfers that are longer than what should be held at once: those of many threads, which wait with pipes and sockets
 * that nobody empties before a line is read, and those of one call that takes or gives all there is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITERS = 160, BYTES = 8 << 20, LONG_BYTES = (40 << 20) + 12345 };

static unsigned char *source, *target;
static struct writer
{
    pthread_t thread;
    int ends[2];
    int kind;
    ssize_t answer;
} writers[WRITERS];

static void *write_all(void *argument)
{
    struct writer *writer = argument;
    struct iovec parts[3] = {{source, 1}, {source + 1, BYTES / 2}, {source + 1 + BYTES / 2, BYTES - 1 - BYTES / 2}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 3};
    switch (writer->kind) {
        case 0: writer->answer = write(writer->ends[1], source, BYTES); break;
        case 1: writer->answer = send(writer->ends[1], source, BYTES, 0); break;
        case 2: writer->answer = writev(writer->ends[1], parts, 3); break;
        default: writer->answer = sendmsg(writer->ends[1], &message, 0); break;
    }
    return NULL;
}

static int comes_whole(struct writer *writer)
{
    static unsigned char bytes[1 << 18];
    for (size_t done = 0; done < BYTES;) {
        ssize_t count = read(writer->ends[0], bytes, sizeof bytes);
        if (count <= 0 || done + count > BYTES || memcmp(bytes, source + done, count) != 0) return 0;
        done += count;
    }
    pthread_join(writer->thread, NULL);
    return writer->answer == BYTES;
}

static void make_writers(void)
{
    for (int i = 0; i < WRITERS; i++) {
        struct writer *writer = &writers[i];
        writer->kind = i % 4;
        int made = i % 2 ? socketpair(AF_UNIX, SOCK_STREAM, 0, writer->ends) : pipe(writer->ends);
        if (made < 0 || pthread_create(&writer->thread, NULL, write_all, writer) != 0) {
            perror("a writer");
            exit(1);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        for (int waiting = 0; waiting == 0; usleep(1000)) ioctl(writers[i].ends[0], FIONREAD, &waiting);
    }
    usleep(300000);
}

static int same(size_t bytes)
{
    int is_same = memcmp(source, target, bytes) == 0;
    memset(target, 0, LONG_BYTES);
    return is_same;
}

/* Files take and give all that a call asks for, here and at a place of their own. */
static void of_file(const char *name, int file)
{
    ssize_t written = write(file, source, LONG_BYTES);
    ssize_t read_back = pread(file, target, LONG_BYTES + 1, 0);
    printf("%s: %zd %zd, the same: %d\n", name, written, read_back, same(LONG_BYTES));
    struct iovec out[2] = {{source, LONG_BYTES - 7}, {source + LONG_BYTES - 7, 7}};
    struct iovec in[2] = {{target, 5}, {target + 5, LONG_BYTES - 5}};
    written = pwritev(file, out, 2, 3);
    lseek(file, 3, SEEK_SET);
    read_back = readv(file, in, 2);
    printf("%s, in parts: %zd %zd, the same: %d\n", name, written, read_back, same(LONG_BYTES));
    printf("%s, the end: %ld\n", name, (long)lseek(file, 0, SEEK_CUR));
}

static void *write_long(void *argument)
{
    return (void *)write(*(int *)argument, source, LONG_BYTES);
}

/* A connection gives all if it is asked to wait for it, and takes a part if it cannot wait for the rest. */
static void of_connection(void)
{
    int ends[2];
    pthread_t thread;
    void *sent;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) exit(1);
    if (pthread_create(&thread, NULL, write_long, &ends[0]) != 0) exit(1);
    ssize_t received = recv(ends[1], target, LONG_BYTES, MSG_WAITALL);
    pthread_join(thread, &sent);
    printf("connection: %zd %zd, the same: %d\n", (ssize_t)sent, received, same(LONG_BYTES));
    ssize_t part = send(ends[0], source, LONG_BYTES, MSG_DONTWAIT);
    printf("without waiting a part: %d\n", part > 0 && part < LONG_BYTES);
    int waiting = 0;
    ioctl(ends[1], FIONREAD, &waiting);
    printf("what is answered is there: %d\n", waiting == part);
}

static volatile int signals;

static void count_signal(int signal)
{
    (void)signal;
    signals++;
}

/* What is done is answered when a signal comes, and when the reader goes: a pipe's writer has a signal then, too. */
static void of_end(const char *name, int ends[2], int closes)
{
    pthread_t thread;
    void *written;
    signals = 0;
    if (pthread_create(&thread, NULL, write_long, &ends[1]) != 0) exit(1);
    size_t done = 0;
    while (done < (36 << 20)) {
        ssize_t count = read(ends[0], target, (36 << 20) - done);
        if (count <= 0) exit(1);
        done += count;
    }
    usleep(200000);
    if (closes) close(ends[0]);
    else pthread_kill(thread, SIGUSR1);
    pthread_join(thread, &written);
    if (closes) {
        /* What nobody has read is answered as well. */
        printf("%s: %d, signals: %d\n", name, (ssize_t)written >= (ssize_t)done, signals);
    } else {
        ssize_t count;
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        while ((count = read(ends[0], target, 1 << 20)) > 0) done += count;
        printf("%s: %d, signals: %d\n", name, (ssize_t)written == (ssize_t)done, signals);
    }
    if (!closes) close(ends[0]);
    close(ends[1]);
}

static void of_ends(void)
{
    int ends[2];
    struct sigaction action = {.sa_handler = count_signal};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    for (int closes = 0; closes < 2; closes++) {
        if (pipe(ends) < 0) exit(1);
        of_end(closes ? "a pipe's reader goes" : "a pipe's writer is interrupted", ends, closes);
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) exit(1);
        of_end(closes ? "a connection's reader goes" : "a connection's writer is interrupted", ends, closes);
    }
}

static void of_messages(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) < 0) exit(1);
    ssize_t sent = send(ends[0], source, 100000, 0);
    ssize_t received = recv(ends[1], target, LONG_BYTES, 0);
    printf("message: %zd %zd, the same: %d\n", sent, received, same(100000));
    sent = send(ends[0], source, LONG_BYTES, 0);
    printf("too long for a message: %zd\n", sent);
    /* Each message has the same content: together they would be more than a gibibyte. */
    enum { COUNT = 40 };
    static struct mmsghdr messages[COUNT];
    struct iovec part = {source, LONG_BYTES};
    for (int i = 0; i < COUNT; i++) messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
    printf("many too long ones: %d\n", sendmmsg(ends[0], messages, COUNT, 0));
    part.iov_len = 10;
    printf("many short ones: %d\n", sendmmsg(ends[0], messages, 5, 0));
    part = (struct iovec){target, 1 << 20};
    printf("received: %d\n", recvmmsg(ends[1], messages, 5, 0, NULL));
}

int main(void)
{
    source = mmap(NULL, LONG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    target = mmap(NULL, LONG_BYTES + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < LONG_BYTES / 4; i++) ((unsigned *)source)[i] = i * 2654435761u;
    setvbuf(stdout, NULL, _IOLBF, 0);
    make_writers();
    puts("all wait");
    getchar();
    int whole = 0;
    for (int i = 0; i < WRITERS; i++) whole += comes_whole(&writers[i]);
    printf("whole: %d\n", whole);
    FILE *temporary = tmpfile();
    of_file("file", fileno(temporary));
    of_file("memory file", memfd_create("long", 0));
    of_connection();
    of_messages();
    of_ends();
    return 0;
}
