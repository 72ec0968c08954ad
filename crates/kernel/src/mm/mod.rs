//! Memory as Linux manages it: address spaces, areas, faults, the page cache, swap.
//!
//! [`Mm`] is the whole of it for one machine, and is used under the kernel lock. A *space* has a tree of page tables
//! (`mmu`) and a set of *areas*; an area says what ought to be in a range of pages, the tables what is:
//! ```text
//! no area                           the address is wild: SIGSEGV
//! an area, entry absent             never touched, or dropped: a fault fills it      (allocated, not cached)
//! an area, entry a leaf             in RAM                                           (cached)
//! an area, entry swapped            in swap
//! ```
//! Frames are counted: each leaf has a share in its frame, and the page cache one in each of its own. The page cache
//! is the reverse map too: an object knows which spaces map it.

mod area;
mod areas;
mod changes;
mod counts;
mod evict;
mod exec;
mod fault;
mod files;
mod fork;
mod guard;
mod layout;
mod limits;
mod lock;
mod madvise;
mod maps;
mod memory_files;
mod mmap;
mod mprotect;
mod mremap;
mod msync;
mod name;
mod object;
mod peek;
mod place;
mod ram_use;
mod references;
mod segments;
mod smaps;
mod space;
mod store;
mod swap;
mod unmap;
mod user;

#[cfg(test)]
mod tests;

pub use counts::Usage;
pub use fault::{FaultError, Resolved};
pub use layout::{Aslr, Layout, TASK_SIZE};
pub use limits::Limits;
pub use maps::{AreaInfo, Sharing};
pub use mmap::{MappedFile, MmapRequest, Mount, OpenMode};
pub use mremap::MremapRequest;
pub use object::FileId;
pub(crate) use object::ObjectRef;
pub use peek::{DumpedArea, PageBytes};
pub use ram_use::RamUse;
pub use references::ClearReferences;
pub use smaps::Statm;

use crate::Errno;
use addr::{Access, PAGE_SHIFT, VirtAddr};
use mmu::{Levels, Memory, Tables};
use space::Space;
use std::sync::Arc;
use store::Store;
use trace::{Cost, FaultKind};

/// How a machine's memory is managed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmConfig {
    /// Levels of page tables.
    pub levels: Levels,
    /// How many pages one fault on a file maps at most: 1 or 16.
    pub fault_around_pages: u64,
    /// Whether pages of files come from the disk.
    pub file_cache: FileCache,
    /// How many pages of swap the guest is told of.
    pub swap_pages: u64,
}

/// Whether files are in the simulated machine's disk cache when a program first touches them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum FileCache {
    /// They are: the faults are minor.
    #[default]
    Warm,
    /// They are not: the first fault on a page is major.
    Cold,
}

impl Default for MmConfig {
    fn default() -> Self {
        Self { levels: Levels::Four, fault_around_pages: 16, file_cache: FileCache::Warm, swap_pages: 0 }
    }
}

impl MmConfig {
    fn cold_cost(&self) -> Cost {
        match self.file_cache {
            FileCache::Warm => Cost::Minor,
            FileCache::Cold => Cost::Major,
        }
    }
}

/// The number of an address space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpaceId(u32);

/// All memory of a machine.
pub struct Mm {
    store: Store,
    /// By number; a number is not used twice.
    spaces: Vec<Option<Box<Space>>>,
}

impl Mm {
    /// Takes a machine's RAM over, or `None` if it is too small to hold the kernel's tables.
    pub fn new(memory: &Arc<Memory>, config: MmConfig) -> Option<Self> {
        Some(Self { store: Store::new(memory, config)?, spaces: Vec::new() })
    }

    /// The machine's RAM.
    pub fn memory(&self) -> &Arc<Memory> {
        self.store.frames.memory()
    }

    /// How it is managed.
    pub fn config(&self) -> &MmConfig {
        &self.store.config
    }

