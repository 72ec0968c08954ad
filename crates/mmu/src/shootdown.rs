//! Making every CPU forget what is no longer so.

use crate::{CpuView, Frames, Tables};
use addr::{Page, PageRange, Pfn};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// From this many pages on a CPU forgets everything instead of page after page.
const FLUSH_PAGES: u64 = 256;

/// The pages whose entries lost rights or changed frames, and the frames that they gave up.
///
/// It owns the frames: none is used again while a CPU that had an entry for it may still be on its way to it. Dropping
/// it without [`Shootdown::complete`] would lose them.
#[must_use = "the frames are lost and the CPUs remember what is no longer so, unless it is completed"]
pub struct Shootdown<'t> {
    tables: &'t Tables,
    ranges: Vec<PageRange>,
    pages: u64,
    frames: Vec<Pfn>,
}

impl<'t> Shootdown<'t> {
    pub(crate) fn new(tables: &'t Tables) -> Self {
        Self { tables, ranges: Vec::new(), pages: 0, frames: Vec::new() }
    }

    /// Adds a page to forget.
    #[inline]
    pub fn forget(&mut self, page: Page) {
        self.forget_range(PageRange::from_count(page, 1));
    }

    /// Adds pages to forget.
    #[inline]
    pub fn forget_range(&mut self, range: PageRange) {
        self.pages += range.count();
        match self.ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.ranges.push(range),
        }
    }

    /// Takes over a share of a frame.
    #[inline]
    pub fn own(&mut self, pfn: Pfn) {
        self.frames.push(pfn);
    }

    /// Tells every attached CPU, and gives the frames back as soon as none can reach them.
    pub fn complete(self, frames: &mut Frames) {
        let mut inside = Vec::new();
        if self.pages > 0 {
            for view in self.tables.views().iter() {
                self.invalidate(view);
                let count = view.inside().load(Ordering::SeqCst);
                if !count.is_multiple_of(2) {
                    view.kick();
                    inside.push((Arc::clone(view), count));
                }
            }
        }
        if inside.is_empty() || self.frames.is_empty() {
            for pfn in self.frames {
                frames.release(pfn);
            }
        } else {
            frames.release_after(inside, self.frames);
        }
    }

    fn invalidate(&self, view: &CpuView) {
        if self.pages >= FLUSH_PAGES {
            return view.flush();
        }
        for page in self.ranges.iter().flat_map(PageRange::iter) {
            view.invalidate(page);
        }
    }
}
