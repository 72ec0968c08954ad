//! 2Q: a page proves itself in a FIFO; only one that is wanted again after it left goes to the LRU list. T. Johnson and D. Shasha, "2Q: a low overhead high performance buffer management replacement algorithm", VLDB 1994.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// The full version: A1in holds a quarter of memory, A1out remembers half as many pages as memory holds. A hit in A1in
/// moves nothing.
pub struct TwoQ {
    frames: usize,
    slots: Slots<Place>,
    a1in: List,
    a1out: List,
    am: List,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Place {
    #[default]
    A1in,
    A1out,
    Am,
}

impl TwoQ {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        let slots = Slots::new(frames + frames / 2 + 1);
        Self { frames, slots, a1in: List::default(), a1out: List::default(), am: List::default() }
    }

    fn take(&mut self, slot: Slot) -> u64 {
        match self.slots[slot] {
            Place::A1in => self.a1in.unlink(&mut self.slots, slot),
            Place::A1out => self.a1out.unlink(&mut self.slots, slot),
            Place::Am => self.am.unlink(&mut self.slots, slot),
        }
        self.slots.release(slot)
    }

    /// Moves the oldest page of A1in to A1out. The oldest there is forgotten, unless it is the one that comes in.
    fn demote(&mut self, slot: Slot, incoming: Option<u64>) -> u64 {
        self.a1in.unlink(&mut self.slots, slot);
        self.slots[slot] = Place::A1out;
        self.a1out.push_front(&mut self.slots, slot);
        let page = self.slots.page(slot);
        if self.a1out.count() > self.frames / 2 {
            let oldest = self.a1out.back().expect("a page was just pushed");
            if incoming != Some(self.slots.page(oldest)) {
                self.take(oldest);
            }
        }
        page
    }
}

impl Policy for TwoQ {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.a1in.count() + self.am.count()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        match self.slots[slot] {
            Place::A1out => return Residency::Absent,
            Place::A1in => {}
            Place::Am => self.am.move_to_front(&mut self.slots, slot),
        }
        Residency::Resident
    }

    fn evict(&mut self, incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        let is_a1in_full = self.a1in.count() > (self.frames / 4).max(1);
        match (self.a1in.back(), self.am.back()) {
            (Some(slot), None) => Some(self.demote(slot, incoming)),
            (Some(slot), Some(_)) if is_a1in_full => Some(self.demote(slot, incoming)),
            (_, Some(slot)) => Some(self.take(slot)),
            (None, None) => None,
        }
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let (slot, place) = match self.slots.find(page) {
            Some(slot) => {
                self.a1out.unlink(&mut self.slots, slot);
                (slot, Place::Am)
            }
            None => (self.slots.add(page, Place::A1in), Place::A1in),
        };
        self.slots[slot] = place;
        match place {
            Place::Am => self.am.push_front(&mut self.slots, slot),
            Place::A1in | Place::A1out => self.a1in.push_front(&mut self.slots, slot),
        }
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(slot);
        }
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.resident() + self.a1out.count(), "every page is in one list");
        assert!(self.a1out.count() <= self.frames / 2 + 1, "A1out is bounded");
    }
}
