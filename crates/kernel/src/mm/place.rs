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

/// Whether large pages could serve the map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Alignment {
    Page,
    LargePage,
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
        if hint.get() != 0 && hint.get() >= self.limits.lowest_address {
            let end = hint.get().checked_add(bytes).filter(|end| *end <= high);
            if end.is_some() && self.areas.is_free(PageRange::from_count(hint.page(), count)) {
                return Ok(hint);
            }
        }
        let window = |start: u64, end: u64| PageRange::new(Page::new(start / PAGE_BYTES), Page::new(end / PAGE_BYTES));
        let found = match wish {
            Wish::Low(_) => self.areas.lowest_gap(count, window(low, high)),
            Wish::Hint(_) => {
                let top = if limit > super::layout::TASK_SIZE { limit } else { self.layout.mmap_base.get() };
                let below = window(low, top);
                // A place with a large page to spare holds an aligned one, at its lower end.
                let aligned = (alignment == Alignment::LargePage && hint.get() == 0)
                    .then(|| self.areas.highest_gap(count + LARGE_BYTES / PAGE_BYTES, below))
                    .flatten()
                    .map(align_up_within);
                aligned
                    .or_else(|| self.areas.highest_gap(count, below))
                    .or_else(|| self.areas.lowest_gap(count, window(limit / 3 / PAGE_BYTES * PAGE_BYTES, limit)))
            }
        };
        found.map(Page::start).ok_or(Errno::ENOMEM)
    }
}

/// The large-page boundary after `start`: one further if it is one itself, as Linux does.
fn align_up_within(start: Page) -> Page {
    let pages = LARGE_BYTES / PAGE_BYTES;
    Page::new((start.get() / pages + 1) * pages)
}
