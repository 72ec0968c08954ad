//! Bins of free blocks by size, and a bitmap that says which of them hold any.
//!
//! ```text
//!   small bins   16, 24, 32, ...          one exact size each, below 1024 bytes
//!   large bins   1024, 1280, 1536, ...    four to each power of two
//!   bitmap       1 0 0 1 1 0 ...          which bins are not empty
//! ```

use crate::list::List;
use crate::tagged::Sizes;
use crate::tags::{Free, Tags};
use crate::{Arena, Counters, Fit, Refusal, Settings};

/// Blocks from this size on are large: they share bins.
pub(crate) const LARGE_BYTES: u64 = 1024;
/// Bins for each power of two from `LARGE_BYTES` on.
const BINS_PER_POWER: usize = 4;
/// How many blocks of a shared bin a first fit looks at.
const PATIENCE: u64 = 8;

/// The bins. They lie beside the arena, as `main_arena` does in glibc, and are as many as the sizes that a header holds need.
pub(crate) struct Bins {
    fit: Fit,
    unit_bits: u32,
    small_bins: usize,
    lists: Vec<List>,
    filled: Vec<u64>,
}

impl Bins {
    pub fn new(settings: &Settings) -> Self {
        let small_bins = (LARGE_BYTES / settings.align) as usize;
        let powers = (settings.header.max().ilog2() - LARGE_BYTES.ilog2() + 1) as usize;
        let bins = small_bins + powers * BINS_PER_POWER;
        Self {
            fit: settings.fit,
            unit_bits: settings.align.trailing_zeros(),
            small_bins,
            lists: vec![List::default(); bins],
            filled: vec![0; bins.div_ceil(64)],
        }
    }

    /// The bytes of the lists' heads and of the bitmap.
    pub fn table_bytes(&self) -> usize {
        size_of_val(&*self.lists) + size_of_val(&*self.filled)
    }

    /// Forgets every block.
    pub fn clear(&mut self) {
        self.lists.fill(List::default());
        self.filled.fill(0);
    }

    /// Puts a block in front of its bin.
    #[inline(always)]
    pub fn insert<A: Arena, const WORD: u64>(&mut self, tags: &mut Tags<A, WORD>, free: Free) {
        let bin = self.bin_of(free.bytes);
        self.lists[bin].push(tags, free.at);
        self.filled[bin / 64] |= 1 << (bin % 64);
    }

    /// Takes a block out of its bin.
    #[inline(always)]
    pub fn remove<A: Arena, const WORD: u64>(&mut self, tags: &mut Tags<A, WORD>, free: Free) -> Result<(), Refusal> {
        let bin = self.bin_of(free.bytes);
        self.lists[bin].unlink(tags, free.at)?;
        if self.lists[bin].is_empty() {
            self.filled[bin / 64] &= !(1 << (bin % 64));
        }
        Ok(())
    }

    /// Whether a block of the one size is in the same bin as one of the other.
    #[inline(always)]
    pub fn share(&self, one: u64, other: u64) -> bool {
        self.bin_of(one) == self.bin_of(other)
    }

    /// Whether there is a block of just this size, and its size has a bin of its own.
    #[inline(always)]
    pub fn has_exact(&self, bytes: u64) -> bool {
        bytes < LARGE_BYTES && !self.lists[self.bin_of(bytes)].is_empty()
    }

    /// A block that is large enough: the first or the smallest of some in its own bin, or else of the next bin that is not
    /// empty, where all are.
    #[inline(always)]
    pub fn find<A: Arena, const WORD: u64>(
        &self,
        tags: &Tags<A, WORD>,
        need: u64,
        counters: &mut Counters,
    ) -> Result<Option<Free>, Refusal> {
        let mut from = self.bin_of(need);
        if need >= LARGE_BYTES {
            let found = self.search(tags, from, need, counters)?;
            if found.is_some() {
                return Ok(found);
            }
            from += 1;
        }
        match self.filled_from(from) {
            Some(bin) => self.search(tags, bin, need, counters),
            None => Ok(None),
        }
    }

    /// The first or the smallest block of a bin that fits.
    #[inline(always)]
    fn search<A: Arena, const WORD: u64>(
        &self,
        tags: &Tags<A, WORD>,
        bin: usize,
        need: u64,
        counters: &mut Counters,
    ) -> Result<Option<Free>, Refusal> {
        let list = &self.lists[bin];
        let mut left = if self.fit == Fit::Best { tags.most_blocks() } else { PATIENCE };
        let mut best: Option<Free> = None;
        let mut next = list.first(tags)?;
        while let Some(free) = next
            && left > 0
        {
            left -= 1;
            counters.searched += 1;
            if free.bytes >= need && best.is_none_or(|best| free.bytes < best.bytes) {
                best = Some(free);
                if free.bytes == need || self.fit != Fit::Best || bin < self.small_bins {
                    break;
                }
            }
            next = list.next(tags, free.at)?;
        }
        Ok(best)
    }

    /// The bin of a size.
    #[inline(always)]
    fn bin_of(&self, bytes: u64) -> usize {
        if bytes < LARGE_BYTES {
            return (bytes >> self.unit_bits) as usize;
        }
        let power = bytes.ilog2();
        let quarter = (bytes >> (power - 2)) as usize % BINS_PER_POWER;
        self.small_bins + (power - LARGE_BYTES.ilog2()) as usize * BINS_PER_POWER + quarter
    }

    /// The first bin from `from` on that holds a block.
    #[inline(always)]
    fn filled_from(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.filled.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.filled.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Every block, by address.
    ///
    /// # Errors
    /// One sentence, where a bin or its bit is wrong.
    pub fn held<A: Arena, const WORD: u64>(&self, tags: &Tags<A, WORD>) -> Result<Sizes, String> {
        let mut held = Sizes::new();
        for (bin, list) in self.lists.iter().enumerate() {
            let marked = self.filled[bin / 64] >> (bin % 64) & 1 == 1;
            if marked == list.is_empty() {
                return Err(format!("bin {bin}: its bit in the map is wrong"));
            }
            for Free { at, bytes } in list.held(tags)? {
                if self.bin_of(bytes) != bin {
                    return Err(format!("block {at:#x} of {bytes} bytes is in bin {bin}"));
                }
                held.insert(at, bytes);
            }
        }
        Ok(held)
    }
}
