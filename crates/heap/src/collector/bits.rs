//! Rows of bits, 64 to a word.

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

    /// Sets the bit, and says whether it was clear.
    #[inline(always)]
    pub fn set(&mut self, bit: usize) -> bool {
        let (word, mask) = (&mut self.0[bit / 64], 1 << (bit % 64));
        let was_clear = *word & mask == 0;
        *word |= mask;
        was_clear
    }

    /// The 64 bits from `64 * word` on; past the end all are clear.
    #[inline(always)]
    pub(super) fn word(&self, word: usize) -> u64 {
        self.0.get(word).copied().unwrap_or(0)
    }

    /// The first set bit at `bit` or after.
    pub fn next_from(&self, bit: usize) -> Option<usize> {
        first_set(bit, |word| self.0.get(word).copied())
    }
}

/// The first set bit at `bit` or after, in words that `word` gives until there are no more.
#[inline(always)]
pub(super) fn first_set(bit: usize, word: impl Fn(usize) -> Option<u64>) -> Option<usize> {
    let mut index = bit / 64;
    let mut bits = word(index)? & from_bit(bit);
    while bits == 0 {
        index += 1;
        bits = word(index)?;
    }
    Some(index * 64 + bits.trailing_zeros() as usize)
}

/// A word's bits from this one on.
#[inline(always)]
pub(super) fn from_bit(bit: usize) -> u64 {
    u64::MAX << (bit % 64)
}

/// A word's bits up to this one.
#[inline(always)]
pub(super) fn to_bit(bit: usize) -> u64 {
    u64::MAX >> (63 - bit % 64)
}
