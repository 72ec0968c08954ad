//! The calls around `malloc` and `free` that the list allocators have in common: what a pointer is checked for before it
//! is believed, `realloc` in place, aligned allocation, and the walk over all blocks.
//!
//! How a block is found and how it is given back is in `implicit`, `explicit` and `segregated_fits`.

use crate::allocator::round_up;
use crate::blocks::Blocks;
use crate::tags::{Free, Tag, Tags};
use crate::*;
use std::collections::BTreeMap;

/// The free blocks, as one allocator keeps them, and how it takes one and gives one back.
pub(crate) trait FreeBlocks<A: Arena, const WORD: u64>: Sized {
    /// How many links a free block holds.
    const LINKS: u64;

    /// None yet.
    fn new(settings: &Settings) -> Self;

    /// `malloc`: an allocated block of at least `need` bytes.
    fn take(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<u64, Refusal>;

    /// `free`: gives back an allocated block whose tags are sound.
    fn give(&mut self, blocks: &mut Blocks<A, WORD>, at: u64, tag: Tag) -> Result<(), Refusal>;

    /// Takes a free block out of the list it is in.
    fn remove(&mut self, blocks: &mut Blocks<A, WORD>, free: Free) -> Result<(), Refusal>;

    /// Grows the heap so that a free block of at least `need` bytes is at its top, in no list.
    fn extend(&mut self, blocks: &mut Blocks<A, WORD>, need: u64) -> Result<Free, Refusal>;

    /// Frees for good what rests in blocks of this size.
    fn settle(&mut self, _blocks: &mut Blocks<A, WORD>, _bytes: u64) -> Result<(), Refusal> {
        Ok(())
    }

    /// Checks that exactly the blocks `free` are in its lists, and exactly those `resting` rest.
    fn check(&self, tags: &Tags<A, WORD>, free: &Sizes, resting: &Sizes) -> Result<(), String>;

    /// The bytes of the tables that it keeps beside the arena.
    fn table_bytes(&self) -> u64 {
        0
    }
}

/// Blocks by where they begin, with their sizes.
pub(crate) type Sizes = BTreeMap<u64, u64>;

/// A heap of tagged blocks whose free ones are kept as `F` does.
pub(crate) struct Tagged<A, F, const WORD: u64> {
    pub blocks: Blocks<A, WORD>,
    pub free: F,
}

impl<A: Arena, F: FreeBlocks<A, WORD>, const WORD: u64> Tagged<A, F, WORD> {
    /// An empty heap in `arena`.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for its first words.
    pub fn new(arena: A, settings: Settings) -> Result<Self, Refusal> {
        let tags = Tags::new(arena, &settings, F::LINKS)?;
        Ok(Self { blocks: Blocks::new(tags, settings), free: F::new(&settings) })
    }

    fn tags(&self) -> &Tags<A, WORD> {
        &self.blocks.tags
    }

    fn block_for(&self, bytes: u64) -> Result<u64, Refusal> {
        self.tags().shape.block_for(bytes).ok_or(Refusal::NoMemory)
    }

    /// Cuts an allocated block down to `need` bytes and gives the tail back, if the policy says so.
    fn trim(&mut self, at: u64, tag: Tag, need: u64) -> Result<(), Refusal> {
        let rest = tag.bytes - need;
        if !self.blocks.splits(rest) {
            return Ok(());
        }
        self.blocks.counters.splits += 1;
        self.blocks.tags.set_allocated(at, need, tag.before_allocated);
        self.blocks.tags.set_allocated(at + need, rest, true);
        let tail = self.tags().tag(at + need);
        self.free.give(&mut self.blocks, at + need, tail)
    }

    /// Lengthens an allocated block to at least `need` bytes: into the free block after it, and at the top into new
    /// memory. Says whether that was possible.
    fn lengthen(&mut self, at: u64, tag: Tag, need: u64) -> Result<bool, Refusal> {
        if self.blocks.settings.coalesce == Coalesce::Never {
            return Ok(false);
        }
        let after = at + tag.bytes;
        let beside = self.tags().tag(after);
        if beside.quick {
            self.free.settle(&mut self.blocks, beside.bytes)?;
        }
        let tag = self.tags().block(at)?;
        let mut free = self.tags().free_after(after)?.unwrap_or(Free { at: after, bytes: 0 });
        if tag.bytes + free.bytes >= need {
            self.free.remove(&mut self.blocks, free)?;
        } else if free.end() == self.tags().end {
            free = match self.free.extend(&mut self.blocks, need - tag.bytes) {
                Err(Refusal::NoMemory) => return Ok(false),
                extended => extended?,
            };
        } else {
            return Ok(false);
        }
        self.blocks.counters.coalescings += 1;
        let bytes = tag.bytes + free.bytes;
        self.blocks.tags.set_allocated(at, bytes, tag.before_allocated);
        self.trim(at, Tag { bytes, ..tag }, need)?;
        Ok(true)
    }

    /// The block of a payload, after as many checks as the settings ask for.
    #[inline(always)]
    fn block_of(&self, payload: Ptr) -> Result<(u64, Tag), Refusal> {
        let at = payload.get().wrapping_sub(WORD);
        match self.sound(at) {
            Some(tag) if self.blocks.settings.checks == Checks::Tags || self.begins_a_block(at) => Ok((at, tag)),
            _ => Err(self.diagnose(payload)),
        }
    }

