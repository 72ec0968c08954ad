//! What RAM is used for, over all spaces: the numbers of /proc/meminfo.

use super::Mm;
use super::area::AreaTraits;

/// Frames and pages by use.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RamUse {
    /// Frames of pages that are programs' own, and of the kernel.
    pub anonymous_frames: u64,
    /// Cached pages of files.
    pub file_pages: u64,
    /// Pages of shared memory.
    pub shared_memory_pages: u64,
    /// Frames that hold tables.
    pub table_frames: u64,
    /// Pages of files and of shared memory that spaces map, each mapping counted.
    pub mapped_pages: u64,
    /// Pages in swap.
    pub swapped_pages: u64,
    /// Pages of areas that are locked.
    pub locked_pages: u64,
    /// Pages of areas that count as committed.
    pub committed_pages: u64,
}

impl Mm {
    /// What RAM is used for now.
    pub fn ram_use(&self) -> RamUse {
        let mut used = RamUse::default();
        (used.file_pages, used.shared_memory_pages) = self.store.objects.resident_pages();
        for space in self.spaces.iter().flatten() {
            used.table_frames += space.tables.table_frames();
            used.mapped_pages += space.usage.object_pages;
            used.locked_pages += space.locked_bytes() / addr::PAGE_BYTES;
            let committed = space.areas.iter().filter(|area| area.traits.has(AreaTraits::ACCOUNTED));
            used.committed_pages += committed.map(|area| area.pages.count()).sum::<u64>();
        }
        used.swapped_pages = self.store.swap.used();
        let others = used.file_pages + used.shared_memory_pages + used.table_frames;
        used.anonymous_frames = u64::from(self.frames_in_use()).saturating_sub(others);
        used
    }
}
