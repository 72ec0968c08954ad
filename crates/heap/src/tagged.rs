//! The heap of tagged blocks: what the implicit, explicit and segregated-fits allocators have in common.
//!
//! Each of them is this heap with an `Index` of its own, which answers one question: which free block takes the request?

use crate::allocator::round_up;
use crate::tags::{Tag, Tags};
use crate::*;
use std::collections::BTreeMap;

/// Blocks of this many bytes and more are cut from the high end with `side=by-size`.
const LARGE_BYTES: u64 = 256;

/// The free blocks, as one allocator keeps them.
pub(crate) trait Index<A: Arena> {
    /// How many links a free block holds.
    const LINKS: u64;
    /// Whether it lets blocks rest; without that, deferred coalescing walks the heap.
    const RESTS: bool;

    /// A block became free; its tags are written.
    fn insert(&mut self, tags: &mut Tags<A>, at: u64, bytes: u64) -> Result<(), Refusal>;

    /// A free block is about to be allocated or merged.
    fn remove(&mut self, tags: &mut Tags<A>, at: u64, bytes: u64) -> Result<(), Refusal>;

    /// The free block to take for `need` bytes, and its size.
    fn find(&mut self, tags: &Tags<A>, need: u64, counters: &mut Counters) -> Result<Option<(u64, u64)>, Refusal>;

    /// No block begins strictly inside this one any more.
    fn merged(&mut self, _at: u64, _bytes: u64) {}

    /// Lets a freed block rest, to be coalesced later, and says whether it does.
    fn rest(&mut self, _tags: &mut Tags<A>, _at: u64, _tag: Tag) -> bool {
        false
    }

    /// A resting block of exactly this size, allocated again.
    fn wake(&mut self, _tags: &mut Tags<A>, _bytes: u64) -> Result<Option<u64>, Refusal> {
        Ok(None)
    }

    /// Whether so much rests that it should be coalesced before the heap grows.
    fn is_ripe(&self, _tags: &Tags<A>, _need: u64) -> bool {
        true
    }

    /// Any resting block, to be freed for good.
    fn next_resting(&mut self, _tags: &mut Tags<A>) -> Result<Option<u64>, Refusal> {
        Ok(None)
    }

    /// Checks that exactly `free` (and, resting, exactly `resting`) are in it.
    fn check(&self, tags: &Tags<A>, free: &BTreeMap<u64, u64>, resting: &BTreeMap<u64, u64>) -> Result<(), String>;
}

/// A heap of tagged blocks with an index of its free blocks.
pub struct Tagged<A, I> {
    pub(crate) tags: Tags<A>,
    pub(crate) index: I,
    pub(crate) settings: Settings,
    counters: Counters,
    /// Whether a block was freed without looking at its neighbours.
    unmerged: bool,
}

#[expect(private_bounds, reason = "the indexes are the three of this crate")]
impl<A: Arena, I: Index<A>> Tagged<A, I> {
    pub(crate) fn with_index(arena: A, settings: Settings, index: I) -> Result<Self, Refusal> {
        let tags = Tags::new(arena, &settings, settings.footers, I::LINKS)?;
        Ok(Self { tags, index, settings, counters: Counters::default(), unmerged: false })
    }

    fn payload(&self, at: u64) -> Ptr {
        Ptr::new(at + self.tags.word())
    }

    /// An allocated block of at least `need` bytes.
    #[inline]
    fn take(&mut self, need: u64) -> Result<u64, Refusal> {
        if self.settings.coalesce == Coalesce::Deferred
            && let Some(at) = self.index.wake(&mut self.tags, need)?
        {
            return Ok(at);
        }
        let (at, have) = self.search(need)?;
        self.place(at, have, need)
    }

    /// A free block that is large enough: found, made by coalescing what was deferred, or new at the top.
    #[inline(never)]
    fn search(&mut self, need: u64) -> Result<(u64, u64), Refusal> {
        if let Some(found) = self.index.find(&self.tags, need, &mut self.counters)? {
            return Ok(found);
        }
        if self.coalesce_deferred(need)?
            && let Some(found) = self.index.find(&self.tags, need, &mut self.counters)?
        {
            return Ok(found);
        }
        self.extend(need)
    }

