//! What calls have written, as `--events calls` prints it: strace's short forms.

use super::Args;
use crate::kernel::Kernel;
use crate::table::{Kind, signal_name};

/// Parts of an iovec that are printed.
const SHOWN_PARTS: u64 = 16;
/// struct msghdr: where its iovec is, and how many parts that has.
const HEADER_BYTES: usize = 56;
const PARTS: usize = 16;
const PART_COUNT: usize = 24;
/// struct stat.
const STAT_BYTES: usize = 144;
const MODE: usize = 24;
const DEVICE: usize = 40;
const SIZE: usize = 48;
/// The words of siginfo_t that tell of a child: signal, code, process, user, status.
const SIGINFO_BYTES: usize = 28;
const CODE: usize = 8;
const CHILD: usize = 16;
const USER: usize = 20;
const STATUS: usize = 24;
const CODES: [&str; 6] = ["CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"];
/// Bits of a mode that are no permissions of anybody.
const TYPES: [(u32, &str); 7] = [
    (libc::S_IFREG, "S_IFREG"),
    (libc::S_IFDIR, "S_IFDIR"),
    (libc::S_IFCHR, "S_IFCHR"),
    (libc::S_IFBLK, "S_IFBLK"),
    (libc::S_IFIFO, "S_IFIFO"),
    (libc::S_IFLNK, "S_IFLNK"),
    (libc::S_IFSOCK, "S_IFSOCK"),
];
const SPECIAL: [(u32, &str); 3] = [(libc::S_ISUID, "S_ISUID"), (libc::S_ISGID, "S_ISGID"), (libc::S_ISVTX, "S_ISVTX")];

impl Kernel {
    /// An argument that a call has filled, which answered `answer`; `None` where it is only an address.
    pub(super) fn print_filled(&mut self, args: &Args, index: usize, kind: Kind, answer: u64) -> Option<String> {
        let (at, space) = (args.at(index), self.space_of(args.tid));
        match kind {
            Kind::OutBytes(_) => Some(self.print_read(args, at, answer)),
            Kind::OutPair => {
                let pair = self.bytes_in(space, at, 8).ok()?;
                Some(format!("[{}, {}]", int(&pair, 0) as i32, int(&pair, 4) as i32))
            }
            Kind::OutStat => self.bytes_in(space, at, STAT_BYTES).ok().map(|stat| stat_text(&stat)),
            Kind::OutStatus if answer == 0 => None,
            Kind::OutStatus => {
                let status = self.bytes_in(space, at, 4).ok()?;
                Some(format!("[{{{}}}]", status_text(int(&status, 0) as i32)))
            }
            Kind::OutSiginfo => self.bytes_in(space, at, SIGINFO_BYTES).ok().map(|info| child_text(&info)),
            Kind::OutVectors(count) => self.print_parts(args, at, args.at(count), answer),
            Kind::OutMessage => {
                let header = self.bytes_in(space, at, HEADER_BYTES).ok()?;
                let count = word(&header, PART_COUNT);
                let parts = self.print_parts(args, word(&header, PARTS), count, answer)?;
                Some(format!("{{msg_iov={parts}, msg_iovlen={count}, ...}}"))
            }
            _ => None,
        }
    }

    /// The parts of an iovec, of which the first `left` bytes have been read.
    fn print_parts(&mut self, args: &Args, at: u64, count: u64, mut left: u64) -> Option<String> {
        let space = self.space_of(args.tid);
        let shown = count.min(SHOWN_PARTS);
        let parts = self.bytes_in(space, at, shown as usize * 16).ok()?;
        let mut texts = Vec::new();
        for part in parts.chunks_exact(16) {
            let (base, bytes) = (word(part, 0), word(part, 8));
            let filled = bytes.min(left);
            left -= filled;
            let content = if base == 0 { "NULL".to_owned() } else { self.print_read(args, base, filled) };
            texts.push(format!("{{iov_base={content}, iov_len={bytes}}}"));
        }
        if shown < count {
            texts.push("...".to_owned());
        }
        Some(format!("[{}]", texts.join(", ")))
    }
}

fn stat_text(stat: &[u8]) -> String {
    let mode = int(stat, MODE);
    let kind = mode & libc::S_IFMT;
    let size = match kind {
        libc::S_IFCHR | libc::S_IFBLK => {
            let [major, minor] = [libc::major(word(stat, DEVICE)), libc::minor(word(stat, DEVICE))].map(hex);
            format!("st_rdev=makedev({major}, {minor})")
        }
        _ => format!("st_size={}", word(stat, SIZE) as i64),
    };
    format!("{{st_mode={}, {size}, ...}}", mode_text(mode))
}

fn mode_text(mode: u32) -> String {
    let kind = mode & libc::S_IFMT;
    let name =
        TYPES.iter().find(|(number, _)| *number == kind).map_or_else(|| format!("{kind:#o}"), |it| it.1.to_owned());
    let special = SPECIAL.iter().filter(|(bit, _)| mode & bit != 0).map(|(_, name)| format!("{name}|"));
    let permissions = match mode & 0o777 {
        0 => "000".to_owned(),
        bits => format!("{:0>3}", format!("0{bits:o}")),
    };
    format!("{name}|{}{permissions}", special.collect::<String>())
}

fn status_text(status: i32) -> String {
    let signal = |number: i32| signal_name(number as u64);
    if libc::WIFEXITED(status) {
        format!("WIFEXITED(s) && WEXITSTATUS(s) == {}", libc::WEXITSTATUS(status))
    } else if libc::WIFCONTINUED(status) {
        "WIFCONTINUED(s)".to_owned()
    } else if libc::WIFSTOPPED(status) {
        format!("WIFSTOPPED(s) && WSTOPSIG(s) == {}", signal(libc::WSTOPSIG(status)))
    } else {
        let core = if libc::WCOREDUMP(status) { " && WCOREDUMP(s)" } else { "" };
        format!("WIFSIGNALED(s) && WTERMSIG(s) == {}{core}", signal(libc::WTERMSIG(status)))
    }
}

fn child_text(info: &[u8]) -> String {
    if int(info, 0) == 0 {
        return "{}".to_owned();
    }
    let code = int(info, CODE);
    let name = CODES.get((code as usize).wrapping_sub(1)).map_or_else(|| code.to_string(), |name| (*name).to_owned());
    let status = int(info, STATUS);
    let status = if code as i32 == libc::CLD_EXITED { status.to_string() } else { signal_name(u64::from(status)) };
    let (signal, child, user) = (signal_name(u64::from(int(info, 0))), int(info, CHILD), int(info, USER));
    format!("{{si_signo={signal}, si_code={name}, si_pid={child}, si_uid={user}, si_status={status}, ...}}")
}

fn hex(number: u32) -> String {
    if number == 0 { "0".to_owned() } else { format!("{number:#x}") }
}

fn int(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_ends_are_in_straces_words() {
        assert_eq!(mode_text(libc::S_IFREG | 0o644), "S_IFREG|0644");
        assert_eq!(mode_text(libc::S_IFREG | libc::S_ISUID | 0o7), "S_IFREG|S_ISUID|007");
        assert_eq!(mode_text(libc::S_IFDIR | libc::S_ISVTX), "S_IFDIR|S_ISVTX|000");
        assert_eq!(status_text(3 << 8), "WIFEXITED(s) && WEXITSTATUS(s) == 3");
        assert_eq!(status_text(0x8b), "WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV && WCOREDUMP(s)");
        assert_eq!(status_text(0x137f), "WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP");
        assert_eq!(status_text(0xffff), "WIFCONTINUED(s)");
    }
}
