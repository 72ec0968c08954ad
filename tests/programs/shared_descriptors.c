/* Descriptors that several processes share since a fork: epoll, timerfd, inotify, eventfd and what is told to which. And
 * what calls answer of numbers that are no descriptor. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld%s%s\n", what, answer, answer == -1 ? " " : "", answer == -1 ? strerror(errno) : "");
}

static void end(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    printf("ended with %x\n", status);
}

/* A fork that leaves nothing printed twice. */
static pid_t split(void) {
    fflush(stdout);
    return fork();
}

static void leave(void) {
    fflush(stdout);
    _exit(0);
}

static void add(int set, int descriptor, uint32_t events, uint64_t number) {
    struct epoll_event event = {.events = events, .data.u64 = number};
    say("add", epoll_ctl(set, EPOLL_CTL_ADD, descriptor, &event));
}

/* What one wait tells, the lowest number first. */
static int told(const char *what, int set, int milliseconds) {
    struct epoll_event events[8];
    int count = epoll_wait(set, events, 8, milliseconds);
    printf("%s: %d", what, count);
    for (uint64_t number = 0; number < 100; number++)
        for (int at = 0; at < count; at++)
            if (events[at].data.u64 == number)
                printf(" %d:%x", (int)number, events[at].events);
    printf("\n");
    return count;
}

/* The child waits in the parent's set, adds a descriptor of its own to it, and takes it along when it ends. */
static void set_of_both(void) {
    int set = epoll_create1(0), ours[2], answer[2], go[2];
    char letter = 'x';
    (void)!pipe(ours), (void)!pipe(answer), (void)!pipe(go);
    add(set, ours[0], EPOLLIN, 1);
    pid_t child = split();
    if (child == 0) {
        int own[2];
        told("the child is told", set, -1);
        (void)!read(ours[0], &letter, 1);
        (void)!pipe(own);
        add(set, own[0], EPOLLIN, 2);
        (void)!write(own[1], "b", 1);
        fflush(stdout);
        (void)!write(answer[1], "1", 1);
        (void)!read(go[0], &letter, 1);
        leave();
    }
    (void)!write(ours[1], "a", 1);
    (void)!read(answer[0], &letter, 1);
    told("the parent is told of the child's", set, -1);
    (void)!write(go[1], "g", 1);
    end(child);
    told("the child took its own along", set, 0);
    (void)!write(ours[1], "c", 1);
    told("ours", set, -1);
    say("close", close(ours[0]));
    told("nothing after the last close", set, 0);
    close(set), close(ours[1]);
}

/* A descriptor that both have stays in the set until both have closed it. */
static void closed_by_one(void) {
    int set = epoll_create1(EPOLL_CLOEXEC), ends[2], go[2];
    char letter;
    (void)!pipe(ends), (void)!pipe(go);
    add(set, ends[0], EPOLLIN, 7);
    pid_t child = split();
    if (child == 0) {
        (void)!read(go[0], &letter, 1);
        leave();
    }
    close(ends[0]);
    (void)!write(ends[1], "x", 1);
    told("still open in the child", set, 0);
    struct epoll_event none = {0};
    say("no longer ours", epoll_ctl(set, EPOLL_CTL_DEL, ends[0], &none));
    (void)!write(go[1], "g", 1);
    end(child);
    told("open nowhere", set, 0);
    close(set), close(ends[1]);
}

/* Of four children that wait for the same edge one is told; and of one shot. */
static void one_of_many(uint32_t how, const char *name) {
    int set = epoll_create1(0), number = eventfd(0, EFD_NONBLOCK), tellers[2], children = 4;
    char letter = 'x';
    (void)!pipe(tellers);
    add(set, number, EPOLLIN | how, 3);
    fflush(stdout);
    for (int at = 0; at < children; at++)
        if (split() == 0) {
            struct epoll_event event;
            int count = epoll_wait(set, &event, 1, 10000);
            letter = count == 1 ? 'y' : 'n';
            (void)!write(tellers[1], &letter, 1);
            _exit(0);
        }
    int woken = 0;
    uint64_t one = 1;
    for (int at = 0; at < children; at++) {
        (void)!write(number, &one, sizeof one);
        (void)!read(tellers[0], &letter, 1);
        woken += letter == 'y';
        if (how & EPOLLONESHOT) {
            struct epoll_event event = {.events = EPOLLIN | how, .data.u64 = 3};
            (void)!read(number, &one, sizeof one);
            one = 1;
            epoll_ctl(set, EPOLL_CTL_MOD, number, &event);
        }
    }
    while (wait(NULL) > 0) {}
    printf("%s: %d woken, one for each write\n", name, woken);
    close(set), close(number);
}

