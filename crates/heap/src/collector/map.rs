//! Which blocks there are: one bit for each place where a block may begin.

/// The blocks of a heap, found from any address inside them.
///
/// ```text
///   heap     | block            | block  | free block      | block |
///   starts     1 0 0 0 0 0 0 0 0  1 0 0 0  1 0 0 0 0 0 0 0   1 0 0     one bit a unit
///   live       1                  1        0                 1
/// ```
/// A block begins at its start bit and ends at the next one. The bits lie beside the heap, so that looking an address up
/// touches no block.
#[derive(Clone, Default)]
pub struct BlockMap {
    /// The offset of the first unit.
    pub(super) first: u64,
    /// The offset past the last block.
    pub(super) end: u64,
    pub(super) starts: Bits,
    pub(super) live: Bits,
    /// Blocks without pointers in them.
    pub(super) atomic: Bits,
}

/// Blocks begin at multiples of this many bytes from the first one.
pub(super) const UNIT: u64 = 16;

impl BlockMap {
    /// A map of no blocks, from offset `first` on.
    pub fn new(first: u64) -> Self {
        Self { first, end: first, ..Self::default() }
    }

    /// Enters a block; blocks are entered in any order, and cover the heap up to `end` when it is used.
    pub fn insert(&mut self, at: u64, bytes: u64, contents: Contents) {
        self.cover(at + bytes);
        let unit = self.unit(at);
        self.starts.set(unit);
        self.live.set(unit);
        if contents == Contents::Atomic {
            self.atomic.set(unit);
        }
    }

    /// Enters a block that is free.
    pub fn insert_free(&mut self, at: u64, bytes: u64) {
        self.cover(at + bytes);
        let unit = self.unit(at);
        self.starts.set(unit);
        self.live.clear(unit);
        self.atomic.clear(unit);
    }

    /// The allocated block that holds this offset.
    #[inline(always)]
    pub fn find(&self, at: u64) -> Option<usize> {
        if at < self.first || at >= self.end {
            return None;
        }
        let start = self.starts.last_to(self.unit(at))?;
        self.live.get(start).then_some(start)
    }

    /// Where the block at a unit begins and ends.
    #[inline(always)]
    pub fn range(&self, unit: usize) -> (u64, u64) {
        let end = self.starts.next_from(unit + 1).map_or(self.end, |next| self.at(next));
        (self.at(unit), end)
    }

    /// Every allocated block, in order of address.
    pub fn live_blocks(&self) -> impl Iterator<Item = usize> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let unit = self.live.next_from(next)?;
            next = unit + 1;
            Some(unit)
        })
    }

    pub(super) fn cover(&mut self, end: u64) {
        self.end = self.end.max(end);
        let units = (self.end - self.first).div_ceil(UNIT) as usize;
        for bits in [&mut self.starts, &mut self.live, &mut self.atomic] {
            bits.cover(units);
        }
    }

    #[inline(always)]
    pub(super) fn unit(&self, at: u64) -> usize {
        ((at - self.first) / UNIT) as usize
    }

    #[inline(always)]
    pub(super) fn at(&self, unit: usize) -> u64 {
        self.first + unit as u64 * UNIT
    }
}

/// What a block may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Any word may be a pointer.
    Pointers,
    /// No pointers: text, numbers. It is never looked into.
    Atomic,
}

/// A growing row of bits.
#[derive(Clone, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Makes room for `count` bits; new ones are clear.
    pub fn cover(&mut self, count: usize) {
        let words = count.div_ceil(64);
        if words > self.0.len() {
            self.0.resize(words, 0);
        }
    }

    /// Clears all, and makes room for `count`.
    pub fn reset(&mut self, count: usize) {
        self.0.fill(0);
        self.cover(count);
    }

    /// Whether the bit is set.
    #[inline(always)]
    pub fn get(&self, bit: usize) -> bool {
        self.0[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Sets the bit.
    #[inline(always)]
    pub fn set(&mut self, bit: usize) {
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Clears the bit.
    #[inline(always)]
    pub fn clear(&mut self, bit: usize) {
        self.0[bit / 64] &= !(1 << (bit % 64));
    }

    /// Clears the bits of `from..to`.
    pub fn clear_range(&mut self, from: usize, to: usize) {
        let mut bit = from;
        while bit < to {
            let word = bit / 64;
            let count = (64 - bit % 64).min(to - bit);
            let mask = (u64::MAX >> (64 - count)) << (bit % 64);
            self.0[word] &= !mask;
            bit += count;
        }
    }

    /// The last set bit at `bit` or before.
    #[inline(always)]
    fn last_to(&self, bit: usize) -> Option<usize> {
        let mut word = bit / 64;
        let mut bits = self.0[word] & (u64::MAX >> (63 - bit % 64));
        while bits == 0 {
            word = word.checked_sub(1)?;
            bits = self.0[word];
        }
        Some(word * 64 + 63 - bits.leading_zeros() as usize)
    }

    /// The first set bit at `bit` or after.
    #[inline(always)]
    pub fn next_from(&self, bit: usize) -> Option<usize> {
        let mut word = bit / 64;
        let mut bits = self.0.get(word)? & (u64::MAX << (bit % 64));
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_in_a_block_finds_it() {
        let mut map = BlockMap::new(8);
        map.insert(8, 32, Contents::Pointers);
        map.insert_free(40, 2048);
        map.insert(2088, 4096, Contents::Atomic);
        assert_eq!([7, 8, 39, 40, 2087].map(|at| map.find(at)), [None, Some(0), Some(0), None, None]);
        assert_eq!([2088, 6183, 6184].map(|at| map.find(at)), [Some(130), Some(130), None]);
        assert_eq!((map.range(0), map.range(130)), ((8, 40), (2088, 6184)));
    }

    #[test]
    fn a_range_of_bits_is_cleared() {
        let mut bits = Bits::default();
        bits.cover(300);
        (0..300).for_each(|bit| bits.set(bit));
        bits.clear_range(60, 200);
        assert_eq!((0..300).filter(|&bit| bits.get(bit)).count(), 160);
        assert_eq!((bits.last_to(199), bits.next_from(60)), (Some(59), Some(200)));
    }
}