    /// The tag at `at`, if it and its neighbour's look like those of an allocated block.
    #[inline(always)]
    fn sound(&self, at: u64) -> Option<Tag> {
        let tags = self.tags();
        let tag = tags.block(at).ok().filter(|tag| tag.allocated && !tag.quick)?;
        let after = at + tag.bytes;
        let sound = match tags.shape.footers {
            Footers::All => tags.tag(after - WORD) == tag,
            Footers::Free => tags.tag(after).before_allocated && (after == tags.end || tags.header(after).is_ok()),
        };
        sound.then_some(tag)
    }

    #[cold]
    #[inline(never)]
    fn begins_a_block(&self, wanted: u64) -> bool {
        let mut at = self.tags().first;
        while at < wanted {
            match self.tags().block(at) {
                Ok(tag) => at += tag.bytes,
                Err(_) => return false,
            }
        }
        at == wanted
    }

    /// Walks the heap to say what is wrong with a pointer that was not believed.
    #[cold]
    #[inline(never)]
    fn diagnose(&self, payload: Ptr) -> Refusal {
        let tags = self.tags();
        let mut at = tags.first;
        while at < tags.end && at <= payload.get() {
            let Ok(tag) = tags.block(at) else { return Refusal::Smashed(at) };
            let after = at + tag.bytes;
            if payload.get() < after {
                return match (tag.allocated && !tag.quick, payload == Ptr::new(at + WORD)) {
                    (false, _) => Refusal::DoubleFree(payload),
                    (true, false) => Refusal::InteriorPointer(payload),
                    (true, true) if tags.keeps_before() => Refusal::Smashed(after),
                    (true, true) => Refusal::Smashed(after - WORD),
                };
            }
            at = after;
        }
        Refusal::InvalidFree(payload)
    }
}

impl<A: Arena, F: FreeBlocks<A, WORD>, const WORD: u64> Allocator<A> for Tagged<A, F, WORD> {
    fn malloc(&mut self, bytes: u64) -> Result<Ptr, Refusal> {
        let need = self.block_for(bytes)?;
        let at = self.free.take(&mut self.blocks, need)?;
        Ok(Ptr::new(at + WORD))
    }

    fn free(&mut self, at: Ptr) -> Result<(), Refusal> {
        if at.is_null() {
            return Ok(());
        }
        let (at, tag) = self.block_of(at)?;
        self.free.give(&mut self.blocks, at, tag)
    }

    fn usable_bytes(&self, at: Ptr) -> Result<u64, Refusal> {
        let (_, tag) = self.block_of(at)?;
        Ok(tag.bytes - self.tag_bytes())
    }

    fn aligned_alloc(&mut self, alignment: u64, bytes: u64) -> Result<Ptr, Refusal> {
        if !alignment.is_power_of_two() {
            return Err(Refusal::BadAlignment(alignment));
        }
        if alignment <= self.alignment() {
            return self.malloc(bytes);
        }
        let need = self.block_for(bytes)?;
        let shape = self.tags().shape;
        let slack = alignment.checked_add(shape.min_block).ok_or(Refusal::NoMemory)?;
        let all = need.checked_add(slack).filter(|&all| all <= shape.word.max()).ok_or(Refusal::NoMemory)?;
        let whole = self.free.take(&mut self.blocks, all)?;
        let mut tag = self.tags().block(whole)?;
        let mut at = round_up(whole + WORD, alignment).ok_or(Refusal::NoMemory)? - WORD;
        while at != whole && at - whole < shape.min_block {
            at += alignment;
        }
        let gap = at - whole;
        if gap > 0 {
            self.blocks.tags.set_allocated(whole, gap, tag.before_allocated);
            tag = Tag { bytes: tag.bytes - gap, before_allocated: true, ..tag };
            self.blocks.tags.set_allocated(at, tag.bytes, true);
            let before = self.tags().tag(whole);
            self.free.give(&mut self.blocks, whole, before)?;
            tag.before_allocated = self.tags().tag(at).before_allocated;
        }
        self.trim(at, tag, need)?;
        Ok(Ptr::new(at + WORD))
    }

    fn resize(&mut self, at: Ptr, bytes: u64) -> Result<bool, Refusal> {
        let (at, tag) = self.block_of(at)?;
        let need = self.block_for(bytes)?;
        if need > tag.bytes {
            return self.lengthen(at, tag, need);
        }
        self.trim(at, tag, need)?;
        Ok(true)
    }

    fn block_bytes(&self, at: Ptr) -> u64 {
        self.tags().tag(at.get() - WORD).bytes
    }

    fn tag_bytes(&self) -> u64 {
        self.tags().shape.tag_bytes()
    }

    fn table_bytes(&self) -> u64 {
        self.free.table_bytes()
    }

    fn alignment(&self) -> u64 {
        self.blocks.settings.align
    }

    fn blocks(&self) -> Result<Vec<Block>, Refusal> {
        let mut blocks = Vec::new();
        let mut at = self.tags().first;
        while at < self.tags().end {
            let tag = self.tags().block(at)?;
            let used = match (tag.allocated, tag.quick) {
                (_, true) => Use::Resting,
                (true, false) => Use::Allocated,
                (false, false) => Use::Free,
            };
            blocks.push(Block { at, bytes: tag.bytes, used });
            at += tag.bytes;
        }
        Ok(blocks)
    }

    fn check(&self) -> Result<(), String> {
        self.check_tags()
    }

    fn counters(&self) -> Counters {
        self.blocks.counters
    }

    fn arena(&self) -> &A {
        &self.blocks.tags.words.arena
    }

    fn arena_mut(&mut self) -> &mut A {
        &mut self.blocks.tags.words.arena
    }
}
