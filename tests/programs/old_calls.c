// System calls by int 0x80, as 32-bit programs and many lessons in assembly make them, from a 64-bit program: 32-bit Linux's
// numbers, arguments in ebx, ecx, edx, esi, edi and ebp, of which the upper halves do not count.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define HIGH 0xdeadbeef00000000

static long old_call(unsigned number, long first, long second, long third) {
    long answer;
    register long r8 asm("r8") = 81, r9 asm("r9") = 82, r10 asm("r10") = 83, r11 asm("r11") = 84;
    asm volatile("int $0x80"
                 : "=a"(answer), "+r"(r8), "+r"(r9), "+r"(r10), "+r"(r11)
                 : "a"(HIGH | number), "b"(HIGH | (first & 0xffffffff)), "c"(HIGH | (second & 0xffffffff)),
                   "d"(HIGH | (third & 0xffffffff)), "S"(HIGH), "D"(HIGH)
                 : "memory");
    if (r8 != 81 || r9 != 82 || r10 != 83 || r11 != 84) printf("other registers changed\n");
    return answer;
}

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer < 0 ? strerror(-answer) : "");
}

static volatile int alarms;

static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

// A read that a signal interrupts is made again, by the same number.
static void interrupted(char *low, int restart) {
    int ends[2];
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0};
    sigaction(SIGALRM, &action, NULL);
    if (pipe(ends)) exit(1);
    pid_t child = fork();
    if (child == 0) {
        usleep(300000);
        _exit(write(ends[1], "late", 4) != 4);
    }
    struct itimerval once = {{0, 0}, {0, 50000}};
    alarms = 0;
    setitimer(ITIMER_REAL, &once, NULL);
    say(restart ? "restarted read" : "interrupted read", old_call(3, ends[0], (long)low, 4));
    printf("alarms: %d\n", alarms);
    waitpid(child, NULL, 0);
    close(ends[0]), close(ends[1]);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    char *low = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    strcpy(low, "written by number 4\n");
    say("write", old_call(4, 1, (long)low, 20));
    printf("getpid: %d\n", old_call(20, 0, 0, 0) == getpid());
    printf("getppid: %d\n", old_call(64, 0, 0, 0) == getppid());
    printf("uid: %d\n", old_call(199, 0, 0, 0) == getuid());
    strcpy(low, "/tmp/old_calls.XXXXXX");
    close(mkstemp(low));
    long file = old_call(5, (long)low, O_RDWR | O_CREAT | O_TRUNC, 0600);
    printf("open: %d\n", file > 2);
    strcpy(low + 100, "0123456789");
    say("write to it", old_call(4, file, (long)low + 100, 10));
    say("seek back", old_call(19, file, -3, SEEK_CUR));
    say("seek before the start", old_call(19, file, -30, SEEK_SET));
    memset(low + 200, 0, 16);
    say("read", old_call(3, file, (long)low + 200, 16));
    printf("%s\n", low + 200);
    say("truncate", old_call(93, file, 4, 0));
    say("end", old_call(19, file, 0, SEEK_END));
    say("dup2", old_call(63, file, 77, 0));
    say("close", old_call(6, file, 0, 0));
    say("close again", old_call(6, file, 0, 0));
    say("unlink", old_call(10, (long)low, 0, 0));
    say("no such file", old_call(33, (long)low, R_OK, 0));
    say("nowhere", old_call(4, 1, 8, 20));
    say("uname", old_call(122, (long)low, 0, 0));
    printf("%s\n", ((struct utsname *)low)->sysname);
    say("kill nobody", old_call(37, 0x7fffffff, 0, 0));
    // The end of a program, and the wait for it.
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) old_call(1, 42, 0, 0);
    long found = old_call(7, child, (long)low, 0);
    printf("waitpid: %d, status %d\n", found == child, WEXITSTATUS(*(int *)low));
    child = old_call(2, 0, 0, 0);
    if (child == 0) old_call(252, 43, 0, 0);
    waitpid(child, (int *)low, 0);
    printf("fork: status %d\n", WEXITSTATUS(*(int *)low));
    interrupted(low, 1);
    interrupted(low, 0);
    say("no such call", old_call(9999, 0, 0, 0));
    return 0;
}
