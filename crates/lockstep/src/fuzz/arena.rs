//! The address space of a case: two pages of code and six windows of two data pages, the same in both worlds.
//!
//! Around each window nothing is mapped, so that an operand can lie in a page, cross from one to the next, run into a
//! page that is absent or read-only, or miss altogether. All but one window lie below 2 GiB, within reach of absolute,
//! RIP-relative and 32-bit addresses. An absent page has its bytes all the same: they show once it has been repaired.

use crate::random::Random;
use addr::{PAGE_BYTES, Perms, VirtAddr};

/// One page that cases know of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArenaPage {
    /// Its first byte.
    pub start: VirtAddr,
    /// What is allowed before any repair; nothing means absent.
    pub perms: Perms,
}

/// Where code lies: two pages, so that an instruction can cross.
pub const CODE: VirtAddr = VirtAddr::new(0x40_0000);
/// How many pages of code there are.
pub const CODE_PAGES: u64 = 2;
/// What fills the code pages: `int3`.
pub const TRAP: u8 = 0xcc;

/// The two pages of each window.
pub const WINDOWS: [(VirtAddr, [Perms; 2]); 6] = [
    (VirtAddr::new(0x1000_0000), [Perms::READ_WRITE, Perms::READ_WRITE]),
    (VirtAddr::new(0x2000_0000), [Perms::READ_WRITE, Perms::NONE]),
    (VirtAddr::new(0x3000_0000), [Perms::NONE, Perms::READ_WRITE]),
    (VirtAddr::new(0x4000_0000), [Perms::READ_WRITE, Perms::READ]),
    (VirtAddr::new(0x5000_0000), [Perms::READ, Perms::READ_WRITE]),
    (VirtAddr::new(0x7fff_f7fc_3000), [Perms::READ_WRITE, Perms::READ_WRITE]),
];

/// Every page of data, in order.
pub fn data_pages() -> impl Iterator<Item = ArenaPage> {
    WINDOWS.iter().flat_map(|(start, perms)| {
        let pages = perms.iter().enumerate();
        pages.map(|(index, &perms)| ArenaPage { start: *start + index as u64 * PAGE_BYTES, perms })
    })
}

/// What a page of data holds before a case: random numbers, floating-point values and pointers into the windows.
pub fn background(page: ArenaPage) -> Vec<u8> {
    let mut random = Random::new(page.start.get());
    let mut bytes = Vec::with_capacity(PAGE_BYTES as usize);
    while bytes.len() < PAGE_BYTES as usize {
        let word = match random.below(8) {
            0 => (random.below(2000) as f64 - 1000.0).to_bits(),
            1 => u64::from((random.below(2000) as f32 - 1000.0).to_bits()) << 32 | 0x3fc0_0000,
            2 => random.pick(&WINDOWS).0.get() + random.below(2 * PAGE_BYTES),
            3 => random.below(256),
            _ => random.word(),
        };
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_apart_and_their_bytes_are_always_the_same() {
        let starts: Vec<u64> = data_pages().map(|page| page.start.get()).collect();
        assert_eq!(starts.len(), 12);
        assert!(starts.is_sorted());
        let page = data_pages().next().unwrap();
        assert_eq!(background(page), background(page));
        assert_eq!(background(page).len(), 4096);
    }
}