/* A timer that the child sets is read by the parent; what one reads, the other does not. */
static void timers(void) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), set = epoll_create1(0);
    struct itimerspec once = {.it_value.tv_nsec = 20000000}, left;
    uint64_t count = 0;
    add(set, timer, EPOLLIN, 4);
    say("too early", read(timer, &count, sizeof count));
    pid_t child = split();
    if (child == 0) {
        say("the child sets it", timerfd_settime(timer, 0, &once, NULL));
        leave();
    }
    told("the parent waits", set, -1);
    end(child);
    say("the parent reads", read(timer, &count, sizeof count));
    say("expirations", (long)count);
    child = split();
    if (child == 0) {
        say("nothing is left for the child", read(timer, &count, sizeof count));
        leave();
    }
    end(child);
    say("gettime", timerfd_gettime(timer, &left));
    printf("disarmed: %d\n", left.it_value.tv_sec == 0 && left.it_value.tv_nsec == 0);
    struct itimerspec often = {.it_interval.tv_nsec = 1000000, .it_value.tv_nsec = 1000000};
    timerfd_settime(timer, 0, &often, NULL);
    fcntl(timer, F_SETFL, 0);
    child = split();
    if (child == 0) {
        uint64_t all = 0;
        while (all < 20 && read(timer, &count, sizeof count) == sizeof count)
            all += count;
        printf("the child counts to twenty: %d\n", all >= 20);
        leave();
    }
    end(child);
    close(timer);
    told("a closed timer", set, 0);
    close(set);
}

static void events_of(int descriptor) {
    char text[4096] __attribute__((aligned(8)));
    ssize_t length = read(descriptor, text, sizeof text);
    if (length < 0)
        say("no events", length);
    for (ssize_t at = 0; at < length;) {
        struct inotify_event *event = (struct inotify_event *)(text + at);
        printf("  watch %d mask %x %s%s\n", event->wd, event->mask, event->len ? event->name : "",
               event->cookie ? " moved" : "");
        at += (ssize_t)(sizeof *event + event->len);
    }
}

/* The child changes what the parent watches, reads what the parent then does not, and takes the watch away. */
static void watches(void) {
    int notes = inotify_init1(IN_NONBLOCK), set = epoll_create1(0);
    mkdir("watched", 0700);
    say("watch", inotify_add_watch(notes, "watched", IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE | IN_MODIFY));
    add(set, notes, EPOLLIN, 5);
    pid_t child = split();
    if (child == 0) {
        int file = open("watched/one", O_CREAT | O_WRONLY, 0600);
        (void)!write(file, "text", 4);
        close(file);
        rename("watched/one", "watched/two");
        leave();
    }
    end(child);
    told("the parent is told", set, -1);
    events_of(notes);
    unlink("watched/two");
    child = split();
    if (child == 0) {
        told("the child is told", set, -1);
        events_of(notes);
        say("the child watches the folder's files no more", inotify_rm_watch(notes, 1));
        leave();
    }
    end(child);
    events_of(notes);
    events_of(notes);
    say("no such watch", inotify_rm_watch(notes, 1));
    rmdir("watched");
    close(notes), close(set);
}

