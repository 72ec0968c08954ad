//! What LRU and MRU have in common: pages in the order of their last use.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;
use std::marker::PhantomData;

/// Which end of the order leaves.
pub trait Leaves {
    /// The page to give up; the list has the latest in front.
    fn choose(stack: &List) -> Option<Slot>;
}

/// Pages in the order of their last use, the latest in front; `L` says who leaves.
pub struct Recency<L> {
    frames: usize,
    slots: Slots<()>,
    stack: List,
    leaves: PhantomData<L>,
}

impl<L> Recency<L> {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { frames, slots: Slots::new(frames), stack: List::default(), leaves: PhantomData }
    }
}

impl<L: Leaves> Policy for Recency<L> {
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
        let slot = L::choose(&self.stack)?;
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
