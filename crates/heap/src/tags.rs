//! Boundary tags: the words that an allocator writes around payloads, and the sizes that follow from them.
//!
//! ```text
//!          header                                                footer
//!   +------------------+-----------------------------------+------------------+
//!   | size     . p . a | payload or links, then padding    | size     . p . a |
//!   +------------------+-----------------------------------+------------------+
//!   ^ at               ^ at + word: the payload            ^ at + size - word
//! ```
//! The size counts the whole block and is a multiple of the alignment, so its low bits are free: `a` says that the
//! block is allocated, `p` (only where allocated blocks have no footer) that the block before it is, and `q` (bit 2)
//! that it was freed and rests in a quick list.

use crate::allocator::round_up;
use crate::words::{Places, Words};
use crate::{Arena, Footers, Refusal, Settings, Word};

/// Bit 0: allocated.
const ALLOCATED: u64 = 1;
/// Bit 1: the block before is allocated.
const BEFORE_ALLOCATED: u64 = 2;
/// A quick block's mark. With 4-byte alignment bit 2 belongs to the size, so quick lists need 8.
const QUICK: u64 = 4;

/// A decoded header or footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The size of the block with its tags.
    pub bytes: u64,
    /// Whether it is allocated; a quick block is, to its neighbours.
    pub allocated: bool,
    /// Whether the block before it is allocated, where that is kept.
    pub before_allocated: bool,
    /// Whether it rests in a quick list.
    pub quick: bool,
}

impl Tag {
    /// The word, as it stands in memory.
    pub const fn encode(self) -> u64 {
        self.bytes
            | if self.allocated { ALLOCATED } else { 0 }
            | if self.before_allocated { BEFORE_ALLOCATED } else { 0 }
            | if self.quick { QUICK } else { 0 }
    }
}

/// The shape of blocks: how large each is for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The width of a tag and of a link.
    pub word: Word,
    /// The alignment of payloads.
    pub align: u64,
    /// Which blocks have a footer.
    pub footers: Footers,
    /// The smallest block: room for a payload of one byte, and when free for header, links and footer.
    pub min_block: u64,
    /// The largest payload whose block's size a header can hold.
    max_payload: u64,
    /// What rounding down to the alignment makes the block of a payload: its tags, and the alignment less one.
    overhead: u64,
}

impl Shape {
    /// The shape of blocks that hold `links` links when they are free.
    pub fn new(word: Word, align: u64, footers: Footers, links: u64) -> Self {
        let tag_bytes = match footers {
            Footers::All => 2 * word.bytes(),
            Footers::Free => word.bytes(),
        };
        let smallest = (tag_bytes + 1).max((2 + links) * word.bytes());
        let overhead = tag_bytes + align - 1;
        let min_block = round_up(smallest, align).expect("a few words");
        Self { word, align, footers, min_block, max_payload: word.max() - overhead, overhead }
    }

    /// The tags of an allocated block, in bytes.
    pub const fn tag_bytes(&self) -> u64 {
        self.overhead + 1 - self.align
    }

    /// The block for a payload of `bytes` bytes, or `None` if no header can hold its size.
    #[inline(always)]
    pub fn block_for(&self, bytes: u64) -> Option<u64> {
        let fits = bytes <= self.max_payload;
        fits.then(|| ((bytes + self.overhead) & !(self.align - 1)).max(self.min_block))
    }
}

/// A free block, in a list or on its way between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Free {
    /// Where it begins.
    pub at: u64,
    /// Its size with its tags.
    pub bytes: u64,
}

impl Free {
    /// Where the next block begins.
    #[inline(always)]
    pub const fn end(&self) -> u64 {
        self.at + self.bytes
    }
}

/// An arena read and written as tagged blocks between a prologue and an epilogue.
///
/// ```text
///   | padding | prologue: header, footer | block | block | ... | block | epilogue |
///   0                                    ^ first                       ^ end
/// ```
/// The prologue is an allocated block without a payload, so that the first block has a neighbour; without footers in
/// allocated blocks the first header's bit does that, and there is none. The epilogue is a header of size 0.
pub(crate) struct Tags<A, const WORD: u64> {
    pub words: Words<A, WORD>,
    pub shape: Shape,
    /// Where the first block begins.
    pub first: u64,
    /// Where the epilogue is.
    pub end: u64,
    /// The low bits of a tag that are flags: those that are 0 in every size.
    flags: u64,
}

