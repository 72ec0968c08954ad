/*
 * What a guest tries against processes of the host: ./isolation SCRATCH PID...
 * Prints a line for each attempt that was not refused as if the process did not exist; the last line counts them all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef FIOSETOWN
#define FIOSETOWN 0x8901
#endif

static int attempts, offences;

/* The attempt failed, with one of two errors. */
static void refused(const char *what, long pid, long result, int one, int other)
{
    attempts++;
    if (result == -1 && (errno == one || errno == other))
        return;
    offences++;
    printf("%s on %ld: %ld, errno %d (%s)\n", what, pid, result, errno, result == -1 ? strerror(errno) : "no error");
}

static void missing(const char *what, long pid, long result)
{
    refused(what, pid, result, ESRCH, ENOSYS);
}

static void signals(pid_t pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    info.si_signo = SIGKILL;
    info.si_code = SI_QUEUE;
    missing("kill 0", pid, kill(pid, 0));
    missing("kill", pid, kill(pid, SIGKILL));
    missing("kill of a group", pid, kill(-pid, SIGKILL));
    missing("tkill", pid, syscall(SYS_tkill, pid, SIGKILL));
    missing("tgkill", pid, syscall(SYS_tgkill, pid, pid, SIGKILL));
    missing("tgkill with our own group", pid, syscall(SYS_tgkill, getpid(), pid, SIGKILL));
    missing("rt_sigqueueinfo", pid, syscall(SYS_rt_sigqueueinfo, pid, SIGKILL, &info));
    missing("rt_tgsigqueueinfo", pid, syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGKILL, &info));
    missing("pidfd_open", pid, syscall(SYS_pidfd_open, pid, 0));
}

static void memory(pid_t pid)
{
    char byte = 0;
    struct iovec mine = { &byte, 1 }, theirs = { (void *)0x400000, 1 };

    missing("PTRACE_ATTACH", pid, ptrace(PTRACE_ATTACH, pid, 0, 0));
    missing("PTRACE_SEIZE", pid, ptrace(PTRACE_SEIZE, pid, 0, 0));
    missing("process_vm_readv", pid, process_vm_readv(pid, &mine, 1, &theirs, 1, 0));
    missing("process_vm_writev", pid, process_vm_writev(pid, &mine, 1, &theirs, 1, 0));
    missing("kcmp", pid, syscall(SYS_kcmp, getpid(), pid, 0, 0, 0));
    missing("migrate_pages", pid, syscall(SYS_migrate_pages, pid, 0, 0, 0));
    missing("move_pages", pid, syscall(SYS_move_pages, pid, 0, 0, 0, 0, 0));
}

static void scheduling(pid_t pid)
{
    struct rlimit limit = { 1, 1 };
    struct sched_param parameter = { 0 };
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, pid };
    struct __user_cap_data_struct sets[2] = { 0 };
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(0, &set);
    missing("prlimit", pid, prlimit(pid, RLIMIT_NOFILE, &limit, NULL));
    missing("setpriority", pid, setpriority(PRIO_PROCESS, pid, 19));
    missing("setpriority of a group", pid, setpriority(PRIO_PGRP, pid, 19));
    errno = 0;
    missing("getpriority", pid, getpriority(PRIO_PROCESS, pid));
    missing("capget", pid, syscall(SYS_capget, &header, sets));
    refused("capset", pid, syscall(SYS_capset, &header, sets), EPERM, EPERM);
    missing("sched_setaffinity", pid, sched_setaffinity(pid, sizeof set, &set));
    missing("sched_getaffinity", pid, sched_getaffinity(pid, sizeof set, &set));
    missing("sched_setscheduler", pid, sched_setscheduler(pid, SCHED_BATCH, &parameter));
    missing("sched_getscheduler", pid, sched_getscheduler(pid));
    missing("sched_setparam", pid, sched_setparam(pid, &parameter));
    missing("ioprio_set", pid, syscall(SYS_ioprio_set, 1, pid, 2 << 13 | 7));
    missing("ioprio_get", pid, syscall(SYS_ioprio_get, 1, pid));
    missing("getpgid", pid, getpgid(pid));
    missing("getsid", pid, getsid(pid));
    missing("setpgid", pid, setpgid(pid, 0));
}

