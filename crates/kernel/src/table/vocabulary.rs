//! The words of arguments, as data: which argument of which call is in which words.

use super::words::{Name, Words};

/// Numbers of the C library with their names.
macro_rules! names {
    ($($name:ident)*) => {
        &[$((libc::$name as u32 as u64, stringify!($name))),*]
    };
}

/// Words without a choice among them.
const fn bits(bits: &'static [Name]) -> Words {
    Words::Flags { mask: 0, choices: &[], bits }
}

pub(super) const SIGNALS: &[Name] = names![
    SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGBUS SIGFPE SIGKILL SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE SIGALRM SIGTERM
    SIGSTKFLT SIGCHLD SIGCONT SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGWINCH SIGIO
    SIGPWR SIGSYS
];
const OPEN: Words = Words::Flags {
    mask: libc::O_ACCMODE as u64,
    choices: names![O_RDONLY O_WRONLY O_RDWR],
    bits: &[
        (0o100, "O_CREAT"),
        (0o200, "O_EXCL"),
        (0o400, "O_NOCTTY"),
        (0o1000, "O_TRUNC"),
        (0o2000, "O_APPEND"),
        (0o4000, "O_NONBLOCK"),
        (0o4010000, "O_SYNC"),
        (0o10000, "O_DSYNC"),
        (0o20000, "O_ASYNC"),
        (0o40000, "O_DIRECT"),
        (0o100000, "O_LARGEFILE"),
        (0o400000, "O_NOFOLLOW"),
        (0o1000000, "O_NOATIME"),
        (0o10000000, "O_PATH"),
        (0o20200000, "O_TMPFILE"),
        (0o200000, "O_DIRECTORY"),
        (0o2000000, "O_CLOEXEC"),
    ],
};
const PROTECTION: Words = bits(names![PROT_NONE PROT_READ PROT_WRITE PROT_EXEC PROT_GROWSDOWN PROT_GROWSUP]);
const MAPPING: Words = Words::Flags {
    mask: 3,
    choices: names![MAP_SHARED MAP_PRIVATE MAP_SHARED_VALIDATE],
    bits: names![
        MAP_FIXED MAP_ANONYMOUS MAP_32BIT MAP_NORESERVE MAP_POPULATE MAP_NONBLOCK MAP_GROWSDOWN MAP_DENYWRITE
        MAP_EXECUTABLE MAP_LOCKED MAP_STACK MAP_HUGETLB MAP_SYNC MAP_FIXED_NOREPLACE
    ],
};
const ADVICE: Words = Words::OneOf(&[
    (0, "MADV_NORMAL"),
    (1, "MADV_RANDOM"),
    (2, "MADV_SEQUENTIAL"),
    (3, "MADV_WILLNEED"),
    (4, "MADV_DONTNEED"),
    (8, "MADV_FREE"),
    (9, "MADV_REMOVE"),
    (10, "MADV_DONTFORK"),
    (11, "MADV_DOFORK"),
    (12, "MADV_MERGEABLE"),
    (13, "MADV_UNMERGEABLE"),
    (14, "MADV_HUGEPAGE"),
    (15, "MADV_NOHUGEPAGE"),
    (16, "MADV_DONTDUMP"),
    (17, "MADV_DODUMP"),
    (18, "MADV_WIPEONFORK"),
    (19, "MADV_KEEPONFORK"),
    (20, "MADV_COLD"),
    (21, "MADV_PAGEOUT"),
    (22, "MADV_POPULATE_READ"),
    (23, "MADV_POPULATE_WRITE"),
    (24, "MADV_DONTNEED_LOCKED"),
    (25, "MADV_COLLAPSE"),
    (102, "MADV_GUARD_INSTALL"),
    (103, "MADV_GUARD_REMOVE"),
]);
const CLONE: Words = Words::Clone(names![
    CLONE_VM CLONE_FS CLONE_FILES CLONE_SIGHAND CLONE_PIDFD CLONE_PTRACE CLONE_VFORK CLONE_PARENT CLONE_THREAD
    CLONE_NEWNS CLONE_SYSVSEM CLONE_SETTLS CLONE_PARENT_SETTID CLONE_CHILD_CLEARTID CLONE_DETACHED CLONE_UNTRACED
    CLONE_CHILD_SETTID CLONE_NEWCGROUP CLONE_NEWUTS CLONE_NEWIPC CLONE_NEWUSER CLONE_NEWPID CLONE_NEWNET CLONE_IO
]);
/// What futex does is its lowest seven bits; strace has a name for each together with FUTEX_PRIVATE_FLAG.
const FUTEX: Words = Words::Flags {
    mask: 0xff,
    choices: &[
        (0, "FUTEX_WAIT"),
        (1, "FUTEX_WAKE"),
        (3, "FUTEX_REQUEUE"),
        (4, "FUTEX_CMP_REQUEUE"),
        (5, "FUTEX_WAKE_OP"),
        (6, "FUTEX_LOCK_PI"),
        (7, "FUTEX_UNLOCK_PI"),
        (8, "FUTEX_TRYLOCK_PI"),
        (9, "FUTEX_WAIT_BITSET"),
        (10, "FUTEX_WAKE_BITSET"),
        (11, "FUTEX_WAIT_REQUEUE_PI"),
        (12, "FUTEX_CMP_REQUEUE_PI"),
        (13, "FUTEX_LOCK_PI2"),
        (128, "FUTEX_WAIT_PRIVATE"),
        (129, "FUTEX_WAKE_PRIVATE"),
        (131, "FUTEX_REQUEUE_PRIVATE"),
        (132, "FUTEX_CMP_REQUEUE_PRIVATE"),
        (133, "FUTEX_WAKE_OP_PRIVATE"),
        (134, "FUTEX_LOCK_PI_PRIVATE"),
        (135, "FUTEX_UNLOCK_PI_PRIVATE"),
        (136, "FUTEX_TRYLOCK_PI_PRIVATE"),
        (137, "FUTEX_WAIT_BITSET_PRIVATE"),
        (138, "FUTEX_WAKE_BITSET_PRIVATE"),
        (139, "FUTEX_WAIT_REQUEUE_PI_PRIVATE"),
        (140, "FUTEX_CMP_REQUEUE_PI_PRIVATE"),
        (141, "FUTEX_LOCK_PI2_PRIVATE"),
    ],
    bits: names![FUTEX_CLOCK_REALTIME],
};
const FCNTL: Words = Words::OneOf(names![
    F_DUPFD F_GETFD F_SETFD F_GETFL F_SETFL F_GETLK F_SETLK F_SETLKW F_SETOWN F_GETOWN F_OFD_GETLK F_OFD_SETLK
    F_OFD_SETLKW F_SETLEASE F_GETLEASE F_NOTIFY F_DUPFD_CLOEXEC F_SETPIPE_SZ F_GETPIPE_SZ F_ADD_SEALS F_GET_SEALS
]);
const IOCTL: Words = Words::OneOf(names![
    TCGETS TCSETS TCSETSW TCSETSF TCSBRK TCXONC TCFLSH TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ TIOCGWINSZ TIOCSWINSZ
    FIONREAD FIONBIO TIOCNOTTY TIOCGSID FIONCLEX FIOCLEX FIOASYNC TIOCGPTN TIOCSPTLCK
]);
const PRCTL: Words = Words::OneOf(names![
    PR_SET_PDEATHSIG PR_GET_PDEATHSIG PR_GET_DUMPABLE PR_SET_DUMPABLE PR_GET_KEEPCAPS PR_SET_KEEPCAPS PR_SET_NAME
    PR_GET_NAME PR_GET_SECCOMP PR_SET_SECCOMP PR_CAPBSET_READ PR_CAPBSET_DROP PR_GET_TSC PR_SET_TSC PR_SET_TIMERSLACK
    PR_GET_TIMERSLACK PR_SET_MM PR_SET_PTRACER PR_SET_CHILD_SUBREAPER PR_GET_CHILD_SUBREAPER PR_SET_NO_NEW_PRIVS
    PR_GET_NO_NEW_PRIVS PR_SET_THP_DISABLE PR_GET_THP_DISABLE PR_CAP_AMBIENT PR_SET_VMA
]);
const CLOCK: Words = Words::OneOf(names![
    CLOCK_REALTIME CLOCK_MONOTONIC CLOCK_PROCESS_CPUTIME_ID CLOCK_THREAD_CPUTIME_ID CLOCK_MONOTONIC_RAW
    CLOCK_REALTIME_COARSE CLOCK_MONOTONIC_COARSE CLOCK_BOOTTIME CLOCK_REALTIME_ALARM CLOCK_BOOTTIME_ALARM CLOCK_TAI
]);
const ARCH: Words = Words::OneOf(&[
    (0x1001, "ARCH_SET_GS"),
    (0x1002, "ARCH_SET_FS"),
    (0x1003, "ARCH_GET_FS"),
    (0x1004, "ARCH_GET_GS"),
    (0x1011, "ARCH_GET_CPUID"),
    (0x1012, "ARCH_SET_CPUID"),
    (0x3001, "ARCH_CET_STATUS"),
]);
const DOMAIN: Words = Words::OneOf(names![AF_UNSPEC AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET AF_VSOCK]);
const SOCKET: Words = Words::Flags {
    mask: 0xf,
    choices: names![SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET],
    bits: names![SOCK_CLOEXEC SOCK_NONBLOCK],
};
const MESSAGE: Words = bits(names![
    MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC MSG_TRUNC MSG_DONTWAIT MSG_EOR MSG_WAITALL MSG_CONFIRM MSG_ERRQUEUE
    MSG_NOSIGNAL MSG_MORE MSG_WAITFORONE MSG_CMSG_CLOEXEC
]);
const LEVEL: Words = Words::OneOf(names![SOL_SOCKET IPPROTO_IP IPPROTO_TCP IPPROTO_UDP IPPROTO_IPV6]);
const WAIT: Words = bits(names![WNOHANG WSTOPPED WEXITED WCONTINUED WNOWAIT __WNOTHREAD __WALL __WCLONE]);
const LIMIT: Words = Words::OneOf(names![
    RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK
    RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME
]);
/// The bits of one flag of each call that takes AT_*: bit 0x200 means two things.
const AT: Words =
    bits(names![AT_SYMLINK_NOFOLLOW AT_NO_AUTOMOUNT AT_EMPTY_PATH AT_STATX_FORCE_SYNC AT_STATX_DONT_SYNC]);
