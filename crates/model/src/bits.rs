//! A set of small numbers in which the next member is found quickly.

/// Numbers below a bound, as bits, with a summary bit for each word that has one.
#[derive(Clone, Debug)]
pub struct Bits {
    words: Vec<u64>,
    summary: Vec<u64>,
}

impl Bits {
    /// An empty set of numbers below `bound`.
    pub fn new(bound: usize) -> Self {
        let words = bound.div_ceil(64);
        Self { words: vec![0; words], summary: vec![0; words.div_ceil(64)] }
    }

    /// Whether a number is in it.
    #[inline]
    pub fn contains(&self, number: usize) -> bool {
        self.words[number / 64] >> (number % 64) & 1 != 0
    }

    /// Adds a number.
    #[inline]
    pub fn insert(&mut self, number: usize) {
        let word = number / 64;
        self.words[word] |= 1 << (number % 64);
        self.summary[word / 64] |= 1 << (word % 64);
    }

    /// Takes a number out.
    #[inline]
    pub fn remove(&mut self, number: usize) {
        let word = number / 64;
        self.words[word] &= !(1 << (number % 64));
        if self.words[word] == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
    }

    /// The smallest member from `start` on.
    pub fn next(&self, start: usize) -> Option<usize> {
        let word = start / 64;
        let here = self.words.get(word)? & u64::MAX << (start % 64);
        if here != 0 {
            return Some(64 * word + here.trailing_zeros() as usize);
        }
        let after = word + 1;
        let mut place = after / 64;
        let mut words = self.summary.get(place)? & u64::MAX << (after % 64);
        while words == 0 {
            place += 1;
            words = *self.summary.get(place)?;
        }
        let word = 64 * place + words.trailing_zeros() as usize;
        Some(64 * word + self.words[word].trailing_zeros() as usize)
    }

    /// The first member from `start` on, and behind the last one from the beginning.
    pub fn next_around(&self, start: usize) -> Option<usize> {
        self.next(start).or_else(|| self.next(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use std::collections::BTreeSet;

    #[test]
    fn it_agrees_with_the_standard_set() {
        for bound in [1, 63, 64, 65, 5000, 20_000] {
            let (mut bits, mut set, mut random) = (Bits::new(bound), BTreeSet::new(), Random::new(31));
            for _ in 0..5000 {
                let number = random.below(bound as u64) as usize;
                if random.below(3) == 0 {
                    bits.insert(number);
                    set.insert(number);
                } else {
                    bits.remove(number);
                    set.remove(&number);
                }
                let start = random.below(bound as u64) as usize;
                assert_eq!(bits.next(start), set.range(start..).next().copied());
                assert_eq!(bits.next_around(start), set.range(start..).chain(&set).next().copied());
                assert_eq!(bits.contains(start), set.contains(&start));
            }
        }
    }
}
