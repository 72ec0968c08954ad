//! A conservative mark-sweep collector over tagged blocks.
//!
//! ```text
//!   | live | dead | dead | live | run: bump from here ....| live | not swept yet: dead or live, the marks know |
//!                               ^ run                     ^ sweep
//! ```
//! *Mark.* Every word of the roots that could be an address in a block marks it, and so on through the words of each
//! block that is not atomic; blocks do not move, so a number that only looks like an address costs memory, never
//! correctness. *Sweep*, lazily: what lies between two marked blocks is one gap, found in the bits beside the heap, 64 at
//! a time, when an allocation needs it, without touching the dead blocks. The next allocations are carved from it one
//! after the other; what is too small for a request goes to bins, those of segregated fits, and large requests look there
//! first. *When*: once the bytes allocated since the last collection exceed what survived that, and at least
//! `Policy::min_bytes`.
//!
//! A pointer just past a block's end does not keep it.
//!
//! ```
//! use pagewalk_heap::{Arena, ByteArena, collector::*};
//!
//! let mut heap = Collector::new(ByteArena::new(1 << 20), Policy::default())?;
//! let list = heap.malloc(16, Contents::Pointers, || [])?;
//! let stack = [list.get()];
//! let tail = heap.malloc(100, Contents::Atomic, || [Root::Words(&stack)])?;
//! heap.arena_mut().store64(list.get() + 8, tail.get());
//! let dropped = heap.malloc(100, Contents::Atomic, || [Root::Words(&stack)])?;
//!
//! assert_eq!(heap.leaks(&[Root::Words(&stack)])[&dropped.get()], Reach::DefinitelyLost);
//! assert_eq!(heap.why_alive(tail, &[Root::Words(&stack)]), Some(vec![list, tail]));
//! heap.collect(&[Root::Words(&stack)]);
//! assert_eq!(heap.collections().live_bytes, 32 + 112, "two blocks, each with a header of 8 bytes");
//! # Ok::<(), pagewalk_heap::Refusal>(())
//! ```

mod bits;
mod leaks;
mod map;
mod reach;
mod runs;

pub use bits::Bits;
pub use leaks::{Reach, leaks};
pub use map::{BlockMap, Contents};
pub use reach::{Graph, Pointers, Root, reachable};

use crate::bins::Bins;
use crate::explicit::same_blocks;
use crate::tagged::Sizes;
use crate::tags::{Free, Tag, Tags};
use crate::*;
use runs::Run;
use std::collections::BTreeMap;

