//! Segment registers, segment bases, processor numbers, and what a program may not do.

use crate::asm::{RAX, RCX, RDX};
use crate::context::Slot;
use crate::exit::{Exception, Exit};
use crate::guest::Guest;
use crate::state::{State, mask};
use addr::VirtAddr;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// What Linux loads into CS and SS of a 64-bit program; the others are null.
const USER_CS: u64 = 0x33;
const USER_SS: u64 = 0x2b;

/// What Linux tells programs of the kernel's registers where the processor keeps them from looking (UMIP).
const KERNEL_GDT: u64 = 0xffff_ffff_fffe_0000;
const KERNEL_IDT: u64 = 0xffff_ffff_ffff_0000;
const KERNEL_CR0: u64 = 0x8005_0033;
const KERNEL_TR: u64 = 0x40;

pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    use Mnemonic::*;
    match instruction.mnemonic() {
        Rdfsbase => state.set_register(instruction.op0_register(), Slot::FS_BASE.get(state.view)),
        Rdgsbase => state.set_register(instruction.op0_register(), Slot::GS_BASE.get(state.view)),
        Wrfsbase => set_base(state, instruction, Slot::FS_BASE)?,
        Wrgsbase => set_base(state, instruction, Slot::GS_BASE)?,
        Rdtscp => {
            // SAFETY: every x86-64 CPU has a time stamp counter, and Linux lets programs read it.
            let now = unsafe { std::arch::x86_64::_rdtsc() };
            state.set_gpr(RAX, now & u64::from(u32::MAX));
            state.set_gpr(RDX, now >> 32);
            state.set_gpr(RCX, 0);
        }
        Rdpid => state.set_register(instruction.op0_register(), 0),
        Xlatb => xlat(state, guest, instruction)?,
        Mov => move_segment(state, guest, instruction)?,
        Sgdt => guest.write(state.operand_address(instruction), &table_register(KERNEL_GDT))?,
        Sidt => guest.write(state.operand_address(instruction), &table_register(KERNEL_IDT))?,
        Smsw => store_word(state, guest, instruction, KERNEL_CR0)?,
        Sldt => store_word(state, guest, instruction, 0)?,
        Str => store_word(state, guest, instruction, KERNEL_TR)?,
        _ => return Err(Exit::Exception(Exception::GeneralProtection)),
    }
    Ok(())
}

/// The limit, which is 0, and the base of a table that is the kernel's.
fn table_register(base: u64) -> [u8; 10] {
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&base.to_le_bytes());
    bytes
}

/// Two bytes of memory, or as much of a register as its name says: the rest of that stays, as Linux has it.
fn store_word(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, value: u64) -> Result<(), Exit> {
    if instruction.op0_kind() == OpKind::Memory {
        return guest.store(state.operand_address(instruction), value & 0xffff, 2);
    }
    let register = instruction.op0_register();
    let whole = register.full_register();
    let kept = state.register(whole) & !mask(register.size());
    state.set_register(whole, kept | value & mask(register.size()));
    Ok(())
}

fn set_base(state: State<'_>, instruction: &Instruction, slot: Slot) -> Result<(), Exit> {
    let base = state.register(instruction.op0_register());
    if !VirtAddr::new(base).is_canonical(48) {
        return Err(Exit::Exception(Exception::GeneralProtection));
    }
    slot.set(state.view, base);
    Ok(())
}

fn xlat(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let base = state.segment_base(instruction);
    let offset = state.register(instruction.memory_base()).wrapping_add(state.register(Register::AL));
    let addr = VirtAddr::new((offset & mask(instruction.memory_base().size())).wrapping_add(base));
    let value = guest.load(addr, 1)?;
    state.set_register(Register::AL, value);
    Ok(())
}

fn move_segment(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let (to, from) = (instruction.op0_register(), instruction.op1_register());
    if instruction.op1_kind() == OpKind::Register && from.is_segment_register() {
        match instruction.op0_kind() {
            OpKind::Memory => guest.store(state.operand_address(instruction), selector(from), 2)?,
            _ => state.set_register(to, selector(from)),
        }
        return Ok(());
    }
    if !to.is_segment_register() || instruction.op0_kind() != OpKind::Register {
        return Err(Exit::Exception(Exception::GeneralProtection));
    }
    let value = match instruction.op1_kind() {
        OpKind::Memory => guest.load(state.operand_address(instruction), 2)?,
        _ => state.register(from) & 0xffff,
    };
    check_selector(to, value)
}

/// What a segment register holds.
pub fn selector(register: Register) -> u64 {
    match register {
        Register::CS => USER_CS,
        Register::SS => USER_SS,
        _ => 0,
    }
}

/// Whether a program may load a selector: a null one or the one of its data, which changes nothing in 64-bit mode.
///
/// # Errors
/// #GP for any other, #UD for CS.
pub fn check_selector(register: Register, value: u64) -> Result<(), Exit> {
    let null = value & 0xfffc == 0;
    match register {
        Register::CS => Err(Exit::Exception(Exception::InvalidOpcode(crate::exit::Opcode::Undefined))),
        Register::SS if value & 0xffff == USER_SS => Ok(()),
        Register::SS if null => Err(Exit::Exception(Exception::GeneralProtection)),
        _ if null || value & 0xffff == USER_SS => Ok(()),
        _ => Err(Exit::Exception(Exception::Selector(value as u16 & 0xfffc))),
    }
}
