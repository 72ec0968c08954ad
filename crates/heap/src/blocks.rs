//! What the list allocators do with one block, whatever list it is in: cut it, look at its neighbours, make a new one.

use crate::allocator::round_up;
use crate::tags::{Free, Tag, Tags};
use crate::*;

/// Blocks of this many bytes and more are cut from the high end with `side=by-size`.
const HIGH_SIDE_BYTES: u64 = 256;

/// A heap of tagged blocks, its parameters, and what was done to it.
pub(crate) struct Blocks<A, const WORD: u64> {
    pub tags: Tags<A, WORD>,
    pub settings: Settings,
    pub counters: Counters,
    /// The smallest remainder that is split off.
    least_rest: u64,
}

impl<A: Arena, const WORD: u64> Blocks<A, WORD> {
    /// No blocks yet, in tags that were just made.
    pub fn new(tags: Tags<A, WORD>, settings: Settings) -> Self {
        let least_rest = match settings.split {
            Split::Never => u64::MAX,
            Split::Always => tags.shape.min_block,
            Split::Above(bytes) => tags.shape.min_block.max(bytes.saturating_add(1)),
        };
        Self { tags, settings, counters: Counters::default(), least_rest }
    }

    /// Whether a remainder of `rest` bytes becomes a free block.
    #[inline(always)]
    pub fn splits(&self, rest: u64) -> bool {
        rest >= self.least_rest
    }

    /// Allocates `need` bytes of a free block that is in no list. Gives the allocated block, and the rest as a free block
    /// if the policy is to split it off.
    ///
    /// ```text
    ///   | free: have                             |
    ///   | allocated: need | free: rest           |      side=low
    ///   | free: rest           | allocated: need |      side=by-size, when need is large
    /// ```
    #[inline(always)]
    pub fn place(&mut self, free: Free, need: u64) -> (u64, Option<Free>) {
        let before_allocated = self.tags.tag(free.at).before_allocated;
        let rest = free.bytes - need;
        if !self.splits(rest) {
            self.tags.set_allocated(free.at, free.bytes, before_allocated);
            return (free.at, None);
        }
        self.counters.splits += 1;
        if self.settings.side == Side::BySize && need >= HIGH_SIDE_BYTES {
            let (rest, at) = (Free { at: free.at, bytes: rest }, free.at + rest);
            self.tags.set_free(rest, before_allocated);
            self.tags.set_allocated(at, need, false);
            return (at, Some(rest));
        }
        let rest = Free { at: free.at + need, bytes: rest };
        self.tags.set_split(free.at, need, rest, before_allocated);
        (free.at, Some(rest))
    }

    /// The last block of the heap, if it is free.
    pub fn free_last(&self) -> Result<Option<Free>, Refusal> {
        self.tags.free_before(self.tags.end, self.tags.tag(self.tags.end))
    }

    /// Grows the heap by a free block: a chunk, or what is lacking if that is more or all that there is.
    pub fn grow(&mut self, lacking: u64) -> Result<Free, Refusal> {
        let align = self.settings.align;
        let lacking = round_up(lacking.max(self.tags.shape.min_block), align).ok_or(Refusal::NoMemory)?;
        let chunk = round_up(lacking.max(self.settings.chunk), align).ok_or(Refusal::NoMemory)?;
        let (free, before_allocated) = self.tags.extend(chunk).or_else(|_| self.tags.extend(lacking))?;
        self.counters.extensions += 1;
        self.tags.set_free(free, before_allocated);
        Ok(free)
    }

    /// Grows the heap by what its last block, if that is free and may be joined, lacks of `need` bytes.
    pub fn grow_last(&mut self, need: u64) -> Result<Free, Refusal> {
        let joins = self.settings.coalesce != Coalesce::Never;
        let last = if joins { self.free_last()? } else { None };
        self.grow(need.saturating_sub(last.map_or(0, |last| last.bytes)))
    }

    /// The free neighbours of a block: the one before it and the one after.
    #[inline(always)]
    pub fn free_neighbours(&self, at: u64, tag: Tag) -> Result<(Option<Free>, Option<Free>), Refusal> {
        Ok((self.tags.free_before(at, tag)?, self.tags.free_after(at + tag.bytes)?))
    }

    /// Makes one free block of a block and its free neighbours. The four cases of the textbook: none, the one after, the
    /// one before, both.
    ///
    /// ```text
    ///   | before | block | after |
    ///   | one free block         |
    /// ```
    #[inline(always)]
    pub fn join(&mut self, at: u64, tag: Tag, before: Option<Free>, after: Option<Free>) -> Free {
        let (mut free, mut before_allocated) = (Free { at, bytes: tag.bytes }, tag.before_allocated);
        if let Some(before) = before {
            free = Free { at: before.at, bytes: before.bytes + free.bytes };
            before_allocated = self.tags.tag(before.at).before_allocated;
            self.counters.coalescings += 1;
        }
        match after {
            Some(after) => {
                free.bytes += after.bytes;
                self.counters.coalescings += 1;
                self.tags.set_free_again(free, before_allocated);
            }
            None => self.tags.set_free(free, before_allocated),
        }
        free
    }
}
