/*
 * Random system calls with hostile arguments: ./call_fuzz SCRATCH SEED CHILDREN CALLS
 *
 * Each child makes CALLS calls that its seed decides on, in the directory SCRATCH, and may die of them. The parent
 * waits for each, kills those that hang, and says at the end how many there were. A child writes each call to
 * SCRATCH.log before it makes it, so that the last line is the one to look at.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define LAST_CALL 463
#define LOG_FD 700
#define HANG_MS 1000

static uint64_t state;

/* SplitMix64. */
static uint64_t next(void)
{
    uint64_t mixed = state += 0x9e3779b97f4a7c15;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

static uint64_t below(uint64_t end)
{
    return next() % end;
}

/* Calls that change the host, were they ever passed to it, or that end the child for no good. */
static const int never[] = {
    SYS_reboot,     SYS_kexec_load,    SYS_kexec_file_load, SYS_init_module,   SYS_finit_module, SYS_delete_module,
    SYS_swapon,     SYS_swapoff,       SYS_mount,           SYS_umount2,       SYS_pivot_root,   SYS_chroot,
    SYS_sethostname, SYS_setdomainname, SYS_settimeofday,   SYS_clock_settime, SYS_adjtimex,     SYS_clock_adjtime,
    SYS_acct,       SYS_vhangup,       SYS_syslog,          SYS_quotactl,      SYS_sync,         SYS_iopl,
    SYS_ioperm,     SYS_exit_group,    SYS_mount_setattr,   SYS_move_mount,    SYS_open_tree,    SYS_fsopen,
    SYS_fsmount,    SYS_fsconfig,      SYS_fspick,          SYS_bpf,           SYS_mq_open,
};

/* Calls whose first argument is a process or a thread. */
static const int to_processes[] = {
    SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_pidfd_open, SYS_setpgid,
    SYS_prlimit64, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
};

/* Calls whose path may be any, because they change nothing. Not chdir: other calls would then act elsewhere. */
static const int looks[] = {
    SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_statfs, SYS_getxattr, SYS_listxattr,
};

static int listed(const int *list, size_t count, long call)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == call)
            return 1;
    return 0;
}
#define LISTED(list, call) listed(list, sizeof list / sizeof *list, call)

static char *pool, *text;

/* Four pages: writable, read-only, not accessible, not there. */
static void make_memory(void)
{
    pool = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(pool + PAGE, PAGE, PROT_READ);
    mprotect(pool + 2 * PAGE, PAGE, PROT_NONE);
    munmap(pool + 3 * PAGE, PAGE);
    text = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void make_files(void)
{
    int ends[2], file = open("a", O_RDWR | O_CREAT, 0644);

    mkdir("d", 0755);
    if (write(file, "some bytes\n", 11) != 11 || pipe2(ends, O_NONBLOCK) != 0 || pipe(ends) != 0)
        return;
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends);
    socket(AF_INET, SOCK_STREAM, 0);
    epoll_create1(0);
    eventfd(3, 0);
    open("d", O_RDONLY | O_DIRECTORY);
    memfd_create("fuzz", 0);
    open("/proc/self/status", O_RDONLY);
    syscall(SYS_timerfd_create, CLOCK_MONOTONIC, 0);
    syscall(SYS_inotify_init1, 0);
}

static uint64_t number(void)
{
    static const uint64_t odd[] = {
        0, 1, 2, 3, 4, 7, 8, 15, 16, 64, 128, 4095, 4096, 4097, 65536, 1 << 20, 0x7fffffff, 0x80000000, 0xffffffff,
        0x100000000, 1UL << 40, 0x7fffffffffffffff, 0x8000000000000000, -1UL, -2UL, -100UL, -4096UL, -4095UL,
    };
    switch (below(3)) {
    case 0:
        return below(32);
    case 1:
        return odd[below(sizeof odd / sizeof *odd)];
    default:
        return next() >> below(64);
    }
}

static uint64_t address(void)
{
    static const uint64_t odd[] = {
        0, 1, 8, 4095, 0x400000, 0x7ffffffff000, 0x7fffffffeff8, 0x800000000000, 0xffff800000000000, -8UL, -4096UL,
        0xffffffffff600000, 0x0101010101010101,
    };
    switch (below(8)) {
    case 0:
        return odd[below(sizeof odd / sizeof *odd)];
    case 1:
        return (uint64_t)pool + PAGE - below(24); /* into the read-only page */
    case 2:
        return (uint64_t)pool + 2 * PAGE - below(24); /* into the page that is not accessible */
    case 3:
        return (uint64_t)&state & ~15UL; /* the program's own data */
    default:
        return (uint64_t)pool + below(PAGE / 2);
    }
}

