//! Every system call of x86-64 as data: its number, its name, who executes it, and what its arguments are.
//!
//! The rows drive three things: calls that the host executes are built from them (buffers in, buffers out), refusals
//! are answered from them, and `--events calls` prints arguments by them.

mod first;
mod second;
mod vocabulary;
mod words;

pub(crate) use words::{signal_name, words_of};

use crate::Errno;

/// One system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub nr: u64,
    pub name: &'static str,
    pub class: Class,
    pub args: &'static [Kind],
}

/// Who executes a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// The kernel, perhaps with the host's help.
    Ours,
    /// The host, with copies of the guest's buffers.
    Host,
    /// Nobody: this is the answer, for this reason. If it is `ENOSYS`, where Linux would execute the call, the name is told
    /// once.
    Refused(Errno, &'static str),
    /// Nobody: `ENOSYS` without a word. A Linux may answer so too, on such a machine as ours or because it has the call no
    /// more, or every program asks for it when it starts, and goes on without.
    Absent(&'static str),
    /// Nobody, though it could be done: `ENOSYS`, and its name is told once. Programs do without, for this reason.
    Missing(&'static str),
    /// The number means nothing.
    Unassigned,
}

/// What an argument is. A number in parentheses that is named `length` or `count` is the index of another argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A number.
    Value,
    /// A number of 32 bits that may be negative.
    Int,
    /// Flags or a mode.
    Bits,
    /// A descriptor.
    Fd,
    /// An address that the kernel itself looks at.
    Address,
    /// A path.
    Path,
    /// Another string.
    Text,
    /// This many bytes that the call reads.
    In(usize),
    /// This many bytes that the call writes.
    Out(usize),
    /// This many bytes that the call reads and writes.
    InOut(usize),
    /// As many bytes as argument `length` says, read.
    InBytes(usize),
    /// As many bytes as argument `length` says, of which the call writes as many as it answers.
    OutBytes(usize),
    /// As many elements as argument `count` says, read.
    InArray(usize, usize),
    /// As many elements as argument `count` says, written.
    OutArray(usize, usize),
    /// As many elements as argument `count` says, read and written.
    InOutArray(usize, usize),
    /// As many elements as argument `count` says, of which the call writes as many as it answers.
    OutElements(usize, usize),
    /// As many bytes as the u32 behind argument `length` says; the call says there how many it wanted to write.
    OutWord(usize),
    /// Two descriptors, written.
    OutPair,
    /// A struct stat, written.
    OutStat,
    /// How a child ended, written if the answer is a child.
    OutStatus,
    /// What has become of a child, as siginfo_t, written.
    OutSiginfo,
    /// An iovec of as many parts as argument `count` says, into which the call reads as many bytes as it answers.
    OutVectors(usize),
    /// A struct msghdr, into whose parts the call reads as many bytes as it answers.
    OutMessage,
}

impl Kind {
    /// What it is to the host, which transfers bytes without a meaning.
    pub fn transferred(self) -> Self {
        match self {
            Self::Int => Self::Value,
            Self::OutPair => Self::Out(8),
            Self::OutStat => Self::Out(144),
            Self::OutStatus | Self::OutSiginfo | Self::OutVectors(_) | Self::OutMessage => Self::Address,
            other => other,
        }
    }

    /// Whether `--events calls` prints what the call has written there.
    pub fn is_printed_after(self) -> bool {
        use Kind::*;
        matches!(self, OutBytes(_) | OutPair | OutStat | OutStatus | OutSiginfo | OutVectors(_) | OutMessage)
    }
}

const fn row(nr: u64, name: &'static str, class: Class, args: &'static [Kind]) -> Row {
    Row { nr, name, class, args }
}

/// The row of a number, if it means anything.
pub(crate) fn find(nr: u64) -> Option<&'static Row> {
    let split = first::ROWS.len();
    let index = usize::try_from(nr).ok()?;
    let row = if index < split { first::ROWS.get(index) } else { second::ROWS.get(index - split) };
    row.filter(|row| row.class != Class::Unassigned)
}

/// The name of a number.
pub(crate) fn name_of(nr: u64) -> String {
    find(nr).map_or_else(|| format!("syscall_{nr:#x}"), |row| row.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = &'static Row> {
        first::ROWS.iter().chain(second::ROWS)
    }

    #[test]
    fn every_number_has_one_row_in_order() {
        assert!(all().enumerate().all(|(index, row)| row.nr == index as u64));
        assert_eq!(all().count(), 470);
    }

    #[test]
    fn names_are_the_hosts_numbers() {
        for (nr, name) in [
            (libc::SYS_read, "read"),
            (libc::SYS_openat, "openat"),
            (libc::SYS_rseq, "rseq"),
            (libc::SYS_clone3, "clone3"),
            (libc::SYS_futex, "futex"),
            (libc::SYS_statx, "statx"),
        ] {
            assert_eq!(find(nr as u64).unwrap().name, name);
        }
        assert_eq!(find(400), None);
        assert_eq!(find(u64::MAX), None);
    }

    /// What shells, compilers, interpreters, databases and servers were seen to call. rseq and protection keys are not
    /// among them: programs go on without.
    const USED_BY_REAL_PROGRAMS: &str = "execve brk mmap access openat newfstatat fstat stat lstat read pread64 close arch_prctl \
        set_tid_address set_robust_list mprotect prlimit64 munmap getrandom ioctl exit_group exit mremap madvise msync clone \
        clone3 vfork fork wait4 getpid getppid getpgrp gettid setpgid setsid kill tgkill prctl sched_getaffinity sched_yield \
        getrusage sysinfo uname capget setuid setgid setgroups getgroups umask rt_sigaction rt_sigprocmask rt_sigreturn \
        rt_sigsuspend sigaltstack restart_syscall alarm setitimer timer_create timer_settime pause futex write pwrite64 writev \
        lseek open statx faccessat2 readlink getdents64 fcntl flock fsync fdatasync ftruncate fadvise64 copy_file_range \
        sendfile rename renameat2 link linkat symlink symlinkat unlink unlinkat mkdir rmdir chmod fchmodat chown fchown \
        utimensat getcwd chdir fchdir statfs fstatfs getxattr lgetxattr dup dup2 pipe2 eventfd2 epoll_create epoll_create1 \
        epoll_ctl epoll_wait epoll_pwait poll pselect6 socket connect accept4 bind listen setsockopt getsockopt getsockname \
        getpeername sendto recvfrom sendmsg recvmsg shutdown socketpair close_range clock_nanosleep clock_getres";

    #[test]
    fn what_real_programs_call_is_executed() {
        for name in USED_BY_REAL_PROGRAMS.split_whitespace() {
            let row = all().find(|row| row.name == name).unwrap_or_else(|| panic!("{name} is no system call"));
            assert!(matches!(row.class, Class::Ours | Class::Host), "{name}");
        }
    }

    #[test]
    fn lengths_name_arguments_that_exist() {
        use Kind::*;
        for row in all() {
            for kind in row.args {
                if let InBytes(at)
                | OutBytes(at)
                | OutVectors(at)
                | OutWord(at)
                | InArray(at, _)
                | OutArray(at, _)
                | InOutArray(at, _)
                | OutElements(at, _) = *kind
                {
                    assert!(at < row.args.len(), "{}", row.name);
                }
            }
        }
    }
}
