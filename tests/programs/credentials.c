// Who is at the other end: of sockets, of messages, of locks. Every number told is the number that getpid() gives there.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer < 0 ? strerror(errno) : "");
}

static void is(const char *what, pid_t told, pid_t expected) {
    if (told == expected) printf("%s: as it is\n", what);
    else printf("%s: %d, not %d\n", what, told, expected);
}

// Where nobody may be told instead, and is by a host that lets this user name itself only.
static void is_at_most(const char *what, pid_t told, pid_t expected) {
    is(what, told == 0 ? expected : told, expected);
}

static pid_t peer(int socket) {
    struct ucred peer = {-7, 7, 7};
    socklen_t bytes = sizeof peer;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0) return -1;
    if (peer.uid != geteuid() || peer.gid != getegid()) printf("user %d, group %d\n", peer.uid, peer.gid);
    return peer.pid;
}

static int send_as(int socket, pid_t pid, uid_t user) {
    union { struct cmsghdr header; char bytes[CMSG_SPACE(sizeof(struct ucred))]; } control = {0};
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(struct ucred)), SOL_SOCKET, SCM_CREDENTIALS};
    struct ucred who = {pid, user, getgid()};
    memcpy(CMSG_DATA(&control.header), &who, sizeof who);
    return sendmsg(socket, &message, MSG_NOSIGNAL);
}

static pid_t sender(int socket) {
    union { struct cmsghdr header; char bytes[128]; } control = {0};
    char byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (recvmsg(socket, &message, MSG_DONTWAIT) < 0) return -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        struct ucred who;
        if (header->cmsg_type != SCM_CREDENTIALS) continue;
        memcpy(&who, CMSG_DATA(header), sizeof who);
        return who.pid;
    }
    return -2;
}

static void alone(int sockets[2]) {
    int on = 1, udp = socket(AF_INET, SOCK_DGRAM, 0);
    is("the maker of a pair", peer(sockets[0]), getpid());
    say("passed", setsockopt(sockets[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    say("sent", write(sockets[0], "x", 1));
    is("who sent it", sender(sockets[1]), getpid());
    say("sent", send_as(sockets[0], getpid(), getuid()));
    is("who named itself", sender(sockets[1]), getpid());
    struct ucred none = {0};
    socklen_t bytes = sizeof none;
    say("of a socket of another kind", getsockopt(udp, SOL_SOCKET, SO_PEERCRED, &none, &bytes));
    printf("nobody: %d %d %d\n", none.pid, (int)none.uid, (int)none.gid);
    say("of no socket", getsockopt(-1, SOL_SOCKET, SO_PEERCRED, &none, &bytes));
}

// A child names itself, and then its parent, which takes a privilege; and then without it.
static void named(int sockets[2]) {
    int privileged, status;
    pid_t child = fork();
    if (child == 0) {
        int may = send_as(sockets[0], getppid(), getuid()) == 1;
        _exit(send_as(sockets[0], getpid(), getuid()) == 1 ? may : 9);
    }
    waitpid(child, &status, 0);
    privileged = WEXITSTATUS(status);
    say("the child may name its parent", privileged);
    if (privileged == 1) is("whom the child named", sender(sockets[1]), getpid());
    (privileged == 1 ? is : is_at_most)("the child, which is gone", sender(sockets[1]), child);
    if (privileged == 1) {
        errno = 0;
        say("nobody at all", send_as(sockets[0], 0x3ffff0, getuid()));
    }
    child = fork();
    if (child == 0) {
        uid_t user = getuid() == 0 ? 65534 : getuid();
        if (setresuid(user, user, user) < 0) _exit(1);
        say("names itself as anybody may", send_as(sockets[0], getpid(), user));
        say("names its parent", send_as(sockets[0], getppid(), user));
        say("sent", write(sockets[0], "x", 1));
        _exit(0);
    }
    waitpid(child, &status, 0);
    is_at_most("the child", sender(sockets[1]), child);
    is_at_most("the child", sender(sockets[1]), child);
}

static void connected(const char *how, struct sockaddr_un *name, socklen_t bytes) {
    int server = socket(AF_UNIX, SOCK_STREAM, 0), status;
    char byte;
    printf("%s\n", how);
    say("bind", bind(server, (struct sockaddr *)name, bytes));
    is("before there is one", peer(server), 0);
    say("listen", listen(server, 5));
    is("of who listens", peer(server), getpid());
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        say("connect", connect(client, (struct sockaddr *)name, bytes));
        is("the server", peer(client), parent);
        // From here on the parent speaks.
        _exit(write(client, "x", 1) != 1 || read(client, &byte, 1) != 1);
    }
    int accepted = accept(server, NULL, NULL);
    say("read", read(accepted, &byte, 1));
    is("the client", peer(accepted), child);
    say("written", write(accepted, "x", 1));
    waitpid(child, &status, 0);
    is("the client, which is gone", peer(accepted), child);
    close(accepted);
    close(server);
}

static void locks(const char *path) {
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), status;
    struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};
    pid_t parent = getpid();
    say("lock", fcntl(file, F_SETLK, &lock));
    lock = (struct flock){.l_type = F_RDLCK, .l_start = 100};
    say("lock", fcntl(file, F_SETLK, &lock));
    pid_t child = fork();
    if (child == 0) {
        struct flock asked = {.l_type = F_WRLCK, .l_len = 7};
        say("ask", fcntl(file, F_GETLK, &asked));
        is("who has it", asked.l_pid, parent);
        printf("%d %ld %ld\n", asked.l_type, (long)asked.l_start, (long)asked.l_len);
        asked = (struct flock){.l_type = F_WRLCK, .l_start = 200};
        say("ask as an open file", fcntl(file, F_OFD_GETLK, &asked));
        is("who has it", asked.l_pid, parent);
        asked = (struct flock){.l_type = F_RDLCK, .l_start = 100, .l_pid = 77};
        say("ask for what is free", fcntl(file, F_GETLK, &asked));
        printf("%d %d\n", asked.l_type, asked.l_pid);
        _exit(0);
    }
    waitpid(child, &status, 0);
    int other = open(path, O_RDWR);
    lock = (struct flock){.l_type = F_WRLCK, .l_start = 50, .l_len = 1};
    say("lock of an open file", fcntl(other, F_OFD_SETLK, &lock));
    lock = (struct flock){.l_type = F_WRLCK, .l_start = 50, .l_len = 1};
    say("ask", fcntl(file, F_GETLK, &lock));
    printf("nobody's: %d\n", lock.l_pid);
    char info[64], line[256];
    snprintf(info, sizeof info, "/proc/self/fdinfo/%d", file);
    FILE *text = fopen(info, "r");
    while (text && fgets(line, sizeof line, text)) {
        int owner;
        if (sscanf(line, "lock: %*s POSIX %*s %*s %d", &owner) == 1) is("who locked, says fdinfo", owner, parent);
    }
}

int main(void) {
    int sockets[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    char directory[] = "/tmp/credentials-XXXXXX", file[64];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets) < 0 || !mkdtemp(directory)) return 1;
    alone(sockets);
    named(sockets);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    snprintf(name.sun_path, sizeof name.sun_path, "%s/s", directory);
    connected("by a path", &name, sizeof name);
    unlink(name.sun_path);
    memset(name.sun_path, 0, sizeof name.sun_path);
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%s", directory);
    connected("by no path", &name, sizeof(sa_family_t) + 1 + strlen(directory));
    snprintf(file, sizeof file, "%s/locked", directory);
    locks(file);
    unlink(file);
    rmdir(directory);
    return 0;
}
