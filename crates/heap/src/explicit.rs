//! The explicit free list: free blocks hold the links of a list of their own.
//!
//! ```text
//!   allocated   | header | payload ....................... padding | footer |
//!   free        | header | next | prev | (nothing)                 | footer |
//!
//!   head -> free block <-> free block <-> free block
//! ```
//! `malloc` walks free blocks only, takes one out of the list, and puts what it splits off back. `free` takes the free
//! neighbours out of the list, joins them with the block, and puts the result in front (LIFO: constant time) or in order
//! of address (linear, and first fit then fragments about as little as best fit). The price is the smallest block: room
//! for two links.

use crate::blocks::Blocks;
use crate::list::List;
use crate::tagged::{FreeBlocks, Sizes};
use crate::tags::{Free, Tag, Tags};
use crate::*;

/// One list of all free blocks.
pub(crate) struct Explicit {
    list: List,
    fit: Fit,
    order: Order,
    /// Where the next search begins, for next fit: a free block, or the head.
    rover: Option<u64>,
    /// Whether a block was freed without looking at its neighbours.
    unmerged: bool,
}

impl<A: Arena, const WORD: u64> FreeBlocks<A, WORD> for Explicit {
    const LINKS: u64 = 2;

    fn new(settings: &Settings) -> Self {
        Self { list: List::default(), fit: settings.fit, order: settings.order, rover: None, unmerged: false }
    }

