// Signals of descriptors that are ready (O_ASYNC, F_SETOWN, F_SETSIG), of data out of band, and who is told.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define OWN 40

static sigset_t all;

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

// Takes the next of our signals; nothing else comes.
static void next(const char *what, int descriptor) {
    struct timespec patience = {10, 0};
    siginfo_t info;
    int signal = sigtimedwait(&all, &info, &patience);
    printf("%s: signal %d, code %d", what, signal, info.si_code);
    if (signal == OWN) printf(", in %d, out %d, the descriptor %d", !!(info.si_band & POLLIN), !!(info.si_band & POLLOUT), info.si_fd == descriptor);
    printf("\n");
}

static void none(const char *what) {
    struct timespec moment = {0, 30000000};
    say(what, sigtimedwait(&all, NULL, &moment));
}

static void numbers(void) {
    struct f_owner_ex owner = {F_OWNER_PID, 0};
    int ends[2], number = -1;
    if (pipe(ends) != 0) return;
    say("nobody yet", fcntl(ends[0], F_GETOWN));
    say("nobody there", fcntl(ends[0], F_SETOWN, 4242424));
    say("no group there", fcntl(ends[0], F_SETOWN, -4242424));
    say("the least number", fcntl(ends[0], F_SETOWN, INT_MIN));
    say("itself", fcntl(ends[0], F_SETOWN, getpid()));
    say("told", fcntl(ends[0], F_GETOWN) == getpid());
    say("told", fcntl(ends[0], F_GETOWN_EX, &owner));
    printf("kind %d, itself %d\n", owner.type, owner.pid == getpid());
    say("of the other end", fcntl(ends[1], F_GETOWN));
    say("of a copy", fcntl(dup(ends[0]), F_GETOWN) == getpid());
    say("a group", fcntl(ends[0], F_SETOWN, -getpgrp()));
    say("told", syscall(SYS_fcntl, ends[0], F_GETOWN_EX, &owner));
    printf("kind %d, its group %d\n", owner.type, owner.pid == getpgrp());
    owner = (struct f_owner_ex){F_OWNER_TID, (pid_t)syscall(SYS_gettid)};
    say("a thread", fcntl(ends[0], F_SETOWN_EX, &owner));
    owner.type = 7;
    say("a kind there is not", fcntl(ends[0], F_SETOWN_EX, &owner));
    say("nowhere", fcntl(ends[0], F_SETOWN_EX, 8));
    say("its signal", fcntl(ends[0], F_GETSIG));
    say("another", fcntl(ends[0], F_SETSIG, OWN));
    say("told", fcntl(ends[0], F_GETSIG));
    say("one there is not", fcntl(ends[0], F_SETSIG, 65));
    say("nobody", fcntl(ends[0], F_SETOWN, 0));
    say("told", fcntl(ends[0], F_GETOWN));
    say("the signal stays", fcntl(ends[0], F_GETSIG));
    say("a pipe's by ioctl", ioctl(ends[0], SIOCGPGRP, &number));
    close(ends[0]);
    say("closed", fcntl(ends[0], F_SETOWN, getpid()));
    say("closed", fcntl(ends[0], F_GETSIG));
    close(ends[1]);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return;
    number = getpid();
    say("a socket's by ioctl", ioctl(pair[0], SIOCSPGRP, &number));
    number = 0;
    say("told", ioctl(pair[0], SIOCGPGRP, &number));
    printf("itself %d\n", number == getpid());
    number = 4242424;
    say("nobody there", ioctl(pair[0], FIOSETOWN, &number));
    close(pair[0]), close(pair[1]);
}