    /// Allocates `need` of the `have` bytes of a free block, and splits off the rest if the policy says so.
    fn place(&mut self, at: u64, have: u64, need: u64) -> Result<u64, Refusal> {
        self.index.remove(&mut self.tags, at, have)?;
        let before_allocated = self.tags.tag(at).before_allocated;
        let rest = have - need;
        if !self.splits(rest) {
            self.tags.set_allocated(at, have, before_allocated);
            return Ok(at);
        }
        self.counters.splits += 1;
        if self.settings.side == Side::BySize && need >= LARGE_BYTES {
            self.tags.set_free(at, rest, before_allocated);
            self.tags.set_allocated(at + rest, need, false);
            self.index.insert(&mut self.tags, at, rest)?;
            return Ok(at + rest);
        }
        self.tags.set_allocated(at, need, before_allocated);
        self.tags.set_free(at + need, rest, true);
        self.index.insert(&mut self.tags, at + need, rest)?;
        Ok(at)
    }

    fn splits(&self, rest: u64) -> bool {
        rest >= self.tags.shape.min_block
            && match self.settings.split {
                Split::Never => false,
                Split::Always => true,
                Split::Above(bytes) => rest > bytes,
            }
    }

    /// Grows the heap so that a free block of at least `need` bytes is at its top.
    fn extend(&mut self, need: u64) -> Result<(u64, u64), Refusal> {
        let merges = self.settings.coalesce != Coalesce::Never;
        let top = if merges { self.tags.free_before(self.tags.end, self.tags.tag(self.tags.end))? } else { None };
        if let Some((at, bytes)) = top.filter(|&(_, bytes)| bytes >= need) {
            return Ok((at, bytes));
        }
        let lacking = need - top.map_or(0, |(_, bytes)| bytes);
        let (at, before_allocated, bytes) = self.grow(lacking)?;
        self.tags.set_free(at, bytes, before_allocated);
        let (at, bytes) = if merges { self.merge(at)? } else { (at, bytes) };
        self.index.insert(&mut self.tags, at, bytes)?;
        Ok((at, bytes))
    }

    /// Grows the arena by a chunk, or by what is lacking if that is more or all that there is.
    fn grow(&mut self, lacking: u64) -> Result<(u64, bool, u64), Refusal> {
        let align = self.settings.align;
        let lacking = round_up(lacking.max(self.tags.shape.min_block), align).ok_or(Refusal::NoMemory)?;
        let chunk = round_up(lacking.max(self.settings.chunk), align).ok_or(Refusal::NoMemory)?;
        self.counters.extensions += 1;
        let extended = self.tags.extend(chunk).map(|(at, before)| (at, before, chunk));
        extended.or_else(|_| self.tags.extend(lacking).map(|(at, before)| (at, before, lacking)))
    }

    /// Gives back an allocated block whose tags are sound.
    fn release(&mut self, at: u64, tag: Tag) -> Result<(), Refusal> {
        let merges = match self.settings.coalesce {
            Coalesce::Immediate => true,
            Coalesce::Never => false,
            Coalesce::Deferred if self.index.rest(&mut self.tags, at, tag) => {
                self.unmerged = true;
                return Ok(());
            }
            Coalesce::Deferred => {
                self.unmerged |= !I::RESTS;
                I::RESTS
            }
        };
        self.release_now(at, tag, merges)
    }

    fn release_now(&mut self, at: u64, tag: Tag, merges: bool) -> Result<(), Refusal> {
        self.tags.set_free(at, tag.bytes, tag.before_allocated);
        let (at, bytes) = if merges { self.merge(at)? } else { (at, tag.bytes) };
        self.index.insert(&mut self.tags, at, bytes)
    }

    /// Merges a free block, which is not in the index, with its free neighbours. The four cases of the textbook: none
    /// free, the one after, the one before, both.
    fn merge(&mut self, at: u64) -> Result<(u64, u64), Refusal> {
        let tag = self.tags.block(at)?;
        let before = self.tags.free_before(at, tag)?;
        let after = self.tags.free_after(at + tag.bytes)?;
        let (mut start, mut bytes, mut before_allocated) = (at, tag.bytes, tag.before_allocated);
        if let Some(after_bytes) = after {
            self.index.remove(&mut self.tags, at + tag.bytes, after_bytes)?;
            bytes += after_bytes;
            self.counters.coalescings += 1;
        }
        if let Some((before, before_bytes)) = before {
            self.index.remove(&mut self.tags, before, before_bytes)?;
            start = before;
            bytes += before_bytes;
            before_allocated = self.tags.tag(before).before_allocated;
            self.counters.coalescings += 1;
        }
        if bytes != tag.bytes {
            self.tags.set_free(start, bytes, before_allocated);
            self.index.merged(start, bytes);
        }
        Ok((start, bytes))
    }