    /// An empty space with one user.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn create_space(&mut self, layout: Layout, limits: Limits) -> Result<SpaceId, Errno> {
        self.store.make_ready();
        let id = SpaceId(self.spaces.len() as u32);
        let mut space = Space::new(id, layout, &mut self.store).ok_or(Errno::ENOMEM)?;
        space.limits = limits;
        self.spaces.push(Some(Box::new(space)));
        Ok(id)
    }

    /// One user more: `CLONE_VM`.
    pub fn share_space(&mut self, id: SpaceId) {
        self.space_mut(id).users += 1;
    }

    /// Whether several processes are in it.
    pub fn is_shared_space(&self, id: SpaceId) -> bool {
        self.space(id).users > 1
    }

    /// One user less; the last one tears the space down and every frame of it is given back.
    pub fn release_space(&mut self, id: SpaceId) {
        let space = self.space_mut(id);
        space.users -= 1;
        if space.users == 0 {
            let mut space = self.spaces[id.0 as usize].take().expect("the space lives");
            space.tear_down(&mut self.store);
        }
    }

    /// Whether a space has a user still.
    pub fn is_live(&self, id: SpaceId) -> bool {
        self.spaces[id.0 as usize].is_some()
    }

    /// The tree of page tables, for the CPUs.
    pub fn tables(&self, id: SpaceId) -> Arc<Tables> {
        Arc::clone(&self.space(id).tables)
    }

    /// Where things lie in a space.
    pub fn layout(&self, id: SpaceId) -> &Layout {
        &self.space(id).layout
    }

    /// What a space may use.
    pub fn limits(&self, id: SpaceId) -> &Limits {
        &self.space(id).limits
    }

    /// Sets what a space may use.
    pub fn set_limits(&mut self, id: SpaceId, limits: Limits) {
        self.space_mut(id).limits = limits;
    }

    /// The commands of membarrier(2) that a space has registered.
    pub fn barriers(&mut self, id: SpaceId) -> &mut u64 {
        &mut self.space_mut(id).barriers
    }

    /// What a space uses, and its faults so far.
    pub fn usage(&self, id: SpaceId) -> Usage {
        self.space(id).usage
    }

    /// Resolves a fault of a CPU, and counts it.
    ///
    /// # Errors
    /// Which signal it ends in.
    pub fn fault(&mut self, id: SpaceId, addr: VirtAddr, access: Access) -> Result<Resolved, FaultError> {
        let (space, store) = self.both(id);
        let resolved = space.resolve(addr, access, store);
        match resolved {
            Ok(Resolved { kind, cost }) => space.usage.faults.count(kind, cost),
            Err(FaultError::OutOfMemory) => {}
            Err(_) => space.usage.faults.count(FaultKind::Protection, Cost::Minor),
        }
        resolved
    }

    /// Copies bytes out of a space; returns how many before one could not be read.
    pub fn read(&mut self, id: SpaceId, from: VirtAddr, to: &mut [u8]) -> usize {
        let (space, store) = self.both(id);
        space.read(from, to, store)
    }

    /// Copies bytes into a space; returns how many before one could not be written.
    pub fn write(&mut self, id: SpaceId, to: VirtAddr, from: &[u8]) -> usize {
        let (space, store) = self.both(id);
        space.write(to, from, store)
    }

    /// A string of at most `max` bytes that a zero byte ends.
    ///
    /// # Errors
    /// `EFAULT`, `ENAMETOOLONG`.
    pub fn read_cstr(&mut self, id: SpaceId, from: VirtAddr, max: usize) -> Result<Vec<u8>, Errno> {
        let (space, store) = self.both(id);
        space.read_cstr(from, max, store)
    }

    /// A word of a space.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_u64(&mut self, id: SpaceId, from: VirtAddr) -> Result<u64, Errno> {
        self.read_array(id, from).map(u64::from_le_bytes)
    }

    /// Half a word of a space.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_u32(&mut self, id: SpaceId, from: VirtAddr) -> Result<u32, Errno> {
        self.read_array(id, from).map(u32::from_le_bytes)
    }

    /// Exactly `N` bytes of a space.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_array<const N: usize>(&mut self, id: SpaceId, from: VirtAddr) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        match self.read(id, from, &mut bytes) == N {
            true => Ok(bytes),
            false => Err(Errno::EFAULT),
        }
    }

    /// Writes all bytes or says that it could not; some may have been written.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn write_all(&mut self, id: SpaceId, to: VirtAddr, from: &[u8]) -> Result<(), Errno> {
        match self.write(id, to, from) == from.len() {
            true => Ok(()),
            false => Err(Errno::EFAULT),
        }
    }

    /// mmap(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn mmap(&mut self, id: SpaceId, request: &MmapRequest) -> Result<VirtAddr, Errno> {
        let (space, store) = self.both(id);
        space.mmap(request, store)
    }

    /// munmap(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn munmap(&mut self, id: SpaceId, start: u64, bytes: u64) -> Result<(), Errno> {
        let (space, store) = self.both(id);
        space.munmap(start, bytes, store)
    }

    /// mprotect(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn mprotect(&mut self, id: SpaceId, start: u64, bytes: u64, prot: u64) -> Result<(), Errno> {
        let (space, store) = self.both(id);
        space.mprotect(start, bytes, prot, store)
    }

    /// mremap(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn mremap(&mut self, id: SpaceId, request: &MremapRequest) -> Result<VirtAddr, Errno> {
        let (space, store) = self.both(id);
        space.mremap(request, store)
    }

    /// brk(2): where the heap ends now.
    pub fn brk(&mut self, id: SpaceId, wanted: u64) -> VirtAddr {
        let (space, store) = self.both(id);
        space.brk(wanted, store)
    }

    /// Gives back every frame of a file that no space maps.
    pub fn drop_caches(&mut self) {
        self.store.drop_caches();
    }

    /// Frames in use, by anything.
    pub fn frames_in_use(&self) -> u32 {
        self.store.frames.in_use()
    }

    /// Frames that are free.
    pub fn free_frames(&self) -> u32 {
        self.store.frames.free_frames()
    }

    /// Gives the host the memory of free frames back where that is worth while, and says whether it was.
    pub fn give_back_free_frames(&mut self) -> bool {
        const WORTH_FRAMES: u32 = 16 << (20 - PAGE_SHIFT);
        self.store.frames.free_touched_frames() >= WORTH_FRAMES && self.store.frames.give_back_free() >= WORTH_FRAMES
    }

    /// Proves the invariants of all spaces and of all frames.
    ///
    /// # Panics
    /// When one does not hold.
    pub fn check(&self) {
        self.store.frames.check();
        for space in self.spaces.iter().flatten() {
            space.check(&self.store);
            assert!(space.usage.faults.reconcile(), "each fault is of one kind");
        }
    }

    /// Proves that every frame has returned: for the end of a run, when no space is left.
    ///
    /// # Panics
    /// When a space lives or a frame is lost.
    pub fn check_empty(mut self) {
        assert!(self.spaces.iter().all(Option::is_none), "no space is left");
        self.drop_caches();
        let Store { mut frames, upper, zero, swap, .. } = self.store;
        upper.release(&mut frames);
        frames.release(zero);
        frames.reap();
        if cfg!(debug_assertions) {
            frames.check();
        }
        assert_eq!((frames.in_use(), swap.used()), (0, 0), "every frame and every slot returned");
    }

    fn space(&self, id: SpaceId) -> &Space {
        self.spaces[id.0 as usize].as_ref().expect("a space lives while it has a user")
    }

    fn space_mut(&mut self, id: SpaceId) -> &mut Space {
        self.spaces[id.0 as usize].as_mut().expect("a space lives while it has a user")
    }

    fn both(&mut self, id: SpaceId) -> (&mut Space, &mut Store) {
        let space = self.spaces[id.0 as usize].as_mut().expect("a space lives while it has a user");
        (space, &mut self.store)
    }
}