const AT_REMOVE: Words = bits(names![AT_REMOVEDIR]);
const AT_ACCESS: Words = bits(names![AT_SYMLINK_NOFOLLOW AT_EACCESS AT_EMPTY_PATH]);
const AT_LINK: Words = bits(names![AT_SYMLINK_FOLLOW AT_EMPTY_PATH]);
const ACCESS: Words = bits(names![F_OK R_OK W_OK X_OK]);
const STATX: Words = Words::Flags {
    mask: 0xffff_ffff,
    choices: names![STATX_BASIC_STATS STATX_ALL],
    bits: names![
        STATX_TYPE STATX_MODE STATX_NLINK STATX_UID STATX_GID STATX_ATIME STATX_MTIME STATX_CTIME STATX_INO STATX_SIZE
        STATX_BLOCKS STATX_BTIME STATX_MNT_ID
    ],
};
const WHENCE: Words = Words::OneOf(names![SEEK_SET SEEK_CUR SEEK_END SEEK_DATA SEEK_HOLE]);
const HOW: Words = Words::OneOf(names![SIG_BLOCK SIG_UNBLOCK SIG_SETMASK]);
const USAGE: Words = Words::OneOf(names![RUSAGE_SELF RUSAGE_CHILDREN RUSAGE_THREAD]);
const ITIMER: Words = Words::OneOf(names![ITIMER_REAL ITIMER_VIRTUAL ITIMER_PROF]);
const LOCK: Words = bits(names![LOCK_SH LOCK_EX LOCK_UN LOCK_NB]);
const POLICY: Words = Words::Flags {
    mask: 0xff,
    choices: names![SCHED_OTHER SCHED_FIFO SCHED_RR SCHED_BATCH SCHED_IDLE SCHED_DEADLINE],
    bits: names![SCHED_RESET_ON_FORK],
};
const TIMER: Words = bits(names![TIMER_ABSTIME]);

