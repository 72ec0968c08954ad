//! FIFO: the page that came in first leaves first. L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slots};
use addr::Access;

/// Pages in the order in which they came, the oldest in front.
pub struct Fifo {
    frames: usize,
    slots: Slots<()>,
    queue: List,
}

impl Fifo {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { frames, slots: Slots::new(frames), queue: List::default() }
    }
}

impl Policy for Fifo {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.queue.count()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        self.slots.find(page).map_or(Residency::Absent, |_| Residency::Resident)
    }

    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.queue.pop_front(&mut self.slots)?;
        Some(self.slots.release(slot))
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, ());
        self.queue.push_back(&mut self.slots, slot);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.queue.unlink(&mut self.slots, slot);
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.queue.count(), "every page is queued");
    }
}