static void no_file(const char *what, long pid, int descriptor)
{
    refused(what, pid, descriptor, ENOENT, errno == ELOOP ? ELOOP : EACCES);
    if (descriptor >= 0)
        close(descriptor);
}

/* Every way to write /proc/PID/FILE that we know of. */
static void proc_file(pid_t pid, const char *file, const char *scratch)
{
    char path[512], link_path[256], what[600];
    const char *forms[] = {
        "/proc/%d/%s", "//proc/%d/%s", "/proc/./%d/%s", "/proc/../proc/%d/%s", "/proc/self/../%d/%s",
        "/proc/self/root/proc/%d/%s", "/proc/self/cwd/../../../../../../../../proc/%d/%s", "/usr/../proc/%d//%s",
        "/proc/thread-self/../../../%d/%s", "/dev/fd/../../%d/%s",
    };
    int proc = open("/proc", O_RDONLY | O_DIRECTORY), root = open("/", O_PATH | O_DIRECTORY);

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        snprintf(path, sizeof path, forms[i], pid, file);
        snprintf(what, sizeof what, "open %s", path);
        no_file(what, pid, open(path, O_RDONLY));
    }
    snprintf(path, sizeof path, "%d/%s", pid, file);
    no_file("openat from /proc", pid, openat(proc, path, O_RDONLY));
    snprintf(path, sizeof path, "proc/%d/%s", pid, file);
    no_file("openat from /", pid, openat(root, path, O_RDONLY));

    snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
    snprintf(link_path, sizeof link_path, "%s/link", scratch);
    unlink(link_path);
    if (symlink(path, link_path) == 0)
        no_file("open of a link", pid, open(link_path, O_RDONLY));
    unlink(link_path);
    if (symlink("/proc", link_path) == 0) {
        snprintf(path, sizeof path, "%s/%d/%s", link_path, pid, file);
        no_file("open through a link to /proc", pid, open(path, O_RDONLY));
        if (chdir(link_path) == 0) {
            snprintf(path, sizeof path, "%d/%s", pid, file);
            no_file("open from a working directory behind a link", pid, open(path, O_RDONLY));
        }
    }
    if (chdir("/proc") == 0) {
        snprintf(path, sizeof path, "./%d/%s", pid, file);
        no_file("open from /proc", pid, open(path, O_RDONLY));
    }
    if (chdir("/proc/self") == 0) {
        snprintf(path, sizeof path, "../%d/%s", pid, file);
        no_file("open from /proc/self", pid, open(path, O_RDONLY));
    }
    if (chdir(scratch) != 0)
        perror("chdir");
    unlink(link_path);
    close(proc);
    close(root);
}

/* /proc/self/mem, however it is reached, is this program's memory or is refused: never pagewalk's. */
static void own_memory(const char *scratch)
{
    static volatile uint64_t word;
    char link_path[256];
    int proc = open("/proc", O_RDONLY | O_DIRECTORY), files[5];

    snprintf(link_path, sizeof link_path, "%s/mem", scratch);
    unlink(link_path);
    if (symlink("/proc/self/mem", link_path) != 0)
        perror("symlink");
    files[0] = open("/proc/self/mem", O_RDWR);
    files[1] = openat(proc, "self/mem", O_RDWR);
    files[2] = open(link_path, O_RDWR);
    files[3] = open("/proc/thread-self/mem", O_RDWR);
    files[4] = open("/dev/fd/../mem", O_RDWR);
    for (int i = 0; i < 5; i++) {
        uint64_t value = 0x5eed0000 + i, back = 0;
        attempts++;
        if (files[i] < 0)
            continue;
        if (pwrite(files[i], &value, sizeof value, (off_t)(uintptr_t)&word) == sizeof value && word == value &&
            pread(files[i], &back, sizeof back, (off_t)(uintptr_t)&word) == sizeof back && back == value)
            continue;
        offences++;
        printf("mem number %d is not this program's memory\n", i);
    }
    unlink(link_path);
}

