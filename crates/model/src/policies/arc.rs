//! ARC: one LRU list of pages seen once, one of pages seen again, and their shares learned from what was regretted. N. Megiddo and D. S. Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// The lists T1 and T2 in memory, B1 and B2 remembered, the latest in front; `share` is the paper's real-valued p.
pub struct Arc {
    frames: usize,
    slots: Slots<Place>,
    lists: [List; 4],
    share: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Place {
    #[default]
    T1,
    T2,
    B1,
    B2,
}

impl Arc {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        // Lists hold up to 2c pages; one more is coming in.
        Self { frames, slots: Slots::new(2 * frames + 1), lists: [(); 4].map(|()| List::default()), share: 0.0 }
    }

    #[inline]
    fn count(&self, place: Place) -> usize {
        self.lists[place as usize].count()
    }

    #[inline]
    fn push(&mut self, slot: Slot, place: Place) {
        self.slots[slot] = place;
        self.lists[place as usize].push_front(&mut self.slots, slot);
    }

    #[inline]
    fn unlink(&mut self, slot: Slot) {
        let place = self.slots[slot];
        self.lists[place as usize].unlink(&mut self.slots, slot);
    }

    fn take_oldest(&mut self, place: Place) -> Option<u64> {
        let slot = self.lists[place as usize].back()?;
        self.unlink(slot);
        Some(self.slots.release(slot))
    }

    /// The paper's REPLACE: demotes the oldest page of T1 or of T2 to a remembered one.
    fn replace(&mut self, ghost: Option<Place>) -> Option<u64> {
        let t1 = self.count(Place::T1) as f64;
        let is_t1 = t1 >= 1.0 && (t1 > self.share || (ghost == Some(Place::B2) && t1 == self.share));
        let from = if is_t1 || self.count(Place::T2) == 0 { Place::T1 } else { Place::T2 };
        let slot = self.lists[from as usize].back()?;
        self.unlink(slot);
        self.push(slot, if from == Place::T1 { Place::B1 } else { Place::B2 });
        Some(self.slots.page(slot))
    }

    /// Cases II and III: a fault on a remembered page shifts the target.
    fn learn(&mut self, ghost: Place) {
        let (b1, b2) = (self.count(Place::B1) as f64, self.count(Place::B2) as f64);
        self.share = match ghost {
            Place::B1 => (self.share + (b2 / b1).max(1.0)).min(self.frames as f64),
            _ => (self.share - (b1 / b2).max(1.0)).max(0.0),
        };
    }
}

impl Policy for Arc {
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
        match self.slots[slot] {
            Place::B1 | Place::B2 => return Residency::Absent,
            Place::T2 => self.lists[Place::T2 as usize].move_to_front(&mut self.slots, slot),
            Place::T1 => {
                self.unlink(slot);
                self.push(slot, Place::T2);
            }
        }
        Residency::Resident
    }

    fn evict(&mut self, incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        if let Some(slot) = incoming.and_then(|page| self.slots.find(page)) {
            let ghost = self.slots[slot];
            self.learn(ghost);
            return self.replace(Some(ghost));
        }
        let in_l1 = self.count(Place::T1) + self.count(Place::B1);
        if in_l1 == self.frames {
            if self.count(Place::B1) == 0 {
                return self.take_oldest(Place::T1);
            }
            self.take_oldest(Place::B1);
        } else if self.slots.used() == 2 * self.frames {
            self.take_oldest(Place::B2);
        }
        self.replace(None)
    }

    fn insert(&mut self, page: u64, _access: Access) {
        if let Some(slot) = self.slots.find(page) {
            self.unlink(slot);
            return self.push(slot, Place::T2);
        }
        if self.slots.used() > 2 * self.frames && self.take_oldest(Place::B2).is_none() {
            self.take_oldest(Place::B1);
        }
        let slot = self.slots.add(page, Place::T1);
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
