//! The guest's registers while they are in the save area, every one in its `raw` slot.

use crate::analysis::address_of;
use crate::asm::Reg;
use crate::block::{Address, Flags, Placement, SPARES, bits};
use crate::context::{Slot, ymm_slot};
use crate::x87;
use addr::{Registers, VirtAddr};
use iced_x86::{Instruction, Register};
use mmu::CpuView;

/// The arithmetic flags in RFLAGS.
pub const ARITHMETIC: u64 = 0x8d5;
/// The direction flag.
pub const DIRECTION: u64 = 0x400;
/// The trap flag: the program steps itself.
const TRAP: u64 = 0x100;
/// Flags that the host's RFLAGS hold while generated code runs.
const IN_HOST: u64 = ARITHMETIC | DIRECTION;
/// Flags that a program can set but generated code must not run with: TF, NT, AC, ID.
const SOFT: u64 = 0x0024_4100;
/// Flags that are always set: bit 1 and IF.
const FIXED: u64 = 0x202;
/// OF in RFLAGS.
const OVERFLOW: u64 = 0x800;

/// A view whose `raw` slots hold the guest's registers.
#[derive(Clone, Copy)]
pub struct State<'a> {
    pub view: &'a CpuView,
}

impl State<'_> {
    /// Puts registers in, ready to run.
    pub fn load(&self, registers: &Registers) {
        for register in 0..16 {
            Slot::raw(register).set(self.view, registers.gpr[usize::from(register)]);
        }
        self.set_rflags(registers.rflags);
        Slot::FS_BASE.set(self.view, registers.fs_base);
        Slot::GS_BASE.set(self.view, registers.gs_base);
        Slot::GUEST_MXCSR.set(self.view, u64::from(registers.mxcsr));
        for (index, ymm) in registers.ymm.iter().enumerate() {
            for (quadword, value) in ymm.iter().enumerate() {
                ymm_slot(index, quadword).set(self.view, *value);
            }
        }
        x87::load(&registers.x87);
        Slot::X87_USED.set(self.view, 0);
    }

    /// Takes registers out.
    pub fn save(&self, registers: &mut Registers) {
        for register in 0..16 {
            registers.gpr[usize::from(register)] = Slot::raw(register).get(self.view);
        }
        registers.rflags = self.rflags();
        registers.fs_base = Slot::FS_BASE.get(self.view);
        registers.gs_base = Slot::GS_BASE.get(self.view);
        registers.mxcsr = Slot::GUEST_MXCSR.get(self.view) as u32;
        for (index, ymm) in registers.ymm.iter_mut().enumerate() {
            for (quadword, value) in ymm.iter_mut().enumerate() {
                *value = ymm_slot(index, quadword).get(self.view);
            }
        }
        if Slot::X87_USED.get(self.view) != 0 {
            registers.x87 = x87::save();
            Slot::X87_USED.set(self.view, 0);
        }
    }

    /// Whether each instruction is to be followed by a trap.
    pub fn is_stepping(&self) -> bool {
        Slot::SOFT_FLAGS.get(self.view) & TRAP != 0
    }

    /// Makes a block the one that is entered, and registers be where they are between blocks.
    pub fn enter_at(&self, host: u64) {
        Slot::TARGET.set(self.view, host);
        for register in bits(SPARES) {
            Slot::parked(register).set(self.view, Slot::raw(register).get(self.view));
        }
    }

    /// Brings what generated code parked back into the `raw` slots.
    pub fn settle(&self, placement: Placement) {
        for register in bits(placement.parked) {
            Slot::raw(register).set(self.view, Slot::parked(register).get(self.view));
        }
        if placement.flags == Flags::Parked {
            let ax = Slot::FLAGS.get(self.view);
            let overflow = if ax & 1 != 0 { OVERFLOW } else { 0 };
            let others = ax >> 8 & ARITHMETIC & !OVERFLOW;
            let direction = Slot::RAW_FLAGS.get(self.view) & DIRECTION;
            Slot::RAW_FLAGS.set(self.view, overflow | others | direction | 2);
        }
    }

    pub fn gpr(&self, register: Reg) -> u64 {
        Slot::raw(register).get(self.view)
    }

    pub fn set_gpr(&self, register: Reg, value: u64) {
        Slot::raw(register).set(self.view, value);
    }

    /// All flags, as PUSHF shows them.
    pub fn rflags(&self) -> u64 {
        Slot::RAW_FLAGS.get(self.view) & IN_HOST | Slot::SOFT_FLAGS.get(self.view) | FIXED
    }

    /// Sets the flags a program may set.
    pub fn set_rflags(&self, rflags: u64) {
        Slot::RAW_FLAGS.set(self.view, rflags & IN_HOST | 2);
        Slot::SOFT_FLAGS.set(self.view, rflags & SOFT);
        Slot::DIRECTION.set(self.view, rflags & DIRECTION);
    }

    /// Replaces the arithmetic flags.
    pub fn set_arithmetic(&self, flags: u64) {
        let others = Slot::RAW_FLAGS.get(self.view) & !ARITHMETIC;
        Slot::RAW_FLAGS.set(self.view, others | flags & ARITHMETIC);
    }

    /// The value of a general-purpose register of any size, zero-extended.
    pub fn register(&self, register: Register) -> u64 {
        let full = self.gpr(register.full_register().number() as Reg);
        match register {
            Register::AH | Register::CH | Register::DH | Register::BH => full >> 8 & 0xff,
            _ => full & mask(register.size()),
        }
    }

    /// Writes a register of any size as instructions do: 32 bits clear the upper half, 8 and 16 keep the rest.
    pub fn set_register(&self, register: Register, value: u64) {
        let number = register.full_register().number() as Reg;
        let old = self.gpr(number);
        self.set_gpr(
            number,
            match register {
                Register::AH | Register::CH | Register::DH | Register::BH => old & !0xff00 | (value & 0xff) << 8,
                _ if register.size() >= 4 => value & mask(register.size()),
                _ => old & !mask(register.size()) | value & mask(register.size()),
            },
        );
    }

    /// An effective address.
    pub fn evaluate(&self, address: &Address) -> VirtAddr {
        address.evaluate(|r| self.gpr(r), Slot::FS_BASE.get(self.view), Slot::GS_BASE.get(self.view))
    }

    /// What the segment of an instruction's memory operand starts at.
    pub fn segment_base(&self, instruction: &Instruction) -> u64 {
        match instruction.memory_segment() {
            Register::FS => Slot::FS_BASE.get(self.view),
            Register::GS => Slot::GS_BASE.get(self.view),
            _ => 0,
        }
    }

    /// The effective address of an instruction's memory operand.
    pub fn operand_address(&self, instruction: &Instruction) -> VirtAddr {
        self.evaluate(&address_of(instruction))
    }

    /// A vector register, 32 bytes.
    pub fn ymm(&self, number: usize) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (quadword, to) in bytes.chunks_exact_mut(8).enumerate() {
            to.copy_from_slice(&ymm_slot(number, quadword).get(self.view).to_le_bytes());
        }
        bytes
    }

    /// Writes a vector register whole.
    pub fn set_ymm(&self, number: usize, bytes: &[u8; 32]) {
        for (quadword, from) in bytes.chunks_exact(8).enumerate() {
            let value = u64::from_le_bytes(from.try_into().expect("a chunk of eight bytes"));
            ymm_slot(number, quadword).set(self.view, value);
        }
    }
}

/// The low `bytes` bytes of a word.
pub fn mask(bytes: usize) -> u64 {
    if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}