static void pipes(void) {
    int ends[2];
    char byte = 'x';
    if (pipe(ends) != 0) return;
    fcntl(ends[0], F_SETOWN, getpid());
    say("asked", fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    say("told", fcntl(ends[0], F_GETFL) & (O_ASYNC | O_NONBLOCK));
    if (write(ends[1], &byte, 1) < 0) perror("write");
    next("a byte", ends[0]);
    fcntl(ends[0], F_SETSIG, OWN);
    if (write(ends[1], &byte, 1) < 0) perror("write");
    next("with a signal of its own", ends[0]);
    // Written by a child, by a copy that the child has.
    pid_t child = fork();
    if (child == 0) _exit(write(ends[1], &byte, 1) != 1);
    waitpid(child, NULL, 0);
    next("a child's byte", ends[0]);
    fcntl(ends[0], F_SETFL, 0);
    if (write(ends[1], &byte, 1) < 0) perror("write");
    none("asked no more");
    close(ends[0]), close(ends[1]);
}

static void sockets(void) {
    int pair[2], on = 1;
    char bytes[8];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return;
    say("by ioctl", ioctl(pair[0], FIOASYNC, &on));
    if (write(pair[1], "x", 1) < 0) perror("write");
    none("without an owner");
    fcntl(pair[0], F_SETOWN, getpid());
    fcntl(pair[0], F_SETSIG, OWN);
    if (write(pair[1], "x", 1) < 0) perror("write");
    next("a byte", pair[0]);
    // A child as the owner, and what is left of it.
    pid_t child = fork();
    if (child == 0) {
        next("the owner is another", pair[0]);
        _exit(0);
    }
    say("given", fcntl(pair[0], F_SETOWN, child));
    if (write(pair[1], "x", 1) < 0) perror("write");
    waitpid(child, NULL, 0);
    none("it was the child's");
    say("the child is gone", fcntl(pair[0], F_GETOWN));
    fcntl(pair[0], F_SETOWN, -getpgrp());
    if (write(pair[1], "x", 1) < 0) perror("write");
    next("of the group", pair[0]);
    // Read from a signalfd.
    struct signalfd_siginfo info = {0};
    int file = signalfd(-1, &all, 0);
    if (write(pair[1], "x", 1) < 0) perror("write");
    if (read(file, &info, sizeof info) < 0) perror("read");
    printf("by a descriptor: %u, code %d, in %d, descriptor %d\n", info.ssi_signo, info.ssi_code, !!(info.ssi_band & POLLIN), info.ssi_fd == pair[0]);
    close(file);
    if (read(pair[0], bytes, sizeof bytes) < 0) perror("read");
    close(pair[1]);
    next("the other end is closed", pair[0]);
    close(pair[0]);
}

static void out_of_band(void) {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof name;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), server, number = 0;
    char byte;
    if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 1)) return;
    getsockname(listener, (struct sockaddr *)&name, &bytes);
    if (connect(client, (struct sockaddr *)&name, sizeof name) != 0) return;
    server = accept(listener, NULL, NULL);
    fcntl(server, F_SETOWN, getpid());
    say("plain", send(client, "a", 1, 0));
    none("nothing of it");
    say("urgent", send(client, "!", 1, MSG_OOB));
    next("told", server);
    say("not yet", sockatmark(server));
    say("read", recv(server, &byte, 1, 0));
    say("at the mark", sockatmark(server));
    say("the byte", recv(server, &byte, 1, MSG_OOB));
    say("not sent", ioctl(client, 0x894b, &number));
    printf("%d\n", number);
    close(listener), close(client), close(server);
}

static void *waits(void *unused) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, OWN);
    siginfo_t info;
    printf("the thread: %d\n", sigwaitinfo(&set, &info) == OWN);
    return unused;
}

static pid_t thread_number;
static void *tells(void *unused) {
    __atomic_store_n(&thread_number, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
    return waits(unused);
}

static void threads(void) {
    int ends[2];
    pthread_t thread;
    if (pipe(ends) != 0) return;
    pthread_create(&thread, NULL, tells, NULL);
    while (!__atomic_load_n(&thread_number, __ATOMIC_SEQ_CST)) usleep(100);
    struct f_owner_ex owner = {F_OWNER_TID, thread_number};
    say("a thread", fcntl(ends[0], F_SETOWN_EX, &owner));
    fcntl(ends[0], F_SETSIG, OWN);
    fcntl(ends[0], F_SETFL, O_ASYNC);
    if (write(ends[1], "x", 1) < 0) perror("write");
    pthread_join(thread, NULL);
    close(ends[0]), close(ends[1]);
}

static void terminals(void) {
    int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
    struct termios modes;
    if (master < 0 || grantpt(master) || unlockpt(master)) return;
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    tcgetattr(slave, &modes);
    cfmakeraw(&modes);
    tcsetattr(slave, TCSANOW, &modes);
    // Without an owner it is whoever asks.
    say("asked", fcntl(slave, F_SETFL, O_ASYNC | O_RDWR));
    say("whose", fcntl(slave, F_GETOWN) == getpid());
    if (write(master, "x", 1) < 0) perror("write");
    next("typed", slave);
    close(slave), close(master);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    // What goes to our group goes to nobody else.
    if (setpgid(0, 0) < 0) perror("setpgid");
    sigemptyset(&all);
    sigaddset(&all, SIGIO), sigaddset(&all, SIGURG), sigaddset(&all, OWN);
    sigprocmask(SIG_BLOCK, &all, NULL);
    numbers();
    pipes();
    sockets();
    out_of_band();
    threads();
    terminals();
    return 0;
}
