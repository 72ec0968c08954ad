//! Aging: an eight-bit counter a page, shifted right at each tick with the use bit coming in on the left; the lowest leaves. A. S. Tanenbaum, "Modern Operating Systems", 3.4.7.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// Pages in 256 queues, one a counter value; ticks come every `period` references, or from a timer.
///
/// A page comes in with the counter 0x80, as if a tick had just seen its use. Of equal counters, the one that was
/// smaller before, or came first, leaves.
pub struct Aging {
    frames: usize,
    slots: Slots<Age>,
    queues: Vec<List>,
    period: u64,
    references: u64,
}

#[derive(Clone, Copy, Default)]
struct Age {
    counter: u8,
    is_used: bool,
}

impl Aging {
    /// Memory of `frames` pages.
    pub fn new(frames: usize, period: u64) -> Self {
        let queues = (0..256).map(|_| List::default()).collect();
        Self { frames, slots: Slots::new(frames), queues, period: period.max(1), references: 0 }
    }

    fn take(&mut self, slot: Slot) -> u64 {
        let counter = self.slots[slot].counter;
        self.queues[usize::from(counter)].unlink(&mut self.slots, slot);
        self.slots.release(slot)
    }

    /// Ages every page.
    fn shift(&mut self, marks: &mut TestAndClear<'_>) {
        let mut all = List::default();
        for queue in &mut self.queues {
            all.append(&mut self.slots, queue);
        }
        while let Some(slot) = all.pop_front(&mut self.slots) {
            let marked = marks(self.slots.page(slot)).accessed;
            let Age { counter, is_used } = self.slots[slot];
            let counter = counter >> 1 | if is_used || marked { 0x80 } else { 0 };
            self.slots[slot] = Age { counter, is_used: false };
            self.queues[usize::from(counter)].push_back(&mut self.slots, slot);
        }
    }
}

impl Policy for Aging {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.slots.used()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        self.references += 1;
        if self.references == self.period {
            self.references = 0;
            self.shift(&mut |_| Default::default());
        }
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        self.slots[slot].is_used = true;
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.queues.iter().find_map(List::front)?;
        Some(self.take(slot))
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, Age { counter: 0x80, is_used: false });
        self.queues[0x80].push_back(&mut self.slots, slot);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(slot);
        }
    }

    fn tick(&mut self, marks: &mut TestAndClear<'_>) {
        self.shift(marks);
    }

    fn check(&self) {
        let queued: usize = self.queues.iter().map(List::count).sum();
        assert_eq!(queued, self.slots.used(), "every page is in one queue");
    }
}
