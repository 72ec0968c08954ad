//! CAR: ARC with two clocks instead of two LRU lists, so that a use only sets a bit. S. Bansal and D. S. Modha, "CAR: clock with adaptive replacement", FAST 2004.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// The clocks T1 and T2 in memory, each with its hand at the front; B1 and B2 remembered, the oldest in front.
pub struct Car {
    frames: usize,
    slots: Slots<State>,
    lists: [List; 4],
    /// The paper's p: how much of memory T1 should have.
    share: f64,
}

#[derive(Clone, Copy, Default)]
struct State {
    place: Place,
    is_used: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Place {
    #[default]
    T1,
    T2,
    B1,
    B2,
}

impl Car {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        // Lists hold up to 2c pages; one more is coming in.
        Self { frames, slots: Slots::new(2 * frames + 1), lists: [(); 4].map(|()| List::default()), share: 0.0 }
    }

    fn count(&self, place: Place) -> usize {
        self.lists[place as usize].count()
    }

    fn push(&mut self, slot: Slot, place: Place) {
        self.slots[slot] = State { place, is_used: false };
        self.lists[place as usize].push_back(&mut self.slots, slot);
    }

    fn unlink(&mut self, slot: Slot) {
        let place = self.slots[slot].place;
        self.lists[place as usize].unlink(&mut self.slots, slot);
    }

    fn forget_oldest(&mut self, place: Place) {
        if let Some(slot) = self.lists[place as usize].pop_front(&mut self.slots) {
            self.slots.release(slot);
        }
    }

    /// Turns the clocks until a page is found that was not used, and demotes it to a remembered one.
    fn replace(&mut self, marks: &mut TestAndClear<'_>) -> Option<u64> {
        loop {
            let is_t1 = self.count(Place::T1) as f64 >= self.share.max(1.0);
            let from = if is_t1 || self.count(Place::T2) == 0 { Place::T1 } else { Place::T2 };
            let slot = self.lists[from as usize].pop_front(&mut self.slots)?;
            let marked = marks(self.slots.page(slot)).accessed;
            if self.slots[slot].is_used || marked {
                self.push(slot, Place::T2);
            } else {
                self.push(slot, if from == Place::T1 { Place::B1 } else { Place::B2 });
                return Some(self.slots.page(slot));
            }
        }
    }

    fn learn(&mut self, ghost: Place) {
        let (b1, b2) = (self.count(Place::B1) as f64, self.count(Place::B2) as f64);
        self.share = match ghost {
            Place::B1 => (self.share + (b2 / b1).max(1.0)).min(self.frames as f64),
            _ => (self.share - (b1 / b2).max(1.0)).max(0.0),
        };
    }
}

impl Policy for Car {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.count(Place::T1) + self.count(Place::T2)
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        if matches!(self.slots[slot].place, Place::B1 | Place::B2) {
            return Residency::Absent;
        }
        self.slots[slot].is_used = true;
        Residency::Resident
    }

    fn evict(&mut self, incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        let victim = self.replace(marks)?;
        if incoming.and_then(|page| self.slots.find(page)).is_none() {
            if self.count(Place::T1) + self.count(Place::B1) == self.frames {
                self.forget_oldest(Place::B1);
            } else if self.slots.used() == 2 * self.frames {
                self.forget_oldest(Place::B2);
            }
        }
        Some(victim)
    }

    fn insert(&mut self, page: u64, _access: Access) {
        if let Some(slot) = self.slots.find(page) {
            self.learn(self.slots[slot].place);
            self.unlink(slot);
            return self.push(slot, Place::T2);
        }
        if self.slots.used() > 2 * self.frames {
            self.forget_oldest(if self.count(Place::B2) > 0 { Place::B2 } else { Place::B1 });
        }
        let slot = self.slots.add(page, State::default());
        self.push(slot, Place::T1);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.unlink(slot);
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        let listed: usize = self.lists.iter().map(List::count).sum();
        assert_eq!(listed, self.slots.used(), "every page is in one list");
        assert!(self.resident() <= self.frames, "memory is not overfull");
        assert!((0.0..=self.frames as f64).contains(&self.share), "p is a share of memory");
    }
}