/// The word before a payload: the block's size, and that it is allocated.
const HEADER: u64 = 8;
/// A free block has a header, two links and a footer.
const MIN_BLOCK: u64 = 32;

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
    tags: Tags<A, 8>,
    bins: Bins,
    map: BlockMap,
    marks: Bits,
    policy: Policy,
    /// The free block that allocations are carved from, in no bin and not on the map; empty at first.
    run: Run,
    /// Everything from here on was not swept since the last collection.
    sweep_from: u64,
    /// Since the last collection, without what was carved from the run since that was last counted.
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
        let tags = Tags::new(arena, &settings, 2)?;
        let (first, bins) = (tags.first, Bins::new(&settings));
        Ok(Self {
            tags,
            bins,
            map: BlockMap::new(first),
            marks: Bits::default(),
            policy,
            run: Run::new(first, first),
            sweep_from: first,
            allocated_bytes: 0,
            collections: Collections::default(),
            counters: Counters::default(),
        })
    }

    /// A zeroed payload, after a collection if one is due. `roots` is asked only then for all that the program can reach by
    /// itself.
    ///
    /// # Errors
    /// `NoMemory`, when a collection did not help either.
    #[inline]
    pub fn malloc<'a, R: AsRef<[Root<'a>]>>(
        &mut self,
        bytes: u64,
        contents: Contents,
        roots: impl Fn() -> R,
    ) -> Result<Ptr, Refusal> {
        let need = bytes.checked_add(HEADER + map::UNIT - 1).ok_or(Refusal::NoMemory)? & !(map::UNIT - 1);
        let need = need.max(MIN_BLOCK);
        let at = self.run.at;
        if need >= map::ROW_BYTES || at + need + MIN_BLOCK > self.run.zeroed {
            return self.malloc_slowly(need, contents, roots);
        }
        self.run.at = at + need;
        self.tags.words.arena.store64(at, tag(need));
        self.map.insert_small(at, contents);
        Ok(Ptr::new(at + HEADER))
    }

    /// Marks what is reachable; the rest is swept as allocations need it.
    pub fn collect(&mut self, roots: &[Root]) {
        self.retire_run();
        self.map.bury(self.sweep_from, &self.marks);
        let mut marks = std::mem::take(&mut self.marks);
        marks.reset(self.map.units());
        let live_bytes = reachable(&self.graph(Pointers::Interior), roots, &mut marks);
        self.marks = marks;
        self.bins.clear();
        self.sweep_from = self.tags.first;
        self.collections = Collections { count: self.collections.count + 1, live_bytes };
        self.allocated_bytes = 0;
    }

    /// How each allocated block can be got at, by its payload's offset; what was found dead already is not there.
    pub fn leaks(&mut self, roots: &[Root]) -> BTreeMap<u64, Reach> {
        self.retire_run();
        self.map.bury(self.sweep_from, &self.marks);
        leaks(self.graph(Pointers::Interior), roots)
    }

    /// The payloads on a shortest path of pointers from the roots to this one, itself last; `None` if there is no path.
    pub fn why_alive(&mut self, at: Ptr, roots: &[Root]) -> Option<Vec<Ptr>> {
        self.retire_run();
        let target = self.map.find(at.get())?;
        let path = self.graph(Pointers::Interior).path_to(roots, target)?;
        Some(path.into_iter().map(|block| Ptr::new(self.map.at(block) + HEADER)).collect())
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
        &self.tags.words.arena
    }

    /// The memory, to store payloads to.
    #[inline(always)]
    pub fn arena_mut(&mut self) -> &mut A {
        &mut self.tags.words.arena
    }

    fn graph(&self, pointers: Pointers) -> Graph<'_, A> {
        Graph {
            arena: &self.tags.words.arena,
            map: &self.map,
            base: self.policy.base,
            header_bytes: HEADER,
            pointers,
            stack_limit: self.policy.stack_limit,
        }
    }

    /// Checks that the map and the tags agree on every block that was swept, and that the bins hold the free ones.
    ///
    /// # Errors
    /// One sentence that says what is broken.
    pub fn check(&self) -> Result<(), String> {
        let mut free = Sizes::new();
        let mut at = self.tags.first;
        let mut before_allocated = true;
        while at < self.sweep_from {
            if self.run.at == at && at < self.run.end {
                at = self.run.end;
                before_allocated = at < self.sweep_from && self.tags.tag(at).before_allocated;
                continue;
            }
            let block = self.tags.block(at).map_err(|refusal| refusal.to_string())?;
            let unit = self.map.unit(at);
            if self.map.is_live(unit) != block.allocated || (self.map.find(at) == Some(unit)) != block.allocated {
                return Err(format!("block {at:#x}: the map and the tag differ"));
            }
            let runs_on = at + block.bytes == self.run.at;
            if self.map.range(unit) != (at, at + block.bytes) && !runs_on {
                return Err(format!("block {at:#x}: the map has another size"));
            }
            if block.before_allocated != before_allocated {
                return Err(format!("block {at:#x}: its tag is wrong about the block before"));
            }
            if !block.allocated {
                free.insert(at, block.bytes);
            }
            before_allocated = block.allocated;
            at += block.bytes;
        }
        same_blocks("free", &self.bins.held(&self.tags)?, &free)
    }
}

/// The header of an allocated block. Free memory is one block between two allocated ones, so the block before always is.
const fn tag(bytes: u64) -> u64 {
    Tag { bytes, allocated: true, before_allocated: true, quick: false }.encode()
}
