//! SIEVE: a queue that is never reordered; a hand goes from its old to its new end, clears use bits and takes an unused page where it stands. Y. Zhang et al., "SIEVE is simpler than LRU", NSDI 2024.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// Pages in the order in which they came, the newest in front; each with its visited bit, which loading clears.
pub struct Sieve {
    frames: usize,
    slots: Slots<bool>,
    queue: List,
    hand: Option<Slot>,
}

impl Sieve {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { frames, slots: Slots::new(frames), queue: List::default(), hand: None }
    }

    fn take(&mut self, slot: Slot) -> u64 {
        if self.hand == Some(slot) {
            self.hand = self.queue.before(&self.slots, slot);
        }
        self.queue.unlink(&mut self.slots, slot);
        self.slots.release(slot)
    }
}

impl Policy for Sieve {
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
        let mut slot = self.hand.or(self.queue.back())?;
        loop {
            let marked = marks(self.slots.page(slot)).accessed;
            if !std::mem::take(&mut self.slots[slot]) && !marked {
                self.hand = Some(slot);
                return Some(self.take(slot));
            }
            slot = self.queue.before(&self.slots, slot).or(self.queue.back())?;
        }
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, false);
        self.queue.push_front(&mut self.slots, slot);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(slot);
        }
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.queue.count(), "every page is queued");
    }
}
