/* Calls that fill what their arguments point to. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    int pipes[2], sockets[2], status;
    char one[4], two[40];
    struct iovec parts[2] = {{one, sizeof one}, {two, sizeof two}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    struct stat stat_of;
    siginfo_t child;

    if (pipe2(pipes, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
        return 1;
    if (write(pipes[1], "first second", 12) != 12 || readv(pipes[0], parts, 2) != 12)
        return 2;
    if (write(sockets[0], "message", 7) != 7 || recvmsg(sockets[1], &message, 0) != 7)
        return 3;
    if (stat("/dev/null", &stat_of) || fstat(pipes[0], &stat_of))
        return 4;
    if (fork() == 0)
        _exit(3);
    wait4(-1, &status, 0, NULL);
    if (fork() == 0)
        abort();
    wait4(-1, &status, 0, NULL);
    if (fork() == 0)
        _exit(5);
    if (waitid(P_ALL, -1, &child, WEXITED))
        return 5;
    return 0;
}
