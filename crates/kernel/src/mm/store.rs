//! What all spaces share.

use super::memory_files::MemoryFiles;
use super::object::Objects;
use super::swap::Swap;
use super::{FaultError, MmConfig};
use addr::Pfn;
use mmu::{Frames, Memory, UpperHalf};
use std::sync::Arc;

/// Frames to have at hand before a fault: for a page, tables on the way to it, and some of a file.
const READY_FRAMES: u32 = 80;

/// Pages that any machine can evict to swap.
const LEAST_SWAP_PAGES: u32 = 4096;

/// Frames, the page cache, swap, the frame of zeros.
pub(crate) struct Store {
    pub frames: Frames,
    pub upper: UpperHalf,
    pub objects: Objects,
    pub swap: Swap,
    pub memory_files: MemoryFiles,
    pub config: MmConfig,
    /// The frame that a load from a fresh anonymous page finds.
    pub zero: Pfn,
    /// The next family of anonymous pages.
    next_family: u64,
    /// Below so many free frames the page cache is asked for some: each time it has none to give, only half as many.
    floor: u32,
}

impl Store {
    /// `None` if RAM is too small to begin with.
    pub fn new(memory: &Arc<Memory>, config: MmConfig) -> Option<Self> {
        let mut frames = Frames::new(memory);
        let zero = frames.alloc_zeroed(0)?.into_pfn();
        let upper = UpperHalf::new(config.levels, &mut frames)?;
        let (objects, swap) = (Objects::default(), Swap::default());
        let memory_files = MemoryFiles::default();
        Some(Self { frames, upper, objects, swap, memory_files, config, zero, next_family: 0, floor: READY_FRAMES })
    }

    /// Makes room for a fault if RAM is almost full.
    pub fn make_ready(&mut self) {
        let free = self.frames.free_frames();
        if free >= READY_FRAMES {
            self.floor = READY_FRAMES;
        } else if free < self.floor {
            self.shrink(READY_FRAMES);
            // With no frame left it is always asked, or memory would be out too early.
            self.floor = (self.frames.free_frames() / 2).max(1);
        }
    }

    /// How many pages may still be evicted to swap. It is the host's memory: a guest that is told of none gets a sixteenth of
    /// RAM, for what it says it does not need.
    pub fn unused_swap(&self) -> u64 {
        let limit =
            self.config.swap_pages + u64::from((self.frames.memory().ram().frame_count() / 16).max(LEAST_SWAP_PAGES));
        limit.saturating_sub(self.swap.used())
    }

    /// A frame of zeros.
    pub fn zeroed_frame(&mut self) -> Result<Pfn, FaultError> {
        self.frames.alloc_zeroed(0).map(mmu::Frame::into_pfn).ok_or(FaultError::OutOfMemory)
    }

    /// A frame with the bytes of another.
    pub fn copied_frame(&mut self, from: Pfn) -> Result<Pfn, FaultError> {
        let to = self.frames.alloc_for_copy().ok_or(FaultError::OutOfMemory)?.into_pfn();
        self.frames.memory().ram().copy_frame(from, to);
        Ok(to)
    }

    pub fn new_family(&mut self) -> u64 {
        self.next_family += 1;
        self.next_family
    }
}
