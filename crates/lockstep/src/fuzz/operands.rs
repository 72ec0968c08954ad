//! Memory operands: an addressing mode, a place to touch, and register values with which the one reaches the other.

use super::arena::{CODE, WINDOWS};
use super::state::random_integer;
use crate::random::Random;
use addr::{PAGE_BYTES, Perms, Registers, VirtAddr};
use iced_x86::{Instruction, Register};

/// A register that an address may be made of, in its 64-bit form.
pub type Pointers = [Register];

/// All that can be a base; all but RSP can be an index too.
pub const ALL_POINTERS: &Pointers = {
    use Register::*;
    &[RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15]
};

/// Which elements a gather's index register holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IndexLanes {
    /// 32-bit elements.
    Doublewords,
    /// 64-bit elements.
    Quadwords,
}

/// Where an operand of `bytes` bytes is to lie: mostly in one page, often at an edge, sometimes where it must fault.
pub fn random_place(random: &mut Random, bytes: u64) -> VirtAddr {
    let last = PAGE_BYTES.saturating_sub(bytes);
    let (low, _) = WINDOWS[0];
    let inside = low + PAGE_BYTES * random.below(2);
    match random.below(20) {
        0..=7 => inside + random.below(PAGE_BYTES - 512) / 64 * 64,
        8..=10 => inside + random.below(PAGE_BYTES - 512),
        11 => inside + last.min(PAGE_BYTES - 1),
        12..=14 => low + PAGE_BYTES - 1 - random.below(bytes.clamp(1, 64)),
        15 | 16 => edge_of_refusal(random, bytes),
        17 => WINDOWS[5].0 + random.below(2 * PAGE_BYTES - 512),
        18 => random.pick(&WINDOWS).0 + random.below(2 * PAGE_BYTES - 512) / 16 * 16,
        _ => wild(random),
    }
}

/// Across from a page that lets the access through to one that may not, or the other way round.
fn edge_of_refusal(random: &mut Random, bytes: u64) -> VirtAddr {
    let (window, perms) = random.pick(&WINDOWS[1..5]);
    let spill = random.below(bytes.clamp(1, 64));
    debug_assert!(perms.contains(&Perms::READ_WRITE), "each of these windows has a page that lets all through");
    window + PAGE_BYTES - spill
}

/// Where nothing ever is: absent, not canonical, or the kernel's.
fn wild(random: &mut Random) -> VirtAddr {
    VirtAddr::new(match random.below(4) {
        0 => random.below(PAGE_BYTES),
        1 => random.word() >> 17,
        2 => random.word() | 1 << 63,
        _ => 0x8000_0000_0000 | random.word() >> 20,
    })
}

/// Gives `instruction` an address of any mode that is `target`, setting the registers it is made of.
pub fn random_address(
    random: &mut Random,
    instruction: &mut Instruction,
    target: VirtAddr,
    pointers: &Pointers,
    registers: &mut Registers,
) {
    let offset = target.get().wrapping_sub(random_segment(random, instruction, registers));
    let is_low = offset < 1 << 31;
    match random.below(20) {
        0 if is_low => absolute(instruction, offset),
        1 if is_low && offset.abs_diff(CODE.get()) < 1 << 30 => rip_relative(instruction, offset),
        2 | 3 if offset < 1 << 32 => based(random, instruction, offset, pointers, registers, Width::Bits32),
        _ => based(random, instruction, offset, pointers, registers, Width::Bits64),
    }
}

/// A value for a register that all addresses of a sequence are made of: in the middle of a window, or at its edge.
pub fn random_pointer(random: &mut Random) -> u64 {
    let (window, _) = WINDOWS[if random.percent(80) { 0 } else { random.below(6) as usize }];
    let middle = if random.percent(70) { PAGE_BYTES / 2 } else { PAGE_BYTES };
    (window + middle + 16 * random.below(16)).get()
}

/// Gives `instruction` an address near one of the pointers, whatever they are.
pub fn near_pointer(random: &mut Random, instruction: &mut Instruction, pointers: &Pointers) {
    instruction.set_memory_base(random.pick(pointers));
    let displacement = match random.below(10) {
        0..=5 => random.below(32) as i64 * 8 - 128,
        6..=8 => random.below(256) as i64 - 128,
        _ => random.below(4096) as i64 - 2048,
    };
    set_displacement(random, instruction, 8, displacement);
}