static uint64_t path(long call)
{
    static const char *const names[] = { "a", "b", "c", "d", "d/a", "d/b", ".", "", "a/b", "./d/./a", "link" };
    static const char *const anywhere[] = {
        "/proc/self/maps", "/proc/self/fd/3", "/proc/self/mem", "/proc/1/status", "/dev/null", "/proc/self/cwd",
        "/dev/tty", "/proc/self/task", "/sys/devices/system/cpu/online", "/proc/thread-self/ns", "/etc", "/",
    };
    /* Nothing readable: what happens to lie somewhere could be a path that leads out of here. */
    const uint64_t unreadable[] = {
        0, 1, (uint64_t)pool + 2 * PAGE, (uint64_t)pool + 3 * PAGE, 0x800000000000, 0xffff800000000000, -8UL,
    };
    size_t length = 1 + below(2 * PAGE - 2);

    switch (below(16)) {
    case 0:
        return unreadable[below(sizeof unreadable / sizeof *unreadable)];
    case 1:
        memset(text, 'x', length);
        text[length] = 0;
        return (uint64_t)text;
    case 2:
    case 3:
    case 4:
        if (LISTED(looks, call)) {
            strcpy(text, anywhere[below(sizeof anywhere / sizeof *anywhere)]);
            return (uint64_t)text;
        }
        /* fall through */
    default:
        strcpy(text, names[below(sizeof names / sizeof *names)]);
        return (uint64_t)text;
    }
}

/* Fills memory that calls read structures from with what they may take for one. */
static void fill(void)
{
    uint64_t *words = (uint64_t *)pool;

    for (size_t i = 0; i < 64; i++) {
        size_t at = below(PAGE / 16);
        words[at] = below(3) == 0 ? address() : number();
    }
    /* No path of a string that happens to begin with a slash. */
    for (size_t i = 0; i < PAGE; i++)
        if (pool[i] == '/')
            pool[i] = '_';
}

static long pick_call(void)
{
    for (;;) {
        long call = below(LAST_CALL);
        if (!LISTED(never, call) && (call < 335 || call >= 424))
            return call;
    }
}

/* Which arguments are paths: of the calls that take them, by position. */
static int takes_path(long call, int position)
{
    static const int first[] = {
        SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_truncate, SYS_chdir, SYS_rename, SYS_mkdir, SYS_rmdir, SYS_creat,
        SYS_link, SYS_unlink, SYS_symlink, SYS_readlink, SYS_chmod, SYS_chown, SYS_lchown, SYS_utime, SYS_mknod,
        SYS_statfs, SYS_setxattr, SYS_lsetxattr, SYS_getxattr, SYS_lgetxattr, SYS_listxattr, SYS_llistxattr,
        SYS_removexattr, SYS_lremovexattr, SYS_utimes, SYS_execve, SYS_uselib, SYS_mq_unlink, SYS_memfd_create,
    };
    static const int second[] = {
        SYS_rename, SYS_link, SYS_symlink, SYS_openat, SYS_mkdirat, SYS_mknodat, SYS_fchownat, SYS_futimesat,
        SYS_newfstatat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_linkat, SYS_readlinkat, SYS_fchmodat,
        SYS_faccessat, SYS_utimensat, SYS_execveat, SYS_statx, SYS_openat2, SYS_inotify_add_watch, SYS_faccessat2,
        SYS_name_to_handle_at, SYS_symlinkat, 452 /* fchmodat2 */,
    };
    static const int third[] = { SYS_symlinkat, SYS_fanotify_mark };
    static const int fourth[] = { SYS_renameat, SYS_renameat2, SYS_linkat };

    return (position == 0 && (LISTED(first, call) || call == SYS_symlinkat)) || (position == 1 && LISTED(second, call)) ||
           (position == 2 && LISTED(third, call)) || (position == 3 && LISTED(fourth, call));
}

/* What a call that does many things is to do: mostly something that there is. */
static int takes_command(long call, int position)
{
    return (position == 1 && (call == SYS_ioctl || call == SYS_fcntl || call == SYS_futex)) ||
           (position == 0 && (call == SYS_prctl || call == SYS_unshare));
}

static uint64_t command(long call)
{
    static const uint32_t requests[] = {
        0x5401, 0x5402, 0x5405, 0x5406, 0x540b, 0x540c, 0x540d, 0x540e, 0x540f, 0x5410, 0x5411, 0x5413, 0x5414, 0x541b,
        0x5421, 0x5422, 0x5429, 0x5440, 0x5450, 0x5451, 0x5452, 0x5460, 0x8902, 0x8904, 0x8905, 0x8906, 0x8912, 0x8913,
        0x894b, 0x8b01, 1, 2, 0x80045430, 0x40045431, 0x5441, 0x80086601, 0x40086602, 0x80087601, 0x801c581f, 0xc020660b,
        0x40049409, 0x4020940d, 0x1260, 0x80081272, 0x40085400, 0xb701, 0xb702,
    };
    switch (call) {
    case SYS_ioctl:
        return requests[below(sizeof requests / sizeof *requests)];
    case SYS_fcntl:
        return below(2) ? below(17) : 1024 + below(20);
    case SYS_futex:
        return below(16) | below(4) << 7;
    case SYS_unshare:
        return 1UL << (7 + below(25)) | (below(3) ? 0 : 1UL << (7 + below(25)));
    default:
        return below(80);
    }
}