    /// Finds a block in the list, coalesces and looks again if that was put off, grows the heap if nothing helps; then
    /// cuts what is needed from it, and puts the rest into the list.
    fn take(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<u64, Refusal> {
        let found = match self.find(blocks, need)? {
            None if self.unmerged => {
                self.coalesce_all(blocks)?;
                self.find(blocks, need)?
            }
            found => found,
        };
        let free = match found {
            Some(free) => {
                self.remove(blocks, free)?;
                free
            }
            None => self.extend(blocks, need)?,
        };
        let (at, rest) = blocks.place(free, need);
        if let Some(rest) = rest {
            self.insert(blocks, rest)?;
        }
        Ok(at)
    }

    /// Marks the block free; coalesces now, later or never; puts it into the list.
    fn give(&mut self, blocks: &mut Blocks<A, WORD>, at: u64, tag: Tag) -> Result<(), Refusal> {
        let free = match blocks.settings.coalesce {
            Coalesce::Immediate => self.coalesce(blocks, at, tag)?,
            Coalesce::Deferred | Coalesce::Never => {
                self.unmerged = blocks.settings.coalesce == Coalesce::Deferred;
                blocks.join(at, tag, None, None)
            }
        };
        self.insert(blocks, free)
    }

    fn remove(&mut self, blocks: &mut Blocks<A, WORD>, free: Free) -> Result<(), Refusal> {
        if self.rover == Some(free.at) {
            self.rover = self.list.next(&blocks.tags, free.at)?.map(|next| next.at);
        }
        self.list.unlink(&mut blocks.tags, free.at)
    }

    fn extend(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<Free, Refusal> {
        let grown = blocks.grow_last(need)?;
        match blocks.settings.coalesce {
            Coalesce::Never => Ok(grown),
            _ => self.coalesce(blocks, grown.at, blocks.tags.tag(grown.at)),
        }
    }

    fn check(&self, tags: &Tags<A, WORD>, free: &Sizes, _: &Sizes) -> Result<(), String> {
        let held = self.list.held(tags)?;
        if self.order == Order::Address && !held.is_sorted_by_key(|free| free.at) {
            return Err("the list is not in order of address".into());
        }
        if self.rover.is_some_and(|rover| held.iter().all(|free| free.at != rover)) {
            return Err("the rover is not in the list".into());
        }
        same_blocks("free", &held.into_iter().map(|free| (free.at, free.bytes)).collect(), free)
    }
}

impl Explicit {
    fn insert<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>, free: Free) -> Result<(), Refusal> {
        match self.order {
            Order::Lifo => self.list.push(&mut blocks.tags, free.at),
            Order::Address => self.list.insert_by_address(&mut blocks.tags, free.at)?,
        }
        Ok(())
    }

    /// The block that the placement policy takes for `need` bytes.
    fn find<A: Arena, const WORD: u64>(
        &mut self,
        blocks: &mut Blocks<A, WORD>,
        need: u64,
    ) -> Result<Option<Free>, Refusal> {
        if let Some(at) = self.rover {
            let start = Free { at, bytes: blocks.tags.block(at)?.bytes };
            let found = self.search(blocks, Some(start), need)?;
            if found.is_some() {
                self.rover = found.map(|free| free.at);
                return Ok(found);
            }
        }
        let head = self.list.first(&blocks.tags)?;
        let found = self.search(blocks, head, need)?;
        if self.fit == Fit::Next {
            self.rover = found.map(|free| free.at);
        }
        Ok(found)
    }

    /// Walks the list from `start` to its end, and gives the first or the smallest block that fits. For a best fit the heap's
    /// last block counts as the largest: it can grow, and what is put there keeps the block before it from growing.
    fn search<A: Arena, const WORD: u64>(
        &self,
        blocks: &mut Blocks<A, WORD>,
        start: Option<Free>,
        need: u64,
    ) -> Result<Option<Free>, Refusal> {
        let end = blocks.tags.end;
        let size = |free: Free| if free.end() == end { u64::MAX } else { free.bytes };
        let mut best: Option<Free> = None;
        let (mut next, mut left) = (start, blocks.tags.most_blocks());
        while let Some(free) = next {
            blocks.counters.searched += 1;
            // A destroyed link may lead in a circle.
            left = left.checked_sub(1).ok_or(Refusal::Smashed(free.at))?;
            if free.bytes >= need && best.is_none_or(|best| size(free) < size(best)) {
                best = Some(free);
                if self.fit != Fit::Best || size(free) == need {
                    break;
                }
            }
            next = self.list.next(&blocks.tags, free.at)?;
        }
        Ok(best)
    }

    /// Takes the free neighbours of a block out of the list, and joins it with them.
    fn coalesce<A: Arena, const WORD: u64>(
        &mut self,
        blocks: &mut Blocks<A, WORD>,
        at: u64,
        tag: Tag,
    ) -> Result<Free, Refusal> {
        let (before, after) = blocks.free_neighbours(at, tag)?;
        for neighbour in [before, after].into_iter().flatten() {
            self.remove(blocks, neighbour)?;
        }
        Ok(blocks.join(at, tag, before, after))
    }

    /// Deferred coalescing: one walk over the heap makes one block of each run of free ones.
    fn coalesce_all<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>) -> Result<(), Refusal> {
        self.unmerged = false;
        let mut at = blocks.tags.first;
        while at < blocks.tags.end {
            let tag = blocks.tags.block(at)?;
            let mut free = Free { at, bytes: tag.bytes };
            while !tag.allocated
                && let Some(after) = blocks.tags.free_after(free.end())?
            {
                self.remove(blocks, after)?;
                free.bytes += after.bytes;
                blocks.counters.coalescings += 1;
            }
            if free.bytes != tag.bytes {
                self.remove(blocks, Free { at, bytes: tag.bytes })?;
                blocks.tags.set_free(free, tag.before_allocated);
                self.insert(blocks, free)?;
            }
            at = free.end();
        }
        Ok(())
    }
}

/// Compares what lists hold with what the walk found.
pub(crate) fn same_blocks(what: &str, held: &Sizes, walked: &Sizes) -> Result<(), String> {
    let lost = walked.iter().find(|(at, bytes)| held.get(at) != Some(bytes));
    let extra = held.iter().find(|(at, bytes)| walked.get(at) != Some(bytes));
    match (lost, extra) {
        (Some((at, _)), _) => Err(format!("block {at:#x} is {what} and in no list of them")),
        (None, Some((at, _))) => Err(format!("block {at:#x} is in a list and not {what}")),
        (None, None) => Ok(()),
    }
}