/// Gives a gather base, vector index and scale such that its elements lie around `target`.
pub fn random_gather(
    random: &mut Random,
    instruction: &mut Instruction,
    target: VirtAddr,
    index: Register,
    lanes: IndexLanes,
    registers: &mut Registers,
) {
    let base = random.pick(ALL_POINTERS);
    let scale = random.pick(&[1, 2, 4, 8]);
    instruction.set_memory_base(base);
    instruction.set_memory_index(index);
    instruction.set_memory_index_scale(scale);
    set_displacement(random, instruction, 8, 0);
    registers.gpr[base.number()] = target.get();
    let reach = if random.percent(10) { 4 * PAGE_BYTES } else { 128 };
    let mut element = || (random.below(2 * reach) as i64 - reach as i64) / i64::from(scale);
    for lane in &mut registers.ymm[index.number()] {
        *lane = match lanes {
            IndexLanes::Quadwords => element() as u64,
            IndexLanes::Doublewords => u64::from(element() as u32) << 32 | u64::from(element() as u32),
        };
    }
}

/// An address of a fixed width and no registers: `mov al, [moffs]`.
pub fn absolute_wide(instruction: &mut Instruction, target: VirtAddr) {
    instruction.set_memory_displ_size(8);
    instruction.set_memory_displacement64(target.get());
}

#[derive(Clone, Copy)]
enum Width {
    Bits32,
    Bits64,
}

fn random_segment(random: &mut Random, instruction: &mut Instruction, registers: &Registers) -> u64 {
    match random.below(16) {
        0 => {
            instruction.set_segment_prefix(Register::FS);
            registers.fs_base
        }
        1 => {
            instruction.set_segment_prefix(Register::GS);
            registers.gs_base
        }
        _ => 0,
    }
}

fn absolute(instruction: &mut Instruction, offset: u64) {
    instruction.set_memory_displ_size(8);
    instruction.set_memory_displacement64(offset);
}

fn rip_relative(instruction: &mut Instruction, offset: u64) {
    instruction.set_memory_base(Register::RIP);
    instruction.set_memory_displ_size(8);
    instruction.set_memory_displacement64(offset);
}

fn based(
    random: &mut Random,
    instruction: &mut Instruction,
    offset: u64,
    pointers: &Pointers,
    registers: &mut Registers,
    width: Width,
) {
    let base = random.pick(pointers);
    let mut remaining = offset;
    if random.percent(40) {
        let index = random.pick(pointers);
        if index != base && index != Register::RSP {
            let scale = random.pick(&[1, 2, 4, 8]);
            let value = if random.percent(80) { random.below(1 << 20) } else { random_integer(random) };
            let value = truncated(value, width);
            registers.gpr[index.number()] = value;
            remaining = truncated(remaining.wrapping_sub(value.wrapping_mul(u64::from(scale))), width);
            instruction.set_memory_index(sized(index, width));
            instruction.set_memory_index_scale(scale);
        }
    }
    let displacement = match random.below(3) {
        0 => 0,
        1 => random.below(256) as i64 - 128,
        _ => random.below(1 << 31) as i64 - (1 << 30),
    };
    instruction.set_memory_base(sized(base, width));
    let address_bytes = if matches!(width, Width::Bits32) { 4 } else { 8 };
    set_displacement(random, instruction, address_bytes, displacement);
    registers.gpr[base.number()] = truncated(remaining.wrapping_sub(displacement as u64), width);
}

/// The shortest encoding, or a longer one now and then.
fn set_displacement(random: &mut Random, instruction: &mut Instruction, address_bytes: u32, displacement: i64) {
    let fits = i8::try_from(displacement).is_ok();
    let size = match displacement {
        0 if random.percent(80) => 0,
        _ if fits && random.percent(80) => 1,
        _ => address_bytes,
    };
    instruction.set_memory_displ_size(size);
    let bits = if address_bytes == 4 { u64::from(displacement as u32) } else { displacement as u64 };
    instruction.set_memory_displacement64(bits);
}

fn truncated(value: u64, width: Width) -> u64 {
    match width {
        Width::Bits32 => value & 0xffff_ffff,
        Width::Bits64 => value,
    }
}

fn sized(register: Register, width: Width) -> Register {
    match width {
        Width::Bits32 => register.full_register32(),
        Width::Bits64 => register,
    }
}
