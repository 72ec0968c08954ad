//! Where a map goes when the program does not insist.

use super::space::Space;
use crate::Errno;
use addr::{PAGE_BYTES, Page, PageRange, VirtAddr};

/// Bytes of a large page; maps of several of them begin at one (since Linux 6.7).
const LARGE_BYTES: u64 = 2 << 20;
/// Where addresses of 31 bits are handed out.
const LOW_WINDOW: (u64, u64) = (0x4000_0000, 0x8000_0000);

/// What a map asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wish {
    /// Somewhere, here if it is free.
    Hint(VirtAddr),
    /// In the first 2 GiB, here if it is free (`MAP_32BIT`).
    Low(VirtAddr),
}

/// How large pages could serve the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alignment {
    /// Not at all.
    Page,
    /// Private memory: if it is a whole number of them.
    Whole,
    /// A file from this offset on: if there is one of the file's in it, as ext4, xfs and btrfs ask for.
    File(u64),
}

impl Alignment {
    /// What the start is to be congruent to, modulo a large page; `None` if it does not matter.
    fn residue(self, bytes: u64) -> Option<u64> {
        match self {
            Self::Whole if bytes.is_multiple_of(LARGE_BYTES) => Some(0),
            Self::File(offset) => {
                let first = offset.checked_next_multiple_of(LARGE_BYTES)?;
                (first + LARGE_BYTES <= offset + bytes).then_some(offset % LARGE_BYTES)
            }
            Self::Page | Self::Whole => None,
        }
    }
}

impl Space {
    /// A free place for `bytes` bytes, a multiple of the page size.
    pub fn place(&self, wish: Wish, bytes: u64, alignment: Alignment) -> Result<VirtAddr, Errno> {
        let count = bytes / PAGE_BYTES;
        let limit = super::layout::TASK_SIZE;
        let (Wish::Hint(hint) | Wish::Low(hint)) = wish;
        let hint = hint.page_floor();
        // Addresses above 47 bits are given to those who ask for them only.
        let limit = if hint.get() >= limit { self.layout.task_size.get() } else { limit };
        if bytes > limit {
            return Err(Errno::ENOMEM);
        }
        let (low, high) = match wish {
            Wish::Low(_) => LOW_WINDOW,
            Wish::Hint(_) => (self.limits.lowest_address.max(PAGE_BYTES), limit),
        };
        let is_free = |count: u64| {
            let end = hint.get().checked_add(count * PAGE_BYTES).filter(|end| *end <= high);
            end.is_some() && self.areas.is_free(PageRange::from_count(hint.page(), count))
        };
        let has_hint = hint.get() != 0 && hint.get() >= self.limits.lowest_address;
        let residue = alignment.residue(bytes).filter(|_| !has_hint || alignment != Alignment::Whole);
        // Linux looks for a place with a large page to spare first, also at the hint.
        let spare_count = count + LARGE_BYTES / PAGE_BYTES;
        if has_hint && is_free(if residue.is_some() { spare_count } else { count }) {
            return Ok(hint);
        }
        let window = |start: u64, end: u64| PageRange::new(Page::new(start / PAGE_BYTES), Page::new(end / PAGE_BYTES));
        let found = match wish {
            Wish::Low(_) => self.areas.lowest_gap(count, window(low, high)),
            Wish::Hint(_) => {
                let top = if limit > super::layout::TASK_SIZE { limit } else { self.layout.mmap_base.get() };
                let below = window(low, top);
                let spared = residue.and_then(|residue| {
                    self.areas.highest_gap(spare_count, below).map(|start| align_up_within(start, residue))
                });
                spared
                    .or_else(|| (has_hint && is_free(count)).then(|| hint.page()))
                    .or_else(|| self.areas.highest_gap(count, below))
                    .or_else(|| self.areas.lowest_gap(count, window(limit / 3 / PAGE_BYTES * PAGE_BYTES, limit)))
            }
        };
        found.map(Page::start).ok_or(Errno::ENOMEM)
    }
}

/// The first place after `start` that is congruent to `residue`: one further if `start` is itself, as Linux does.
fn align_up_within(start: Page, residue: u64) -> Page {
    let (pages, residue) = (LARGE_BYTES / PAGE_BYTES, residue / PAGE_BYTES);
    let missing = (residue + pages - start.get() % pages) % pages;
    start + if missing == 0 { pages } else { missing }
}
