// Job control on a terminal of our own: who controls it, who is stopped for reading or writing in the background, what
// keys do, what a hangup does.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master, report[2];
static char path[64];

static void say(const char *what, long answer) {
    dprintf(report[1], "%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static void tell_status(const char *what, int status) {
    if (WIFSTOPPED(status)) dprintf(report[1], "%s: stopped by %d\n", what, WSTOPSIG(status));
    else if (WIFCONTINUED(status)) dprintf(report[1], "%s: continued\n", what);
    else if (WIFSIGNALED(status)) dprintf(report[1], "%s: killed by %d\n", what, WTERMSIG(status));
    else dprintf(report[1], "%s: exited with %d\n", what, WEXITSTATUS(status));
}

static volatile sig_atomic_t got;

static void on_signal(int signal) { got = signal; }

// A job in a group of its own, which does one thing with the terminal.
static pid_t job(int terminal, void (*act)(int)) {
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_DFL);
        act(terminal);
        _exit(errno == EIO ? 55 : 0);
    }
    setpgid(child, child);
    return child;
}

static void act_read(int terminal) {
    char text[32];
    ssize_t bytes = read(terminal, text, sizeof text);
    _exit(bytes > 0 ? (int)bytes : errno == EIO ? 55 : 56);
}
static void act_write(int terminal) { if (write(terminal, "x", 1) != 1) _exit(1); errno = 0; }
static void act_change(int terminal) {
    struct termios settings;
    tcgetattr(terminal, &settings);
    errno = 0;
    if (tcsetattr(terminal, TCSANOW, &settings) < 0) _exit(2);
}
static void act_read_deaf(int terminal) { signal(SIGTTIN, SIG_IGN); act_read(terminal); }
static void act_wait(int terminal) { (void)terminal; for (;;) pause(); }

static int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, WUNTRACED | WCONTINUED);
    return status;
}

static void shell(void) {
    struct winsize size;
    int status, terminal;
    say("before, /dev/tty", open("/dev/tty", O_RDWR));
    int free_descriptor = open(path, O_RDWR | O_NOCTTY);
    say("not ours", tcgetpgrp(free_descriptor));
    close(free_descriptor);
    terminal = open(path, O_RDWR);
    say("ours", terminal >= 0 && tcgetpgrp(terminal) == getpgrp());
    say("session", tcgetsid(terminal) == getsid(0));
    int named = open("/dev/tty", O_RDWR);
    say("/dev/tty", named >= 0 && tcgetpgrp(named) == getpgrp());
    signal(SIGTTOU, SIG_IGN);
    say("no such group", tcsetpgrp(terminal, 99999));
    say("a group of another session", tcsetpgrp(terminal, getppid()));
    // A reader in the background is stopped; in the foreground it reads.
    pid_t child = job(terminal, act_read);
    tell_status("a reader", wait_for(child));
    say("to the foreground", tcsetpgrp(terminal, child));
    say("it is", tcgetpgrp(terminal) == child);
    kill(-child, SIGCONT);
    tell_status("then", wait_for(child));
    if (write(report[1], "@", 1) < 0) _exit(1); // whoever holds the master types a line
    tell_status("it read", wait_for(child));
    tcsetpgrp(terminal, getpgrp());
    child = job(terminal, act_read_deaf);
    tell_status("a reader that does not listen", wait_for(child));
    // Writers only with TOSTOP; who changes settings always.
    tell_status("a writer", wait_for(job(terminal, act_write)));
    struct termios settings;
    tcgetattr(terminal, &settings);
    settings.c_lflag |= TOSTOP;
    tcsetattr(terminal, TCSANOW, &settings);
    child = job(terminal, act_write);
    tell_status("a writer with TOSTOP", wait_for(child));
    kill(child, SIGKILL);
    tell_status("then", wait_for(child));
    child = job(terminal, act_change);
    tell_status("who changes settings", wait_for(child));
    tcsetpgrp(terminal, child);
    kill(child, SIGCONT);
    tell_status("then", wait_for(child));
    tell_status("then", wait_for(child));
    // Keys: the foreground gets their signals.
    child = job(terminal, act_wait);
    tcsetpgrp(terminal, child);
    if (write(report[1], "Z", 1) < 0) _exit(1);
    tell_status("control-Z", wait_for(child));
    kill(-child, SIGCONT);
    tell_status("then", wait_for(child));
    if (write(report[1], "C", 1) < 0) _exit(1);
    tell_status("control-C", wait_for(child));
    tcsetpgrp(terminal, getpgrp());
    // The size: the foreground is told of a new one.
    signal(SIGWINCH, on_signal);
    if (write(report[1], "W", 1) < 0) _exit(1);
    while (got != SIGWINCH) usleep(1000);
    ioctl(terminal, TIOCGWINSZ, &size);
    say("rows", size.ws_row);
    // The terminal hangs up.
    signal(SIGHUP, on_signal);
    if (write(report[1], "H", 1) < 0) _exit(1);
    while (got != SIGHUP) usleep(1000);
    say("hung up", 1);
    waitpid(-1, &status, WNOHANG);
    _exit(0);
}

// A stopped process whose last relative outside its group ends is told: SIGHUP and SIGCONT.
static void orphaned_group(void) {
    int pipes[2];
    char text[32] = {0};
    if (pipe(pipes) < 0) return;
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            setpgid(0, 0);
            signal(SIGHUP, on_signal);
            raise(SIGSTOP);
            while (got == 0) usleep(1000);
            dprintf(pipes[1], "told by %d", got);
            _exit(0);
        }
        int status;
        waitpid(grandchild, &status, WUNTRACED);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    if (read(pipes[0], text, sizeof text - 1) > 0) printf("the orphaned group is %s\n", text);
}

int main(void) {
    char byte;
    int status = 0;
    setvbuf(stdout, NULL, _IONBF, 0);
    setpgid(0, 0);
    orphaned_group();
    master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 || pipe(report) < 0) return 1;
    snprintf(path, sizeof path, "%s", ptsname(master));
    pid_t child = fork();
    if (child == 0) {
        close(master);
        close(report[0]);
        setsid();
        shell();
    }
    close(report[1]);
    while (read(report[0], &byte, 1) == 1) {
        struct winsize size = {33, 99, 0, 0};
        const char *keys = byte == '@' ? "a line\n" : byte == 'Z' ? "\032" : byte == 'C' ? "\003" : NULL;
        if (byte == 'W') ioctl(master, TIOCSWINSZ, &size);
        else if (byte == 'H') close(master);
        else if (keys && (byte == '@' || status == '\n')) { if (write(master, keys, strlen(keys)) < 0) return 1; }
        else putchar(byte);
        if (byte != '@') status = byte;
    }
    waitpid(child, &status, 0);
    printf("the shell ended with %d\n", WEXITSTATUS(status));
    return 0;
}
