//! OPT: the page whose next use is farthest away leaves; nothing does better, and it needs to know the future. L. A. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2), 1966 (MIN).

use crate::page_map::hash;
use crate::policy::{Policy, Reference, Residency, TestAndClear};
use addr::Access;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// The future of a reference string: for each reference, the place of the next one to the same page.
#[derive(Clone)]
pub struct Future {
    pages: Arc<[u64]>,
    next: Arc<[u32]>,
}

const NEVER: u32 = u32::MAX;

impl Future {
    /// Reads a string from its end.
    pub fn of(references: &[Reference]) -> Self {
        assert!(references.len() < NEVER as usize, "a string has fewer than 2^32 - 1 references");
        let mut latest: HashMap<u64, u32, BuildHasherDefault<PageHasher>> = HashMap::default();
        let mut next = vec![NEVER; references.len()];
        for (at, reference) in references.iter().enumerate().rev() {
            next[at] = latest.insert(reference.page(), at as u32).unwrap_or(NEVER);
        }
        Self { pages: references.iter().map(|reference| reference.page()).collect(), next: next.into() }
    }
}

/// Memory as the set of places in the string at which its pages are used next. Whether a reference hits is whether its
/// own place is in the set; the victim is the largest. Of pages never used again, the one used last leaves first.
pub struct Opt {
    frames: usize,
    future: Future,
    /// The place of the current reference, once touched.
    now: usize,
    upcoming: BitSet,
    upcoming_count: usize,
    finished: Vec<u64>,
}

impl Opt {
    /// Memory of `frames` pages for exactly the string that `future` was made of.
    pub fn new(frames: usize, future: Future) -> Self {
        let upcoming = BitSet::new(future.pages.len());
        Self { frames, future, now: 0, upcoming, upcoming_count: 0, finished: Vec::with_capacity(frames) }
    }

    /// Notes when the page of the current reference is used next.
    #[inline]
    fn keep(&mut self, page: u64) {
        match self.future.next[self.now - 1] {
            NEVER => self.finished.push(page),
            next => {
                self.upcoming.insert(next as usize);
                self.upcoming_count += 1;
            }
        }
    }
}

impl Policy for Opt {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.upcoming_count + self.finished.len()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        assert_eq!(self.future.pages.get(self.now), Some(&page), "OPT replays the string whose future it knows");
        self.now += 1;
        if !self.upcoming.remove(self.now - 1) {
            return Residency::Absent;
        }
        self.upcoming_count -= 1;
        self.keep(page);
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        if let Some(page) = self.finished.pop() {
            return Some(page);
        }
        let farthest = self.upcoming.largest()?;
        self.upcoming.remove(farthest);
        self.upcoming_count -= 1;
        Some(self.future.pages[farthest])
    }

    fn insert(&mut self, page: u64, _access: Access) {
        self.keep(page);
    }

    fn remove(&mut self, page: u64) {
        if let Some(place) = self.finished.iter().position(|&finished| finished == page) {
            self.finished.remove(place);
            return;
        }
        let next = (self.now..self.future.pages.len()).find(|&at| self.future.pages[at] == page);
        if next.is_some_and(|at| self.upcoming.remove(at)) {
            self.upcoming_count -= 1;
        }
    }

    fn check(&self) {
        assert!(self.resident() <= self.frames, "memory is not overfull");
    }
}

/// A set of small numbers as a tree of words: a bit of a word says that a word below it is not 0.
struct BitSet {
    levels: Vec<Vec<u64>>,
}

impl BitSet {
    fn new(capacity: usize) -> Self {
        let mut levels = vec![vec![0; capacity.div_ceil(64).max(1)]];
        while let Some(top) = levels.last().filter(|top| top.len() > 1) {
            let words = top.len().div_ceil(64);
            levels.push(vec![0; words]);
        }
        Self { levels }
    }

    #[inline]
    fn insert(&mut self, mut number: usize) {
        for level in &mut self.levels {
            let word = &mut level[number / 64];
            let was = *word;
            *word |= 1 << (number % 64);
            if was != 0 {
                return;
            }
            number /= 64;
        }
    }

    #[inline]
    fn remove(&mut self, mut number: usize) -> bool {
        if self.levels[0][number / 64] >> (number % 64) & 1 == 0 {
            return false;
        }
        for level in &mut self.levels {
            level[number / 64] &= !(1 << (number % 64));
            if level[number / 64] != 0 {
                break;
            }
            number /= 64;
        }
        true
    }

    #[inline]
    fn largest(&self) -> Option<usize> {
        self.levels.iter().rev().try_fold(0, |at, level| {
            let word = level[at];
            (word != 0).then(|| at * 64 + 63 - word.leading_zeros() as usize)
        })
    }
}

/// Hashes page numbers for the one pass that looks into the future.
#[derive(Default)]
struct PageHasher(u64);

impl Hasher for PageHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("page numbers are hashed as words");
    }

    fn write_u64(&mut self, page: u64) {
        let low = page.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = low ^ u64::from(hash(page));
    }
}
