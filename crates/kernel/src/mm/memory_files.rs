//! How much guests may put into memory files.
//!
//! A memory file (memfd_create, /dev/shm) is a file of the host's in the host's memory, beside the simulated RAM, and nothing
//! of ours would keep one from growing until the host kills pagewalk. So whatever makes one grow asks here first, and is
//! told ENOSPC, or SIGBUS, as by a tmpfs that is full:
//! ```text
//! available in the host - reserve - RAM that guests have not touched yet - what was allowed and is not done yet  =  room
//! ```
//! An account of what memory files hold, against `--ram`, was weighed: files are shared with the host's processes, go with
//! the last descriptor or map of anybody, and are emptied by calls that say nothing of pages. Nobody tells us, and the host
//! knows anyway. It is looked at once for some mebibytes that are asked for, and what is written over is asked for like what
//! is new; only where there is no room it matters which pages are there already.

use super::Mm;
use super::object::FileId;
use super::store::Store;
use crate::task::Tid;
use addr::PAGE_BYTES;
use host::{FileVault, HostMemory};
use rustc_hash::FxHashMap;
use std::ops::Range;

/// How much may be asked for between two looks at the host.
const LEAP_BYTES: u64 = 16 << 20;
/// How few pages of a hole one fault brings into RAM: as many as it maps. All of them may come to be stored to.
const HOLE_PAGES: u64 = 16;

/// What guests may still put into memory files, as far as it is known.
#[derive(Default)]
pub(crate) struct MemoryFiles {
    host: Bound,
    /// Devices of files, and how many bytes files of one take of the host's memory at once, if they lie there.
    devices: FxHashMap<u64, Option<u64>>,
    /// How much may be asked for before the host is looked at.
    credit: u64,
    /// What calls of the host may still take that are on their way.
    in_flight: FxHashMap<Tid, u64>,
}

/// What bounds memory files.
#[derive(Default)]
enum Bound {
    /// Nothing: there are no guests, or the host does not say how much memory it has.
    #[default]
    None,
    /// The host, with what it had when the machine began.
    Host(FileVault, HostMemory),
    /// Always the same room.
    #[cfg(test)]
    Given(u64),
}

/// What guests may still take of the host's memory without asking.
#[derive(Clone, Copy, Default)]
struct Claims {
    /// By touching RAM.
    ram: u64,
    /// In memory files: calls on their way, and pages that were stored to and are not written back.
    files: u64,
}

impl MemoryFiles {
    /// Notes how many bytes files of a device take of the host's memory at once, if they lie there.
    pub fn note_device(&mut self, device: u64, unit: Option<u64>) {
        self.devices.insert(device, unit);
    }

    /// Whether files of a device lie in memory, if that is known.
    pub fn knows(&self, device: u64) -> Option<bool> {
        self.devices.get(&device).map(Option::is_some)
    }

    /// Whether files of a device are known to lie in memory.
    pub fn holds(&self, device: u64) -> bool {
        self.knows(device) == Some(true)
    }

    /// How much of the host's memory some bytes of a file take at most, wherever they begin.
    pub fn cost(&self, device: u64, bytes: u64) -> u64 {
        let unit = self.devices.get(&device).copied().flatten().unwrap_or(PAGE_BYTES);
        bytes.div_ceil(unit).saturating_add(1).saturating_mul(unit)
    }

    /// A call on its way has been answered.
    pub fn call_done(&mut self, tid: Tid) {
        self.in_flight.remove(&tid);
    }

    /// Takes bytes out of what is known to be there.
    fn take_known(&mut self, bytes: u64) -> bool {
        let is_enough = bytes <= self.credit;
        self.credit -= if is_enough { bytes } else { 0 };
        is_enough
    }

    /// Takes bytes out of the room that the host was just seen to have.
    fn take_seen(&mut self, bytes: u64, room: u64) -> Result<(), u64> {
        let rest = room.checked_sub(bytes);
        self.credit = rest.unwrap_or(0).min(LEAP_BYTES);
        rest.map(|_| ()).ok_or(room)
    }
}

/// How much the host can give to memory files. A sixteenth of what was available at the beginning is there for them even
/// where others have used up what the machine's RAM counts on, or where the user has given it more RAM than there is.
fn room(now: &HostMemory, at_start: &HostMemory, claims: Claims) -> u64 {
    let spare = now.available.saturating_sub(now.reserve());
    let grown = now.shared.saturating_sub(at_start.shared);
    let unclaimed = spare.saturating_sub(claims.ram.saturating_add(claims.files));
    let small = (at_start.available / 16).saturating_sub(grown.saturating_add(claims.files));
    unclaimed.max(small.min(spare.saturating_sub(claims.files)))
}

impl Mm {
    /// Bounds memory files by what the host has from now on.
    pub(crate) fn bound_memory_files(&mut self, vault: &FileVault, now: HostMemory) {
        self.store.memory_files.host = Bound::Host(vault.clone(), now);
    }

    /// What is known of memory files.
    pub(crate) fn memory_files(&mut self) -> &mut MemoryFiles {
        &mut self.store.memory_files
    }

    /// Lets a call of the host take memory for a file.
    ///
    /// # Errors
    /// How much it could take.
    pub(crate) fn take_for_call(&mut self, tid: Tid, bytes: u64) -> Result<(), u64> {
        self.store.take_memory(bytes)?;
        self.store.memory_files.in_flight.insert(tid, bytes);
        Ok(())
    }

