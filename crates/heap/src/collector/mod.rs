//! A conservative mark-sweep collector over tagged blocks.
//!
//! ```text
//!   | live | dead | dead | live | run: bump from here ....| live | not swept yet: dead or live, the marks know |
//!                               ^ run                     ^ sweep
//! ```
//! *Mark.* Every word of the roots that could be an address in a block marks it, and so on through the words of each
//! block that is not atomic; blocks do not move, so a number that only looks like an address costs memory, never
//! correctness. *Sweep*, lazily: what lies between two marked blocks is one free run, found in the map's bits when an
//! allocation needs it, without touching the dead blocks. The next allocations are carved from the run one after the other;
//! what is too small for a request goes to bins, those of segregated fits, and large requests look there first. *When*: once the bytes
//! allocated since the last collection exceed what survived that, and at least `Policy::min_bytes`.
//!
//! A pointer just past a block's end does not keep it.

mod leaks;
mod map;
mod reach;

pub use leaks::{Reach, leaks};
pub use map::{Bits, BlockMap, Contents};
pub use reach::{Graph, Pointers, Root, reachable};

use crate::segregated_fits::Bins;
use crate::tagged::Index;
use crate::tags::{Tag, Tags};
use crate::*;
use std::collections::BTreeMap;

/// When to collect, and how deep the mark stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The address of the arena's first byte, as pointers contain it.
    pub base: u64,
    /// No collection before this many bytes were allocated since the last.
    pub min_bytes: u64,
    /// How many blocks the mark stack holds.
    pub stack_limit: usize,
    /// By how many bytes at least the heap grows.
    pub chunk: u64,
}

impl Default for Policy {
    /// Base 0 (pointers are offsets), 4 MiB between collections, 64 Ki blocks on the stack, growth by 1 MiB.
    fn default() -> Self {
        Self { base: 0, min_bytes: 4 << 20, stack_limit: 1 << 16, chunk: 1 << 20 }
    }
}

/// What a collector did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Collections {
    /// How many collections.
    pub count: u64,
    /// The bytes of blocks that survived the last one.
    pub live_bytes: u64,
}

/// A heap that finds out by itself what is no longer used.
pub struct Collector<A> {
    tags: Tags<A>,
    bins: Bins,
    map: BlockMap,
    marks: Bits,
    policy: Policy,
    /// The free block that allocations are carved from, in no bin; empty at first.
    run: (u64, u64),
    /// Everything from here on was not swept since the last collection.
    sweep_from: u64,
    allocated_bytes: u64,
    collections: Collections,
    counters: Counters,
}

impl<A: Arena> Collector<A> {
    /// An empty heap in `arena`.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for its first words.
    pub fn new(arena: A, policy: Policy) -> Result<Self, Refusal> {
        let mut settings = Kind::SegregatedFits.spec().settings;
        (settings.header, settings.align) = (Word::Eight, map::UNIT);
        let tags = Tags::new(arena, &settings, Footers::Free, 2)?;
        let (first, bins) = (tags.first, Bins::new(&settings));
        Ok(Self {
            tags,
            bins,
            map: BlockMap::new(first),
            marks: Bits::default(),
            policy,
            run: (first, first),
            sweep_from: first,
            allocated_bytes: 0,
            collections: Collections::default(),
            counters: Counters::default(),
        })
    }

    /// A zeroed payload, after a collection if one is due. `roots` is all that the program can reach by itself.
    ///
    /// # Errors
    /// `NoMemory`, when a collection did not help either.
    #[inline]
    pub fn malloc(&mut self, bytes: u64, contents: Contents, roots: &[Root]) -> Result<Ptr, Refusal> {
        let need = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        if self.allocated_bytes >= self.policy.min_bytes.max(self.collections.live_bytes) {
            self.collect(roots);
        }
        if need > self.run.1 - self.run.0 {
            self.next_run(need, roots)?;
        }
        Ok(self.carve(need, contents))
    }

