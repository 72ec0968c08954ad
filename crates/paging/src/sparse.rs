//! The physical memory of a small system.

use crate::EntrySource;
use addr::PhysAddr;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Physical bytes of any number, of which only those that were written take up space; the others are 0.
///
/// It serves the systems that are walked and explained, on one thread. Programs run in simulated RAM.
#[derive(Clone, Default, Debug)]
pub struct SparseMemory {
    bytes: RefCell<BTreeMap<u64, u8>>,
}

impl SparseMemory {
    /// Memory that is all 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// One byte.
    pub fn byte(&self, at: PhysAddr) -> u8 {
        self.bytes.borrow().get(&at.get()).copied().unwrap_or(0)
    }

    /// Sets one byte.
    pub fn set_byte(&self, at: PhysAddr, value: u8) {
        self.bytes.borrow_mut().insert(at.get(), value);
    }

    /// Stores a little-endian entry of `bytes` bytes.
    pub fn store_entry(&self, at: PhysAddr, bytes: u64, value: u64) {
        for place in 0..bytes {
            self.set_byte(at + place, (value >> (8 * place)) as u8);
        }
    }
}

impl EntrySource for SparseMemory {
    fn load_entry(&self, at: PhysAddr, bytes: u64) -> u64 {
        (0..bytes).rev().fold(0, |word, place| word << 8 | u64::from(self.byte(at + place)))
    }

    fn exchange_entry(&self, at: PhysAddr, bytes: u64, current: u64, new: u64) -> Result<u64, u64> {
        let word = self.load_entry(at, bytes);
        if word != current {
            return Err(word);
        }
        self.store_entry(at, bytes, new);
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_little_endian_words() {
        let memory = SparseMemory::new();
        memory.store_entry(PhysAddr::new(1 << 40), 4, 0x0403_0201);
        assert_eq!(memory.byte(PhysAddr::new((1 << 40) + 3)), 4);
        assert_eq!(memory.load_entry(PhysAddr::new(1 << 40), 8), 0x0403_0201);
        assert_eq!(memory.exchange_entry(PhysAddr::new(1 << 40), 2, 7, 9), Err(0x0201));
    }
}
