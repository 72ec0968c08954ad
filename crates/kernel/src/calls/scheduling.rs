//! What a program asks of the scheduler: policies, priorities, CPUs. They are kept and told as Linux would;
//! whose turn it is, the machine decides.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use addr::VirtAddr;

/// Bytes of a CPU set that the kernel writes.
const CPU_SET_BYTES: u64 = 8;
/// The smallest struct sched_attr.
const ATTRIBUTE_BYTES: usize = 48;
const RESET_ON_FORK: i32 = libc::SCHED_RESET_ON_FORK;
/// `sched_flags` of the same.
const RESET_ON_FORK_FLAG: u64 = 1;
/// What sched_rr_get_interval says of SCHED_RR.
const ROUND_ROBIN_NS: u64 = 100_000_000;
const PRIORITIES: std::ops::RangeInclusive<i32> = 1..=99;

/// What was asked of the scheduler for a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scheduling {
    policy: i32,
    priority: i32,
    /// The CPUs it may run on.
    cpus: u64,
    resets_on_fork: bool,
    /// ioprio_set(2): a class and what it has within.
    pub io_priority: u16,
}

impl Default for Scheduling {
    fn default() -> Self {
        Self { policy: libc::SCHED_OTHER, priority: 0, cpus: u64::MAX, resets_on_fork: false, io_priority: 0 }
    }
}

impl Scheduling {
    /// Its priority among real-time tasks; 0 for others.
    pub fn real_time_priority(self) -> i32 {
        self.priority
    }

    /// What a task that this one makes begins with.
    pub fn of_child(self) -> Self {
        match self.resets_on_fork {
            false => self,
            true if self.priority > 0 => Self { cpus: self.cpus, io_priority: self.io_priority, ..Self::default() },
            true => Self { resets_on_fork: false, ..self },
        }
    }

    fn set(&mut self, policy: i32, priority: i32) -> Result<(), Errno> {
        let (plain, resets) = (policy & !RESET_ON_FORK, policy & RESET_ON_FORK != 0);
        let is_allowed = match plain {
            libc::SCHED_FIFO | libc::SCHED_RR => PRIORITIES.contains(&priority),
            libc::SCHED_OTHER | libc::SCHED_BATCH | libc::SCHED_IDLE => priority == 0,
            _ => false,
        };
        if !is_allowed {
            return Err(Errno::EINVAL);
        }
        if priority > 0 && host::files::identity()[1] != 0 {
            return Err(Errno::EPERM);
        }
        (self.policy, self.priority, self.resets_on_fork) = (plain, priority, resets);
        Ok(())
    }

    fn attribute_bytes(&self, nice: i32) -> [u8; ATTRIBUTE_BYTES] {
        let mut bytes = [0; ATTRIBUTE_BYTES];
        let is_fair = matches!(self.policy, libc::SCHED_OTHER | libc::SCHED_BATCH);
        let flags = if self.resets_on_fork { RESET_ON_FORK_FLAG } else { 0 };
        bytes[..4].copy_from_slice(&(ATTRIBUTE_BYTES as u32).to_le_bytes());
        bytes[4..8].copy_from_slice(&self.policy.to_le_bytes());
        bytes[8..16].copy_from_slice(&flags.to_le_bytes());
        bytes[16..20].copy_from_slice(&(if is_fair { nice } else { 0 }).to_le_bytes());
        bytes[20..24].copy_from_slice(&self.priority.to_le_bytes());
        bytes
    }
}