    /// Marks what is reachable; the rest is swept as allocations need it.
    pub fn collect(&mut self, roots: &[Root]) {
        self.finish_sweep();
        let units = self.map.unit(self.map.end) + 1;
        self.marks.reset(units);
        let mut marks = std::mem::take(&mut self.marks);
        reachable(&self.graph(Pointers::Interior), roots, &mut marks);
        self.marks = marks;
        self.retire_run();
        self.bins.clear();
        self.sweep_from = self.tags.first;
        self.run = (self.tags.first, self.tags.first);
        self.collections.count += 1;
        self.collections.live_bytes = 0;
        self.allocated_bytes = 0;
        self.count_survivors();
    }

    /// How each allocated block can be got at, by its payload's offset; what was found dead already is not there.
    pub fn leaks(&mut self, roots: &[Root]) -> BTreeMap<u64, Reach> {
        self.finish_sweep();
        leaks(self.graph(Pointers::Interior), roots)
    }

    /// The payloads on a shortest path of pointers from the roots to this one, itself last; `None` if there is no path.
    pub fn why_alive(&self, at: Ptr, roots: &[Root]) -> Option<Vec<Ptr>> {
        let target = self.map.find(at.get())?;
        let path = self.graph(Pointers::Interior).path_to(roots, target)?;
        Some(path.into_iter().map(|block| Ptr::new(self.map.at(block) + self.tags.word())).collect())
    }

    /// What was collected so far.
    pub fn collections(&self) -> Collections {
        self.collections
    }

    /// Extensions and splits so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The memory.
    pub fn arena(&self) -> &A {
        &self.tags.arena
    }

    /// The memory, to store payloads to.
    #[inline(always)]
    pub fn arena_mut(&mut self) -> &mut A {
        &mut self.tags.arena
    }