impl<A: Arena, const WORD: u64> Tags<A, WORD> {
    /// Prologue and epilogue, and no blocks between them yet.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for them.
    pub fn new(arena: A, settings: &Settings, links: u64) -> Result<Self, Refusal> {
        let shape = Shape::new(settings.header, settings.align, settings.footers, links);
        let mut words = Words { arena };
        let prologue = if shape.footers == Footers::All { 2 * WORD } else { 0 };
        let first = round_up(prologue + WORD, shape.align).expect("a few words") - WORD;
        words.arena.grow(first + WORD).map_err(|_| Refusal::NoMemory)?;
        let mut tags = Self { words, shape, first, end: first, flags: shape.align - 1 };
        if shape.footers == Footers::All {
            let tag = Tag { bytes: prologue, allocated: true, before_allocated: false, quick: false };
            tags.put(first - 2 * WORD, tag.encode());
            tags.put(first - WORD, tag.encode());
        }
        let before_allocated = tags.keeps_before();
        tags.put(first, Tag { bytes: 0, allocated: true, before_allocated, quick: false }.encode());
        Ok(tags)
    }

    /// Whether headers say what the block before is.
    #[inline(always)]
    pub fn keeps_before(&self) -> bool {
        self.shape.footers == Footers::Free
    }

    /// Decodes the word at `at`, whatever it is.
    #[inline(always)]
    pub fn tag(&self, at: u64) -> Tag {
        let word = self.get(at);
        Tag {
            bytes: word & !self.flags,
            allocated: word & ALLOCATED != 0,
            before_allocated: word & BEFORE_ALLOCATED != 0,
            quick: word & QUICK & self.flags != 0,
        }
    }

    /// The header of the block at `at`, if that is a place and it a size that a block can have.
    #[inline(always)]
    pub fn block(&self, at: u64) -> Result<Tag, Refusal> {
        if self.is_place(at) { self.header(at) } else { Err(Refusal::Smashed(at)) }
    }

    /// The header at a place, if it is a size that a block can have.
    #[inline(always)]
    pub fn header(&self, place: u64) -> Result<Tag, Refusal> {
        let tag = self.tag(place);
        let sound = tag.bytes >= self.shape.min_block && tag.bytes <= self.end - place;
        if sound { Ok(tag) } else { Err(Refusal::Smashed(place)) }
    }

    /// Writes the tags of an allocated block, and tells the block after it.
    #[inline(always)]
    pub fn set_allocated(&mut self, at: u64, bytes: u64, before_allocated: bool) {
        let before_allocated = before_allocated && self.keeps_before();
        let tag = Tag { bytes, allocated: true, before_allocated, quick: false }.encode();
        self.put(at, tag);
        if self.keeps_before() {
            self.tell_after(at + bytes, true);
        } else {
            self.put(at + bytes - WORD, tag);
        }
    }

    /// Writes the tags of a free block, and tells the block after it.
    #[inline(always)]
    pub fn set_free(&mut self, free: Free, before_allocated: bool) {
        self.set_free_again(free, before_allocated);
        if self.keeps_before() {
            self.tell_after(free.end(), false);
        }
    }

    /// Writes the tags of a free block that ends where one ended before, so that the block after it knows.
    #[inline(always)]
    pub fn set_free_again(&mut self, free: Free, before_allocated: bool) {
        let before_allocated = before_allocated && self.keeps_before();
        let tag = Tag { bytes: free.bytes, allocated: false, before_allocated, quick: false }.encode();
        self.put(free.at, tag);
        self.put(free.end() - WORD, tag);
    }

    /// Writes the tags of an allocated block and of the free rest after it, which were one free block.
    #[inline(always)]
    pub fn set_split(&mut self, at: u64, bytes: u64, rest: Free, before_allocated: bool) {
        let keeps_before = self.keeps_before();
        let before_allocated = before_allocated && keeps_before;
        let tag = Tag { bytes, allocated: true, before_allocated, quick: false }.encode();
        self.put(at, tag);
        if !keeps_before {
            self.put(rest.at - WORD, tag);
        }
        let tag = Tag { bytes: rest.bytes, allocated: false, before_allocated: keeps_before, quick: false }.encode();
        self.put(rest.at, tag);
        self.put(rest.end() - WORD, tag);
    }

    /// Marks an allocated block as resting.
    #[inline(always)]
    pub fn set_resting(&mut self, at: u64) {
        self.put(at, self.get(at) | QUICK);
    }

    /// Allocates a resting block again, if there is one of exactly `bytes` bytes at `at`.
    #[inline(always)]
    pub fn wake(&mut self, at: u64, bytes: u64) -> Result<(), Refusal> {
        let fits = self.is_place(at) && bytes <= self.end - at;
        let word = if fits { self.get(at) } else { 0 };
        if word & !BEFORE_ALLOCATED != bytes | ALLOCATED | QUICK {
            return Err(Refusal::Smashed(at));
        }
        self.put(at, word & !QUICK);
        Ok(())
    }