static uint64_t argument(long call, int position)
{
    static const int64_t strangers[] = { 0x7fffffff, 0x7ffffffe, 99999, 4194304, -0x7fffffff };

    if (position == 0 && LISTED(to_processes, call)) {
        if (call == SYS_ptrace)
            return number();
        return below(3) == 0 ? (uint64_t)getpid() : (uint64_t)strangers[below(5)];
    }
    if (takes_path(call, position))
        return path(call);
    if (takes_command(call, position) && below(8) != 0)
        return command(call);
    switch (below(4)) {
    case 0:
        return below(24); /* a descriptor, a signal, a small number */
    case 1:
        return number();
    default:
        return address();
    }
}

static void on_alarm(int signal)
{
    (void)signal;
}

static void child(uint64_t seed, long calls)
{
    struct itimerval often = { { 0, 20000 }, { 0, 20000 } };
    struct sigaction interrupt = { .sa_handler = on_alarm };
    struct rlimit limit = { 256 << 20, 256 << 20 };
    int nowhere = memfd_create("nowhere", 0); /* no device: its owner and mode would be the host's */
    pid_t own;

    state = seed;
    setsid();
    own = getpid();
    dup2(nowhere, 0);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    setrlimit(RLIMIT_AS, &limit);
    /* Files of memory are the host's memory: fallocate would take all of it. */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    make_memory();
    make_files();
    sigaction(SIGALRM, &interrupt, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (long i = 0; i < calls; i++) {
        long call = pick_call(), result;
        uint64_t a[6];
        char line[200];

        if (below(4) == 0)
            fill();
        for (int j = 0; j < 6; j++)
            a[j] = argument(call, j);
        snprintf(line, sizeof line, "%#lx %ld: %ld(%#lx, %#lx, %#lx, %#lx, %#lx, %#lx)\n", seed, i, call, a[0], a[1],
                 a[2], a[3], a[4], a[5]);
        (void)!write(LOG_FD, line, strlen(line));
        result = syscall(call, a[0], a[1], a[2], a[3], a[4], a[5]);
        if (result == 0 && syscall(SYS_getpid) != own)
            syscall(SYS_exit_group, 0); /* a child of this child */
        if (result == 0 && syscall(SYS_gettid) != own)
            syscall(SYS_exit, 0); /* a thread on our own stack */
    }
    syscall(SYS_exit_group, 0);
}

static long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits for a child; kills it and all its children if it does not end. */
static int reap(pid_t pid)
{
    struct timespec moment = { 0, 1000000 };
    long begun = now_ms();
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() - begun >= HANG_MS) {
            kill(-pid, SIGKILL);
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            break;
        }
        nanosleep(&moment, NULL);
    }
    kill(-pid, SIGKILL);
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    return status;
}

/* The last call of a child that had to be killed. */
static void tell_last_call(const char *log)
{
    static char text[1 << 18];
    int file = open(log, O_RDONLY);
    ssize_t length = pread(file, text, sizeof text - 1, 0), start;

    close(file);
    for (start = length - 1; start > 0 && text[start - 1] != '\n'; start--)
        ;
    if (length > 0)
        fprintf(stderr, "killed in %.*s", (int)(length - start), text + start);
}

int main(int count, char **arguments)
{
    long children, calls, died = 0, killed = 0;
    uint64_t seed;
    char log[4096];

    if (count != 5 || chdir(arguments[1]) != 0)
        return 2;
    /* What whoever began this left open could be a device: its owner and mode would be the host's. */
    syscall(SYS_close_range, 3, ~0U, 0);
    seed = strtoull(arguments[2], NULL, 0);
    children = strtol(arguments[3], NULL, 0);
    calls = strtol(arguments[4], NULL, 0);
    snprintf(log, sizeof log, "%s.log", arguments[1]);
    dup2(open(log, O_WRONLY | O_CREAT | O_APPEND | O_TRUNC, 0644), LOG_FD);
    for (long i = 0; i < children; i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0)
            child(seed + i, calls);
        status = reap(pid);
        died += WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
            killed++;
            tell_last_call(log);
        }
        if (ftruncate(LOG_FD, 0) != 0)
            perror("ftruncate");
    }
    printf("%ld children: %ld died, %ld had to be killed\n", children, died, killed);
    return 0;
}
