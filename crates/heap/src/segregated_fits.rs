//! Segregated fits: bins of free blocks by size, as in GNU malloc.
//!
//! ```text
//!   allocated   | header | payload ................................ padding |
//!   resting     | header q | next | (nothing)                               |
//!   free        | header | next | prev | (nothing)                 | footer |
//!
//!   quick lists    16 -> o -> o        one exact size each, up to 512 bytes; singly linked, not coalesced
//!   small bins     16, 24, 32, ...     one exact size each, below 1024 bytes
//!   large bins     1024.., 1152.., ... eight to each power of two
//!   bitmap         1 0 0 1 1 0 ...     which bins are not empty
//! ```
//! A request looks through a few blocks of its own bin, and then takes the head of the next bin that is not empty, whose
//! blocks are all large enough: constant time, and close to best fit. With deferred coalescing a small block that is
//! freed rests, tags untouched but for one bit, in the quick list of its size, where the next request of that size finds
//! it; all of them are coalesced when a search fails.

use crate::explicit::held_by;
use crate::list::List;
use crate::tagged::{Index, Tagged};
use crate::tagged_check::same_blocks;
use crate::tags::{Tag, Tags};
use crate::*;
use std::collections::BTreeMap;

/// Blocks from this size on share bins.
const LARGE_BYTES: u64 = 1024;
/// Bins of exact sizes: one for each multiple of 4 below `LARGE_BYTES`, the finest alignment.
const SMALL_BINS: usize = 256;
/// Eight bins for each power of two from `LARGE_BYTES` on.
const BINS: usize = SMALL_BINS + 54 * 8;
/// Larger blocks do not rest.
const QUICK_BYTES: u64 = 512;
/// How many blocks of a shared bin a first fit looks at.
const PATIENCE: u64 = 16;

/// The segregated fits allocator (`segregated-fits`).
///
/// # Errors
/// `NoMemory` when the arena has no room for its first words.
#[expect(private_interfaces, reason = "the index is an allocator's own affair")]
pub fn segregated_fits<A: Arena>(arena: A, settings: Settings) -> Result<Tagged<A, Bins>, Refusal> {
    Tagged::with_index(arena, settings, Bins::new(&settings))
}

/// The bins and the quick lists. They are of fixed size and lie beside the arena, as `main_arena` does in glibc.
pub(crate) struct Bins {
    fit: Fit,
    unit_bits: u32,
    bins: [List; BINS],
    filled: [u64; BINS.div_ceil(64)],
    /// The payload offset of each quick list's first block, or 0.
    quick: [u64; QUICK_BYTES as usize / 8 + 1],
    /// No quick list below this one holds a block.
    lowest_quick: usize,
    /// The bytes of all blocks in the quick lists.
    resting_bytes: u64,
}

impl Bins {
    pub fn new(settings: &Settings) -> Self {
        Self {
            fit: settings.fit,
            unit_bits: settings.align.trailing_zeros(),
            bins: [List::default(); BINS],
            filled: [0; BINS.div_ceil(64)],
            quick: [0; QUICK_BYTES as usize / 8 + 1],
            lowest_quick: usize::MAX,
            resting_bytes: 0,
        }
    }

    /// Forgets every block.
    pub fn clear(&mut self) {
        self.bins.fill(List::default());
        self.filled.fill(0);
    }

    /// The bin of a size.
    #[inline]
    fn bin_of(&self, bytes: u64) -> usize {
        if bytes < LARGE_BYTES {
            return (bytes >> self.unit_bits) as usize;
        }
        let power = bytes.ilog2();
        let eighth = (bytes >> (power - 3)) as usize & 7;
        SMALL_BINS + (power - LARGE_BYTES.ilog2()) as usize * 8 + eighth
    }

    /// The first bin from `from` on that holds a block.
    #[inline]
    fn filled_from(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.filled.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.filled.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// The first or the smallest block of a bin that fits.
    #[inline]
    fn search<A: Arena>(
        &self,
        tags: &Tags<A>,
        bin: usize,
        need: u64,
        counters: &mut Counters,
    ) -> Result<Option<(u64, u64)>, Refusal> {
        let list = &self.bins[bin];
        let patience = if self.fit == Fit::Best { list.count } else { list.count.min(PATIENCE) };
        let mut best: Option<(u64, u64)> = None;
        let mut next = list.first(tags)?;
        for _ in 0..patience {
            let at = next.ok_or(Refusal::Smashed(tags.first))?;
            counters.searched += 1;
            let bytes = tags.block(at)?.bytes;
            if bytes >= need && best.is_none_or(|(_, best)| bytes < best) {
                best = Some((at, bytes));
                if bytes == need || self.fit != Fit::Best || bin < SMALL_BINS {
                    break;
                }
            }
            next = list.next(tags, at)?;
        }
        Ok(best)
    }
}

impl<A: Arena> Index<A> for Bins {
    const LINKS: u64 = 2;
    const RESTS: bool = true;

