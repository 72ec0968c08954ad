//! Second chance: FIFO, but a page used since it was last looked at goes to the end of the queue. A. S. Tanenbaum, "Modern Operating Systems", 3.4.4.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slots};
use addr::Access;

/// Pages in a queue, each with its use bit, which loading sets.
pub struct SecondChance {
    frames: usize,
    slots: Slots<bool>,
    queue: List,
}

impl SecondChance {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { frames, slots: Slots::new(frames), queue: List::default() }
    }
}

impl Policy for SecondChance {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.queue.count()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        self.slots[slot] = true;
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        loop {
            let slot = self.queue.pop_front(&mut self.slots)?;
            let marked = marks(self.slots.page(slot)).accessed;
            if !std::mem::take(&mut self.slots[slot]) && !marked {
                return Some(self.slots.release(slot));
            }
            self.queue.push_back(&mut self.slots, slot);
        }
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, true);
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
