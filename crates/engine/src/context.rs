//! The save area of a [`CpuView`]: what each word of it holds while generated code runs.
//!
//! Generated code addresses it through `gs`; the rest of the engine through [`Slot`]s.

use addr::{PAGE_BYTES, VirtAddr};
use mmu::{CpuView, TlbTable};
use std::sync::atomic::Ordering;

/// One named word of the save area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(usize);

impl Slot {
    /// The guest's value of a parked register: one that the host register does not hold at the moment.
    pub const fn parked(register: u8) -> Self {
        Self(register as usize)
    }

    /// A host register as it was when generated code was left, or as it is to be when it is entered.
    pub const fn raw(register: u8) -> Self {
        Self(16 + register as usize)
    }

    /// The host's stack pointer.
    pub const HOST_RSP: Self = Self(32);
    /// Why generated code was left: an [`crate::block::Reason`], 32 bits.
    pub const REASON: Self = Self(33);
    /// The host flags at that moment.
    pub const RAW_FLAGS: Self = Self(34);
    /// The guest's MXCSR, 32 bits.
    pub const GUEST_MXCSR: Self = Self(35);
    /// The host's MXCSR, 32 bits.
    pub const HOST_MXCSR: Self = Self(36);
    /// Where generated code is entered.
    pub const TARGET: Self = Self(37);
    /// Parked arithmetic flags: AH and AL as `lahf; seto al` leave them.
    pub const FLAGS: Self = Self(38);
    /// The guest's FS base.
    pub const FS_BASE: Self = Self(39);
    /// The guest's GS base.
    pub const GS_BASE: Self = Self(40);
    /// Lookups until the next one fails by order of `--chaos`.
    pub const CHAOS: Self = Self(41);
    /// Instructions counted.
    pub const COUNT: Self = Self(42);
    /// A word for a moment's use.
    pub const SCRATCH: Self = Self(43);
    /// Non-zero after a block with x87 or MMX instructions.
    pub const X87_USED: Self = Self(44);
    /// The host address where a host signal hit generated code.
    pub const TRAP_ADDRESS: Self = Self(45);
    /// The number of that signal, and its code in the upper half.
    pub const TRAP_SIGNAL: Self = Self(46);
    /// Flags of the guest that the host does not run with.
    pub const SOFT_FLAGS: Self = Self(47);
    /// The block whose indirect jump was the last, 32 bits.
    pub const JUMPED_FROM: Self = Self(52);
    /// What an indirect call pushed its return address over.
    pub const PUSHED_OVER: Self = Self(53);
    /// Which parts of the jump cache have entries.
    const JUMPS_FILLED: Self = Self(51);
    /// Non-zero when DF is set.
    pub const DIRECTION: Self = Self(50);
    /// Where the accesses of a prepared instruction go: two host addresses.
    pub const fn prepared(access: usize) -> Self {
        Self(48 + access)
    }

    /// The displacement from `gs`.
    pub const fn offset(self) -> i32 {
        (CpuView::SAVE_OFFSET + self.0 * 8) as i32
    }

    /// Reads it.
    pub fn get(self, view: &CpuView) -> u64 {
        view.save(self.0).load(Ordering::Relaxed)
    }

    /// Writes it.
    pub fn set(self, view: &CpuView, value: u64) {
        view.save(self.0).store(value, Ordering::Relaxed);
    }
}

/// First word of the vector registers: four words each.
const YMM: usize = 64;
/// First word of the bounce buffers, aligned to 64 bytes.
const BOUNCE: usize = 256;
/// Words of one bounce buffer: an FXSAVE image at any offset in a cache line.
const BOUNCE_WORDS: usize = (512 + 64) / 8;
/// First word of the jump cache: the host address of a way into a block for the lower bits of its guest address.
const JUMP_CACHE: usize = 1024;
/// Entries of the jump cache: the jump takes sixteen bits of the address.
pub const JUMP_CACHE_ENTRIES: usize = 65536;
/// Parts of the jump cache that are emptied or spared as one: a bit of [`Slot::JUMPS_FILLED`] each.
const JUMP_CACHE_PARTS: usize = 64;
const JUMP_CACHE_PART_ENTRIES: usize = JUMP_CACHE_ENTRIES / JUMP_CACHE_PARTS;

/// The displacement of a vector register from `gs`.
pub fn ymm_offset(register: u8) -> i32 {
    Slot(YMM + usize::from(register) * 4).offset()
}

/// The word of a vector register.
pub fn ymm_slot(register: usize, quadword: usize) -> Slot {
    Slot(YMM + register * 4 + quadword)
}

/// The displacement of the jump cache from `gs`.
pub fn jump_cache_offset() -> i32 {
    Slot(JUMP_CACHE).offset()
}

/// Where a guest address leads.
pub fn jump_cache(view: &CpuView, rip: VirtAddr) -> u64 {
    Slot(JUMP_CACHE + jump_cache_entry(rip)).get(view)
}

/// Makes a guest address lead to a way into a block.
pub fn fill_jump_cache(view: &CpuView, rip: VirtAddr, host: u64) {
    let entry = jump_cache_entry(rip);
    let part = entry / JUMP_CACHE_PART_ENTRIES;
    Slot::JUMPS_FILLED.set(view, Slot::JUMPS_FILLED.get(view) | 1 << part);
    Slot(JUMP_CACHE + entry).set(view, host);
}

/// Makes a new view's jump cache lead nowhere.
pub fn begin_jump_cache(view: &CpuView, nowhere: u64) {
    Slot::JUMPS_FILLED.set(view, u64::MAX);
    flush_jump_cache(view, nowhere);
}

/// Makes every guest address lead nowhere.
pub fn flush_jump_cache(view: &CpuView, nowhere: u64) {
    let filled = Slot::JUMPS_FILLED.get(view);
    for part in (0..JUMP_CACHE_PARTS).filter(|part| filled & 1 << part != 0) {
        for entry in part * JUMP_CACHE_PART_ENTRIES..(part + 1) * JUMP_CACHE_PART_ENTRIES {
            Slot(JUMP_CACHE + entry).set(view, nowhere);
        }
    }
    Slot::JUMPS_FILLED.set(view, 0);
}

/// The number of the jump cache's entry for a guest address.
pub fn jump_cache_entry(rip: VirtAddr) -> usize {
    rip.get() as usize & (JUMP_CACHE_ENTRIES - 1)
}

/// The displacement of a software-TLB table from `gs`.
pub fn tlb_offset(table: TlbTable) -> i32 {
    CpuView::table_offset(table) as i32
}

/// The displacement of the kick word from `gs`.
pub fn kick_offset() -> i32 {
    CpuView::KICK_OFFSET as i32
}

/// The bounce buffer of a prepared access: the slots from the one that holds byte 0 of the buffer, which lies on a
/// cache line.
pub fn bounce_address(view: &CpuView, access: usize) -> u64 {
    let base = view.base() + Slot(BOUNCE + access * BOUNCE_WORDS).offset() as u64;
    base.next_multiple_of(64)
}

const _: () = assert!(BOUNCE + 2 * BOUNCE_WORDS + 8 < JUMP_CACHE);
const _: () = assert!(JUMP_CACHE + JUMP_CACHE_ENTRIES <= mmu::SAVE_WORDS);
const _: () = assert!(JUMP_CACHE_ENTRIES == 1 << 16, "the jump takes sixteen bits");
const _: () = assert!(PAGE_BYTES == 4096, "the lookup compares with 4096");