/// Call, argument, words.
#[rustfmt::skip]
pub(super) const SPOKEN: &[(&str, usize, Words)] = &[
    ("open", 1, OPEN),
    ("openat", 2, OPEN),
    ("open", 2, Words::Mode),
    ("openat", 3, Words::Mode),
    ("creat", 1, Words::Mode),
    ("chmod", 1, Words::Mode),
    ("fchmod", 1, Words::Mode),
    ("fchmodat", 2, Words::Mode),
    ("fchmodat2", 2, Words::Mode),
    ("mkdir", 1, Words::Mode),
    ("mkdirat", 2, Words::Mode),
    ("mknod", 1, Words::Mode),
    ("mknodat", 2, Words::Mode),
    ("umask", 0, Words::Mode),
    ("mmap", 2, PROTECTION),
    ("mprotect", 2, PROTECTION),
    ("mmap", 3, MAPPING),
    ("madvise", 2, ADVICE),
    ("mremap", 3, bits(names![MREMAP_MAYMOVE MREMAP_FIXED MREMAP_DONTUNMAP])),
    ("msync", 2, bits(names![MS_ASYNC MS_INVALIDATE MS_SYNC])),
    ("mlockall", 0, bits(names![MCL_CURRENT MCL_FUTURE MCL_ONFAULT])),
    ("mlock2", 2, bits(names![MLOCK_ONFAULT])),
    ("clone", 0, CLONE),
    ("unshare", 0, CLONE),
    ("futex", 1, FUTEX),
    ("fcntl", 1, FCNTL),
    ("ioctl", 1, IOCTL),
    ("prctl", 0, PRCTL),
    ("arch_prctl", 0, ARCH),
    ("clock_gettime", 0, CLOCK),
    ("clock_getres", 0, CLOCK),
    ("clock_nanosleep", 0, CLOCK),
    ("timer_create", 0, CLOCK),
    ("timerfd_create", 0, CLOCK),
    ("clock_nanosleep", 1, TIMER),
    ("timer_settime", 1, TIMER),
    ("timerfd_settime", 1, TIMER),
    ("timerfd_create", 1, bits(names![TFD_CLOEXEC TFD_NONBLOCK])),
    ("socket", 0, DOMAIN),
    ("socketpair", 0, DOMAIN),
    ("socket", 1, SOCKET),
    ("socketpair", 1, SOCKET),
    ("accept4", 3, bits(names![SOCK_CLOEXEC SOCK_NONBLOCK])),
    ("sendto", 3, MESSAGE),
    ("recvfrom", 3, MESSAGE),
    ("sendmsg", 2, MESSAGE),
    ("recvmsg", 2, MESSAGE),
    ("sendmmsg", 3, MESSAGE),
    ("recvmmsg", 3, MESSAGE),
    ("setsockopt", 1, LEVEL),
    ("getsockopt", 1, LEVEL),
    ("shutdown", 1, Words::OneOf(names![SHUT_RD SHUT_WR SHUT_RDWR])),
    ("wait4", 2, WAIT),
    ("waitid", 3, WAIT),
    ("waitid", 0, Words::OneOf(names![P_ALL P_PID P_PGID P_PIDFD])),
    ("getrlimit", 0, LIMIT),
    ("setrlimit", 0, LIMIT),
    ("prlimit64", 1, LIMIT),
    ("getrusage", 0, USAGE),
    ("kill", 1, Words::Signal),
    ("tkill", 1, Words::Signal),
    ("tgkill", 2, Words::Signal),
    ("rt_sigaction", 0, Words::Signal),
    ("rt_sigqueueinfo", 1, Words::Signal),
    ("rt_tgsigqueueinfo", 2, Words::Signal),
    ("rt_sigprocmask", 0, HOW),
    ("getitimer", 0, ITIMER),
    ("setitimer", 0, ITIMER),
    ("newfstatat", 3, AT),
    ("statx", 2, AT),
    ("fchownat", 4, AT),
    ("utimensat", 3, AT),
    ("fchmodat2", 3, AT),
    ("execveat", 4, AT),
    ("unlinkat", 2, AT_REMOVE),
    ("faccessat2", 3, AT_ACCESS),
    ("linkat", 4, AT_LINK),
    ("statx", 3, STATX),
    ("access", 1, ACCESS),
    ("faccessat", 2, ACCESS),
    ("faccessat2", 2, ACCESS),
    ("lseek", 2, WHENCE),
    ("flock", 1, LOCK),
    ("epoll_ctl", 1, Words::OneOf(names![EPOLL_CTL_ADD EPOLL_CTL_DEL EPOLL_CTL_MOD])),
    ("epoll_create1", 0, bits(names![EPOLL_CLOEXEC])),
    ("eventfd2", 1, bits(names![EFD_SEMAPHORE EFD_CLOEXEC EFD_NONBLOCK])),
    ("dup3", 2, bits(names![O_CLOEXEC])),
    ("pipe2", 1, bits(names![O_NONBLOCK O_DIRECT O_CLOEXEC])),
    ("getrandom", 2, bits(names![GRND_NONBLOCK GRND_RANDOM GRND_INSECURE])),
    ("memfd_create", 1, bits(names![MFD_CLOEXEC MFD_ALLOW_SEALING MFD_HUGETLB])),
    ("renameat2", 4, bits(names![RENAME_NOREPLACE RENAME_EXCHANGE RENAME_WHITEOUT])),
    ("inotify_init1", 0, bits(names![IN_CLOEXEC IN_NONBLOCK])),
    ("fallocate", 1, bits(names![FALLOC_FL_KEEP_SIZE FALLOC_FL_PUNCH_HOLE FALLOC_FL_COLLAPSE_RANGE FALLOC_FL_ZERO_RANGE])),
    ("fadvise64", 3, Words::OneOf(names![POSIX_FADV_NORMAL POSIX_FADV_RANDOM POSIX_FADV_SEQUENTIAL POSIX_FADV_WILLNEED POSIX_FADV_DONTNEED POSIX_FADV_NOREUSE])),
    ("splice", 5, bits(names![SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE])),
    ("tee", 3, bits(names![SPLICE_F_MOVE SPLICE_F_NONBLOCK SPLICE_F_MORE])),
    ("sched_setscheduler", 1, POLICY),
    ("getpriority", 0, Words::OneOf(names![PRIO_PROCESS PRIO_PGRP PRIO_USER])),
    ("setpriority", 0, Words::OneOf(names![PRIO_PROCESS PRIO_PGRP PRIO_USER])),
];
