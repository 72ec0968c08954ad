//! S3-FIFO: a small FIFO filters out pages used once, a main one keeps the others, a third remembers. J. Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// Small has a tenth of memory, ghost remembers as many pages as main holds. Uses are counted up to 3; a page is
/// promoted from small when it was used more than once after it came in, as in the paper's algorithm 1.
pub struct S3Fifo {
    frames: usize,
    slots: Slots<State>,
    small: List,
    main: List,
    ghost: List,
    small_frames: usize,
}

#[derive(Clone, Copy, Default)]
struct State {
    place: Place,
    uses: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Place {
    #[default]
    Small,
    Main,
    Ghost,
}

const MOST_USES: u8 = 3;
const PROMOTED_ABOVE: u8 = 1;

impl S3Fifo {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self {
            frames,
            slots: Slots::new(2 * frames),
            small: List::default(),
            main: List::default(),
            ghost: List::default(),
            small_frames: (frames / 10).max(1),
        }
    }

    fn put_in_main(&mut self, slot: Slot, uses: u8) {
        self.slots[slot] = State { place: Place::Main, uses };
        self.main.push_back(&mut self.slots, slot);
    }

    /// The oldest page of small leaves memory, or moves to main.
    fn evict_small(&mut self, marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.small.pop_front(&mut self.slots)?;
        let page = self.slots.page(slot);
        let marked = marks(page).accessed;
        if self.slots[slot].uses + u8::from(marked) > PROMOTED_ABOVE {
            self.put_in_main(slot, 0);
            return None;
        }
        let ghosts = self.frames - self.small_frames;
        if ghosts == 0 {
            return Some(self.slots.release(slot));
        }
        if self.ghost.count() == ghosts {
            let oldest = self.ghost.pop_front(&mut self.slots).expect("the ghost queue is full");
            self.slots.release(oldest);
        }
        self.slots[slot].place = Place::Ghost;
        self.ghost.push_back(&mut self.slots, slot);
        Some(page)
    }

    /// The oldest page of main leaves memory, or goes round again with one use less.
    fn evict_main(&mut self, marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.main.pop_front(&mut self.slots)?;
        let marked = marks(self.slots.page(slot)).accessed;
        let uses = (self.slots[slot].uses + u8::from(marked)).min(MOST_USES);
        if uses == 0 {
            return Some(self.slots.release(slot));
        }
        self.put_in_main(slot, uses - 1);
        None
    }
}

impl Policy for S3Fifo {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.small.count() + self.main.count()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        let state = &mut self.slots[slot];
        if state.place == Place::Ghost {
            return Residency::Absent;
        }
        state.uses = (state.uses + 1).min(MOST_USES);
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        while self.resident() > 0 {
            let is_small = self.small.count() >= self.small_frames || self.main.count() == 0;
            let victim = if is_small { self.evict_small(marks) } else { self.evict_main(marks) };
            if victim.is_some() {
                return victim;
            }
        }
        None
    }

    fn insert(&mut self, page: u64, _access: Access) {
        if let Some(slot) = self.slots.find(page) {
            self.ghost.unlink(&mut self.slots, slot);
            return self.put_in_main(slot, 0);
        }
        let slot = self.slots.add(page, State::default());
        self.small.push_back(&mut self.slots, slot);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            match self.slots[slot].place {
                Place::Small => self.small.unlink(&mut self.slots, slot),
                Place::Main => self.main.unlink(&mut self.slots, slot),
                Place::Ghost => self.ghost.unlink(&mut self.slots, slot),
            }
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.resident() + self.ghost.count(), "every page is in one queue");
        assert!(self.ghost.count() <= self.frames - self.small_frames, "the ghost queue is bounded");
    }
}
