//! Whom to kill when there is no memory: as Linux chooses.
//!
//! RAM that is full kills who asks for more of it. This is for the host's memory, of which guests take other things too:
//! whoever watches it (`machine::memory_watch`) asks for a victim before the host finds one, which would be pagewalk.

use crate::Warning;
use crate::kernel::Kernel;
use crate::signal::SigInfo;
use crate::task::{Pid, Process, Tid};
use addr::PAGE_BYTES;

/// What oom_score and oom_score_adj count in; an adjustment of this much below zero protects a process.
pub(crate) const OOM_SCORE_RANGE: i64 = 1000;

/// Who was killed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Victim {
    /// The process that had most.
    pub pid: Pid,
    /// Its threads, and those of all that shared its memory.
    pub threads: Vec<Tid>,
}

impl Kernel {
    /// Kills the process that has most, with those that share its memory; `None` if there is none that is not dying
    /// already. A protected one is killed where no other is left.
    pub fn kill_for_memory(&mut self) -> Option<Victim> {
        let is_dying = |process: &Process| process.ending.is_some() || process.pending.set().has(libc::SIGKILL);
        let candidates = self.processes.values().filter(|process| !process.is_zombie() && !is_dying(process));
        // The youngest of equals, as on Linux.
        let pid = candidates.map(|process| process.pid).max_by_key(|pid| self.badness(*pid))?;
        let victim = &self.processes[&pid];
        let (space, name) = (victim.space, victim.image.name.clone());
        let sharing = |process: &&Process| process.pid == pid || space.is_some() && process.space == space;
        let killed: Vec<Pid> = self.processes.values().filter(sharing).map(|process| process.pid).collect();
        for pid in &killed {
            self.send_to_process(*pid, SigInfo::kernel(libc::SIGKILL));
        }
        self.warnings.add(Warning::KilledForMemory(pid.get(), name));
        Some(Victim { pid, threads: killed.iter().flat_map(|pid| self.processes[pid].tasks.clone()).collect() })
    }

    /// Whether a process lives, and so holds its memory.
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.processes.get(&pid).is_some_and(|process| !process.is_zombie())
    }

    /// How much a process has, in pages, with its adjustment; `None` if that protects it, or if it has no memory.
    pub(crate) fn badness(&self, pid: Pid) -> Option<i64> {
        let process = &self.processes[&pid];
        let adjustment = i64::from(process.oom_adjustment);
        let space = process.space.filter(|_| adjustment > -OOM_SCORE_RANGE)?;
        let usage = self.mm.usage(space);
        let tables = self.mm.table_bytes(space) / PAGE_BYTES;
        let used = (usage.resident_pages() + usage.swapped_pages + tables) as i64;
        Some(used + adjustment * self.ram_and_swap_pages() / OOM_SCORE_RANGE)
    }

    pub(crate) fn ram_and_swap_pages(&self) -> i64 {
        (self.ram_pages() + self.config.mm.swap_pages) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use crate::calls::tests::{call, with_program};
    use addr::Registers;

    /// A process like the first.
    fn fork(kernel: &mut Kernel, tid: Tid, registers: &mut Registers) -> Pid {
        let before: Vec<Pid> = kernel.processes.keys().copied().collect();
        assert!(matches!(call(libc::SYS_fork as u64, kernel, tid, registers), Outcome::Spawn(_)));
        kernel.processes.keys().copied().find(|pid| !before.contains(pid)).expect("fork made one")
    }

    fn killed(kernel: &Kernel) -> Vec<bool> {
        kernel.processes.values().map(|process| process.pending.set().has(libc::SIGKILL)).collect()
    }

    #[test]
    fn who_has_most_is_killed_first() {
        with_program(|kernel, tid, registers| {
            let first = kernel.pid_of(tid);
            let (second, third) = (fork(kernel, tid, registers), fork(kernel, tid, registers));
            kernel.processes.get_mut(&first).unwrap().oom_adjustment = -1000;
            kernel.processes.get_mut(&second).unwrap().oom_adjustment = 10;
            let kill = |kernel: &mut Kernel| (kernel.kill_for_memory().map(|victim| victim.pid), killed(kernel));
            assert_eq!(kill(kernel), (Some(second), vec![false, true, false]));
            assert!(kernel.is_alive(second), "it has not seen the signal yet");
            assert_eq!(kill(kernel), (Some(third), vec![false, true, true]));
            // A protected one, since there is no other.
            assert_eq!(kill(kernel), (Some(first), vec![true; 3]));
            assert_eq!(kernel.kill_for_memory(), None);
            let told: Vec<String> = kernel.take_warnings().iter().map(Warning::to_string).collect();
            assert_eq!(told.len(), 3);
            assert_eq!(told[0], format!("the host is out of memory: process {second} (true) was killed"));
        });
    }

    #[test]
    fn who_shares_its_memory_is_killed_with_it() {
        with_program(|kernel, tid, registers| {
            fork(kernel, tid, registers);
            let (first, vforked) = (kernel.pid_of(tid), fork(kernel, tid, registers));
            kernel.processes.get_mut(&vforked).unwrap().space = kernel.processes[&first].space;
            kernel.processes.get_mut(&vforked).unwrap().oom_adjustment = 500;
            let threads = [first, vforked].iter().flat_map(|pid| kernel.processes[pid].tasks.clone()).collect();
            assert_eq!(kernel.kill_for_memory(), Some(Victim { pid: vforked, threads }));
            assert_eq!(killed(kernel), [true, false, true]);
        });
    }
}