    /// Coalesces all that was freed without looking at its neighbours, and says whether there was anything.
    fn coalesce_deferred(&mut self, need: u64) -> Result<bool, Refusal> {
        if self.settings.coalesce != Coalesce::Deferred || !self.unmerged || !self.index.is_ripe(&self.tags, need) {
            return Ok(false);
        }
        self.unmerged = false;
        if I::RESTS {
            while let Some(at) = self.index.next_resting(&mut self.tags)? {
                let tag = self.tags.block(at)?;
                self.release_now(at, tag, true)?;
            }
        } else {
            let mut at = self.tags.first;
            while at < self.tags.end {
                at = self.merge_run(at)?;
            }
        }
        Ok(true)
    }

    /// Makes one block of the run of free blocks that begins at `at`, and says where the next block is.
    fn merge_run(&mut self, at: u64) -> Result<u64, Refusal> {
        let tag = self.tags.block(at)?;
        let mut end = at + tag.bytes;
        while !tag.allocated
            && let Some(bytes) = self.tags.free_after(end)?
        {
            self.index.remove(&mut self.tags, end, bytes)?;
            end += bytes;
            self.counters.coalescings += 1;
        }
        if end - at != tag.bytes {
            self.index.remove(&mut self.tags, at, tag.bytes)?;
            self.tags.set_free(at, end - at, tag.before_allocated);
            self.index.merged(at, end - at);
            self.index.insert(&mut self.tags, at, end - at)?;
        }
        Ok(end)
    }

    /// Cuts an allocated block down to `need` bytes and gives the tail back, if the policy says so.
    fn trim(&mut self, at: u64, tag: Tag, need: u64) -> Result<(), Refusal> {
        let rest = tag.bytes - need;
        if !self.splits(rest) {
            return Ok(());
        }
        self.counters.splits += 1;
        self.tags.set_allocated(at, need, tag.before_allocated);
        self.tags.set_allocated(at + need, rest, true);
        self.release(at + need, self.tags.tag(at + need))
    }

    /// Lengthens an allocated block to at least `need` bytes: into the free block after it, and at the top into new
    /// memory. Says whether that was possible.
    fn lengthen(&mut self, at: u64, tag: Tag, need: u64) -> Result<bool, Refusal> {
        if self.settings.coalesce == Coalesce::Never {
            return Ok(false);
        }
        let after = at + tag.bytes;
        let mut free = self.tags.free_after(after)?.unwrap_or(0);
        if tag.bytes + free < need {
            let at_top = after + free == self.tags.end;
            match at_top.then(|| self.extend(need - tag.bytes)) {
                Some(Ok((_, extended))) => free = extended,
                Some(Err(Refusal::NoMemory)) | None => return Ok(false),
                Some(Err(smashed)) => return Err(smashed),
            }
        }
        self.index.remove(&mut self.tags, after, free)?;
        self.counters.coalescings += 1;
        let bytes = tag.bytes + free;
        self.tags.set_allocated(at, bytes, tag.before_allocated);
        self.index.merged(at, bytes);
        self.trim(at, Tag { bytes, ..tag }, need)?;
        Ok(true)
    }

    /// The block of a payload, after as many checks as the settings ask for.
    #[inline(always)]
    fn block_of(&self, payload: Ptr) -> Result<(u64, Tag), Refusal> {
        let at = payload.get().wrapping_sub(self.tags.word());
        match self.sound(at) {
            Some(tag) if self.settings.checks == Checks::Tags || self.begins_a_block(at) => Ok((at, tag)),
            _ => Err(self.diagnose(payload)),
        }
    }

    /// The tag at `at`, if it and its neighbour's look like those of an allocated block.
    #[inline(always)]
    fn sound(&self, at: u64) -> Option<Tag> {
        let tag = self.tags.block(at).ok().filter(|tag| tag.allocated && !tag.quick)?;
        let after = at + tag.bytes;
        let sound = match self.tags.shape.footers {
            Footers::All => self.tags.tag(after - self.tags.word()) == tag,
            Footers::Free => {
                self.tags.tag(after).before_allocated && (after == self.tags.end || self.tags.block(after).is_ok())
            }
        };
        sound.then_some(tag)
    }

