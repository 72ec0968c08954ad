//! What the user of a machine sees of its guests, and does to them, from outside.

use crate::kernel::Kernel;
use crate::signal::SigInfo;
use crate::task::Pid;
use trace::Kinds;

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

impl Kernel {
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
