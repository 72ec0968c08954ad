/* Calls that Linux never interrupts are not, whatever signals come: a timer without SA_RESTART every 100 us. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum { ROUNDS = 4000 };

static volatile sig_atomic_t arrived;

static void arrive(int signal) {
    (void)signal;
    arrived++;
}

static int failures;

static void expect(long result, const char *call) {
    if (result < 0 && failures++ < 10)
        printf("%s: %s\n", call, strerror(errno));
}

int main(void) {
    struct sigaction action = {.sa_handler = arrive};
    struct itimerval period = {.it_interval.tv_usec = 100, .it_value.tv_usec = 100};
    struct stat status;
    char bytes[512];
    int ends[2];
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &period, NULL);
    for (int round = 0; round < ROUNDS; round++) {
        int file = open("/proc/self/exe", O_RDONLY);
        expect(file, "open");
        expect(fstat(file, &status), "fstat");
        expect(read(file, bytes, sizeof bytes), "read");
        expect(lseek(file, 0, SEEK_SET), "lseek");
        expect(pipe(ends), "pipe");
        expect(write(ends[1], bytes, sizeof bytes), "write");
        expect(read(ends[0], bytes, sizeof bytes), "read of a full pipe");
        expect(close(ends[0]), "close of a pipe");
        expect(close(ends[1]), "close of a pipe");
        expect(close(file), "close");
        expect(access("/", X_OK), "access");
    }
    printf("%d failures, signals %s\n", failures, arrived > 10 ? "arrived" : "missing");
    return failures != 0;
}
