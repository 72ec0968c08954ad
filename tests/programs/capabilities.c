// capget and capset: of oneself, by 0 and by number, of a child, of nobody; versions; what was dropped stays so.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct __user_cap_header_struct header;
static struct __user_cap_data_struct sets[2];

static void say(const char *what, long answer) {
    printf("%s: %ld %s\n", what, answer, answer == -1 ? strerror(errno) : "");
}

static long get(uint32_t version, int pid) {
    header.version = version;
    header.pid = pid;
    return syscall(SYS_capget, &header, sets);
}

static long set(uint32_t version, int pid) {
    header.version = version;
    header.pid = pid;
    return syscall(SYS_capset, &header, sets);
}

// What a thread can get at most, and what becomes of it when its user changes; its children inherit both.
static void bounds(void) {
    fflush(stdout);
    pid_t child = fork();
    if (child > 0) {
        waitpid(child, NULL, 0);
        printf("of the parent: %d %d\n", prctl(PR_CAPBSET_READ, CAP_NET_RAW), prctl(PR_GET_SECUREBITS));
        return;
    }
    printf("at most: %d\n", prctl(PR_CAPBSET_READ, CAP_NET_RAW));
    say("one less", prctl(PR_CAPBSET_DROP, CAP_NET_RAW));
    say("what", prctl(PR_CAPBSET_DROP, 77));
    printf("secure: %d\n", prctl(PR_GET_SECUREBITS));
    say("keep", prctl(PR_SET_KEEPCAPS, 1));
    printf("secure: %d, kept: %d\n", prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS));
    say("no root", prctl(PR_SET_SECUREBITS, 1));
    say("unknown bits", prctl(PR_SET_SECUREBITS, 1 << 20));
    printf("secure: %d, kept: %d\n", prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS));
    say("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0));
    say("raised", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
    fflush(stdout);
    if (fork() == 0) {
        printf("of a child: %d %d\n", prctl(PR_CAPBSET_READ, CAP_NET_RAW), prctl(PR_GET_SECUREBITS));
        _exit(0);
    }
    wait(NULL);
    _exit(0);
}

int main(void) {
    int ready[2], end[2];
    char byte;
    setvbuf(stdout, NULL, _IONBF, 0);
    say("of oneself", get(_LINUX_CAPABILITY_VERSION_3, 0));
    printf("%x %x %x, %x %x %x\n", sets[0].effective, sets[0].permitted, sets[0].inheritable, sets[1].effective,
           sets[1].permitted, sets[1].inheritable);
    say("the same again", set(_LINUX_CAPABILITY_VERSION_3, 0));
    say("by number", get(_LINUX_CAPABILITY_VERSION_3, getpid()));
    say("set by number", set(_LINUX_CAPABILITY_VERSION_3, getpid()));
    say("of nobody", get(_LINUX_CAPABILITY_VERSION_3, 0x3ffffff0));
    say("a negative number", get(_LINUX_CAPABILITY_VERSION_3, -1));
    memset(sets, 0x55, sizeof sets);
    say("the first version", get(_LINUX_CAPABILITY_VERSION_1, 0));
    printf("its second half: %x\n", sets[1].effective);
    say("the second", get(_LINUX_CAPABILITY_VERSION_2, 0));
    say("another", get(7, 0));
    printf("the one to speak: %x\n", header.version);
    header.version = 7;
    say("asked for it", syscall(SYS_capget, &header, NULL));
    printf("the one to speak: %x\n", header.version);
    header.version = _LINUX_CAPABILITY_VERSION_3;
    say("no place", syscall(SYS_capget, &header, NULL));
    say("no header", syscall(SYS_capget, NULL, sets));
    say("sets that are not there", syscall(SYS_capset, &header, (void *)8));
    bounds();
    if (pipe(ready) < 0 || pipe(end) < 0) return 1;
    pid_t child = fork();
    if (child == 0) {
        memset(sets, 0, sizeof sets);
        say("dropped", set(_LINUX_CAPABILITY_VERSION_3, 0));
        if (write(ready[1], "x", 1) != 1 || read(end[0], &byte, 1) != 1) _exit(1);
        sets[0].effective = sets[0].permitted = 1;
        say("taken back", set(_LINUX_CAPABILITY_VERSION_3, 0));
        _exit(0);
    }
    if (read(ready[0], &byte, 1) != 1) return 1;
    say("of the child", get(_LINUX_CAPABILITY_VERSION_3, child));
    printf("%x %x\n", sets[0].effective, sets[0].permitted);
    say("set the child's", set(_LINUX_CAPABILITY_VERSION_3, child));
    if (write(end[1], "x", 1) != 1) return 1;
    wait(NULL);
    return 0;
}
