//! A set of small numbers that gives its least member in a few word operations.

/// ```text
/// top     one bit a word below: whether the word has a bit set
/// ...
/// bottom  one bit a number: whether it is a member
/// ```
pub(crate) struct BitTree {
    /// The bottom first.
    layers: Vec<Vec<u64>>,
}

impl BitTree {
    /// An empty set of numbers below `limit`.
    pub(crate) fn new(limit: usize) -> Self {
        let mut layers = Vec::new();
        let mut bits = limit.max(1);
        loop {
            let words = bits.div_ceil(64);
            layers.push(vec![0; words]);
            if words == 1 {
                return Self { layers };
            }
            bits = words;
        }
    }

    pub(crate) fn insert(&mut self, number: usize) {
        let mut at = number;
        for layer in &mut self.layers {
            let word = &mut layer[at / 64];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                return;
            }
            at /= 64;
        }
    }

    /// Removes a number; says whether it was there.
    pub(crate) fn remove(&mut self, number: usize) -> bool {
        if !self.contains(number) {
            return false;
        }
        let mut at = number;
        for layer in &mut self.layers {
            let word = &mut layer[at / 64];
            *word &= !(1 << (at % 64));
            if *word != 0 {
                break;
            }
            at /= 64;
        }
        true
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.layers[0].get(number / 64).is_some_and(|word| word >> (number % 64) & 1 != 0)
    }

    /// The least member.
    pub(crate) fn first(&self) -> Option<usize> {
        let mut at = 0;
        for layer in self.layers.iter().rev() {
            let word = layer[at];
            if word == 0 {
                return None;
            }
            at = at * 64 + word.trailing_zeros() as usize;
        }
        Some(at)
    }

    /// Every member, least first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.layers[0]
            .iter()
            .enumerate()
            .flat_map(|(index, &word)| (0..64).filter(move |bit| word >> bit & 1 != 0).map(move |bit| index * 64 + bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_member_comes_first() {
        let mut set = BitTree::new(300_000);
        assert_eq!(set.first(), None);
        for number in [299_999, 64, 4096, 63] {
            set.insert(number);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), [63, 64, 4096, 299_999]);
        for number in [63, 64, 4096, 299_999] {
            assert_eq!(set.first(), Some(number));
            assert!(set.remove(number));
            assert!(!set.remove(number));
        }
        assert_eq!(set.first(), None);
    }
}
