//! WSClock: CLOCK that takes a page only when it is outside the working set, and a clean one rather than a dirty one. R. W. Carr and J. L. Hennessy, "WSCLOCK: a simple and effective algorithm for virtual memory management", SOSP 1981.

use crate::bits::Bits;
use crate::policy::{Marks, Outcome, Policy, Reference, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// The frames in a circle, each with the time of its last use as the hand saw it. Time is counted in references, or in
/// ticks under a kernel that never touches.
///
/// The hand clears a use bit and notes the time, and takes a page that was noted longer than `window` ago: at once when
/// it is clean; a dirty one is cleaned (its write-back is scheduled) and leaves when the hand comes again. If a whole turn
/// finds none and cleaned none, all pages are in the working set: the next clean page leaves, else the next one.
///
/// A turn passes frames that were noted within the window and does nothing to them. A replay knows all use bits, so it
/// goes from one frame of `used` or `old` to the next, and a turn costs what it changes; with a kernel's marks it has to
/// look at every frame.
pub struct WsClock {
    frames: usize,
    slots: Slots<Frame>,
    hand: usize,
    window: u64,
    now: u64,
    /// Frames whose use bit is set.
    used: Bits,
    /// Frames noted longer than the window ago.
    old: Bits,
    /// Frames without a store since they were cleaned.
    clean: Bits,
    /// The other frames that were noted, the longest ago in front.
    young: List,
}

#[derive(Clone, Copy, Default)]
struct Frame {
    place: Place,
    noted: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// It holds no page.
    #[default]
    Free,
    /// The hand has not come by since the page came in.
    New,
    Young,
    Old,
}

/// What a turn of the hand came to.
enum Turn {
    Found(Slot),
    /// There was none, but pages were cleaned.
    Cleaned,
    /// All pages are in the working set.
    Nothing,
}

impl WsClock {
    /// Memory of `frames` pages; a page is in the working set for `window` references after a use.
    pub fn new(frames: usize, window: u64) -> Self {
        let none = Bits::new(frames);
        Self {
            frames,
            slots: Slots::new(frames),
            hand: 0,
            window,
            now: 0,
            used: none.clone(),
            old: none.clone(),
            clean: none,
            young: List::default(),
        }
    }

    /// Chooses the victim and takes it out. Without `marks` all use bits are known.
    fn choose(&mut self, mut marks: Option<&mut TestAndClear<'_>>) -> Option<u64> {
        if self.slots.used() == 0 {
            return None;
        }
        self.age();
        loop {
            // What the first turn cleaned, the second one finds without asking again.
            match self.turn(marks.take()) {
                Turn::Found(slot) => return Some(self.take(slot)),
                Turn::Cleaned => {}
                Turn::Nothing => break,
            }
        }
        let is_taken = |slot: &usize| self.slots[*slot as Slot].place != Place::Free;
        let circle = (self.hand..self.frames).chain(0..self.hand);
        let slot = self.clean.next_around(self.hand).or_else(|| circle.into_iter().find(is_taken))?;
        self.hand = (slot + 1) % self.frames;
        Some(self.take(slot as Slot))
    }

    /// Frames noted before the window are old from now on.
    fn age(&mut self) {
        while let Some(slot) = self.young.front()
            && self.now - self.slots[slot].noted > self.window
        {
            self.young.unlink(&mut self.slots, slot);
            self.slots[slot].place = Place::Old;
            self.old.insert(slot as usize);
        }
    }

    /// Moves the hand once around, or until a page can leave.
    fn turn(&mut self, mut marks: Option<&mut TestAndClear<'_>>) -> Turn {
        let (mut left, mut has_cleaned) = (self.frames, false);
        while let Some(at) = if marks.is_some() { Some(self.hand) } else { self.next_stop() } {
            let distance = self.distance(at) + 1;
            if distance > left {
                break;
            }
            left -= distance;
            self.hand = (at + 1) % self.frames;
            let slot = at as Slot;
            if let Some(marks) = &mut marks
                && self.slots[slot].place != Place::Free
            {
                let Marks { accessed, dirty } = marks(self.slots.page(slot));
                self.mark(slot, accessed, dirty);
            }
            if self.used.contains(at) {
                self.used.remove(at);
                self.note(slot);
            } else if self.old.contains(at) {
                if self.clean.contains(at) {
                    return Turn::Found(slot);
                }
                self.clean.insert(at);
                has_cleaned = true;
            }
        }
        self.hand = (self.hand + left) % self.frames;
        if has_cleaned { Turn::Cleaned } else { Turn::Nothing }
    }

    /// The next frame to which the hand does something, if all use bits are known.
    fn next_stop(&self) -> Option<usize> {
        let stops = [self.used.next_around(self.hand), self.old.next_around(self.hand)];
        stops.into_iter().flatten().min_by_key(|&at| self.distance(at))
    }

    /// How many frames the hand has before it.
    fn distance(&self, at: usize) -> usize {
        if at >= self.hand { at - self.hand } else { at + self.frames - self.hand }
    }

    #[inline]
    fn mark(&mut self, slot: Slot, is_used: bool, is_dirty: bool) {
        if is_used {
            self.used.insert(slot as usize);
        }
        if is_dirty {
            self.clean.remove(slot as usize);
        }
    }

    /// The hand saw that the frame was used.
    fn note(&mut self, slot: Slot) {
        self.leave_place(slot);
        self.slots[slot] = Frame { place: Place::Young, noted: self.now };
        self.young.push_back(&mut self.slots, slot);
    }

    fn leave_place(&mut self, slot: Slot) {
        match self.slots[slot].place {
            Place::Young => self.young.unlink(&mut self.slots, slot),
            Place::Old => self.old.remove(slot as usize),
            Place::Free | Place::New => {}
        }
    }

    fn take(&mut self, slot: Slot) -> u64 {
        self.leave_place(slot);
        self.used.remove(slot as usize);
        self.clean.remove(slot as usize);
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
        self.mark(slot, true, access == Access::Write);
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64> {
        self.choose(Some(marks))
    }

    fn insert(&mut self, page: u64, access: Access) {
        let slot = self.slots.add(page, Frame { place: Place::New, noted: self.now });
        self.clean.insert(slot as usize);
        self.mark(slot, true, access == Access::Write);
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
        let taken = (0..self.frames).filter(|&at| self.slots[at as Slot].place != Place::Free);
        let mut count = 0;
        for at in taken {
            count += 1;
            let place = self.slots[at as Slot].place;
            assert_eq!(self.old.contains(at), place == Place::Old, "old frames are in the set");
            assert!(place != Place::New || self.used.contains(at), "a new page was used");
        }
        assert_eq!(count, self.slots.used(), "a page has a frame");
        assert!(self.hand < self.frames, "the hand points at a frame");
    }

    /// As with marks that are all clear, and without looking at every frame.
    #[inline]
    fn reference(&mut self, reference: Reference) -> Outcome {
        let (page, access) = (reference.page(), reference.access());
        if self.touch(page, access) == Residency::Resident {
            return Outcome::Hit;
        }
        let victim = if self.resident() == self.frames { self.choose(None) } else { None };
        self.insert(page, access);
        victim.map_or(Outcome::Loaded, Outcome::Replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;

    /// A page with its use bit, its dirty bit and the time that the hand noted.
    type Naive = (u64, bool, bool, u64);

    /// The definition, frame by frame; memory is full.
    fn victim(frames: &mut [Naive], hand: &mut usize, now: u64, window: u64) -> usize {
        let mut has_cleaned = true;
        while std::mem::take(&mut has_cleaned) {
            for _ in 0..frames.len() {
                let at = *hand;
                *hand = (*hand + 1) % frames.len();
                let (_, is_used, is_dirty, noted) = &mut frames[at];
                if std::mem::take(is_used) {
                    *noted = now;
                } else if now - *noted > window {
                    if !std::mem::take(is_dirty) {
                        return at;
                    }
                    has_cleaned = true;
                }
            }
        }
        let circle: Vec<usize> = (0..frames.len()).map(|step| (*hand + step) % frames.len()).collect();
        let at = circle.iter().copied().find(|&at| !frames[at].2).unwrap_or(circle[0]);
        *hand = (at + 1) % frames.len();
        at
    }

    #[test]
    fn the_hand_takes_what_the_definition_says() {
        let mut random = Random::new(37);
        for (count, window) in [(1, 1), (2, 5), (5, 3), (7, 0), (16, 16), (16, 100), (70, 60), (70, 300), (70, 1 << 40)]
        {
            let (mut replay, mut asking) = (WsClock::new(count, window), WsClock::new(count, window));
            let (mut frames, mut hand): (Vec<Naive>, usize) = (Vec::new(), 0);
            for now in 1..6000 {
                let page = random.below(1 + 3 * count as u64);
                let access = if random.below(4) == 0 { Access::Write } else { Access::Read };
                let is_dirty = access == Access::Write;
                let mut expected = Outcome::Hit;
                if let Some(frame) = frames.iter_mut().find(|frame| frame.0 == page) {
                    (frame.1, frame.2) = (true, frame.2 | is_dirty);
                } else if frames.len() < count {
                    expected = Outcome::Loaded;
                    frames.push((page, true, is_dirty, now));
                } else {
                    let at = victim(&mut frames, &mut hand, now, window);
                    expected = Outcome::Replaced(frames[at].0);
                    frames[at] = (page, true, is_dirty, now);
                }
                assert_eq!(replay.reference(Reference::new(page, access)), expected, "{count} frames, window {window}");
                replay.check();
                if asking.touch(page, access) == Residency::Absent {
                    let victim = if asking.resident() == count {
                        asking.evict(Some(page), &mut |_| Marks::default())
                    } else {
                        None
                    };
                    asking.insert(page, access);
                    assert_eq!(victim.map_or(Outcome::Loaded, Outcome::Replaced), expected);
                }
            }
        }
    }
}
