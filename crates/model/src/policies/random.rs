//! Random: any page leaves, by a seeded generator. L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966 (RAND).

use crate::policy::{Policy, Residency, TestAndClear};
use crate::random::Random as Generator;
use crate::slots::{Slot, Slots};
use addr::Access;

/// Pages in no order.
pub struct Random {
    frames: usize,
    /// Each page's place in `residents`.
    slots: Slots<u32>,
    residents: Vec<Slot>,
    generator: Generator,
}

impl Random {
    /// Memory of `frames` pages; the same seed makes the same choices.
    pub fn new(frames: usize, seed: u64) -> Self {
        let residents = Vec::with_capacity(frames);
        Self { frames, slots: Slots::new(frames), residents, generator: Generator::new(seed) }
    }

    fn take(&mut self, place: usize) -> u64 {
        let slot = self.residents.swap_remove(place);
        if let Some(&moved) = self.residents.get(place) {
            self.slots[moved] = place as u32;
        }
        self.slots.release(slot)
    }
}

impl Policy for Random {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.residents.len()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        self.slots.find(page).map_or(Residency::Absent, |_| Residency::Resident)
    }

    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        if self.residents.is_empty() {
            return None;
        }
        let place = self.generator.below(self.residents.len() as u64) as usize;
        Some(self.take(place))
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, self.residents.len() as u32);
        self.residents.push(slot);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(self.slots[slot] as usize);
        }
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.residents.len(), "every page is a resident");
        for (place, &slot) in self.residents.iter().enumerate() {
            assert_eq!(self.slots[slot] as usize, place, "a page knows its place");
        }
    }
}
