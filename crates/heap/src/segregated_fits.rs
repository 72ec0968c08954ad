//! Segregated fits: free blocks by size, as in GNU malloc and in Doug Lea's before it.
//!
//! ```text
//!   allocated   | header | payload ................................ padding |
//!   resting     | header q | next | (nothing)                               |
//!   free        | header | next | prev | (nothing)                 | footer |
//!
//!   quick lists   16 -> o -> o    one exact size each, up to 1 KiB; singly linked, not coalesced
//!   bins          by size, with a bitmap of those that are not empty
//!   victim        what the last split left over
//!   top           the last block of the heap, if it is free
//! ```
//! `malloc` looks for the request's exact size in a quick list and in a bin, then cuts it from the victim, from the first
//! block of the next bin that is not empty, or, if nothing else is large enough, from the top: constant time, and close to
//! best fit. `free` joins the block with its free neighbours at once (coalesce=immediate); or lets it rest, with one bit of
//! its tag changed, where the next request of its size finds it, until a search fails when an eighth of the heap rests
//! (deferred). Cutting from the victim and from the top, and freeing beside them, touches no list.

use crate::bins::{Bins, LARGE_BYTES};
use crate::blocks::Blocks;
use crate::explicit::same_blocks;
use crate::tagged::{FreeBlocks, Sizes};
use crate::tags::{Free, Tag, Tags};
use crate::words::Places;
use crate::*;

/// Larger blocks do not rest.
const QUICK_BYTES: u64 = 1024;

/// The bins, the quick lists, the victim and the top. A `Free` of 0 bytes is none.
pub(crate) struct SegregatedFits {
    bins: Bins,
    quick: Quick,
    victim: Free,
    top: Free,
    /// Whether what a split leaves over becomes the victim; a best fit looks at all blocks alike.
    keeps_victim: bool,
}

impl<A: Arena, const WORD: u64> FreeBlocks<A, WORD> for SegregatedFits {
    const LINKS: u64 = 2;

    fn new(settings: &Settings) -> Self {
        Self {
            bins: Bins::new(settings),
            quick: Quick::new(settings),
            victim: Free::default(),
            top: Free::default(),
            keeps_victim: settings.fit == Fit::First,
        }
    }

