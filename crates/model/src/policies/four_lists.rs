//! What ARC and CAR have in common: pages seen once and pages seen again, in memory and remembered, and the share of
//! memory for the first, learned from the faults on what is remembered.

use crate::slots::{List, Slot, Slots};

/// T1 and T2 in memory, B1 and B2 remembered; the oldest in front. `share` is the papers' real-valued p.
pub struct FourLists {
    frames: usize,
    slots: Slots<State>,
    lists: [List; 4],
    share: f64,
}

/// What is known of a page.
#[derive(Clone, Copy, Default)]
struct State {
    place: Place,
    is_used: bool,
}

/// Which list a page is in.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Place {
    /// In memory, seen once.
    #[default]
    T1,
    /// In memory, seen again.
    T2,
    /// Gone from T1.
    B1,
    /// Gone from T2.
    B2,
}

impl FourLists {
    /// For memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        // Lists hold up to 2c pages; one more is coming in.
        Self { frames, slots: Slots::new(2 * frames + 1), lists: [(); 4].map(|()| List::default()), share: 0.0 }
    }

    /// How many pages memory holds.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// How many are in memory.
    pub fn resident(&self) -> usize {
        self.count(Place::T1) + self.count(Place::T2)
    }

    /// How many are in memory or remembered.
    pub fn known(&self) -> usize {
        self.slots.used()
    }

    /// How many a list has.
    #[inline]
    pub fn count(&self, place: Place) -> usize {
        self.lists[place as usize].count()
    }

    /// How much of memory T1 should have.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// The slot of a page and its list.
    #[inline]
    pub fn find(&self, page: u64) -> Option<(Slot, Place)> {
        self.slots.find(page).map(|slot| (slot, self.slots[slot].place))
    }

    /// The page of a slot.
    pub fn page(&self, slot: Slot) -> u64 {
        self.slots.page(slot)
    }

    /// The use bit of a page in memory; moving it clears the bit.
    pub fn is_used(&self, slot: Slot) -> bool {
        self.slots[slot].is_used
    }

    /// Sets the use bit.
    #[inline]
    pub fn set_used(&mut self, slot: Slot) {
        self.slots[slot].is_used = true;
    }

    /// The oldest page of a list.
    pub fn oldest(&self, place: Place) -> Option<Slot> {
        self.lists[place as usize].front()
    }

    /// Makes a page the latest of a list.
    #[inline]
    pub fn move_to(&mut self, slot: Slot, place: Place) {
        let from = self.slots[slot].place;
        self.slots[slot] = State { place, is_used: false };
        if from == place {
            self.lists[place as usize].move_to_back(&mut self.slots, slot);
        } else {
            self.lists[from as usize].unlink(&mut self.slots, slot);
            self.lists[place as usize].push_back(&mut self.slots, slot);
        }
    }

    /// Adds a page that is not known to T1.
    pub fn add(&mut self, page: u64) {
        let slot = self.slots.add(page, State::default());
        self.lists[Place::T1 as usize].push_back(&mut self.slots, slot);
    }

    /// Forgets the oldest page of a list.
    pub fn forget_oldest(&mut self, place: Place) -> Option<u64> {
        let slot = self.lists[place as usize].pop_front(&mut self.slots)?;
        Some(self.slots.release(slot))
    }

    /// Makes room for one more page to be known, if there is none.
    pub fn forget_too_many(&mut self) {
        if self.known() > 2 * self.frames && self.forget_oldest(Place::B2).is_none() {
            self.forget_oldest(Place::B1);
        }
    }

    /// Forgets a page, if it is known.
    pub fn remove(&mut self, page: u64) {
        if let Some((slot, place)) = self.find(page) {
            self.lists[place as usize].unlink(&mut self.slots, slot);
            self.slots.release(slot);
        }
    }

    /// A fault on a remembered page shifts the share towards its list.
    pub fn learn(&mut self, ghost: Place) {
        let (b1, b2) = (self.count(Place::B1) as f64, self.count(Place::B2) as f64);
        self.share = match ghost {
            Place::B1 => (self.share + (b2 / b1).max(1.0)).min(self.frames as f64),
            _ => (self.share - (b1 / b2).max(1.0)).max(0.0),
        };
    }

    /// Panics unless the invariants hold.
    pub fn check(&self) {
        let listed: usize = self.lists.iter().map(List::count).sum();
        assert_eq!(listed, self.slots.used(), "every page is in one list");
        assert!(self.resident() <= self.frames, "memory is not overfull");
        assert!((0.0..=self.frames as f64).contains(&self.share), "p is a share of memory");
    }
}
