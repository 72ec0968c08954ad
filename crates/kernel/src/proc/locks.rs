//! /proc/locks: the locks on files that guests hold.
//!
//! The locks are the host's, taken by the threads that stand in the guests' descriptor tables; the host shows them with
//! their descriptors, and its list of all locks would show those of others.

use super::node::Whose;
use crate::kernel::Kernel;
use crate::task::Pid;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;

pub(super) fn text(kernel: &mut Kernel, _: &str) -> String {
    let pids: Vec<Pid> = kernel.processes.keys().copied().collect();
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    for pid in pids {
        for lock in kernel.locks_of(pid) {
            // A lock of a descriptor that a fork has copied is one lock.
            if seen.insert(lock.clone()) {
                let owner = lock.replacen(OWNER, &pid.to_string(), 1);
                writeln!(text, "{}: {owner}", seen.len()).expect("a string takes all text");
            }
        }
    }
    text
}

/// Stands for the owner's number until it is known.
const OWNER: &str = "\u{0}";

impl Kernel {
    /// The locks that descriptors of a process hold, as lines without their number.
    fn locks_of(&self, pid: Pid) -> Vec<String> {
        let whose = Whose { pid, tid: None };
        let host_tid = self.host_tid_of(whose);
        let infos = self.descriptors_of(whose).into_iter().filter_map(|descriptor| {
            let path = format!("/proc/self/task/{host_tid}/fdinfo/{descriptor}");
            std::fs::read_to_string(path).ok()
        });
        infos.flat_map(|info| info.lines().filter_map(lock_in).collect::<Vec<_>>()).collect()
    }

    /// The process that holds a lock of a file, as `struct flock` describes it.
    pub(crate) fn holder_of(&self, descriptor: i32, lock: &[u8]) -> Option<Pid> {
        let file = host::files::regular_file(descriptor)?;
        let wanted = described(lock);
        let holds = |whose: Whose| {
            let host_tid = self.host_tid_of(whose);
            self.descriptors_of(whose).into_iter().any(|descriptor| {
                let table = format!("/proc/self/task/{host_tid}");
                let is_it = std::fs::metadata(format!("{table}/fd/{descriptor}"))
                    .is_ok_and(|found| (found.dev(), found.ino()) == file);
                is_it
                    && std::fs::read_to_string(format!("{table}/fdinfo/{descriptor}"))
                        .is_ok_and(|info| info.lines().any(|line| range_in(line).as_ref() == Some(&wanted)))
            })
        };
        self.processes.keys().copied().find(|pid| holds(Whose { pid: *pid, tid: None }))
    }
}

/// Kind, start and end of a lock of a process, in the words of fdinfo.
type Range = [String; 3];

/// The lock that `struct flock` describes.
fn described(lock: &[u8]) -> Range {
    let word = |at: usize| i64::from_le_bytes(lock[at..at + 8].try_into().expect("eight bytes"));
    let kind = if i32::from(lock[0]) == libc::F_RDLCK { "READ" } else { "WRITE" };
    let (start, length) = (word(8), word(16));
    let end = if length == 0 { "EOF".to_owned() } else { start.saturating_add(length - 1).to_string() };
    [kind.to_owned(), start.to_string(), end]
}

/// The lock of a process in a line of fdinfo.
fn range_in(line: &str) -> Option<Range> {
    let words: Vec<&str> = line.strip_prefix("lock:")?.split_whitespace().collect();
    match words[..] {
        [_, "POSIX", _, kind, _, _, start, end] => Some([kind, start, end].map(str::to_owned)),
        _ => None,
    }
}

/// The lock in a line of fdinfo, its owner left out.
fn lock_in(line: &str) -> Option<String> {
    let mut words = line.strip_prefix("lock:")?.split_whitespace().skip(1);
    let (kind, how, what, owner) = (words.next()?, words.next()?, words.next()?, words.next()?);
    // A lock of an open file, and not of a process, has no owner.
    let owner = if owner == "-1" { owner } else { OWNER };
    let rest: Vec<&str> = words.collect();
    Some(format!("{kind:<6} {how:<9} {what:<5} {owner} {}", rest.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_found_in_what_a_descriptor_shows() {
        let line = "lock:\t1: FLOCK  ADVISORY  WRITE 2176 fe:00:10036823 0 EOF";
        assert_eq!(lock_in(line).unwrap(), format!("FLOCK  ADVISORY  WRITE {OWNER} fe:00:10036823 0 EOF"));
        assert_eq!(
            lock_in("lock:\t1: OFDLCK ADVISORY  READ -1 00:01:5 3 9").unwrap(),
            "OFDLCK ADVISORY  READ  -1 00:01:5 3 9"
        );
        assert_eq!(lock_in("pos:\t0"), None);
    }

    #[test]
    fn a_lock_is_known_by_its_range() {
        let lock = |kind: u8, start: i64, length: i64| {
            let words = [i64::from(kind), start, length, 0];
            described(&words.map(i64::to_le_bytes).concat())
        };
        let line = |rest: &str| range_in(&format!("lock:\t1: {rest}")).unwrap();
        assert_eq!(lock(1, 0, 10), line("POSIX  ADVISORY  WRITE 2176 fe:00:10036823 0 9"));
        assert_eq!(lock(0, 5, 0), line("POSIX  ADVISORY  READ 2176 fe:00:10036823 5 EOF"));
        assert_eq!(range_in("lock:\t1: OFDLCK ADVISORY  READ -1 00:01:5 3 9"), None);
        assert_eq!(range_in("lock:\t"), None);
    }
}