    #[cold]
    #[inline(never)]
    fn begins_a_block(&self, wanted: u64) -> bool {
        let mut at = self.tags.first;
        while at < wanted {
            match self.tags.block(at) {
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
        let mut at = self.tags.first;
        while at < self.tags.end && at <= payload.get() {
            let Ok(tag) = self.tags.block(at) else { return Refusal::Smashed(at) };
            let after = at + tag.bytes;
            if payload.get() < after {
                return match (tag.allocated && !tag.quick, payload == self.payload(at)) {
                    (false, _) => Refusal::DoubleFree(payload),
                    (true, false) => Refusal::InteriorPointer(payload),
                    (true, true) if self.tags.keeps_before() => Refusal::Smashed(after),
                    (true, true) => Refusal::Smashed(after - self.tags.word()),
                };
            }
            at = after;
        }
        Refusal::InvalidFree(payload)
    }
}

impl<A: Arena, I: Index<A>> Allocator<A> for Tagged<A, I> {
    fn malloc(&mut self, bytes: u64) -> Result<Ptr, Refusal> {
        let need = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        self.take(need).map(|at| self.payload(at))
    }

    fn free(&mut self, at: Ptr) -> Result<(), Refusal> {
        if at.is_null() {
            return Ok(());
        }
        let (at, tag) = self.block_of(at)?;
        self.release(at, tag)
    }

    fn usable_bytes(&self, at: Ptr) -> Result<u64, Refusal> {
        let (_, tag) = self.block_of(at)?;
        Ok(tag.bytes - self.tag_bytes())
    }

    fn aligned_alloc(&mut self, alignment: u64, bytes: u64) -> Result<Ptr, Refusal> {
        if !alignment.is_power_of_two() {
            return Err(Refusal::BadAlignment(alignment));
        }
        if alignment <= self.settings.align {
            return self.malloc(bytes);
        }
        let need = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        let slack = alignment.checked_add(self.tags.shape.min_block).ok_or(Refusal::NoMemory)?;
        let all = need.checked_add(slack).filter(|&all| all <= self.tags.shape.word.max()).ok_or(Refusal::NoMemory)?;
        let whole = self.take(all)?;
        let mut tag = self.tags.block(whole)?;
        let mut at = round_up(whole + self.tags.word(), alignment).ok_or(Refusal::NoMemory)? - self.tags.word();
        while at != whole && at - whole < self.tags.shape.min_block {
            at += alignment;
        }
        let gap = at - whole;
        if gap > 0 {
            self.tags.set_allocated(whole, gap, tag.before_allocated);
            tag = Tag { bytes: tag.bytes - gap, before_allocated: true, ..tag };
            self.tags.set_allocated(at, tag.bytes, true);
            self.release(whole, self.tags.tag(whole))?;
            tag.before_allocated = self.tags.tag(at).before_allocated;
        }
        self.trim(at, tag, need)?;
        Ok(self.payload(at))
    }

    fn resize(&mut self, at: Ptr, bytes: u64) -> Result<bool, Refusal> {
        let (at, tag) = self.block_of(at)?;
        let need = self.tags.shape.block_for(bytes).ok_or(Refusal::NoMemory)?;
        if need > tag.bytes {
            return self.lengthen(at, tag, need);
        }
        self.trim(at, tag, need)?;
        Ok(true)
    }

    fn block_bytes(&self, at: Ptr) -> u64 {
        self.tags.tag(at.get() - self.tags.word()).bytes
    }

    fn tag_bytes(&self) -> u64 {
        self.tags.shape.tag_bytes()
    }

    fn alignment(&self) -> u64 {
        self.settings.align
    }

    fn blocks(&self) -> Result<Vec<Block>, Refusal> {
        let mut blocks = Vec::new();
        let mut at = self.tags.first;
        while at < self.tags.end {
            let tag = self.tags.block(at)?;
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
        self.counters
    }

    fn arena(&self) -> &A {
        &self.tags.arena
    }

    fn arena_mut(&mut self) -> &mut A {
        &mut self.tags.arena
    }
}
