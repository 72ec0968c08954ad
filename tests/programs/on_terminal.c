/*
 * A terminal for a command: ./on_terminal KEY COMMAND [ARGS]...
 * Waits for "ready", types the key (a number), and says what came then, how the command ended, and whether the
 * terminal's modes are those that it had before.
 */
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

int main(int count, char **arguments)
{
    struct termios before, after;
    char text[65536];
    size_t length = 0;
    int terminal, slave, status, typed = 0;
    char key = (char)atoi(arguments[1]);
    pid_t pid;

    if (count < 3 || openpty(&terminal, &slave, NULL, NULL, NULL) != 0)
        return 2;
    tcgetattr(slave, &before);
    pid = fork();
    if (pid == 0) {
        close(terminal);
        login_tty(slave);
        execvp(arguments[2], arguments + 2);
        _exit(127);
    }
    for (;;) {
        ssize_t more;
        char *ready;

        if (waitpid(pid, &status, WNOHANG) == pid)
            break;
        if (typed == 0) {
            more = read(terminal, text + length, sizeof text - 1 - length);
            if (more <= 0)
                break;
            length += more;
            text[length] = 0;
            ready = strstr(text, "ready");
            if (ready != NULL && write(terminal, &key, 1) == 1)
                typed = 1;
        } else {
            usleep(10000);
        }
    }
    tcgetattr(slave, &after);
    if (WIFSIGNALED(status))
        printf("killed by %d, ", WTERMSIG(status));
    else
        printf("exit status %d, ", WEXITSTATUS(status));
    printf("modes %s\n", before.c_lflag == after.c_lflag && before.c_iflag == after.c_iflag ? "as before" : "changed");
    return 0;
}