    #[inline(always)]
    fn take(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<u64, Refusal> {
        match self.quick.wake(&mut blocks.tags, need)? {
            Some(at) => Ok(at),
            None => self.cut(blocks, need),
        }
    }

    #[inline(always)]
    fn give(&mut self, blocks: &mut Blocks<A, WORD>, at: u64, tag: Tag) -> Result<(), Refusal> {
        if self.quick.rest(&mut blocks.tags, at, tag.bytes) { Ok(()) } else { self.release(blocks, at) }
    }

    #[inline(always)]
    fn remove(&mut self, blocks: &mut Blocks<A, WORD>, free: Free) -> Result<(), Refusal> {
        if free == self.top {
            self.top = Free::default();
        } else if free == self.victim {
            self.victim = Free::default();
        } else {
            self.bins.remove(&mut blocks.tags, free)?;
        }
        Ok(())
    }

    fn extend(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<Free, Refusal> {
        let merges = blocks.settings.coalesce != Coalesce::Never;
        let have = if merges { self.top.bytes } else { 0 };
        if have > 0 && blocks.free_last()? != Some(self.top) {
            return Err(Refusal::Smashed(self.top.at));
        }
        let grown = blocks.grow(need.saturating_sub(have))?;
        if !merges {
            let old = std::mem::take(&mut self.top);
            if old.bytes > 0 {
                self.bins.insert(&mut blocks.tags, old);
            }
            return Ok(grown);
        }
        let tag = blocks.tags.tag(grown.at);
        let before = blocks.tags.free_before(grown.at, tag)?;
        if let Some(before) = before {
            self.remove(blocks, before)?;
        }
        Ok(blocks.join(grown.at, tag, before, None))
    }

    fn settle(&mut self, blocks: &mut Blocks<A, WORD>, bytes: u64) -> Result<(), Refusal> {
        while let Some(at) = self.quick.wake(&mut blocks.tags, bytes)? {
            self.release(blocks, at)?;
        }
        Ok(())
    }

    fn check(&self, tags: &Tags<A, WORD>, free: &Sizes, resting: &Sizes) -> Result<(), String> {
        let mut held = self.bins.held(tags)?;
        for kept in [self.victim, self.top] {
            if kept.bytes > 0 && held.insert(kept.at, kept.bytes).is_some() {
                return Err(format!("block {:#x} is the victim or the top, and in a bin", kept.at));
            }
        }
        if self.top.bytes > 0 && self.top.end() != tags.end {
            return Err("the top is not the last block".into());
        }
        same_blocks("free", &held, free)?;
        same_blocks("resting", &self.quick.held(tags)?, resting)
    }

    fn table_bytes(&self) -> u64 {
        (self.bins.table_bytes() + size_of_val(&self.quick.heads)) as u64
    }
}

impl SegregatedFits {
    /// Cuts `need` bytes from the victim, which stays the victim, unless a block of just that size is free.
    #[inline(never)]
    fn cut<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<u64, Refusal> {
        let align = blocks.settings.align;
        if !blocks.splits(align)
            && let Some(at) = self.quick.wake(&mut blocks.tags, need + align)?
        {
            return Ok(at);
        }
        if need < LARGE_BYTES && need <= self.victim.bytes && !self.bins.has_exact(need) {
            let (at, rest) = blocks.place(self.victim, need);
            self.victim = rest.unwrap_or_default();
            return Ok(at);
        }
        self.cut_from_any(blocks, need)
    }

    /// Cuts `need` bytes from a free block, or from a new one.
    #[inline(never)]
    fn cut_from_any<A: Arena, const WORD: u64>(
        &mut self,
        blocks: &mut Blocks<A, WORD>,
        need: u64,
    ) -> Result<u64, Refusal> {
        let mut found = self.find(blocks, need)?;
        if found.is_none()
            && let Some(bytes) = self.quick.next_size(need)
            && let Some(at) = self.quick.wake(&mut blocks.tags, bytes)?
        {
            self.release(blocks, at)?;
            found = self.find(blocks, need)?;
        }
        if found.is_none() && self.quick.is_ripe(&blocks.tags) {
            self.settle_all(blocks)?;
            found = self.find(blocks, need)?;
        }
        let free = match found {
            Some(free) => free,
            None => self.extend(blocks, need)?,
        };
        let (at, rest) = blocks.place(free, need);
        match rest {
            Some(rest) if need < LARGE_BYTES || rest.end() == blocks.tags.end => self.keep(blocks, rest),
            Some(rest) => self.bins.insert(&mut blocks.tags, rest),
            None => {}
        }
        Ok(at)
    }

    /// A free block of at least `need` bytes, taken out of where it was: from a bin, the victim or the top.
    #[inline(always)]
    fn find<A: Arena, const WORD: u64>(
        &mut self,
        blocks: &mut Blocks<A, WORD>,
        need: u64,
    ) -> Result<Option<Free>, Refusal> {
        if let Some(free) = self.bins.find(&blocks.tags, need, &mut blocks.counters)? {
            self.bins.remove(&mut blocks.tags, free)?;
            return Ok(Some(free));
        }
        let kept = if self.victim.bytes >= need { &mut self.victim } else { &mut self.top };
        Ok((kept.bytes >= need).then(|| std::mem::take(kept)))
    }

    /// Keeps what a split left over: as the top, as the victim, or in a bin.
    #[inline(always)]
    fn keep<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>, free: Free) {
        let place = match () {
            () if free.end() == blocks.tags.end => &mut self.top,
            () if self.keeps_victim => &mut self.victim,
            () => return self.bins.insert(&mut blocks.tags, free),
        };
        let old = std::mem::replace(place, free);
        if old.bytes > 0 {
            self.bins.insert(&mut blocks.tags, old);
        }
    }

    /// Frees for good all that rests.
    fn settle_all<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>) -> Result<(), Refusal> {
        let mut from = 0;
        while let Some(bytes) = self.quick.next_size(from) {
            self.settle(blocks, bytes)?;
            from = bytes;
        }
        Ok(())
    }

