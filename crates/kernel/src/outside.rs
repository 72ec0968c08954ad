//! What the user of a machine sees of its guests, and does to them, from outside.

use crate::kernel::Kernel;
use crate::signal::SigInfo;
use crate::task::{Pid, Tid};
use trace::Kinds;

/// The value of PR_SET_DUMPABLE with which a process leaves core files.
const DUMPABLE: u64 = 1;

/// The address space of a process that runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessMaps {
    /// Its process.
    pub pid: Pid,
    /// The name of its program.
    pub name: String,
    /// Its areas, as /proc/PID/maps prints them.
    pub maps: String,
}

/// The numbers of a process that others know it by.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Identity {
    /// Its parent.
    pub parent: u32,
    /// Its group.
    pub group: u32,
    /// Its session.
    pub session: u32,
}

impl Kernel {
    /// Whom a task's process belongs to.
    pub fn identity_of(&self, tid: Tid) -> Identity {
        let process = self.process_of_ref(tid);
        Identity { parent: process.parent, group: process.group, session: process.session }
    }

    /// The number of the system call that a task is in, if it is in one.
    pub fn call_of(&self, tid: Tid) -> Option<u64> {
        self.tasks.get(&tid)?.call.as_ref().map(|call| call.nr)
    }

    /// Whether a process may leave a core file, as far as prctl(PR_SET_DUMPABLE) and RLIMIT_CORE go; how long it may be.
    pub fn core_limit(&self, tid: Tid) -> Option<u64> {
        let limit = self.soft_limit(tid, libc::RLIMIT_CORE as usize);
        (self.process_of_ref(tid).dumpable == DUMPABLE && limit >= addr::PAGE_BYTES).then_some(limit)
    }

    /// Sends a signal to every process that runs, the stopped ones too.
    pub fn signal_all(&mut self, signal: i32) {
        let running = self.processes.values().filter(|process| !process.is_zombie());
        let pids: Vec<Pid> = running.map(|process| process.pid).collect();
        for pid in pids {
            self.send_to_process(pid, SigInfo::kernel(signal));
        }
    }

    /// From now on these kinds of events are kept for [`Kernel::take_events`].
    pub fn keep_events(&mut self, kinds: Kinds) {
        self.config.events = kinds;
    }

    /// The address spaces of all processes that run, by number.
    pub fn all_maps(&self) -> Vec<ProcessMaps> {
        let spaces = self.processes.values().filter_map(|process| Some((process, process.space?)));
        let maps = spaces.map(|(process, space)| ProcessMaps {
            pid: process.pid,
            name: String::from_utf8_lossy(&process.image.name).into_owned(),
            maps: self.mm.maps_text(space),
        });
        maps.collect()
    }
}