impl Kernel {
    pub(super) fn scheduling_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_sched_yield => Ok(0),
            libc::SYS_sched_getaffinity => self.getaffinity(args),
            libc::SYS_sched_setaffinity => self.setaffinity(args),
            libc::SYS_sched_setscheduler => self.set_policy(args, Some(args.int(1)), args.at(2)),
            libc::SYS_sched_setparam => self.set_policy(args, None, args.at(1)),
            libc::SYS_sched_getscheduler => self.scheduling_of(args).map(|found| {
                let flag = if found.resets_on_fork { RESET_ON_FORK } else { 0 };
                (found.policy | flag) as u64
            }),
            libc::SYS_sched_getparam => self.get_priority_of(args),
            libc::SYS_sched_setattr => self.set_attributes(args),
            libc::SYS_sched_getattr => self.get_attributes(args),
            libc::SYS_sched_get_priority_max | libc::SYS_sched_get_priority_min => priority_limit(args),
            libc::SYS_sched_rr_get_interval => self.round_robin_interval(args),
            _ => return None,
        })
    }

    fn scheduled(&self, args: &Args) -> Result<Tid, Errno> {
        match args.int(0) {
            0 => Ok(args.tid),
            ..0 => Err(Errno::EINVAL),
            tid if self.tasks.contains_key(&Tid(tid as u32)) => Ok(Tid(tid as u32)),
            _ => Err(Errno::ESRCH),
        }
    }

    fn scheduling_of(&self, args: &Args) -> Result<Scheduling, Errno> {
        Ok(self.tasks[&self.scheduled(args)?].scheduling)
    }

    fn known_cpus(&self) -> u64 {
        1u64.checked_shl(self.config.cpus).map_or(u64::MAX, |bit| bit - 1)
    }

    fn getaffinity(&mut self, args: &Args) -> Result<u64, Errno> {
        if args.at(1) < CPU_SET_BYTES || !args.at(1).is_multiple_of(8) {
            return Err(Errno::EINVAL);
        }
        let tid = self.with_affinity(args)?;
        let cpus = self.tasks[&tid].scheduling.cpus & self.known_cpus();
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(2)), &cpus.to_le_bytes())?;
        Ok(CPU_SET_BYTES)
    }

    /// Of which task affinity is asked; a negative number is nobody's here.
    fn with_affinity(&self, args: &Args) -> Result<Tid, Errno> {
        if args.int(0) < 0 { Err(Errno::ESRCH) } else { self.scheduled(args) }
    }

    fn setaffinity(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let mut bytes = self.bytes_in(space, args.at(2), args.at(1).min(CPU_SET_BYTES) as usize)?;
        let tid = self.with_affinity(args)?;
        bytes.resize(CPU_SET_BYTES as usize, 0);
        let cpus = u64::from_le_bytes(bytes.try_into().expect("eight bytes")) & self.known_cpus();
        if cpus == 0 {
            return Err(Errno::EINVAL);
        }
        self.task(tid).scheduling.cpus = cpus;
        Ok(0)
    }

    fn set_policy(&mut self, args: &Args, policy: Option<i32>, parameters: u64) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        if policy.is_some_and(|policy| policy < 0) || parameters == 0 {
            return Err(Errno::EINVAL);
        }
        let priority = self.mm.read_u32(space, VirtAddr::new(parameters))? as i32;
        let tid = self.scheduled(args)?;
        let scheduling = &mut self.task(tid).scheduling;
        let kept = scheduling.policy | if scheduling.resets_on_fork { RESET_ON_FORK } else { 0 };
        scheduling.set(policy.unwrap_or(kept), priority).map(|()| 0)
    }

    fn get_priority_of(&mut self, args: &Args) -> Result<u64, Errno> {
        if args.at(1) == 0 {
            return Err(Errno::EINVAL);
        }
        let priority = self.scheduling_of(args)?.priority;
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &priority.to_le_bytes()).map(|()| 0)
    }

    fn set_attributes(&mut self, args: &Args) -> Result<u64, Errno> {
        if args.at(1) == 0 || args.int(0) < 0 || args.at(2) != 0 {
            return Err(Errno::EINVAL);
        }
        let space = self.space_of(args.tid);
        let bytes = self.bytes_in(space, args.at(1), ATTRIBUTE_BYTES)?;
        let int = |at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let tid = self.scheduled(args)?;
        let resets = if int(8) as u64 & RESET_ON_FORK_FLAG != 0 { RESET_ON_FORK } else { 0 };
        let scheduling = &mut self.task(tid).scheduling;
        scheduling.set(int(4) | resets, int(20))?;
        let is_fair = matches!(scheduling.policy, libc::SCHED_OTHER | libc::SCHED_BATCH);
        let host_tid = self.task(tid).host_tid;
        if is_fair && host_tid != 0 {
            let set = host::priority::set_nice(host_tid, int(16));
            set.map_err(|error| Errno::of_host(&error))?;
        }
        Ok(0)
    }

    fn get_attributes(&mut self, args: &Args) -> Result<u64, Errno> {
        let bytes = args.at(2);
        if args.at(1) == 0 || args.int(0) < 0 || args.at(3) != 0 || !(ATTRIBUTE_BYTES as u64..=4096).contains(&bytes) {
            return Err(Errno::EINVAL);
        }
        let tid = self.scheduled(args)?;
        // A guest thread has the nice value of its host thread.
        let nice = host::priority::nice_of(self.tasks[&tid].host_tid).unwrap_or(0);
        let attributes = self.tasks[&tid].scheduling.attribute_bytes(nice);
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &attributes).map(|()| 0)
    }

    fn round_robin_interval(&mut self, args: &Args) -> Result<u64, Errno> {
        let ns = match self.scheduling_of(args)?.policy {
            libc::SCHED_RR => ROUND_ROBIN_NS,
            libc::SCHED_FIFO => 0,
            // A fair policy's slice, which depends on the host's kernel.
            _ => host::files::fair_slice_ns(),
        };
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &super::time::timespec_bytes(ns)).map(|()| 0)
    }
}

fn priority_limit(args: &Args) -> Result<u64, Errno> {
    let is_max = args.nr as i64 == libc::SYS_sched_get_priority_max;
    match args.int(0) {
        libc::SCHED_FIFO | libc::SCHED_RR => Ok(*if is_max { PRIORITIES.end() } else { PRIORITIES.start() } as u64),
        // SCHED_OTHER, SCHED_BATCH, SCHED_IDLE, SCHED_DEADLINE, SCHED_EXT.
        0 | 3 | 5 | 6 | 7 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
