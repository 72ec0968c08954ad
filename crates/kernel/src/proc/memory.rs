//! The files of a process that describe its memory. Those of a process that has ended are empty.

use super::node::Whose;
use crate::kernel::Kernel;
use crate::mm::{SpaceId, Statm};
use addr::{PAGE_BYTES, VirtAddr};

pub(super) fn maps(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    kernel.space_of_process(whose).map(|space| kernel.mm.maps_text(space).into_bytes()).unwrap_or_default()
}

pub(super) fn numa_maps(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    kernel.space_of_process(whose).map(|space| kernel.mm.numa_maps_text(space).into_bytes()).unwrap_or_default()
}

pub(super) fn smaps(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    kernel.space_of_process(whose).map(|space| kernel.mm.smaps_text(space).into_bytes()).unwrap_or_default()
}

pub(super) fn smaps_rollup(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    kernel.space_of_process(whose).map(|space| kernel.mm.smaps_rollup_text(space).into_bytes()).unwrap_or_default()
}

pub(super) fn statm(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    kernel.statm_of(whose).to_string().into_bytes()
}

impl Kernel {
    /// The memory of a process, until it ends.
    pub(super) fn space_of_process(&self, whose: Whose) -> Option<SpaceId> {
        self.processes.get(&whose.pid).and_then(|process| process.space)
    }

    /// The numbers of statm; its text is the program's, without its libraries'.
    pub(super) fn statm_of(&self, whose: Whose) -> Statm {
        let Some(space) = self.space_of_process(whose) else { return Statm::default() };
        let (start, end) = self.processes[&whose.pid].image.code;
        let text = (end.next_multiple_of(PAGE_BYTES) - start / PAGE_BYTES * PAGE_BYTES) / PAGE_BYTES;
        Statm { text, ..self.mm.statm(space) }
    }

    /// Bytes of a process's strings: arguments or environment.
    pub(super) fn bytes_between(&mut self, whose: Whose, (start, end): (u64, u64)) -> Vec<u8> {
        let Some(space) = self.space_of_process(whose) else { return Vec::new() };
        let mut bytes = vec![0; end.saturating_sub(start) as usize];
        let done = self.mm.read(space, VirtAddr::new(start), &mut bytes);
        bytes.truncate(done);
        bytes
    }
}
