//! The implicit free list: the blocks themselves, one after the other, are the list.
//!
//! ```text
//!   allocated   | header | payload ....................... padding | footer |
//!   free        | header | (nothing)                               | footer |
//!                 ^ size, a                                          ^ the same
//! ```
//! `malloc` walks all blocks, allocated ones too, until one is free and large enough: linear in the heap. `free` clears
//! two bits and joins the block with its free neighbours. The footer is the boundary tag by which it finds the block
//! before, so that this takes constant time.

use crate::blocks::Blocks;
use crate::tagged::{FreeBlocks, Sizes};
use crate::tags::{Free, Tag, Tags};
use crate::*;

/// No list at all: each search walks the heap.
pub(crate) struct Implicit {
    fit: Fit,
    /// Where the last search ended, for next fit: the start of a block, or the end, or before the first.
    rover: u64,
    /// Whether a block was freed without looking at its neighbours.
    unmerged: bool,
}

impl<A: Arena, const WORD: u64> FreeBlocks<A, WORD> for Implicit {
    const LINKS: u64 = 0;

    fn new(settings: &Settings) -> Self {
        Self { fit: settings.fit, rover: 0, unmerged: false }
    }

    /// Finds a free block, coalesces and looks again if that was put off, grows the heap if nothing helps; then cuts what
    /// is needed from it. The rest is in the list by being there.
    fn take(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<u64, Refusal> {
        let found = match self.find(blocks, need)? {
            None if self.unmerged => {
                self.coalesce_all(blocks)?;
                self.find(blocks, need)?
            }
            found => found,
        };
        let free = match found {
            Some(free) => free,
            None => {
                let free = self.extend(blocks, need)?;
                if self.rover == free.end() {
                    self.rover = free.at;
                }
                free
            }
        };
        let (at, _) = blocks.place(free, need);
        Ok(at)
    }

    /// Marks the block free; coalesces now, later or never.
    fn give(&mut self, blocks: &mut Blocks<A, WORD>, at: u64, tag: Tag) -> Result<(), Refusal> {
        match blocks.settings.coalesce {
            Coalesce::Immediate => {
                self.coalesce(blocks, at, tag)?;
            }
            Coalesce::Deferred | Coalesce::Never => {
                blocks.tags.set_free(Free { at, bytes: tag.bytes }, tag.before_allocated);
                self.unmerged = blocks.settings.coalesce == Coalesce::Deferred;
            }
        }
        Ok(())
    }

    /// Only the rover can point to it, and moves on.
    fn remove(&mut self, _: &mut Blocks<A, WORD>, free: Free) -> Result<(), Refusal> {
        if self.rover == free.at {
            self.rover = free.end();
        }
        Ok(())
    }

    fn extend(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<Free, Refusal> {
        let grown = blocks.grow_last(need)?;
        if blocks.settings.coalesce == Coalesce::Never {
            return Ok(grown);
        }
        let free = self.coalesce(blocks, grown.at, blocks.tags.tag(grown.at))?;
        self.remove(blocks, free)?;
        Ok(free)
    }

    fn check(&self, tags: &Tags<A, WORD>, _: &Sizes, _: &Sizes) -> Result<(), String> {
        let mut at = tags.first;
        while at < self.rover && at < tags.end {
            at += tags.tag(at).bytes;
        }
        if at == self.rover || self.rover < tags.first { Ok(()) } else { Err("the rover is inside a block".into()) }
    }
}

impl Implicit {
    /// The free block that the placement policy takes for `need` bytes.
    fn find<A: Arena, const WORD: u64>(
        &mut self,
        blocks: &mut Blocks<A, WORD>,
        need: u64,
    ) -> Result<Option<Free>, Refusal> {
        let (first, end) = (blocks.tags.first, blocks.tags.end);
        match self.fit {
            Fit::First => first_fit(blocks, (first, end), need),
            Fit::Best => best_fit(blocks, need),
            Fit::Next => {
                let rover = self.rover.max(first);
                let mut found = first_fit(blocks, (rover, end), need)?;
                if found.is_none() {
                    found = first_fit(blocks, (first, rover), need)?;
                }
                self.rover = found.map_or(rover, |free| free.at);
                Ok(found)
            }
        }
    }

    /// Joins a block with its free neighbours, in constant time: the one before is found by its footer.
    fn coalesce<A: Arena, const WORD: u64>(
        &mut self,
        blocks: &mut Blocks<A, WORD>,
        at: u64,
        tag: Tag,
    ) -> Result<Free, Refusal> {
        let (before, after) = blocks.free_neighbours(at, tag)?;
        let free = blocks.join(at, tag, before, after);
        if free.at < self.rover && self.rover < free.end() {
            self.rover = free.at;
        }
        Ok(free)
    }

    /// Deferred coalescing: one walk over the heap joins each free block with the one before it.
    fn coalesce_all<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>) -> Result<(), Refusal> {
        self.unmerged = false;
        let mut at = blocks.tags.first;
        while at < blocks.tags.end {
            let tag = blocks.tags.block(at)?;
            at = if tag.allocated { at + tag.bytes } else { self.coalesce(blocks, at, tag)?.end() };
        }
        Ok(())
    }
}

/// The first free block of at least `need` bytes that begins in `from..to`.
fn first_fit<A: Arena, const WORD: u64>(
    blocks: &mut Blocks<A, WORD>,
    (from, to): (u64, u64),
    need: u64,
) -> Result<Option<Free>, Refusal> {
    let mut at = from;
    while at < to {
        blocks.counters.searched += 1;
        let tag = blocks.tags.header(at)?;
        if !tag.allocated && tag.bytes >= need {
            return Ok(Some(Free { at, bytes: tag.bytes }));
        }
        at += tag.bytes;
    }
    Ok(None)
}

/// The smallest free block of at least `need` bytes, the first of them. The heap's last block counts as the largest: it
/// can grow, and what is put there keeps the block before it from growing.
fn best_fit<A: Arena, const WORD: u64>(blocks: &mut Blocks<A, WORD>, need: u64) -> Result<Option<Free>, Refusal> {
    let mut best: Option<Free> = None;
    let mut at = blocks.tags.first;
    while at < blocks.tags.end {
        blocks.counters.searched += 1;
        let tag = blocks.tags.header(at)?;
        let free = Free { at, bytes: tag.bytes };
        let better = best.is_none_or(|best| free.bytes < best.bytes && free.end() != blocks.tags.end);
        if !tag.allocated && tag.bytes >= need && better {
            best = Some(free);
        }
        at += tag.bytes;
    }
    Ok(best)
}
