//! /proc/locks: the locks on files that guests hold.
//!
//! The locks are the host's, taken by the threads that stand in the guests' descriptor tables; the host shows them with
//! their descriptors, and its list of all locks would show those of others.

use super::node::Whose;
use crate::kernel::Kernel;
use crate::task::Pid;
use std::collections::BTreeSet;
use std::fmt::Write;

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
}