    /// Lets a call of the host take memory that it was found to need none of, or less than there is; another call may empty
    /// the same pages meanwhile.
    pub(crate) fn note_call(&mut self, tid: Tid, bytes: u64) {
        self.store.memory_files.in_flight.insert(tid, bytes);
    }
}

impl Store {
    /// Which pages of an object are brought into RAM when one is missing: of a file in memory only what the host has, or has
    /// room for. `None`: it has none.
    pub(super) fn window_with_room(&mut self, id: FileId, index: u64, window: Range<u64>) -> Option<Range<u64>> {
        if !self.memory_files.holds(self.objects.get(id).dev_ino().0) {
            return Some(window);
        }
        let around = index / HOLE_PAGES * HOLE_PAGES;
        let near = window.start.max(around)..window.end.min(around + HOLE_PAGES);
        let choices = [window, near, index..index + 1];
        let present = self.objects.get(id).pages_on_host(choices.clone());
        let missing: Vec<u64> =
            choices.iter().zip(present).map(|(pages, there)| pages.end - pages.start - there).collect();
        for (pages, missing) in choices.into_iter().zip(missing) {
            let is_hole = missing > 0 && pages.end - pages.start > HOLE_PAGES;
            if !is_hole && (missing == 0 || self.take_memory(missing * PAGE_BYTES).is_ok()) {
                self.objects.get_mut(id).promised_pages += missing;
                return Some(pages);
            }
        }
        None
    }

    fn take_memory(&mut self, bytes: u64) -> Result<(), u64> {
        if matches!(self.memory_files.host, Bound::None) || self.memory_files.take_known(bytes) {
            return Ok(());
        }
        let room = self.room_in_memory();
        self.memory_files.take_seen(bytes, room)
    }

    fn room_in_memory(&mut self) -> u64 {
        let files = self.objects.promised_pages() * PAGE_BYTES + self.memory_files.in_flight.values().sum::<u64>();
        let ram = (u64::from(self.frames.untouched_frames()) + self.unused_swap()) * PAGE_BYTES;
        match &self.memory_files.host {
            Bound::None => u64::MAX,
            // Where the host says no more what it has, there is nothing.
            Bound::Host(vault, at_start) => {
                vault.host_memory().map_or(0, |now| room(&now, at_start, Claims { ram, files }))
            }
            #[cfg(test)]
            Bound::Given(room) => room.saturating_sub(files),
        }
    }
}

#[cfg(test)]
impl Mm {
    /// Memory files of all devices have this room, whatever the host has.
    pub(super) fn give_memory_files(&mut self, device: u64, bytes: u64) {
        self.store.memory_files.host = Bound::Given(bytes);
        self.store.memory_files.note_device(device, Some(PAGE_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const M: u64 = 1 << 20;
    const G: u64 = 1 << 30;

    fn host(available: u64, shared: u64) -> HostMemory {
        HostMemory { total: 16 * G, available, shared, left: available }
    }

    #[test]
    fn room_is_what_nobody_else_may_ask_for() {
        let start = host(12 * G, G);
        let claims = |ram, files| Claims { ram, files };
        assert_eq!(room(&start, &start, claims(9 * G, 0)), 2 * G);
        assert_eq!(room(&start, &start, claims(9 * G, G)), G);
        // RAM that was touched is not available, and is not claimed any more.
        assert_eq!(room(&host(7 * G, G), &start, claims(4 * G, 0)), 2 * G);
        // Two gibibytes are in memory files.
        assert_eq!(room(&host(10 * G, 3 * G), &start, claims(9 * G, 0)), 0);
    }

    #[test]
    fn some_room_is_there_where_ram_claims_all() {
        let start = host(12 * G, G);
        let all = |files| Claims { ram: u64::MAX, files };
        assert_eq!(room(&start, &start, all(0)), 768 * M);
        assert_eq!(room(&host(11 * G, G + 700 * M), &start, all(60 * M)), 8 * M);
        assert_eq!(room(&host(11 * G, 2 * G), &start, all(0)), 0);
        assert_eq!(room(&host(G + 5 * M, G), &start, all(M)), 4 * M);
        assert_eq!(room(&host(100 * M, G), &start, all(0)), 0);
    }

    #[test]
    fn the_host_is_looked_at_once_for_some_mebibytes() {
        let mut files = MemoryFiles::default();
        assert!(!files.take_known(1));
        assert_eq!(files.take_seen(G, 3 * G), Ok(()));
        assert!(files.take_known(LEAP_BYTES - 1) && files.take_known(1) && !files.take_known(1));
        assert_eq!(files.take_seen(5 * M, 7 * M), Ok(()));
        assert!(!files.take_known(3 * M) && files.take_known(2 * M));
        assert_eq!(files.take_seen(5 * M, 4 * M), Err(4 * M));
        assert!(!files.take_known(1));
    }

    #[test]
    fn bytes_cost_the_pages_that_they_may_touch() {
        let mut files = MemoryFiles::default();
        for (device, unit) in [(1, Some(4096)), (2, Some(2 * M)), (3, None)] {
            files.note_device(device, unit);
        }
        assert_eq!([1, 3, 4].map(|device| files.knows(device)), [Some(true), Some(false), None]);
        assert_eq!((files.cost(1, 1), files.cost(1, 4096), files.cost(1, 4097)), (8192, 8192, 12288));
        assert_eq!((files.cost(2, 1), files.cost(1, u64::MAX)), (4 * M, u64::MAX));
    }
}