    #[inline]
    fn insert(&mut self, tags: &mut Tags<A>, at: u64, bytes: u64) -> Result<(), Refusal> {
        let bin = self.bin_of(bytes);
        self.bins[bin].push(tags, at);
        self.filled[bin / 64] |= 1 << (bin % 64);
        Ok(())
    }

    #[inline]
    fn remove(&mut self, tags: &mut Tags<A>, at: u64, bytes: u64) -> Result<(), Refusal> {
        let bin = self.bin_of(bytes);
        self.bins[bin].unlink(tags, at)?;
        if self.bins[bin].is_empty() {
            self.filled[bin / 64] &= !(1 << (bin % 64));
        }
        Ok(())
    }

    #[inline]
    fn find(&mut self, tags: &Tags<A>, need: u64, counters: &mut Counters) -> Result<Option<(u64, u64)>, Refusal> {
        let own = self.bin_of(need);
        let found = self.search(tags, own, need, counters)?;
        match self.filled_from(own + 1) {
            Some(bin) if found.is_none() => self.search(tags, bin, need, counters),
            _ => Ok(found),
        }
    }

    /// An eighth of the heap may rest, unless the request is large: then growing costs more than looking.
    fn is_ripe(&self, tags: &Tags<A>, need: u64) -> bool {
        need >= LARGE_BYTES || self.resting_bytes > (tags.end - tags.first) / 8
    }

    #[inline(always)]
    fn rest(&mut self, tags: &mut Tags<A>, at: u64, tag: Tag) -> bool {
        if tag.bytes > QUICK_BYTES || tags.shape.align < 8 {
            return false;
        }
        let list = (tag.bytes / 8) as usize;
        tags.put(at, Tag { quick: true, ..tag }.encode());
        tags.put(at + tags.word(), self.quick[list]);
        self.quick[list] = at + tags.word();
        self.lowest_quick = self.lowest_quick.min(list);
        self.resting_bytes += tag.bytes;
        true
    }

    #[inline(always)]
    fn wake(&mut self, tags: &mut Tags<A>, bytes: u64) -> Result<Option<u64>, Refusal> {
        let list = (bytes / 8) as usize;
        let payload = self.quick.get(list).copied().unwrap_or(0);
        if payload == 0 {
            return Ok(None);
        }
        let at = payload.wrapping_sub(tags.word());
        if !tags.is_place(at) {
            return Err(Refusal::Smashed(at));
        }
        let tag = tags.tag(at);
        if !tag.quick || tag.bytes != bytes {
            return Err(Refusal::Smashed(at));
        }
        self.quick[list] = tags.get(payload);
        self.resting_bytes -= bytes;
        tags.put(at, Tag { quick: false, ..tag }.encode());
        Ok(Some(at))
    }

    fn next_resting(&mut self, tags: &mut Tags<A>) -> Result<Option<u64>, Refusal> {
        while let Some(&payload) = self.quick.get(self.lowest_quick) {
            if payload != 0 {
                return self.wake(tags, self.lowest_quick as u64 * 8);
            }
            self.lowest_quick += 1;
        }
        self.lowest_quick = usize::MAX;
        Ok(None)
    }

    fn check(&self, tags: &Tags<A>, free: &BTreeMap<u64, u64>, resting: &BTreeMap<u64, u64>) -> Result<(), String> {
        let mut held = BTreeMap::new();
        for (bin, list) in self.bins.iter().enumerate() {
            let marked = self.filled[bin / 64] >> (bin % 64) & 1 == 1;
            if marked == list.is_empty() {
                return Err(format!("bin {bin}: its bit in the map is wrong"));
            }
            for (at, bytes) in held_by(list, tags)? {
                if self.bin_of(bytes) != bin {
                    return Err(format!("block {at:#x} of {bytes} bytes is in bin {bin}"));
                }
                held.insert(at, bytes);
            }
        }
        same_blocks("free", &held, free)?;
        let mut rested = BTreeMap::new();
        for &head in &self.quick {
            let mut payload = head;
            while payload != 0 {
                let at = payload - tags.word();
                if !tags.is_place(at) || rested.insert(at, tags.tag(at).bytes).is_some() {
                    return Err(format!("a quick list leads to {payload:#x}, or there twice"));
                }
                payload = tags.get(payload);
            }
        }
        same_blocks("resting", &rested, resting)
    }
}
