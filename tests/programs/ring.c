// A ring of fifty processes over pipes: a token goes round many times, under a timer signal of 5 kHz in each of them
// if asked for: with SA_RESTART, or without, when every interrupted call is made again by hand.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 50, ROUNDS = 20 };

static volatile sig_atomic_t ticks;

static void on_tick(int signal) {
    (void)signal;
    ticks++;
}

static void tick(const char *how) {
    struct sigaction action = {.sa_handler = on_tick, .sa_flags = strcmp(how, "restart") == 0 ? SA_RESTART : 0};
    struct itimerval timer = {{0, 200}, {0, 200}};
    if (strcmp(how, "quiet") == 0) return;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void move(int from, int to, int *token) {
    ssize_t got;
    while ((got = read(from, token, sizeof *token)) < 0 && errno == EINTR) {}
    if (got != sizeof *token) _exit(2);
    ++*token;
    while ((got = write(to, token, sizeof *token)) < 0 && errno == EINTR) {}
    if (got != sizeof *token) _exit(3);
}

int main(int count, char **arguments) {
    const char *how = count > 1 ? arguments[1] : "quiet";
    int pipes[PROCESSES][2], token = 0, status, bad = 0;
    for (int index = 0; index < PROCESSES; index++) {
        if (pipe(pipes[index]) < 0) return 1;
    }
    for (int index = 1; index < PROCESSES; index++) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            tick(how);
            for (int round = 0; round < ROUNDS; round++) move(pipes[index - 1][0], pipes[index][1], &token);
            _exit(0);
        }
    }
    tick(how);
    if (write(pipes[0][1], &token, sizeof token) != sizeof token) return 1;
    for (int round = 0; round < ROUNDS - 1; round++) move(pipes[PROCESSES - 1][0], pipes[0][1], &token);
    ssize_t got;
    while ((got = read(pipes[PROCESSES - 1][0], &token, sizeof token)) < 0 && errno == EINTR) {}
    for (int index = 1; index < PROCESSES; index++) {
        pid_t ended;
        while ((ended = wait(&status)) < 0 && errno == EINTR) {}
        bad += ended < 0 || status != 0;
    }
    printf("%d moves, %d processes failed, the clock ticked: %d\n", token, bad, ticks > 0);
    return 0;
}