    fn graph(&self, pointers: Pointers) -> Graph<'_, A> {
        Graph {
            arena: &self.tags.arena,
            map: &self.map,
            base: self.policy.base,
            header_bytes: self.tags.word(),
            pointers,
            stack_limit: self.policy.stack_limit,
        }
    }

    /// Cuts a block from the low end of the run, zeroed.
    #[inline(always)]
    fn carve(&mut self, need: u64, contents: Contents) -> Ptr {
        let (at, end) = self.run;
        let rest = end - at - need;
        let bytes = if rest < self.tags.shape.min_block { end - at } else { need };
        self.run.0 = at + bytes;
        self.tags.put(at, Tag { bytes, allocated: true, before_allocated: true, quick: false }.encode());
        if bytes == end - at {
            self.tags.tell_after(end, true);
        }
        let unit = self.map.unit(at);
        self.map.starts.set(unit);
        self.map.live.set(unit);
        if self.run.0 < end {
            self.map.starts.set(self.map.unit(self.run.0));
        }
        match contents {
            Contents::Atomic => self.map.atomic.set(unit),
            Contents::Pointers => self.map.atomic.clear(unit),
        }
        self.allocated_bytes += bytes;
        let word = self.tags.word();
        if bytes <= 64 {
            for at in (at + word..at + bytes).step_by(8) {
                self.tags.arena.store64(at, 0);
            }
        } else {
            self.tags.arena.fill(at + word, bytes - word, 0);
        }
        Ptr::new(at + word)
    }

    /// Makes a run of at least `need` bytes: from the bins if it is large, by sweeping on, from the bins, or by growing.
    #[cold]
    #[inline(never)]
    fn next_run(&mut self, need: u64, roots: &[Root]) -> Result<(), Refusal> {
        const LARGE_BYTES: u64 = 2048;
        self.retire_run();
        if need >= LARGE_BYTES && self.take_from_bins(need)? {
            return Ok(());
        }
        while self.sweep_from < self.tags.end {
            let (at, end) = self.sweep_one_run();
            if end - at >= need {
                self.run = (at, end);
                return Ok(());
            }
            self.put_back(at, end)?;
        }
        if self.take_from_bins(need)? || self.grow(need)? {
            return Ok(());
        }
        if self.allocated_bytes > 0 {
            self.collect(roots);
            return self.next_run(need, roots);
        }
        Err(Refusal::NoMemory)
    }

    fn take_from_bins(&mut self, need: u64) -> Result<bool, Refusal> {
        let Some((at, bytes)) = self.bins.find(&self.tags, need, &mut self.counters)? else { return Ok(false) };
        self.bins.remove(&mut self.tags, at, bytes)?;
        self.run = (at, at + bytes);
        Ok(true)
    }

    fn grow(&mut self, need: u64) -> Result<bool, Refusal> {
        let chunk = need.max(self.policy.chunk).next_multiple_of(map::UNIT);
        let grown = self.tags.extend(chunk).map(|(at, _)| (at, at + chunk));
        let grown = grown.or_else(|_| self.tags.extend(need).map(|(at, _)| (at, at + need)));
        let Ok((at, end)) = grown else { return Ok(false) };
        self.counters.extensions += 1;
        self.map.cover(end);
        self.marks.cover(self.map.unit(end) + 1);
        (self.run, self.sweep_from) = ((at, end), end);
        Ok(true)
    }

    /// What lies before the next marked block, as one free run; it may be empty.
    fn sweep_one_run(&mut self) -> (u64, u64) {
        let from = self.map.unit(self.sweep_from);
        let mut next = from;
        let survivor = loop {
            match self.marks.next_from(next) {
                Some(unit) if self.map.live.get(unit) => break Some(unit),
                Some(unit) => next = unit + 1,
                None => break None,
            }
        };
        let (at, end) = (self.sweep_from, survivor.map_or(self.tags.end, |unit| self.map.at(unit)));
        self.sweep_from = survivor.map_or(self.tags.end, |unit| self.map.range(unit).1);
        let to = self.map.unit(end);
        self.map.starts.clear_range(from, to);
        self.map.live.clear_range(from, to);
        (at, end)
    }

    /// Makes a free block of a run and bins it.
    fn put_back(&mut self, at: u64, end: u64) -> Result<(), Refusal> {
        if at == end {
            // The block before is alive, and was before: nothing to say to the one after.
            self.tags.tell_after(end, true);
            return Ok(());
        }
        self.map.insert_free(at, end - at);
        self.tags.set_free(at, end - at, true);
        self.bins.insert(&mut self.tags, at, end - at)
    }

    /// Bins what is left of the run.
    fn retire_run(&mut self) {
        let (at, end) = std::mem::replace(&mut self.run, (self.tags.first, self.tags.first));
        if at < end {
            self.put_back(at, end).expect("inserting into a bin follows no link");
        }
    }

    fn finish_sweep(&mut self) {
        self.retire_run();
        while self.sweep_from < self.tags.end {
            let (at, end) = self.sweep_one_run();
            self.put_back(at, end).expect("inserting into a bin follows no link");
        }
    }

    fn count_survivors(&mut self) {
        let mut next = 0;
        while let Some(unit) = self.marks.next_from(next) {
            let (at, end) = self.map.range(unit);
            self.collections.live_bytes += end - at;
            next = unit + 1;
        }
    }

    /// Checks that the map and the tags agree on every block that was swept, and that the bins hold the free ones.
    ///
    /// # Errors
    /// One sentence that says what is broken.
    pub fn check(&self) -> Result<(), String> {
        let mut free = BTreeMap::new();
        let mut at = self.tags.first;
        while at < self.sweep_from {
            if at == self.run.0 && self.run.0 < self.run.1 {
                at = self.run.1;
                continue;
            }
            let tag = self.tags.block(at).map_err(|refusal| refusal.to_string())?;
            let unit = self.map.unit(at);
            if !self.map.starts.get(unit) || self.map.live.get(unit) != tag.allocated {
                return Err(format!("block {at:#x}: the map and the tag differ"));
            }
            if self.map.range(unit) != (at, at + tag.bytes) {
                return Err(format!("block {at:#x}: the map has another size"));
            }
            if !tag.allocated {
                free.insert(at, tag.bytes);
            }
            at += tag.bytes;
        }
        self.bins.check(&self.tags, &free, &BTreeMap::new())
    }
}
