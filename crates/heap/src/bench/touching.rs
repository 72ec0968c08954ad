//! An arena that knows which of its pages were ever stored to, and loads as quickly as a byte vector.

use crate::{Arena, ByteArena, Full};

const PAGE_BYTES: u64 = 4096;

/// A byte arena, and a mark for each page that was stored to.
pub(super) struct TouchingArena {
    memory: ByteArena,
    touched: Vec<bool>,
}

impl TouchingArena {
    /// An empty arena that grows to at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { memory: ByteArena::new(limit), touched: Vec::new() }
    }

    /// The bytes of the pages that were stored to: what the heap costs in RAM.
    pub fn touched_bytes(&self) -> u64 {
        self.touched.iter().filter(|&&touched| touched).count() as u64 * PAGE_BYTES
    }

    #[inline(always)]
    fn touch(&mut self, at: u64, count: u64) {
        if count > 0 {
            self.touched[(at / PAGE_BYTES) as usize..=((at + count - 1) / PAGE_BYTES) as usize].fill(true);
        }
    }
}

impl Arena for TouchingArena {
    fn bytes(&self) -> u64 {
        self.memory.bytes()
    }

    fn grow(&mut self, count: u64) -> Result<(), Full> {
        self.memory.grow(count)?;
        self.touched.resize(self.memory.bytes().div_ceil(PAGE_BYTES) as usize, false);
        Ok(())
    }

    #[inline(always)]
    fn load32(&self, at: u64) -> u32 {
        self.memory.load32(at)
    }

    #[inline(always)]
    fn store32(&mut self, at: u64, value: u32) {
        self.touch(at, 4);
        self.memory.store32(at, value);
    }

    #[inline(always)]
    fn load64(&self, at: u64) -> u64 {
        self.memory.load64(at)
    }

    #[inline(always)]
    fn store64(&mut self, at: u64, value: u64) {
        self.touch(at, 8);
        self.memory.store64(at, value);
    }

    fn read(&self, at: u64, to: &mut [u8]) {
        self.memory.read(at, to);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.touch(at, from.len() as u64);
        self.memory.write(at, from);
    }

    fn fill(&mut self, at: u64, count: u64, byte: u8) {
        self.touch(at, count);
        self.memory.fill(at, count, byte);
    }

    fn copy(&mut self, from: u64, to: u64, count: u64) {
        self.touch(to, count);
        self.memory.copy(from, to, count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_counts_when_it_is_first_stored_to() {
        let mut arena = TouchingArena::new(1 << 20);
        arena.grow(1 << 20).expect("the limit");
        assert_eq!((arena.load64(0), arena.touched_bytes()), (0, 0));
        arena.fill(4000, 200, 1);
        arena.store64(4092, 1);
        arena.copy(0, 40_000, 4);
        arena.write(9000, &[]);
        assert_eq!(arena.touched_bytes(), 3 * 4096);
    }
}
