//! ARC: one LRU list of pages seen once, one of pages seen again, and their shares learned from what was regretted. N. Megiddo and D. S. Modha, "ARC: a self-tuning, low overhead replacement cache", FAST 2003.

use super::four_lists::{FourLists, Place};
use crate::policy::{Policy, Residency, TestAndClear};
use addr::Access;

/// LRU lists: a use makes a page the latest of T2.
pub struct Arc {
    lists: FourLists,
}

impl Arc {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self { lists: FourLists::new(frames) }
    }

    /// The paper's REPLACE: demotes the oldest page of T1 or of T2 to a remembered one.
    fn replace(&mut self, ghost: Option<Place>) -> Option<u64> {
        let (t1, share) = (self.lists.count(Place::T1) as f64, self.lists.share());
        let is_t1 = t1 >= 1.0 && (t1 > share || (ghost == Some(Place::B2) && t1 == share));
        let is_t1 = is_t1 || self.lists.count(Place::T2) == 0;
        let (from, to) = if is_t1 { (Place::T1, Place::B1) } else { (Place::T2, Place::B2) };
        let slot = self.lists.oldest(from)?;
        self.lists.move_to(slot, to);
        Some(self.lists.page(slot))
    }
}

impl Policy for Arc {
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
                self.lists.move_to(slot, Place::T2);
                Residency::Resident
            }
        }
    }

    fn evict(&mut self, incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        if let Some((_, ghost)) = incoming.and_then(|page| self.lists.find(page)) {
            self.lists.learn(ghost);
            return self.replace(Some(ghost));
        }
        let frames = self.lists.frames();
        if self.lists.count(Place::T1) + self.lists.count(Place::B1) == frames {
            if self.lists.count(Place::B1) == 0 {
                return self.lists.forget_oldest(Place::T1);
            }
            self.lists.forget_oldest(Place::B1);
        } else if self.lists.known() == 2 * frames {
            self.lists.forget_oldest(Place::B2);
        }
        self.replace(None)
    }

    fn insert(&mut self, page: u64, _access: Access) {
        if let Some((slot, _)) = self.lists.find(page) {
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
