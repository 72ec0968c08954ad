//! The implicit free list: the blocks themselves, one after the other, are the list.
//!
//! ```text
//!   allocated   | header | payload ....................... padding | footer |
//!   free        | header | (nothing)                               | footer |
//!                 ^ size, a                                          ^ the same
//! ```
//! A search walks all blocks, allocated ones too: linear in the heap. The footer is the boundary tag by which `free`
//! finds the block before, so that coalescing takes constant time.

use crate::tagged::{Index, Tagged};
use crate::tags::Tags;
use crate::*;
use std::collections::BTreeMap;

/// The implicit list with boundary tags in every block (`implicit`).
///
/// # Errors
/// `NoMemory` when the arena has no room for prologue and epilogue.
#[expect(private_interfaces, reason = "the index is an allocator's own affair")]
pub fn implicit<A: Arena>(arena: A, settings: Settings) -> Result<Tagged<A, WalkEveryBlock>, Refusal> {
    Tagged::with_index(arena, Settings { footers: Footers::All, ..settings }, WalkEveryBlock::new(settings.fit))
}

/// No index at all: each search walks the heap.
pub(crate) struct WalkEveryBlock {
    fit: Fit,
    /// Where the last search ended, for next fit; always the start of a block, or the end, or before the first.
    rover: u64,
}

impl WalkEveryBlock {
    pub fn new(fit: Fit) -> Self {
        Self { fit, rover: 0 }
    }

    /// The first free block of at least `need` bytes that begins in `from..to`.
    fn first_fit<A: Arena>(
        tags: &Tags<A>,
        (from, to): (u64, u64),
        need: u64,
        counters: &mut Counters,
    ) -> Result<Option<(u64, u64)>, Refusal> {
        let mut at = from;
        while at < to {
            counters.searched += 1;
            let tag = tags.block(at)?;
            if !tag.allocated && tag.bytes >= need {
                return Ok(Some((at, tag.bytes)));
            }
            at += tag.bytes;
        }
        Ok(None)
    }

    fn best_fit<A: Arena>(tags: &Tags<A>, need: u64, counters: &mut Counters) -> Result<Option<(u64, u64)>, Refusal> {
        let mut best: Option<(u64, u64)> = None;
        let mut at = tags.first;
        while at < tags.end {
            counters.searched += 1;
            let tag = tags.block(at)?;
            let better = best.is_none_or(|(_, bytes)| tag.bytes < bytes);
            if !tag.allocated && tag.bytes >= need && better {
                best = Some((at, tag.bytes));
            }
            at += tag.bytes;
        }
        Ok(best)
    }
}

impl<A: Arena> Index<A> for WalkEveryBlock {
    const LINKS: u64 = 0;
    const RESTS: bool = false;

    fn insert(&mut self, _: &mut Tags<A>, _: u64, _: u64) -> Result<(), Refusal> {
        Ok(())
    }

    fn remove(&mut self, _: &mut Tags<A>, _: u64, _: u64) -> Result<(), Refusal> {
        Ok(())
    }

    fn find(&mut self, tags: &Tags<A>, need: u64, counters: &mut Counters) -> Result<Option<(u64, u64)>, Refusal> {
        match self.fit {
            Fit::First => Self::first_fit(tags, (tags.first, tags.end), need, counters),
            Fit::Best => Self::best_fit(tags, need, counters),
            Fit::Next => {
                let rover = self.rover.max(tags.first);
                let mut found = Self::first_fit(tags, (rover, tags.end), need, counters)?;
                if found.is_none() {
                    found = Self::first_fit(tags, (tags.first, rover), need, counters)?;
                }
                self.rover = found.map_or(rover, |(at, _)| at);
                Ok(found)
            }
        }
    }

    fn merged(&mut self, at: u64, bytes: u64) {
        if at < self.rover && self.rover < at + bytes {
            self.rover = at;
        }
    }

    fn check(&self, tags: &Tags<A>, _: &BTreeMap<u64, u64>, _: &BTreeMap<u64, u64>) -> Result<(), String> {
        let mut at = tags.first;
        while at < self.rover && at < tags.end {
            at += tags.tag(at).bytes;
        }
        if at == self.rover || self.rover < tags.first { Ok(()) } else { Err("the rover is inside a block".into()) }
    }
}