    /// How many blocks there are at most: a walk that sees more goes in a circle.
    pub fn most_blocks(&self) -> u64 {
        (self.end - self.first) / self.shape.min_block
    }

    /// Tells the block at `after` what the one before it is.
    #[inline(always)]
    pub fn tell_after(&mut self, after: u64, allocated: bool) {
        let word = self.get(after);
        let told = if allocated { word | BEFORE_ALLOCATED } else { word & !BEFORE_ALLOCATED };
        if told != word {
            self.put(after, told);
        }
    }

    /// The free block that ends where `at` begins, if there is one; `tag` is the header at `at`.
    #[inline(always)]
    pub fn free_before(&self, at: u64, tag: Tag) -> Result<Option<Free>, Refusal> {
        let before_free = if self.keeps_before() { !tag.before_allocated } else { at > self.first };
        if !before_free {
            return Ok(None);
        }
        // A header at the arena's very start that says so was overwritten: there is nothing before it.
        let footer_at = at.checked_sub(WORD).ok_or(Refusal::Smashed(at))?;
        let footer = self.tag(footer_at);
        if footer.allocated && !self.keeps_before() {
            return Ok(None);
        }
        let smashed = Refusal::Smashed(footer_at);
        let before = at.checked_sub(footer.bytes).filter(|&before| self.is_place(before)).ok_or(smashed)?;
        let header = self.header(before)?;
        let agrees = !header.allocated && header.bytes == footer.bytes;
        if agrees { Ok(Some(Free { at: before, bytes: header.bytes })) } else { Err(smashed) }
    }

    /// The free block that begins at `after`, a sound block's end, if there is one.
    #[inline(always)]
    pub fn free_after(&self, after: u64) -> Result<Option<Free>, Refusal> {
        if after == self.end {
            return Ok(None);
        }
        let tag = self.header(after)?;
        Ok((!tag.allocated).then_some(Free { at: after, bytes: tag.bytes }))
    }

    /// Grows the heap by a block of `bytes` bytes, and moves the epilogue behind it. The caller tags the block; the second
    /// value is whether the block before it is allocated.
    pub fn extend(&mut self, bytes: u64) -> Result<(Free, bool), Refusal> {
        let end = self.end.checked_add(bytes).filter(|&end| end <= Words::<A, WORD>::MAX).ok_or(Refusal::NoMemory)?;
        self.words.arena.grow(bytes).map_err(|_| Refusal::NoMemory)?;
        let (at, before_allocated) = (self.end, self.tag(self.end).before_allocated);
        self.end = end;
        self.put(end, Tag { bytes: 0, allocated: true, before_allocated: false, quick: false }.encode());
        Ok((Free { at, bytes }, before_allocated))
    }
}

impl<A: Arena, const WORD: u64> Places for Tags<A, WORD> {
    const WORD: u64 = WORD;

    #[inline(always)]
    fn get(&self, at: u64) -> u64 {
        self.words.get(at)
    }

    #[inline(always)]
    fn put(&mut self, at: u64, value: u64) {
        self.words.put(at, value);
    }

    /// An offset before the first block wraps to a huge one.
    #[inline(always)]
    fn is_place(&self, at: u64) -> bool {
        let offset = at.wrapping_sub(self.first);
        offset < self.end - self.first && offset & self.flags == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(align: u64, footers: Footers) -> Shape {
        Shape::new(Word::Four, align, footers, 0)
    }

    #[test]
    fn minimum_blocks_are_the_textbooks() {
        let sizes = [(4, Footers::All), (4, Footers::Free), (8, Footers::All), (8, Footers::Free)]
            .map(|(align, footers)| shape(align, footers).min_block);
        assert_eq!(sizes, [12, 8, 16, 8]);
    }

    #[test]
    fn header_values_are_the_textbooks() {
        let shape = shape(8, Footers::Free);
        let header = |bytes| {
            let bytes = shape.block_for(bytes).expect("a few bytes");
            (bytes, Tag { bytes, allocated: true, before_allocated: false, quick: false }.encode())
        };
        assert_eq!([1, 5, 12, 13].map(header), [(8, 0x9), (16, 0x11), (16, 0x11), (24, 0x19)]);
    }

    #[test]
    fn a_size_that_no_header_holds_is_no_block() {
        assert_eq!(shape(8, Footers::Free).block_for(u64::from(u32::MAX)), None);
        assert_eq!(shape(8, Footers::Free).block_for(u64::MAX), None);
    }
}