    /// Frees a block for good, and joins it with its free neighbours.
    #[inline(never)]
    fn release<A: Arena, const WORD: u64>(&mut self, blocks: &mut Blocks<A, WORD>, at: u64) -> Result<(), Refusal> {
        let tag = blocks.tags.tag(at);
        let (before, after) = match blocks.settings.coalesce {
            Coalesce::Never => (None, None),
            Coalesce::Immediate | Coalesce::Deferred => blocks.free_neighbours(at, tag)?,
        };
        let mut beside_victim = false;
        if let Some(after) = after {
            beside_victim = after == self.victim;
            self.remove(blocks, after)?;
        }
        if let Some(before) = before {
            let bytes = before.bytes + tag.bytes + after.map_or(0, |after| after.bytes);
            let at_top = before.at + bytes == blocks.tags.end;
            beside_victim |= before == self.victim;
            if before != self.victim && !at_top && self.bins.share(before.bytes, bytes) {
                // It grows at its end and stays in its bin: its links are right.
                blocks.join(at, tag, Some(before), after);
                return Ok(());
            }
            self.remove(blocks, before)?;
        }
        let free = blocks.join(at, tag, before, after);
        if free.end() == blocks.tags.end || beside_victim {
            self.keep(blocks, free);
        } else {
            self.bins.insert(&mut blocks.tags, free);
        }
        Ok(())
    }
}

/// The quick lists: resting blocks by exact size, last in first out.
struct Quick {
    /// The payload offset of each list's first block, or 0.
    heads: [u64; QUICK_BYTES as usize / 8 + 1],
    /// How many bytes rest.
    bytes: u64,
    /// Whether any may.
    rests: bool,
}

impl Quick {
    fn new(settings: &Settings) -> Self {
        let rests = settings.coalesce == Coalesce::Deferred && settings.align >= 8;
        Self { heads: [0; QUICK_BYTES as usize / 8 + 1], bytes: 0, rests }
    }

    /// Lets a freed block rest, if it is small.
    #[inline(always)]
    fn rest<A: Arena, const WORD: u64>(&mut self, tags: &mut Tags<A, WORD>, at: u64, bytes: u64) -> bool {
        let Some(head) = self.heads.get_mut((bytes / 8) as usize).filter(|_| self.rests) else {
            return false;
        };
        tags.set_resting(at);
        tags.put(at + WORD, *head);
        *head = at + WORD;
        self.bytes += bytes;
        true
    }

    /// A resting block of exactly this size, allocated again.
    #[inline(always)]
    fn wake<A: Arena, const WORD: u64>(
        &mut self,
        tags: &mut Tags<A, WORD>,
        bytes: u64,
    ) -> Result<Option<u64>, Refusal> {
        let Some(head) = self.heads.get_mut((bytes / 8) as usize).filter(|head| **head != 0) else { return Ok(None) };
        let at = head.wrapping_sub(WORD);
        tags.wake(at, bytes)?;
        *head = tags.get(at + WORD);
        self.bytes -= bytes;
        Ok(Some(at))
    }

    /// The size of the smallest resting blocks of at least `bytes` bytes.
    fn next_size(&self, bytes: u64) -> Option<u64> {
        let from = bytes.div_ceil(8) as usize;
        let list = self.heads.get(from..)?.iter().position(|&head| head != 0)?;
        Some((from + list) as u64 * 8)
    }

    /// Whether so much rests that it should be coalesced before the heap grows: an eighth of the heap.
    fn is_ripe<A: Arena, const WORD: u64>(&self, tags: &Tags<A, WORD>) -> bool {
        self.bytes > (tags.end - tags.first) / 8
    }

    /// Every resting block, by address.
    fn held<A: Arena, const WORD: u64>(&self, tags: &Tags<A, WORD>) -> Result<Sizes, String> {
        let mut held = Sizes::new();
        for &head in &self.heads {
            let mut payload = head;
            while payload != 0 {
                let at = payload.wrapping_sub(WORD);
                if !tags.is_place(at) || held.insert(at, tags.tag(at).bytes).is_some() {
                    return Err(format!("a quick list leads to {payload:#x}, or there twice"));
                }
                payload = tags.get(payload);
            }
        }
        Ok(held)
    }
}