static void devices(const char *scratch)
{
    char node[256];

    snprintf(node, sizeof node, "%s/device", scratch);
    refused("/dev/mem", 0, open("/dev/mem", O_RDWR), EACCES, ENOENT);
    refused("/dev/kmem", 0, open("/dev/kmem", O_RDWR), EACCES, ENOENT);
    refused("/dev/port", 0, open("/dev/port", O_RDWR), EACCES, ENOENT);
    refused("/proc/kcore", 0, open("/proc/kcore", O_RDONLY), EACCES, ENOENT);
    refused("/proc/sysrq-trigger", 0, open("/proc/sysrq-trigger", O_WRONLY), EACCES, ENOENT);
    if (mknod(node, S_IFCHR | 0600, makedev(1, 1)) == 0)
        refused("a node for /dev/mem", 0, open(node, O_RDWR), EACCES, ENXIO);
    unlink(node);
    refused("perf_event_open", 0, syscall(SYS_perf_event_open, 0, 0, -1, -1, 0), ENOSYS, ENOSYS);
    refused("bpf", 0, syscall(SYS_bpf, 0, 0, 0), ENOSYS, ENOSYS);
    refused("userfaultfd", 0, syscall(SYS_userfaultfd, 0), ENOSYS, ENOSYS);
    refused("io_uring_setup", 0, syscall(SYS_io_uring_setup, 1, 0), ENOSYS, ENOSYS);
    refused("init_module", 0, syscall(SYS_init_module, 0, 0, 0), ENOSYS, EPERM);
    refused("kexec_load", 0, syscall(SYS_kexec_load, 0, 0, 0, 0), ENOSYS, EPERM);
    refused("reboot", 0, syscall(SYS_reboot, 0, 0, 0, 0), EPERM, EPERM);
}

/* A text of the host's does not have the number as one of its words. */
static void unnamed(const char *path, pid_t pid)
{
    char word[32];
    FILE *text = fopen(path, "r");

    attempts++;
    while (text && fscanf(text, "%31s", word) == 1) {
        if (atoi(word) != pid)
            continue;
        offences++;
        printf("%s names %d\n", path, pid);
    }
    if (text)
        fclose(text);
}

/* Files that list processes, and what sockets tell of them. */
static void numbers(pid_t pid, const char *scratch)
{
    static const char *const names[] = { "cgroup.procs", "cgroup.threads", "tasks" };
    char path[512], link_path[256];
    struct sockaddr_nl name = { .nl_family = AF_NETLINK };
    socklen_t bytes = sizeof name;
    struct ucred peer = { -1, 0, 0 };
    int pair[2], number, netlink[2];
    glob_t found;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s", names[i]);
        unnamed(path, pid);
        snprintf(path, sizeof path, "/sys/fs/cgroup/*/%s", names[i]);
        if (glob(path, 0, NULL, &found) == 0) {
            for (size_t k = 0; k < found.gl_pathc; k++) {
                unnamed(found.gl_pathv[k], pid);
                snprintf(link_path, sizeof link_path, "%s/group", scratch);
                if (symlink(found.gl_pathv[k], link_path) == 0)
                    unnamed(link_path, pid);
                unlink(link_path);
                *strrchr(found.gl_pathv[k], '/') = 0;
                if (symlink(found.gl_pathv[k], link_path) == 0) {
                    snprintf(path, sizeof path, "%s/%s", link_path, names[i]);
                    unnamed(path, pid);
                    if (chdir(link_path) == 0)
                        unnamed(names[i], pid);
                    if (chdir(scratch) != 0)
                        perror("chdir");
                }
                unlink(link_path);
            }
            globfree(&found);
        }
    }
    for (int i = 0; i < 2; i++) {
        netlink[i] = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
        attempts++;
        name.nl_pid = 0;
        if (bind(netlink[i], (struct sockaddr *)&name, sizeof name) == 0 &&
            getsockname(netlink[i], (struct sockaddr *)&name, &bytes) == 0 && name.nl_pid != 0 &&
            name.nl_pid != (unsigned)pid)
            continue;
        offences++;
        printf("a netlink socket is number %u\n", name.nl_pid);
    }
    unnamed("/proc/net/netlink", pid);
    close(netlink[0]);
    close(netlink[1]);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        perror("socketpair");
    bytes = sizeof peer;
    (void)getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &bytes);
    attempts++;
    if (peer.pid != getpid()) {
        offences++;
        printf("a pair with %d\n", peer.pid);
    }
    bytes = sizeof number;
    refused("SO_PEERPIDFD", pid, getsockopt(pair[0], SOL_SOCKET, 77, &number, &bytes), ENOPROTOOPT, ENOPROTOOPT);
    number = 1;
    refused("SO_PASSPIDFD", pid, setsockopt(pair[0], SOL_SOCKET, 76, &number, bytes), ENOPROTOOPT, ENOPROTOOPT);
    close(pair[0]);
    close(pair[1]);
}

