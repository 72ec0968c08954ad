//! CAR: ARC with two clocks instead of two LRU lists, so that a use only sets a bit. S. Bansal and D. S. Modha, "CAR: clock with adaptive replacement", FAST 2004.

use super::four_lists::{FourLists, Place};
use crate::policy::{Policy, Residency, TestAndClear};
use addr::Access;

/// Clocks: T1 and T2 have their hands at the oldest page, and a use sets a bit.
pub struct Car {
    lists: FourLists,
}

impl Car {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { lists: FourLists::new(frames) }
    }

    /// Turns the clocks until a page is found that was not used, and demotes it to a remembered one.
    fn replace(&mut self, marks: &mut TestAndClear<'_>) -> Option<u64> {
        loop {
            let is_t1 = self.lists.count(Place::T1) as f64 >= self.lists.share().max(1.0);
            let is_t1 = is_t1 || self.lists.count(Place::T2) == 0;
            let (from, to) = if is_t1 { (Place::T1, Place::B1) } else { (Place::T2, Place::B2) };
            let slot = self.lists.oldest(from)?;
            let page = self.lists.page(slot);
            let marked = marks(page).accessed;
            if self.lists.is_used(slot) || marked {
                self.lists.move_to(slot, Place::T2);
            } else {
                self.lists.move_to(slot, to);
                return Some(page);
            }
        }
    }
}

impl Policy for Car {
    fn frames(&self) -> usize {
        self.lists.frames()
    }

    fn resident(&self) -> usize {
        self.lists.resident()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        match self.lists.find(page) {
            None | Some((_, Place::B1 | Place::B2)) => Residency::Absent,
            Some((slot, Place::T1 | Place::T2)) => {
                self.lists.set_used(slot);
                Residency::Resident
            }
        }
    }

    fn evict(&mut self, incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        let victim = self.replace(marks)?;
        if incoming.and_then(|page| self.lists.find(page)).is_none() {
            let frames = self.lists.frames();
            if self.lists.count(Place::T1) + self.lists.count(Place::B1) == frames {
                self.lists.forget_oldest(Place::B1);
            } else if self.lists.known() == 2 * frames {
                self.lists.forget_oldest(Place::B2);
            }
        }
        Some(victim)
    }

    fn insert(&mut self, page: u64, _access: Access) {
        if let Some((slot, ghost)) = self.lists.find(page) {
            self.lists.learn(ghost);
            return self.lists.move_to(slot, Place::T2);
        }
        self.lists.forget_too_many();
        self.lists.add(page);
    }

    fn remove(&mut self, page: u64) {
        self.lists.remove(page);
    }

    fn check(&self) {
        self.lists.check();
    }
}
