//! Random register states: mostly ordinary, with the values where instructions change their minds.

use super::arena::WINDOWS;
use crate::flags;
use crate::random::Random;
use addr::{Gpr, PAGE_BYTES, Registers, VirtAddr};

/// A state to start at `rip` in.
pub fn random_registers(random: &mut Random, rip: VirtAddr) -> Registers {
    let mut registers = Registers::at_entry(rip, random_stack(random));
    for (index, value) in registers.gpr.iter_mut().enumerate() {
        if index != Gpr::Rsp as usize {
            *value = random_integer(random);
        }
    }
    registers.rflags |= random.word() & flags::ARITHMETIC;
    if random.percent(20) {
        registers.rflags |= flags::DIRECTION;
    }
    registers.fs_base = random_base(random);
    registers.gs_base = random_base(random);
    if random.percent(40) {
        registers.mxcsr = random_mxcsr(random);
    }
    for ymm in &mut registers.ymm {
        *ymm = std::array::from_fn(|_| random_lane(random));
    }
    if random.percent(60) {
        randomise_x87(random, &mut registers.x87);
    }
    registers
}

fn random_stack(random: &mut Random) -> VirtAddr {
    let (window, _) = WINDOWS[0];
    match random.below(10) {
        // Across the boundary of the two pages, and at any alignment.
        0 => window + PAGE_BYTES - random.below(16),
        1 => window + PAGE_BYTES / 2 + random.below(64),
        // At the very start: a push faults.
        2 => window + random.below(9),
        _ => window + PAGE_BYTES / 2 + 16 * random.below(64),
    }
}

/// An integer as programs have them, and as tests should.
pub fn random_integer(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => random.below(64),
        1 => random.below(64).wrapping_neg(),
        2 => 1 << random.below(64),
        3 => (1 << random.below(64)) - 1,
        4 => random.word() >> 32,
        5 => random.pick(&WINDOWS).0.get() + random.below(2 * PAGE_BYTES),
        _ => random.word(),
    }
}

/// A segment base near zero, or wild but canonical.
fn random_base(random: &mut Random) -> u64 {
    if random.percent(80) { random.below(0x1000_0000) } else { random.word() >> 18 }
}

/// Rounding, flushing and sticky bits; the exceptions are masked most of the time.
fn random_mxcsr(random: &mut Random) -> u32 {
    let masks = if random.percent(80) { 0x1f80 } else { random.word() as u32 & 0x1f80 };
    masks | random.word() as u32 & 0xe07f
}

/// Eight bytes of a vector: two singles, one double, or integers.
fn random_lane(random: &mut Random) -> u64 {
    match random.below(6) {
        0 => (random.below(100_000) as f64 / 16.0 - 3000.0).to_bits(),
        1 => {
            let mut single = || u64::from((random.below(100_000) as f32 / 16.0 - 3000.0).to_bits());
            single() << 32 | single()
        }
        2 => random.pick(&[f64::NAN, f64::INFINITY, -0.0, f64::MIN_POSITIVE / 4.0, f64::MAX, 1.0]).to_bits(),
        3 => u64::from(random.pick(&[f32::NAN, f32::NEG_INFINITY, 0.0, 1e-40, f32::MAX]).to_bits()) * 0x1_0000_0001,
        4 => 0,
        _ => random.word(),
    }
}

fn randomise_x87(random: &mut Random, x87: &mut [u8]) {
    let masks = if random.percent(80) { 0x3f } else { random.word() as u16 & 0x3f };
    let control = 0x40 | masks | random.word() as u16 & 0xf00;
    x87[..2].copy_from_slice(&control.to_le_bytes());
    // The condition codes, the top of the stack and masked sticky exceptions.
    let status = random.word() as u16 & 0x7f00 | random.word() as u16 & 0x3f & masks;
    x87[2..4].copy_from_slice(&status.to_le_bytes());
    let any = random.word() as u8;
    x87[4] = random.pick(&[0, 0xff, 0xff, any]);
    for register in x87[32..].chunks_mut(16) {
        register[..10].copy_from_slice(&random_extended(random));
    }
}

/// An 80-bit number: sign, exponent and a significand whose top bit is usually set.
fn random_extended(random: &mut Random) -> [u8; 10] {
    let exponent = match random.below(8) {
        0 => 0,
        1 => 0x7fff,
        2 => random.below(0x8000),
        _ => 0x3fff - 40 + random.below(80),
    };
    let integer_bit = if random.percent(95) { 1 << 63 } else { 0 };
    let significand = if random.percent(30) { 1 << 63 } else { random.word() >> 1 | integer_bit };
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&significand.to_le_bytes());
    bytes[8..].copy_from_slice(&((exponent | random.below(2) << 15) as u16).to_le_bytes());
    bytes
}
