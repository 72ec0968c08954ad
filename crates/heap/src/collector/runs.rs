//! Where blocks are carved from: runs of free memory, found by sweeping as they are needed.

use super::*;
use crate::words::Places;

/// Larger requests look in the bins before anything is swept.
const LARGE_BYTES: u64 = 2048;
/// How far ahead of the next block a run is zeroed: it should still be in the nearest cache when it is used.
const ZERO_BYTES: u64 = 8192;

/// A free block that allocations are carved from, from its low end on.
///
/// ```text
///   | allocated, not counted yet | zeros              | not zeroed yet             |
///   ^ counted                    ^ at                 ^ zeroed                     ^ end
/// ```
#[derive(Clone, Copy)]
pub(super) struct Run {
    counted: u64,
    pub at: u64,
    pub zeroed: u64,
    pub end: u64,
}

impl Run {
    pub fn new(at: u64, end: u64) -> Self {
        Self { counted: at, at, zeroed: at, end }
    }
}

impl<A: Arena> Collector<A> {
    /// A block of `need` bytes when the run's zeros do not hold it, or not it and another one.
    #[cold]
    #[inline(never)]
    pub(super) fn malloc_slowly<'a, R: AsRef<[Root<'a>]>>(
        &mut self,
        need: u64,
        contents: Contents,
        roots: impl Fn() -> R,
    ) -> Result<Ptr, Refusal> {
        self.count_run();
        if self.allocated_bytes >= self.policy.min_bytes.max(self.collections.live_bytes) {
            self.collect(roots().as_ref());
        }
        if need > self.run.end - self.run.at && !self.find_run(need)? {
            self.collect(roots().as_ref());
            if !self.find_run(need)? {
                return Err(Refusal::NoMemory);
            }
        }
        Ok(self.carve(need, contents))
    }

    /// Cuts a block from the run, which is large enough; what would be too small for a free block is added to it.
    fn carve(&mut self, need: u64, contents: Contents) -> Ptr {
        let Run { at, zeroed, end, .. } = self.run;
        let rest = end - at - need;
        let bytes = if rest < MIN_BLOCK { end - at } else { need };
        let zero_to = (at + bytes.max(ZERO_BYTES)).min(end);
        if zero_to > zeroed {
            self.tags.words.arena.fill(zeroed, zero_to - zeroed, 0);
            self.run.zeroed = zero_to;
        }
        self.map.insert(at, bytes, contents);
        self.run.at = at + bytes;
        self.tags.put(at, tag(bytes));
        if self.run.at == end {
            self.tags.tell_after(end, true);
        }
        Ptr::new(at + HEADER)
    }

    /// Makes a run of at least `need` bytes: from the bins if it is large, by sweeping on, from the bins, or by growing.
    fn find_run(&mut self, need: u64) -> Result<bool, Refusal> {
        self.retire_run();
        Ok(need >= LARGE_BYTES && self.take_from_bins(need)?
            || self.sweep_for(need)
            || self.take_from_bins(need)?
            || self.grow(need) && self.sweep_for(need))
    }

    /// Sweeps until there is a run of `need` bytes. A last gap that is too small waits for the heap to grow.
    fn sweep_for(&mut self, need: u64) -> bool {
        while let Some((at, end)) = self.next_gap() {
            if end - at < need && end == self.tags.end {
                self.sweep_from = at;
                return false;
            }
            self.sweep_from = end;
            self.map.remove_all(at, end);
            if end - at >= need {
                self.run = Run::new(at, end);
                return true;
            }
            self.put_back(at, end);
        }
        false
    }

    /// What lies between two survivors, from where the sweep stands on.
    fn next_gap(&self) -> Option<(u64, u64)> {
        if self.sweep_from == self.tags.end {
            return None;
        }
        let gap = self.map.next_unmarked(self.map.unit(self.sweep_from), &self.marks)?;
        let survivor = self.marks.next_from(gap);
        Some((self.map.at(gap), survivor.map_or(self.tags.end, |unit| self.map.at(unit))))
    }

    fn take_from_bins(&mut self, need: u64) -> Result<bool, Refusal> {
        let Some(free) = self.bins.find(&self.tags, need, &mut self.counters)? else { return Ok(false) };
        self.bins.remove(&mut self.tags, free)?;
        self.map.remove_all(free.at, free.end());
        self.run = Run::new(free.at, free.end());
        Ok(true)
    }

    /// Grows the heap behind a last gap, or behind the last block.
    fn grow(&mut self, need: u64) -> bool {
        let old_end = self.tags.end;
        let gap = self.next_gap().map_or(0, |(at, _)| old_end - at);
        let least = (need - gap).max(MIN_BLOCK);
        let chunk = least.max(self.policy.chunk).next_multiple_of(map::UNIT);
        let grown = [chunk, least].into_iter().any(|bytes| self.tags.extend(bytes).is_ok());
        if grown {
            self.counters.extensions += 1;
            self.map.insert_free(old_end, self.tags.end - old_end);
        }
        grown
    }

    /// Makes a free block of a gap and bins it.
    fn put_back(&mut self, at: u64, end: u64) {
        self.map.insert_free(at, end - at);
        let free = Free { at, bytes: end - at };
        self.tags.set_free(free, true);
        self.bins.insert(&mut self.tags, free);
    }

    /// Gives back what is left of the run: to the sweep if that stands at its end, or else to the bins.
    pub(super) fn retire_run(&mut self) {
        self.count_run();
        let Run { at, end, .. } = std::mem::replace(&mut self.run, Run::new(self.tags.first, self.tags.first));
        if at == end {
            return;
        }
        if end == self.sweep_from {
            self.map.insert_free(at, end - at);
            self.sweep_from = at;
        } else {
            self.put_back(at, end);
        }
    }

    /// Counts what was carved from the run since it was last counted.
    fn count_run(&mut self) {
        self.allocated_bytes += self.run.at - self.run.counted;
        self.run.counted = self.run.at;
    }
}