/* Options by which the host would read or write at an address of pagewalk's. */
static void options(pid_t pid)
{
    struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, 0xffff);
    struct sock_fprog program = { 1, &all };
    char received[64] = { 0 };
    socklen_t bytes = sizeof received;
    int tcp = socket(AF_INET, SOCK_STREAM, 0), one = 1, pipes[2];

    if (tcp < 0 || pipe(pipes) != 0)
        perror("socket, pipe");
    refused("SO_ATTACH_FILTER", pid, setsockopt(tcp, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program),
            ENOPROTOOPT, ENOPROTOOPT);
    refused("SO_GET_FILTER", pid, getsockopt(tcp, SOL_SOCKET, SO_GET_FILTER, received, &bytes), ENOPROTOOPT, ENOPROTOOPT);
    refused("SO_ZEROCOPY", pid, setsockopt(tcp, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof one), ENOPROTOOPT, ENOPROTOOPT);
    refused("TCP_ZEROCOPY_RECEIVE", pid, getsockopt(tcp, IPPROTO_TCP, 35, received, &bytes), ENOPROTOOPT, ENOPROTOOPT);
    refused("SO_ATTACH_FILTER of a pipe", pid,
            setsockopt(pipes[0], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program), ENOTSOCK, ENOTSOCK);
    refused("AF_XDP", pid, socket(AF_XDP, SOCK_RAW, 0), EAFNOSUPPORT, EAFNOSUPPORT);
    close(tcp);
    close(pipes[0]);
    close(pipes[1]);
}

/* Signals that a descriptor sends its owner: they would go to pagewalk, and most of them kill. */
static void owners(pid_t pid, const char *scratch)
{
    struct f_owner_ex owner = { F_OWNER_PID, pid };
    char file[256];
    int ends[2], directory = open(scratch, O_RDONLY | O_DIRECTORY), leased, number = pid;
    char byte = 1;

    if (pipe(ends) != 0)
        perror("pipe");
    (void)fcntl(ends[0], F_SETOWN, pid);
    (void)fcntl(ends[0], F_SETOWN_EX, &owner);
    (void)fcntl(ends[0], F_SETSIG, SIGKILL);
    (void)ioctl(ends[0], FIOSETOWN, &number);
    (void)fcntl(ends[0], F_SETFL, fcntl(ends[0], F_GETFL) | O_ASYNC);
    if (write(ends[1], &byte, 1) != 1)
        perror("write");
    signal(SIGIO, SIG_IGN);
    (void)fcntl(directory, F_NOTIFY, DN_CREATE | DN_DELETE | DN_MULTISHOT);
    snprintf(file, sizeof file, "%s/leased", scratch);
    leased = open(file, O_RDWR | O_CREAT | O_TRUNC, 0600);
    close(leased);
    leased = open(file, O_RDONLY);
    (void)fcntl(leased, F_SETLEASE, F_RDLCK);
    /* Breaks the lease, if there is one. */
    close(open(file, O_WRONLY | O_NONBLOCK));
    unlink(file);
    attempts++;
}

int main(int count, char **arguments)
{
    const char *scratch = arguments[1];

    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 2; i < count; i++) {
        pid_t pid = atoi(arguments[i]);
        signals(pid);
        memory(pid);
        scheduling(pid);
        proc_file(pid, "mem", scratch);
        proc_file(pid, "status", scratch);
        proc_file(pid, "task", scratch);
        proc_file(pid, "fd/0", scratch);
        options(pid);
        owners(pid, scratch);
        numbers(pid, scratch);
    }
    own_memory(scratch);
    devices(scratch);
    /* The whole user, and everybody. */
    (void)setpriority(PRIO_USER, getuid(), 19);
    (void)kill(-1, SIGURG);
    (void)kill(1, SIGKILL);
    printf("%d attempts, %d not refused\n", attempts, offences);
    return offences > 0;
}
