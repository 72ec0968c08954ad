//! An allocator's own words in the arena: tags and links, all `WORD` bytes wide.

use crate::Arena;

/// An arena whose words are four or eight bytes: `WORD` is 4 or 8.
pub(crate) struct Words<A, const WORD: u64> {
    pub arena: A,
}

impl<A: Arena, const WORD: u64> Words<A, WORD> {
    /// The largest value of a word, and so the largest offset that a link can hold.
    pub const MAX: u64 = u64::MAX >> (64 - 8 * WORD);

    /// The word at `at`.
    #[inline(always)]
    pub fn get(&self, at: u64) -> u64 {
        if WORD == 4 { u64::from(self.arena.load32(at)) } else { self.arena.load64(at) }
    }

    /// Stores the word at `at`; `value` is at most `MAX`.
    #[inline(always)]
    pub fn put(&mut self, at: u64, value: u64) {
        if WORD == 4 { self.arena.store32(at, value as u32) } else { self.arena.store64(at, value) }
    }
}

/// Words in an arena that links may lead to.
pub(crate) trait Places {
    /// The bytes of a word.
    const WORD: u64;

    /// The word at `at`.
    fn get(&self, at: u64) -> u64;

    /// Stores the word at `at`.
    fn put(&mut self, at: u64, value: u64);

    /// Whether a block can begin at `at`.
    fn is_place(&self, at: u64) -> bool;
}
