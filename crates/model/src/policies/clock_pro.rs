//! CLOCK-Pro: LIRS's idea on a clock with three hands. S. Jiang, F. Chen and X. Zhang, "CLOCK-Pro: an effective improvement of the CLOCK replacement", USENIX ATC 2005.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// One circle of hot pages, cold pages, and cold pages that left memory in their test period.
///
/// Hands move from the back of the list to its front and round again; the clock's head, where pages come in, is right
/// behind the hot hand. A cold page used in its test period becomes hot. `cold_target` is the paper's m_c: it grows when a page is
/// used in its test period and shrinks when a test period ends unused; hot pages get the rest of memory.
pub struct ClockPro {
    frames: usize,
    slots: Slots<State>,
    circle: List,
    hand_cold: Option<Slot>,
    hand_hot: Option<Slot>,
    hand_test: Option<Slot>,
    hot_count: usize,
    cold_count: usize,
    ghost_count: usize,
    cold_target: usize,
}

#[derive(Clone, Copy, Default)]
struct State {
    kind: Kind,
    is_used: bool,
    is_tested: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Kind {
    Hot,
    #[default]
    Cold,
    Ghost,
}

impl ClockPro {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        Self {
            frames,
            slots: Slots::new(2 * frames + 1),
            circle: List::default(),
            hand_cold: None,
            hand_hot: None,
            hand_test: None,
            hot_count: 0,
            cold_count: 0,
            ghost_count: 0,
            cold_target: frames,
        }
    }

    fn add_at_head(&mut self, slot: Slot, state: State) {
        self.slots[slot] = state;
        match self.hand_hot.map(|hand| self.circle.after(&self.slots, hand)) {
            Some(Some(behind)) => self.circle.insert_before(&mut self.slots, slot, behind),
            Some(None) => self.circle.push_back(&mut self.slots, slot),
            None => self.circle.push_front(&mut self.slots, slot),
        }
        match state.kind {
            Kind::Hot => self.hot_count += 1,
            Kind::Cold => self.cold_count += 1,
            Kind::Ghost => self.ghost_count += 1,
        }
    }

    /// Takes a page out of the circle; hands that point at it move on.
    fn take(&mut self, slot: Slot) {
        let next = self.next(slot).filter(|&next| next != slot);
        for hand in [&mut self.hand_cold, &mut self.hand_hot, &mut self.hand_test] {
            if *hand == Some(slot) {
                *hand = next;
            }
        }
        self.circle.unlink(&mut self.slots, slot);
        match self.slots[slot].kind {
            Kind::Hot => self.hot_count -= 1,
            Kind::Cold => self.cold_count -= 1,
            Kind::Ghost => self.ghost_count -= 1,
        }
    }

    fn next(&self, slot: Slot) -> Option<Slot> {
        self.circle.before(&self.slots, slot).or(self.circle.back())
    }

    fn grow_cold(&mut self) {
        self.cold_target = (self.cold_target + 1).min(self.frames);
    }

    /// The test period of a cold page ends without a use: a ghost is forgotten.
    fn end_test(&mut self, slot: Slot) {
        let State { kind, is_tested, .. } = self.slots[slot];
        if kind == Kind::Hot || !is_tested {
            return;
        }
        self.cold_target = (self.cold_target - 1).max(1);
        self.slots[slot].is_tested = false;
        if kind == Kind::Ghost {
            self.take(slot);
            self.slots.release(slot);
        }
    }

    /// Moves the cold hand by one page; gives the victim if that one was it.
    fn turn_cold(&mut self, marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.hand_cold.or(self.circle.back())?;
        self.hand_cold = self.next(slot);
        let State { kind, is_used, is_tested } = self.slots[slot];
        if kind != Kind::Cold {
            return None;
        }
        let page = self.slots.page(slot);
        let marked = marks(page).accessed;
        if !is_used && !marked {
            if is_tested {
                self.slots[slot].kind = Kind::Ghost;
                self.cold_count -= 1;
                self.ghost_count += 1;
                self.bound_ghosts(slot);
            } else {
                self.take(slot);
                self.slots.release(slot);
            }
            return Some(page);
        }
        self.take(slot);
        if is_tested {
            self.grow_cold();
            self.add_at_head(slot, State { kind: Kind::Hot, ..State::default() });
            self.bound_hot(marks);
        } else {
            self.add_at_head(slot, State { kind: Kind::Cold, is_used: false, is_tested: true });
        }
        None
    }

    /// Turns the hot hand until hot pages fit their share of memory.
    fn bound_hot(&mut self, marks: &mut TestAndClear<'_>) {
        while self.hot_count > (self.frames - self.cold_target).max(1) {
            self.turn_hot(marks);
        }
    }

    /// Moves the hot hand by one page: an unused hot page cools, the test period of a cold one ends.
    fn turn_hot(&mut self, marks: &mut TestAndClear<'_>) {
        let slot = self.hand_hot.or(self.circle.back()).expect("there are hot pages");
        self.hand_hot = self.next(slot);
        let State { kind, is_used, .. } = self.slots[slot];
        if kind != Kind::Hot {
            return self.end_test(slot);
        }
        let marked = marks(self.slots.page(slot)).accessed;
        if is_used || marked {
            self.slots[slot].is_used = false;
        } else {
            self.take(slot);
            self.add_at_head(slot, State::default());
        }
    }

    /// Turns the test hand until no more pages are remembered than memory holds; `spared` has just left.
    fn bound_ghosts(&mut self, spared: Slot) {
        while self.ghost_count > self.frames {
            let slot = self.hand_test.or(self.circle.back()).expect("there are ghosts");
            self.hand_test = self.next(slot);
            if slot != spared {
                self.end_test(slot);
            }
        }
    }
}

impl Policy for ClockPro {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.hot_count + self.cold_count
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        if self.slots[slot].kind == Kind::Ghost {
            return Residency::Absent;
        }
        self.slots[slot].is_used = true;
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        while self.resident() > 0 {
            while self.cold_count == 0 {
                self.turn_hot(marks);
            }
            if let Some(victim) = self.turn_cold(marks) {
                return Some(victim);
            }
        }
        None
    }

    fn insert(&mut self, page: u64, _access: Access) {
        match self.slots.find(page) {
            Some(slot) => {
                self.grow_cold();
                self.take(slot);
                self.add_at_head(slot, State { kind: Kind::Hot, ..State::default() });
                self.bound_hot(&mut |_| Default::default());
            }
            None => {
                let slot = self.slots.add(page, State::default());
                self.add_at_head(slot, State { is_tested: true, ..State::default() });
            }
        }
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(slot);
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        let counted = self.hot_count + self.cold_count + self.ghost_count;
        assert_eq!(counted, self.circle.count(), "every page is hot, cold or remembered");
        assert_eq!(counted, self.slots.used(), "every page is in the circle");
        assert!(self.ghost_count <= self.frames, "what is remembered is bounded");
        assert!((1..=self.frames).contains(&self.cold_target), "cold pages have a share of memory");
    }
}
