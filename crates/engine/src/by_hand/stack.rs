//! The stack instructions that are not plain 64-bit pushes and pops.

use crate::asm::{RBP, RSP};
use crate::exit::{Exception, Exit};
use crate::guest::Guest;
use crate::state::{State, mask};
use addr::{Access, VirtAddr};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

/// Flags that POPF can change at CPL 3: the arithmetic ones, TF, DF, NT, AC, ID (SDM vol. 2, POPF).
const POPPABLE: u64 = 0x0024_4dd5;
/// Flags that PUSHF shows as zero: VM and RF.
const HIDDEN: u64 = 0x0003_0000;

pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let bytes = operand_bytes(instruction);
    match instruction.mnemonic() {
        Mnemonic::Push => {
            let value = pushed(state, guest, instruction, bytes)?;
            push(state, guest, value, bytes)
        }
        Mnemonic::Pop => pop_operand(state, guest, instruction, bytes),
        Mnemonic::Pushf | Mnemonic::Pushfq => push(state, guest, state.rflags() & !HIDDEN, bytes),
        Mnemonic::Popf | Mnemonic::Popfq => {
            let value = guest.load(top(state), bytes)?;
            let changed = POPPABLE & mask(bytes);
            state.set_rflags(state.rflags() & !changed | value & changed);
            move_top(state, bytes as i64);
            Ok(())
        }
        Mnemonic::Leave => leave(state, guest, bytes),
        _ => enter(state, guest, instruction, bytes),
    }
}

/// `call` whose return address cannot be stored through the lookup.
pub fn call(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<VirtAddr, Exit> {
    let target = match instruction.op0_kind() {
        OpKind::NearBranch64 => instruction.near_branch64(),
        OpKind::Register => state.register(instruction.op0_register()),
        _ if instruction.code() == Code::Call_rm64 => guest.load(state.operand_address(instruction), 8)?,
        _ => return Err(Exit::Exception(Exception::GeneralProtection)),
    };
    // Zen finds out whether it can push before it looks at the target, and pushes afterwards.
    guest.check_writable(VirtAddr::new(state.gpr(RSP).wrapping_sub(8)), 8)?;
    if !guest.is_in_space(VirtAddr::new(target)) {
        return Err(Exit::Exception(Exception::GeneralProtection));
    }
    push(state, guest, instruction.next_ip(), 8)?;
    Ok(VirtAddr::new(target))
}

fn operand_bytes(instruction: &Instruction) -> usize {
    let change = instruction.stack_pointer_increment().unsigned_abs() as usize;
    match instruction.mnemonic() {
        Mnemonic::Enter => {
            if instruction.code() == Code::Enterw_imm16_imm8 {
                2
            } else {
                8
            }
        }
        Mnemonic::Leave => {
            if instruction.code() == Code::Leavew {
                2
            } else {
                8
            }
        }
        _ => change,
    }
}

fn pushed(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, bytes: usize) -> Result<u64, Exit> {
    Ok(match instruction.op0_kind() {
        OpKind::Memory => guest.load(state.operand_address(instruction), bytes)?,
        OpKind::Register if instruction.op0_register().is_segment_register() => {
            super::system::selector(instruction.op0_register())
        }
        OpKind::Register => state.register(instruction.op0_register()),
        _ => instruction.immediate(0),
    })
}

fn pop_operand(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, bytes: usize) -> Result<(), Exit> {
    let old_top = state.gpr(RSP);
    let value = guest.load(top(state), bytes)?;
    // The address of a destination in memory is computed after RSP moved.
    move_top(state, bytes as i64);
    let stored = match instruction.op0_kind() {
        OpKind::Memory => guest.store(state.operand_address(instruction), value, bytes),
        _ if instruction.op0_register().is_segment_register() => {
            super::system::check_selector(instruction.op0_register(), value)
        }
        _ => {
            state.set_register(instruction.op0_register(), value);
            Ok(())
        }
    };
    if stored.is_err() {
        state.set_gpr(RSP, old_top);
    }
    stored
}

fn leave(state: State<'_>, guest: &Guest<'_>, bytes: usize) -> Result<(), Exit> {
    let frame = state.gpr(RBP);
    let value = guest.load(VirtAddr::new(frame), bytes)?;
    state.set_gpr(RSP, frame.wrapping_add(bytes as u64));
    state.set_gpr(RBP, frame & !mask(bytes) | value & mask(bytes));
    Ok(())
}

/// `enter size, level` (SDM vol. 2, ENTER): a frame with the pointers of the enclosing ones.
fn enter(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, bytes: usize) -> Result<(), Exit> {
    let size = u64::from(instruction.immediate16());
    let level = u64::from(instruction.immediate8_2nd() % 32);
    let step = bytes as u64;
    let (old_top, old_frame) = (state.gpr(RSP), state.gpr(RBP));
    let frame = old_top.wrapping_sub(step);
    let new_top = old_top.wrapping_sub(step * (level + 1));
    guest.check_writable(VirtAddr::new(frame), bytes)?;
    // The final top must be writable, although nothing is written there.
    guest.translate(VirtAddr::new(new_top.wrapping_sub(size)), Access::Write)?;
    // One after the other: an enclosing frame may lie where this one is being built.
    guest.store(VirtAddr::new(frame), old_frame, bytes)?;
    for outer in 1..level {
        let pointer = guest.load(VirtAddr::new(old_frame.wrapping_sub(step * outer)), bytes)?;
        guest.store(VirtAddr::new(frame.wrapping_sub(step * outer)), pointer, bytes)?;
    }
    if level > 0 {
        guest.store(VirtAddr::new(new_top), frame, bytes)?;
    }
    state.set_gpr(RBP, old_frame & !mask(bytes) | frame & mask(bytes));
    state.set_gpr(RSP, new_top.wrapping_sub(size));
    Ok(())
}

fn push(state: State<'_>, guest: &Guest<'_>, value: u64, bytes: usize) -> Result<(), Exit> {
    let new_top = state.gpr(RSP).wrapping_sub(bytes as u64);
    guest.store(VirtAddr::new(new_top), value, bytes)?;
    state.set_gpr(RSP, new_top);
    Ok(())
}

fn top(state: State<'_>) -> VirtAddr {
    VirtAddr::new(state.gpr(RSP))
}

fn move_top(state: State<'_>, by: i64) {
    state.set_gpr(RSP, state.gpr(RSP).wrapping_add(by as u64));
}
