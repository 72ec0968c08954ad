//! NRU: of the classes not used and clean, not used and dirty, used and clean, used and dirty, a page of the lowest leaves. A. S. Tanenbaum, "Modern Operating Systems", 3.4.2.

use crate::policy::{Marks, Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

const DIRTY: u8 = 1;
const USED: u8 = 2;

/// Pages in four queues, one a class; use bits are cleared every `period` references, and at each tick.
///
/// Of the pages of a class, the one that has been in it longest leaves (the textbook takes any). Clearing all use bits
/// is two splices of queues: a page's class was written in some period, and only in that period does its use bit count.
pub struct Nru {
    frames: usize,
    slots: Slots<Class>,
    classes: [List; 4],
    period: u64,
    references: u64,
    now: u32,
}

#[derive(Clone, Copy, Default)]
struct Class {
    bits: u8,
    written: u32,
}

impl Nru {
    /// Memory of `frames` pages.
    pub fn new(frames: usize, period: u64) -> Self {
        let classes = [(); 4].map(|()| List::default());
        Self { frames, slots: Slots::new(frames), classes, period: period.max(1), references: 0, now: 0 }
    }

    fn bits(&self, slot: Slot) -> u8 {
        let Class { bits, written } = self.slots[slot];
        if written == self.now { bits } else { bits & DIRTY }
    }

    #[inline]
    fn raise(&mut self, slot: Slot, raised: u8) {
        let bits = self.bits(slot);
        if bits | raised != bits {
            self.classes[usize::from(bits)].unlink(&mut self.slots, slot);
            self.put(slot, bits | raised);
        }
    }

    fn put(&mut self, slot: Slot, bits: u8) {
        self.slots[slot] = Class { bits, written: self.now };
        self.classes[usize::from(bits)].push_back(&mut self.slots, slot);
    }

    fn clear_use_bits(&mut self) {
        self.now = self.now.wrapping_add(1);
        let [clean, dirty, used_clean, used_dirty] = &mut self.classes;
        clean.append(&mut self.slots, used_clean);
        dirty.append(&mut self.slots, used_dirty);
    }

    fn count_reference(&mut self) {
        self.references += 1;
        if self.references == self.period {
            self.references = 0;
            self.clear_use_bits();
        }
    }
}

fn bits_of(access: Access) -> u8 {
    if access == Access::Write { USED | DIRTY } else { USED }
}

impl Policy for Nru {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.slots.used()
    }

    #[inline]
    fn touch(&mut self, page: u64, access: Access) -> Residency {
        self.count_reference();
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        self.raise(slot, bits_of(access));
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        loop {
            let slot = self.classes.iter().find_map(List::front)?;
            let Marks { accessed, dirty } = marks(self.slots.page(slot));
            let bits = self.bits(slot);
            let seen = bits | if accessed { USED } else { 0 } | if dirty { DIRTY } else { 0 };
            if seen == bits {
                self.classes[usize::from(bits)].unlink(&mut self.slots, slot);
                return Some(self.slots.release(slot));
            }
            self.raise(slot, seen);
        }
    }

    fn insert(&mut self, page: u64, access: Access) {
        let slot = self.slots.add(page, Class::default());
        self.put(slot, bits_of(access));
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            let bits = self.bits(slot);
            self.classes[usize::from(bits)].unlink(&mut self.slots, slot);
            self.slots.release(slot);
        }
    }

    fn tick(&mut self, _marks: &mut TestAndClear<'_>) {
        self.clear_use_bits();
    }

    fn check(&self) {
        let queued: usize = self.classes.iter().map(List::count).sum();
        assert_eq!(queued, self.slots.used(), "every page is in one class");
        for (class, queue) in self.classes.iter().enumerate() {
            let mut at = queue.front();
            while let Some(slot) = at {
                assert_eq!(usize::from(self.bits(slot)), class, "a page knows its class");
                at = queue.after(&self.slots, slot);
            }
        }
    }
}
