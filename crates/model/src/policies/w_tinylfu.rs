//! W-TinyLFU: a small LRU window in front of a segmented LRU, and the page that is estimated to be used more often stays. G. Einziger, R. Friedman and B. Manes, "TinyLFU: a highly efficient cache admission policy", ACM Transactions on Storage 13(4), 2017.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

/// The window has one frame in a hundred, at least 1; of the rest, a fifth is on probation and four fifths are
/// protected. Uses are estimated by a count-min sketch, all of it halved after ten uses per frame. Which pages collide
/// depends on the hash.
pub struct WTinyLfu {
    frames: usize,
    slots: Slots<Place>,
    window: List,
    probation: List,
    protected: List,
    window_frames: usize,
    protected_frames: usize,
    sketch: Sketch,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Place {
    #[default]
    Window,
    Probation,
    Protected,
}

impl WTinyLfu {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        let window_frames = (frames / 100).max(1);
        Self {
            frames,
            slots: Slots::new(frames),
            window: List::default(),
            probation: List::default(),
            protected: List::default(),
            window_frames,
            protected_frames: (frames - window_frames) * 4 / 5,
            sketch: Sketch::new(frames),
        }
    }

    fn unlink(&mut self, slot: Slot) {
        match self.slots[slot] {
            Place::Window => self.window.unlink(&mut self.slots, slot),
            Place::Probation => self.probation.unlink(&mut self.slots, slot),
            Place::Protected => self.protected.unlink(&mut self.slots, slot),
        }
    }

    fn put(&mut self, slot: Slot, place: Place) {
        self.slots[slot] = place;
        match place {
            Place::Window => self.window.push_front(&mut self.slots, slot),
            Place::Probation => self.probation.push_front(&mut self.slots, slot),
            Place::Protected => self.protected.push_front(&mut self.slots, slot),
        }
    }

    fn protect(&mut self, slot: Slot) {
        self.unlink(slot);
        self.put(slot, Place::Protected);
        if self.protected.count() > self.protected_frames {
            let oldest = self.protected.back().expect("a page was just protected");
            self.unlink(oldest);
            self.put(oldest, Place::Probation);
        }
    }

    fn take(&mut self, slot: Slot) -> u64 {
        self.unlink(slot);
        self.slots.release(slot)
    }
}

impl Policy for WTinyLfu {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.slots.used()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        self.sketch.count(page);
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        match self.slots[slot] {
            Place::Window => self.window.move_to_front(&mut self.slots, slot),
            Place::Protected => self.protected.move_to_front(&mut self.slots, slot),
            Place::Probation => self.protect(slot),
        }
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        let victim = self.probation.back().or(self.protected.back());
        let candidate = self.window.back().filter(|_| self.window.count() >= self.window_frames);
        match (candidate, victim.or(self.window.back())) {
            (Some(candidate), Some(victim)) if candidate != victim => {
                let (newer, older) = (self.slots.page(candidate), self.slots.page(victim));
                if self.sketch.estimate(newer) <= self.sketch.estimate(older) {
                    return Some(self.take(candidate));
                }
                self.unlink(candidate);
                self.put(candidate, Place::Probation);
                Some(self.take(victim))
            }
            (_, victim) => Some(self.take(victim?)),
        }
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let slot = self.slots.add(page, Place::Window);
        self.put(slot, Place::Window);
        if self.window.count() > self.window_frames {
            let oldest = self.window.back().expect("a page was just put there");
            self.unlink(oldest);
            self.put(oldest, Place::Probation);
        }
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.take(slot);
        }
    }

    fn check(&self) {
        let listed = self.window.count() + self.probation.count() + self.protected.count();
        assert_eq!(listed, self.slots.used(), "every page is in one list");
        assert!(self.window.count() <= self.window_frames, "the window is bounded");
        assert!(self.protected.count() <= self.protected_frames, "the protected segment is bounded");
    }
}

/// A count-min sketch with four 4-bit counters a page, of which the least counts.
struct Sketch {
    words: Vec<u64>,
    counted: usize,
    period: usize,
}

const COUNTERS: usize = 4;

impl Sketch {
    fn new(frames: usize) -> Self {
        Self { words: vec![0; frames.next_power_of_two().max(8)], counted: 0, period: 10 * frames.max(1) }
    }

    /// Where the counters of a page are: a word and the place of a nibble in it, for each.
    #[inline]
    fn places(&self, page: u64) -> [(usize, u32); COUNTERS] {
        let mut mixed = page.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
        // One block of eight words, a cache line, holds all counters of a page.
        let block = (mixed >> 32) as usize & (self.words.len() / 8 - 1);
        std::array::from_fn(|row| {
            let bits = (mixed >> (8 * row)) as usize & 0xff;
            (block * 8 + row * 2 + (bits >> 4 & 1), (bits & 15) as u32 * 4)
        })
    }

    #[inline]
    fn count(&mut self, page: u64) {
        for (word, shift) in self.places(page) {
            if self.words[word] >> shift & 15 < 15 {
                self.words[word] += 1 << shift;
            }
        }
        self.counted += 1;
        if self.counted == self.period {
            self.counted /= 2;
            for word in &mut self.words {
                *word = *word >> 1 & 0x7777_7777_7777_7777;
            }
        }
    }

    #[inline]
    fn estimate(&self, page: u64) -> u64 {
        let counts = self.places(page).map(|(word, shift)| self.words[word] >> shift & 15);
        counts.into_iter().min().expect("a page has counters")
    }
}
