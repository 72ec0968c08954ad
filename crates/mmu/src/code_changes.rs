//! Which executable mappings changed since the engine last looked.

use addr::PageRange;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mailbox of page ranges: the kernel posts, the engine drains at its safepoints.
///
/// A range is posted when fetches from it may no longer find what they found before: it was unmapped, protected,
/// mapped over, or its frames were replaced.
#[derive(Default)]
pub struct CodeChanges {
    ranges: Mutex<Vec<PageRange>>,
    pending: AtomicBool,
}

impl CodeChanges {
    /// Posts a range.
    pub(crate) fn post(&self, range: PageRange) {
        let mut ranges = self.ranges();
        match ranges.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => ranges.push(range),
        }
        self.pending.store(true, Ordering::Release);
    }

    /// Whether [`CodeChanges::take`] would return something; one atomic load.
    pub fn has_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// What was posted since the last call.
    pub fn take(&self) -> Vec<PageRange> {
        let mut ranges = self.ranges();
        self.pending.store(false, Ordering::Release);
        std::mem::take(&mut ranges)
    }

    fn ranges(&self) -> MutexGuard<'_, Vec<PageRange>> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use addr::Page;

    #[test]
    fn neighbours_are_one_range() {
        let changes = CodeChanges::default();
        assert!(!changes.has_pending());
        for page in [3, 4, 9] {
            changes.post(PageRange::from_count(Page::new(page), 1));
        }
        assert!(changes.has_pending());
        assert_eq!(changes.take(), [PageRange::from_count(Page::new(3), 2), PageRange::from_count(Page::new(9), 1)]);
        assert!(!changes.has_pending());
    }
}
