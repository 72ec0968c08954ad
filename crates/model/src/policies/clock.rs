//! CLOCK: a hand goes round the frames, clears use bits, and stops at a page that was not used. F. J. Corbató, "A paging experiment with the Multics system", MIT Project MAC MAC-M-384, 1968.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{Slot, Slots};
use addr::Access;

/// What loading a page does to its use bit; textbooks differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UseBitOnLoad {
    /// Sets it, as hardware does when the faulting instruction runs again.
    Set,
    /// Clears it: only a second use counts.
    Clear,
}

/// The frames in a circle; a slot is a frame.
pub struct Clock {
    frames: usize,
    slots: Slots<Frame>,
    hand: usize,
    on_load: UseBitOnLoad,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Frame {
    #[default]
    Free,
    Unused,
    Used,
}

impl Clock {
    /// Memory of `frames` pages.
    pub fn new(frames: usize, on_load: UseBitOnLoad) -> Self {
        Self { frames, slots: Slots::new(frames), hand: 0, on_load }
    }
}

impl Policy for Clock {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.slots.used()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        self.slots[slot] = Frame::Used;
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        if self.slots.used() == 0 {
            return None;
        }
        loop {
            let slot = self.hand as Slot;
            self.hand = (self.hand + 1) % self.frames;
            let frame = self.slots[slot];
            if frame == Frame::Free {
                continue;
            }
            let marked = marks(self.slots.page(slot)).accessed;
            if frame == Frame::Unused && !marked {
                self.slots[slot] = Frame::Free;
                return Some(self.slots.release(slot));
            }
            self.slots[slot] = Frame::Unused;
        }
    }

    fn insert(&mut self, page: u64, _access: Access) {
        self.slots.add(page, if self.on_load == UseBitOnLoad::Set { Frame::Used } else { Frame::Unused });
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.slots[slot] = Frame::Free;
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        let taken = (0..self.frames as Slot).filter(|&slot| self.slots[slot] != Frame::Free).count();
        assert_eq!(taken, self.slots.used(), "a page's frame is not free");
        assert!(self.hand < self.frames, "the hand points at a frame");
    }
}