/* Sets in sets, and a set that goes through a socket. */
static void nested(void) {
    int inner = epoll_create1(0), outer = epoll_create1(0), number = eventfd(2, EFD_SEMAPHORE), ends[2];
    uint64_t value;
    add(inner, number, EPOLLIN | EPOLLET, 8);
    add(outer, inner, EPOLLIN, 9);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    pid_t child = split();
    if (child == 0) {
        char letter, room[CMSG_SPACE(sizeof(int))];
        close(inner), close(outer);
        struct iovec piece = {&letter, 1};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
        say("received", recvmsg(ends[1], &message, 0));
        int passed;
        memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof passed);
        told("the set that was passed", passed, 1000);
        say("read", read(number, &value, sizeof value));
        leave();
    }
    char letter = 'x', room[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec piece = {&letter, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &outer, sizeof outer);
    (void)!sendmsg(ends[0], &message, 0);
    end(child);
    say("the other half", read(number, &value, sizeof value));
    fcntl(number, F_SETFL, O_NONBLOCK);
    say("and no more", read(number, &value, sizeof value));
    struct epoll_event event = {.events = EPOLLIN};
    say("a set in itself", epoll_ctl(outer, EPOLL_CTL_ADD, outer, &event));
    say("a circle", epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event));
    close(inner), close(outer), close(number), close(ends[0]), close(ends[1]);
}

static void nothing(int signal) {
    (void)signal;
}

/* A wait that a signal of the child's ends; one whose mask lets it through for that time only. */
static void interrupted(void) {
    int set = epoll_create1(0);
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    struct epoll_event event;
    sigset_t user, none;
    sigemptyset(&user), sigemptyset(&none);
    sigaddset(&user, SIGUSR1);
    sigaction(SIGUSR1, &action, NULL);
    sigprocmask(SIG_BLOCK, &user, NULL);
    pid_t child = split();
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        leave();
    }
    end(child);
    say("blocked", epoll_wait(set, &event, 1, 10));
    say("let through", epoll_pwait(set, &event, 1, -1, &none));
    sigprocmask(SIG_UNBLOCK, &user, NULL);
    close(set);
}

static void no_descriptors(void) {
    struct epoll_event event = {.events = EPOLLIN};
    struct itimerspec spec = {0};
    struct winsize size;
    int number = 0, set = epoll_create1(0), file = open("plain", O_CREAT | O_RDWR, 0600), closed = dup(file);
    char letter = 'x';
    close(closed);
    say("tcgetpgrp", tcgetpgrp(closed));
    say("tcsetpgrp", tcsetpgrp(closed, 1));
    say("tcgetsid", tcgetsid(closed));
    say("window", ioctl(closed, TIOCGWINSZ, &size));
    say("unknown request", ioctl(closed, 0x1234, &size));
    say("FIOASYNC", ioctl(closed, FIOASYNC, &number));
    say("tcgetpgrp of a file", tcgetpgrp(file));
    say("unknown request of a file", ioctl(file, 0x1234, &size));
    say("owner", fcntl(closed, F_GETOWN));
    say("set owner", fcntl(closed, F_SETOWN, getpid()));
    say("owner of a file", fcntl(file, F_GETOWN));
    say("its signal", fcntl(file, F_GETSIG));
    say("unknown command", fcntl(closed, 12345));
    say("unknown command of a file", fcntl(file, 12345));
    say("signals of nothing", fcntl(file, F_NOTIFY, DN_MULTISHOT));
    say("-1", fcntl(-1, F_GETFD));
    say("epoll", epoll_ctl(set, EPOLL_CTL_ADD, closed, &event));
    say("a file in a set", epoll_ctl(set, EPOLL_CTL_ADD, file, &event));
    say("no set", epoll_ctl(file, EPOLL_CTL_ADD, set, &event));
    say("wait for no set", epoll_wait(file, &event, 1, 0));
    say("for none of it", epoll_wait(set, &event, 0, 0));
    say("wait nowhere", epoll_wait(closed, &event, 1, 0));
    say("timer", timerfd_settime(closed, 0, &spec, NULL));
    say("no timer", timerfd_settime(file, 0, &spec, NULL));
    say("watch", inotify_add_watch(closed, ".", IN_CREATE));
    say("no notes", inotify_add_watch(file, ".", IN_CREATE));
    say("read", read(closed, &letter, 1));
    say("write", write(closed, &letter, 1));
    say("a gap", dup2(closed, 50));
    say("beyond", dup2(file, INT_MAX));
    unlink("plain");
    close(set), close(file);
}

int main(int count, char **words) {
    (void)count;
    *strrchr(words[0], '/') = 0;
    say("to the program's own folder", chdir(words[0]));
    set_of_both();
    closed_by_one();
    one_of_many(EPOLLET, "edge");
    one_of_many(EPOLLONESHOT, "one shot");
    timers();
    watches();
    nested();
    interrupted();
    no_descriptors();
}
