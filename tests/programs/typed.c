/* Whoever is told of a typed character may answer at once: nothing of the answer is lost when the terminal's driver empties
 * its queues for that character, and what was typed before it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 200 };

static void answer(int signal) {
    (void)!write(1, signal == SIGINT ? "<int>\n" : "<quit>\n", signal == SIGINT ? 6 : 7);
}

static void listen_to(void) {
    char line[64];
    signal(SIGINT, answer);
    signal(SIGQUIT, answer);
    (void)!write(1, "<ready>\n", 8);
    for (;;) {
        ssize_t length = read(0, line, sizeof line - 1);
        if (length <= 0)
            _exit(length == 0 ? 7 : 8);
        line[length - 1] = 0;
        dprintf(1, "<line %s>\n", line);
    }
}

/* Reads until something was seen; whether it came. */
static int seen(int master, const char *what) {
    static char text[1 << 16];
    size_t length = 0;
    struct pollfd ready = {.fd = master, .events = POLLIN};
    while (length < sizeof text - 1 && poll(&ready, 1, 10000) == 1) {
        ssize_t got = read(master, text + length, sizeof text - 1 - length);
        if (got <= 0)
            return 0;
        length += (size_t)got;
        text[length] = 0;
        if (strstr(text, what) != NULL)
            return 1;
    }
    return 0;
}

int main(void) {
    int master, answers = 0, status;
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0)
        listen_to();
    printf("ready: %d\n", seen(master, "<ready>"));
    for (int round = 0; round < ROUNDS; round++) {
        (void)!write(master, round % 2 ? "\034" : "\003", 1);
        answers += seen(master, round % 2 ? "<quit>" : "<int>");
    }
    printf("answers: %d\n", answers);
    (void)!write(master, "thrown away\003", 12);
    printf("told: %d\n", seen(master, "<int>"));
    (void)!write(master, "kept\n", 5);
    printf("only the rest: %d\n", seen(master, "<line kept>"));
    (void)!write(master, "\004", 1);
    waitpid(child, &status, 0);
    printf("status %x\n", status);
}
