//! The bump allocator: a pointer that only moves up.
//!
//! ```text
//!   | header | payload ... padding | header | payload ... padding | (never used yet)
//!     ^ size, a                                                   ^ top
//! ```
//! Nothing is searched, split, coalesced or reused: the fastest allocator there is, and the yardstick for what reuse
//! saves. The header keeps the size for `realloc`, and whether the payload was freed. Only the last block can be
//! resized, and freeing it moves nothing.

use crate::allocator::round_up;
use crate::tags::{Tag, Tags};
use crate::words::Places;
use crate::*;

/// The bump allocator (`bump`). Its blocks are tagged ones without footers, and the epilogue is the top.
pub(crate) struct Bump<A, const WORD: u64> {
    tags: Tags<A, WORD>,
    chunk: u64,
    counters: Counters,
}

impl<A: Arena, const WORD: u64> Bump<A, WORD> {
    /// An empty heap in `arena`.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for the first words.
    pub fn new(arena: A, settings: Settings) -> Result<Self, Refusal> {
        let tags = Tags::new(arena, &settings, 0)?;
        Ok(Self { tags, chunk: settings.chunk, counters: Counters::default() })
    }

    /// Moves the top up by `bytes`, growing the arena by a chunk if it must.
    fn bump(&mut self, bytes: u64) -> Result<u64, Refusal> {
        let top = self.tags.end.checked_add(bytes).filter(|&top| top <= self.tags.shape.word.max());
        let needed = top.and_then(|top| top.checked_add(WORD)).ok_or(Refusal::NoMemory)?;
        if let Some(lacking) = needed.checked_sub(self.tags.words.arena.bytes()).filter(|&lacking| lacking > 0) {
            let arena = &mut self.tags.words.arena;
            arena.grow(lacking.max(self.chunk)).or_else(|_| arena.grow(lacking)).map_err(|_| Refusal::NoMemory)?;
            self.counters.extensions += 1;
        }
        let at = self.tags.end;
        self.tags.end += bytes;
        Ok(at)
    }

    fn set(&mut self, at: u64, bytes: u64, allocated: bool) {
        self.tags.put(at, Tag { bytes, allocated, before_allocated: true, quick: false }.encode());
    }

    fn block_of(&self, payload: Ptr) -> Result<(u64, Tag), Refusal> {
        let at = payload.get().checked_sub(WORD).filter(|&at| self.tags.is_place(at));
        let at = at.ok_or(Refusal::InvalidFree(payload))?;
        match self.tags.block(at) {
            Ok(tag) if tag.allocated && tag.before_allocated => Ok((at, tag)),
            _ => Err(self.diagnose(payload)),
        }
    }

    /// Walks from the first block to say what is wrong with a pointer.
    fn diagnose(&self, payload: Ptr) -> Refusal {
        let mut at = self.tags.first;
        while at < self.tags.end {
            let Ok(tag) = self.tags.block(at) else { return Refusal::Smashed(at) };
            if payload.get() < at + tag.bytes {
                return if tag.allocated { Refusal::InteriorPointer(payload) } else { Refusal::DoubleFree(payload) };
            }
            at += tag.bytes;
        }
        Refusal::InvalidFree(payload)
    }
}

impl<A: Arena, const WORD: u64> Allocator<A> for Bump<A, WORD> {
    fn malloc(&mut self, bytes: u64) -> Result<Ptr, Refusal> {
        let bytes = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        let at = self.bump(bytes)?;
        self.set(at, bytes, true);
        Ok(Ptr::new(at + WORD))
    }

    fn free(&mut self, at: Ptr) -> Result<(), Refusal> {
        if at.is_null() {
            return Ok(());
        }
        let (at, tag) = self.block_of(at)?;
        self.set(at, tag.bytes, false);
        Ok(())
    }

    fn usable_bytes(&self, at: Ptr) -> Result<u64, Refusal> {
        Ok(self.block_of(at)?.1.bytes - WORD)
    }

    fn aligned_alloc(&mut self, alignment: u64, bytes: u64) -> Result<Ptr, Refusal> {
        if !alignment.is_power_of_two() {
            return Err(Refusal::BadAlignment(alignment));
        }
        let bytes = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        let top = self.tags.end;
        let smallest =
            if (top + WORD).is_multiple_of(alignment) { top + WORD } else { top + WORD + self.tags.shape.min_block };
        let payload = round_up(smallest, alignment).ok_or(Refusal::NoMemory)?;
        let gap = payload - WORD - top;
        let at = self.bump(gap.checked_add(bytes).ok_or(Refusal::NoMemory)?)?;
        if gap > 0 {
            self.set(at, gap, false);
        }
        self.set(at + gap, bytes, true);
        Ok(Ptr::new(payload))
    }

    fn resize(&mut self, at: Ptr, bytes: u64) -> Result<bool, Refusal> {
        let (at, tag) = self.block_of(at)?;
        let need = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        if need > tag.bytes && at + tag.bytes == self.tags.end {
            match self.bump(need - tag.bytes) {
                Ok(_) => self.set(at, need, true),
                Err(_) => return Ok(false),
            }
            return Ok(true);
        }
        Ok(need <= tag.bytes)
    }

    fn block_bytes(&self, at: Ptr) -> u64 {
        self.tags.tag(at.get() - WORD).bytes
    }

    fn tag_bytes(&self) -> u64 {
        WORD
    }

    fn alignment(&self) -> u64 {
        self.tags.shape.align
    }

    fn blocks(&self) -> Result<Vec<Block>, Refusal> {
        let mut blocks = Vec::new();
        let mut at = self.tags.first;
        while at < self.tags.end {
            let tag = self.tags.block(at)?;
            blocks.push(Block {
                at,
                bytes: tag.bytes,
                used: if tag.allocated { Use::Allocated } else { Use::Resting },
            });
            at += tag.bytes;
        }
        Ok(blocks)
    }

    /// Blocks fill the heap from the first one to the top, which lies in the arena.
    fn check(&self) -> Result<(), String> {
        self.blocks().map_err(|refusal| refusal.to_string())?;
        if self.tags.end + WORD > self.tags.words.arena.bytes() {
            return Err("the top lies past the arena".into());
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn arena(&self) -> &A {
        &self.tags.words.arena
    }

    fn arena_mut(&mut self) -> &mut A {
        &mut self.tags.words.arena
    }
}
