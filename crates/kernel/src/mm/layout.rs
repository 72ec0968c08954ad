//! Where things lie in a space.

use addr::{PAGE_BYTES, VirtAddr};
use mmu::Levels;

/// The end of the program's half, and the top of the stack: a guard page lies between it and 2^47.
pub const TASK_SIZE: u64 = 0x7fff_ffff_f000;
/// The least distance from the stack's top to the maps.
const GAP_MIN: u64 = 128 << 20;
/// Kept between the stack's limit and the maps.
const GUARD_BYTES: u64 = 1 << 20;

/// Whether addresses are random, and by which seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Aslr {
    /// As under `setarch -R`.
    #[default]
    Off,
    /// As Linux randomises, but always the same for a seed.
    Seeded(u64),
}

/// The places that a space begins with; Linux's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// Past the last byte of the stack.
    pub stack_top: VirtAddr,
    /// Maps are placed from here downwards.
    pub mmap_base: VirtAddr,
    /// Where a position-independent program goes.
    pub pie_base: VirtAddr,
    /// Bytes between the program's end and its heap.
    pub brk_offset: u64,
    /// Past the last byte that a hint can ask for.
    pub task_size: VirtAddr,
}

impl Layout {
    /// The layout for a stack limit (`RLIMIT_STACK`).
    pub fn new(levels: Levels, stack_limit: u64, aslr: Aslr) -> Self {
        let mut random = Random::new(aslr);
        let random_stack_bytes = random.below(1 << 22) * PAGE_BYTES;
        let random_mmap_bytes = random.below(1 << 28) * PAGE_BYTES;
        let pad = GUARD_BYTES + if aslr == Aslr::Off { 0 } else { 1 << 34 };
        let gap = stack_limit.saturating_add(pad).clamp(GAP_MIN, TASK_SIZE / 6 * 5);
        Self {
            stack_top: VirtAddr::new(TASK_SIZE - random_stack_bytes),
            mmap_base: VirtAddr::new((TASK_SIZE - gap - random_mmap_bytes).next_multiple_of(PAGE_BYTES)),
            pie_base: VirtAddr::new(TASK_SIZE / 3 * 2 / PAGE_BYTES * PAGE_BYTES + random.below(1 << 28) * PAGE_BYTES),
            brk_offset: random.below(0x200_0000 / PAGE_BYTES) * PAGE_BYTES,
            task_size: VirtAddr::new(match levels {
                Levels::Four => TASK_SIZE,
                Levels::Five => (1 << 56) - PAGE_BYTES,
            }),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(Option<u64>);

impl Random {
    fn new(aslr: Aslr) -> Self {
        Self(match aslr {
            Aslr::Off => None,
            Aslr::Seeded(seed) => Some(seed),
        })
    }

    fn below(&mut self, limit: u64) -> u64 {
        let Some(state) = &mut self.0 else { return 0 };
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_randomness_the_numbers_are_setarchs() {
        let layout = Layout::new(Levels::Four, 8 << 20, Aslr::Off);
        assert_eq!(layout.stack_top.get(), 0x7fff_ffff_f000);
        assert_eq!(layout.mmap_base.get(), 0x7fff_f7ff_f000);
        assert_eq!(layout.pie_base.get(), 0x5555_5555_4000);
        assert_eq!(layout.brk_offset, 0);
    }

    #[test]
    fn a_seed_gives_one_layout() {
        let layout = |seed| Layout::new(Levels::Four, 8 << 20, Aslr::Seeded(seed));
        assert_eq!(layout(1), layout(1));
        assert_ne!(layout(1), layout(2));
        assert!(layout(1).mmap_base < layout(1).stack_top);
    }

    #[test]
    fn a_large_stack_limit_moves_the_maps_down() {
        let layout = Layout::new(Levels::Four, 1 << 30, Aslr::Off);
        assert_eq!(layout.mmap_base.get(), TASK_SIZE - (1 << 30) - (1 << 20));
        assert!(Layout::new(Levels::Four, u64::MAX, Aslr::Off).mmap_base.get() > TASK_SIZE / 6 - PAGE_BYTES);
    }
}
