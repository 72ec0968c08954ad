//! Arguments that are numbers, in the words of the manual: as strace prints them.

use super::vocabulary::SPOKEN;
use std::fmt::Write;

/// A number and its name.
pub(super) type Name = (u64, &'static str);

/// How an argument is printed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Words {
    /// One of these.
    OneOf(&'static [Name]),
    /// What `mask` selects is one of `choices`; the rest are bits.
    Flags { mask: u64, choices: &'static [Name], bits: &'static [Name] },
    /// Permissions of a file, in octal.
    Mode,
    /// A signal.
    Signal,
    /// clone's: bits, and a signal in the lowest byte.
    Clone(&'static [Name]),
}

/// Bits of clone's flags that are a signal.
const CSIGNAL: u64 = 0xff;

/// The words for an argument of a call, if it has any.
pub(crate) fn words_of(call: &str, index: usize, value: u64) -> Option<String> {
    let (_, _, words) = SPOKEN.iter().find(|(name, at, _)| *name == call && *at == index)?;
    // All of these are ints; what lies above them is chance.
    let value = u64::from(value as u32);
    Some(match words {
        Words::OneOf(names) => name_in(names, value).map_or_else(|| plain(value), str::to_owned),
        Words::Flags { mask, choices, bits } => flags(value, *mask, choices, bits),
        Words::Mode => {
            if value == 0 {
                "000".to_owned()
            } else {
                format!("0{value:03o}")
            }
        }
        Words::Signal => signal_name(value),
        Words::Clone(bits) => {
            let signal = value & CSIGNAL;
            let text = flags(value & !CSIGNAL, 0, &[], bits);
            match (value & !CSIGNAL, signal) {
                (_, 0) => text,
                (0, signal) => signal_name(signal),
                (_, signal) => format!("{text}|{}", signal_name(signal)),
            }
        }
    })
}

fn flags(value: u64, mask: u64, choices: &[Name], bits: &[Name]) -> String {
    let mut left = value & !mask;
    let mut text = match name_in(choices, value & mask) {
        Some(choice) => choice.to_owned(),
        None => {
            left = value;
            String::new()
        }
    };
    for (bit, name) in bits.iter().filter(|(bit, _)| *bit != 0) {
        if left & bit == *bit {
            left &= !bit;
            add(&mut text, name);
        }
    }
    if left != 0 {
        add(&mut text, &format!("{left:#x}"));
    }
    if text.is_empty() {
        // Where no bit is a choice of its own: PROT_NONE, F_OK.
        text.push_str(name_in(bits, 0).unwrap_or("0"));
    }
    text
}

fn add(text: &mut String, name: &str) {
    let separator = if text.is_empty() { "" } else { "|" };
    write!(text, "{separator}{name}").expect("a string takes all text");
}

fn name_in(names: &[Name], value: u64) -> Option<&'static str> {
    names.iter().find(|(number, _)| *number == value).map(|(_, name)| *name)
}

/// A number without a name.
fn plain(value: u64) -> String {
    match value as i32 {
        small @ -0xffff..=0xffff => small.to_string(),
        _ => format!("{value:#x}"),
    }
}

/// A signal.
pub(crate) fn signal_name(value: u64) -> String {
    const REAL_TIME: u64 = 32;
    match name_in(super::vocabulary::SIGNALS, value) {
        Some(name) => name.to_owned(),
        None if (REAL_TIME..=64).contains(&value) => format!("SIGRT_{}", value - REAL_TIME),
        None => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(call: &str, index: usize, value: i32) -> String {
        words_of(call, index, value as u64).unwrap_or_else(|| panic!("{call} has words for {index}"))
    }

    #[test]
    fn flags_are_a_choice_and_bits() {
        assert_eq!(words("openat", 2, libc::O_RDONLY), "O_RDONLY");
        assert_eq!(words("openat", 2, libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC), "O_WRONLY|O_CREAT|O_TRUNC");
        assert_eq!(
            words("open", 1, libc::O_RDWR | libc::O_CLOEXEC | libc::O_DIRECTORY),
            "O_RDWR|O_DIRECTORY|O_CLOEXEC"
        );
        assert_eq!(words("open", 1, libc::O_TMPFILE | libc::O_RDWR), "O_RDWR|O_TMPFILE");
        assert_eq!(words("open", 1, 3), "0x3");
        assert_eq!(words("mmap", 2, 0), "PROT_NONE");
        assert_eq!(words("mmap", 2, 7), "PROT_READ|PROT_WRITE|PROT_EXEC");
        assert_eq!(words("mmap", 3, 0x22), "MAP_PRIVATE|MAP_ANONYMOUS");
        assert_eq!(words("mmap", 3, 0x812), "MAP_PRIVATE|MAP_FIXED|MAP_DENYWRITE");
        assert_eq!(words("mmap", 3, 0x4022), "MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE");
        assert_eq!(words("mprotect", 2, 0x10_0001), "PROT_READ|0x100000");
        assert_eq!(words("access", 1, 0), "F_OK");
        assert_eq!(words("access", 1, 6), "R_OK|W_OK");
        assert_eq!(words("wait4", 2, 0), "0");
        assert_eq!(words("wait4", 2, 3), "WNOHANG|WSTOPPED");
        assert_eq!(words("socket", 1, libc::SOCK_STREAM | libc::SOCK_CLOEXEC), "SOCK_STREAM|SOCK_CLOEXEC");
        assert_eq!(words("newfstatat", 3, libc::AT_EMPTY_PATH), "AT_EMPTY_PATH");
    }

    #[test]
    fn one_of_many_is_named_or_a_number() {
        assert_eq!(words("lseek", 2, 2), "SEEK_END");
        assert_eq!(words("lseek", 2, 77), "77");
        assert_eq!(words("madvise", 2, 4), "MADV_DONTNEED");
        assert_eq!(words("fcntl", 1, libc::F_DUPFD_CLOEXEC), "F_DUPFD_CLOEXEC");
        assert_eq!(words("futex", 1, 128), "FUTEX_WAIT_PRIVATE");
        assert_eq!(words("futex", 1, 0x189), "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME");
        assert_eq!(words("rt_sigprocmask", 0, 2), "SIG_SETMASK");
        assert_eq!(words("clock_gettime", 0, 1), "CLOCK_MONOTONIC");
        assert_eq!(words("prlimit64", 1, 3), "RLIMIT_STACK");
        assert_eq!(words("arch_prctl", 0, 0x1002), "ARCH_SET_FS");
        assert_eq!(words("ioctl", 1, 0x5401), "TCGETS");
        assert_eq!(words("getrusage", 0, -1), "RUSAGE_CHILDREN");
    }

    #[test]
    fn a_mode_is_octal() {
        assert_eq!(words("openat", 3, 0o644), "0644");
        assert_eq!(words("openat", 3, 0), "000");
        assert_eq!(words("umask", 0, 0o22), "0022");
    }

    #[test]
    fn a_signal_has_a_name() {
        assert_eq!(words("kill", 1, libc::SIGTERM), "SIGTERM");
        assert_eq!(words("kill", 1, 0), "0");
        assert_eq!(words("rt_sigaction", 0, 33), "SIGRT_1");
        assert_eq!(words("tgkill", 2, 99), "99");
    }

    #[test]
    fn clone_has_flags_and_a_signal() {
        let forks = libc::CLONE_CHILD_CLEARTID | libc::CLONE_CHILD_SETTID | libc::SIGCHLD;
        assert_eq!(words("clone", 0, forks), "CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD");
        assert_eq!(words("clone", 0, libc::SIGCHLD), "SIGCHLD");
        assert_eq!(words("clone", 0, libc::CLONE_VM | libc::CLONE_VFORK), "CLONE_VM|CLONE_VFORK");
    }

    #[test]
    fn words_are_for_arguments_that_calls_have() {
        for (name, index, _) in SPOKEN {
            let row = (0..470).filter_map(super::super::find).find(|row| row.name == *name);
            let row = row.unwrap_or_else(|| panic!("{name} is a call"));
            assert!(*index < row.args.len(), "{name} has an argument {index}");
        }
    }
}
