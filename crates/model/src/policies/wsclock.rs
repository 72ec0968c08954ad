//! WSClock: CLOCK that takes a page only when it was not used for a while, and a clean one rather than a dirty one. R. W. Carr and J. L. Hennessy, "WSCLOCK: a simple and effective algorithm for virtual memory management", SOSP 1981.

use crate::policy::{Marks, Policy, Residency, TestAndClear};
use crate::slots::{Slot, Slots};
use addr::Access;

/// The frames in a circle, each with the time of its last use as the hand saw it. Time is counted in references, or in
/// ticks under a kernel that never touches.
///
/// A page older than `window` leaves: at once when it is clean; a dirty one is cleaned (its write-back is scheduled) and
/// leaves when the hand comes again. If a turn finds none, the next unused clean page leaves, then any unused one. The
/// paper's turn is the whole circle; here it is at most [`MOST_LOOKED_AT`] frames, so that a large memory in which few
/// pages are old is not searched at each fault.
pub struct WsClock {
    frames: usize,
    slots: Slots<Frame>,
    hand: usize,
    window: u64,
    now: u64,
}

/// How many frames the hand passes in search of a better victim.
pub const MOST_LOOKED_AT: usize = 64;

#[derive(Clone, Copy, Default)]
struct Frame {
    is_taken: bool,
    is_used: bool,
    is_dirty: bool,
    last_use: u64,
}

/// What the hand takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Old,
    UnusedClean,
    Unused,
}

impl WsClock {
    /// Memory of `frames` pages; a page is in the working set for `window` references after a use.
    pub fn new(frames: usize, window: u64) -> Self {
        Self { frames, slots: Slots::new(frames), hand: 0, window, now: 0 }
    }

    /// Moves the hand over up to `count` frames.
    fn turn(&mut self, count: usize, wanted: Wanted, marks: &mut TestAndClear<'_>) -> Option<u64> {
        for _ in 0..count {
            let slot = self.hand as Slot;
            self.hand = (self.hand + 1) % self.frames;
            let mut frame = self.slots[slot];
            if !frame.is_taken {
                continue;
            }
            let Marks { accessed, dirty } = marks(self.slots.page(slot));
            frame.is_dirty |= dirty;
            let is_used = frame.is_used | accessed;
            if is_used {
                (frame.is_used, frame.last_use) = (false, self.now);
            }
            let is_old = self.now - frame.last_use > self.window;
            let is_victim = !is_used
                && match wanted {
                    Wanted::Old => is_old && !frame.is_dirty,
                    Wanted::UnusedClean => !frame.is_dirty,
                    Wanted::Unused => true,
                };
            if is_old {
                frame.is_dirty = false;
            }
            self.slots[slot] = frame;
            if is_victim {
                return Some(self.take(slot));
            }
        }
        None
    }

    fn take(&mut self, slot: Slot) -> u64 {
        self.slots[slot] = Frame::default();
        self.slots.release(slot)
    }
}

impl Policy for WsClock {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.slots.used()
    }

    #[inline]
    fn touch(&mut self, page: u64, access: Access) -> Residency {
        self.now += 1;
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        let frame = &mut self.slots[slot];
        frame.is_used = true;
        frame.is_dirty |= access == Access::Write;
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        if self.slots.used() == 0 {
            return None;
        }
        let few = self.frames.min(MOST_LOOKED_AT);
        // The hand may have to clear all use bits first, and then take what it meets.
        self.turn(few, Wanted::Old, marks)
            .or_else(|| self.turn(few, Wanted::UnusedClean, marks))
            .or_else(|| self.turn(2 * self.frames, Wanted::Unused, marks))
            .or_else(|| self.turn(self.frames, Wanted::Unused, &mut |_| Marks::default()))
    }

    fn insert(&mut self, page: u64, access: Access) {
        let is_dirty = access == Access::Write;
        self.slots.add(page, Frame { is_taken: true, is_used: true, is_dirty, last_use: self.now });
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(slot);
        }
    }

    fn tick(&mut self, _marks: &mut TestAndClear<'_>) {
        self.now += 1;
    }

    fn check(&self) {
        let taken = (0..self.frames as Slot).filter(|&slot| self.slots[slot].is_taken);
        assert_eq!(taken.count(), self.slots.used(), "a page has a frame");
        assert!(self.hand < self.frames, "the hand points at a frame");
    }
}
