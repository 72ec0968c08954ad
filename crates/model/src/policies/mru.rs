//! MRU: the page that was used last leaves, which is right for a loop larger than memory. H.-T. Chou and D. J. DeWitt, "An evaluation of buffer management strategies for relational database systems", VLDB 1985.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slots};
use addr::Access;

/// Pages in the order of their last use, the latest in front.
pub struct Mru {
    frames: usize,
    slots: Slots<()>,
    stack: List,
}

impl Mru {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { frames, slots: Slots::new(frames), stack: List::default() }
    }
}

impl Policy for Mru {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.stack.count()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        self.stack.move_to_front(&mut self.slots, slot);
        Residency::Resident
    }

    #[inline]
    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.stack.front()?;
        self.stack.unlink(&mut self.slots, slot);
        Some(self.slots.release(slot))
    }

    #[inline]
    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, ());
        self.stack.push_front(&mut self.slots, slot);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.stack.unlink(&mut self.slots, slot);
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.stack.count(), "every page is on the stack");
    }
}
