//! Shapes of the instructions that programs are mostly made of.
//!
//! What one of these does to each of its operands follows from its opcode, and nothing else is touched: so what is
//! remembered is an opcode's, and few cache lines serve for most of a program.

use super::shape::{Shape, find_out, memory_use};
use super::{ARITHMETIC_FLAGS, Execution, UsesX87};
use crate::block::Use;
use crate::layout::HighByte;
use iced_x86::{Code, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

/// How many operands are looked at.
const OPERANDS: usize = 3;

/// What is known of an opcode.
#[derive(Clone, Copy)]
enum Form {
    /// Nothing yet.
    Unseen,
    /// That it has to be looked at more closely.
    Special,
    Common(Common),
}

/// What all instructions of a common opcode do.
#[derive(Clone, Copy)]
struct Common {
    /// For each operand all bits, if as a register it is read; written; and both, or perhaps written.
    read: [u16; OPERANDS],
    written: [u16; OPERANDS],
    modified: [u16; OPERANDS],
    /// What is done to the first and the second where they are memory.
    uses: [Option<Use>; 2],
    memory_bytes: u16,
    flags_read: u8,
    flags_kill: u8,
    flags_write: u8,
    /// Whether its destination is killed also where it is part of the address.
    is_plain_load: bool,
    /// Whether it means something else if its first two operands are one register.
    differs_for_same: bool,
}

/// What is known of every opcode.
pub struct CommonForms {
    forms: Box<[Form]>,
}

impl CommonForms {
    pub fn new() -> Self {
        Self { forms: vec![Form::Unseen; Code::values().len()].into() }
    }

    /// The shape of an instruction, if it is one of the common ones.
    #[inline]
    pub fn of(&mut self, instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Option<Shape> {
        let form = &mut self.forms[instruction.code() as usize];
        let common = match form {
            Form::Common(common) => *common,
            Form::Special => return None,
            Form::Unseen => {
                *form = Form::find_out(instruction, factory);
                let Form::Common(common) = *form else { return None };
                common
            }
        };
        common.shape(instruction)
    }
}

impl Form {
    #[cold]
    fn find_out(instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Self {
        let shape = find_out(instruction, factory);
        if !is_common(instruction.mnemonic()) || shape.execution == Execution::ByHand || shape.x87 == UsesX87::Yes {
            return Self::Special;
        }
        if is_one_register_twice(instruction) || has_repeat_prefix(instruction) {
            // Another of them will tell more.
            return Self::Unseen;
        }
        let info = factory.info(instruction);
        let accesses = [info.op0_access(), info.op1_access(), info.op2_access()];
        let mask = |access: OpAccess, of: &[OpAccess]| if of.contains(&access) { u16::MAX } else { 0 };
        let use_of = |access| match access {
            OpAccess::None | OpAccess::NoMemAccess => None,
            access => Some(memory_use(access)),
        };
        use Mnemonic::{Mov, Movsx, Movsxd, Movzx, Test};
        Self::Common(Common {
            read: accesses.map(|access| mask(access, &[OpAccess::Read, OpAccess::CondRead])),
            written: accesses.map(|access| mask(access, &[OpAccess::Write])),
            modified: accesses
                .map(|access| mask(access, &[OpAccess::CondWrite, OpAccess::ReadWrite, OpAccess::ReadCondWrite])),
            uses: [use_of(accesses[0]), use_of(accesses[1])],
            memory_bytes: shape.memory_bytes,
            flags_read: shape.flags_read,
            flags_kill: shape.flags_kill,
            flags_write: shape.flags_write,
            is_plain_load: matches!(instruction.mnemonic(), Mov | Movsx | Movsxd | Movzx),
            differs_for_same: !matches!(instruction.mnemonic(), Mov | Movsx | Movsxd | Movzx | Test),
        })
    }
}

impl Common {
    #[inline]
    fn shape(&self, instruction: &Instruction) -> Option<Shape> {
        if has_repeat_prefix(instruction) || self.differs_for_same && is_one_register_twice(instruction) {
            return None;
        }
        let registers = [instruction.op0_register(), instruction.op1_register(), instruction.op2_register()];
        let address = Bits::of(instruction.memory_base()).all | Bits::of(instruction.memory_index()).all;
        let (mut reads, mut writes, mut full, mut in_part) = (address, 0, 0, 0);
        let mut high_byte = HighByte::No;
        for (at, register) in registers.into_iter().enumerate() {
            let Bits { all, whole } = Bits::of(register);
            let part = all & !whole;
            let modified = all & self.modified[at] | part & self.written[at];
            reads |= all & self.read[at] | modified;
            writes |= all & (self.written[at] | self.modified[at]);
            full |= whole & self.written[at];
            in_part |= modified;
            if is_high_byte(register) {
                high_byte = HighByte::Yes;
            }
        }
        let kinds = [instruction.op0_kind(), instruction.op1_kind()];
        let usage = match kinds.into_iter().position(|kind| kind == OpKind::Memory) {
            Some(at) => self.uses[at],
            None => None,
        };
        Some(Shape {
            reads,
            kills: if self.is_plain_load { full & !in_part } else { full & !reads },
            writes,
            memory_bytes: self.memory_bytes,
            flags_read: self.flags_read,
            flags_kill: self.flags_kill,
            flags_write: self.flags_write & ARITHMETIC_FLAGS,
            usage,
            high_byte,
            x87: UsesX87::No,
            execution: Execution::ByHost,
        })
    }
}

/// A register of the sixteen as a set: none for others.
#[derive(Clone, Copy)]
struct Bits {
    all: u16,
    /// None for those of eight and sixteen bits either.
    whole: u16,
}

impl Bits {
    #[inline]
    fn of(register: Register) -> Self {
        const NONE: Bits = Bits { all: 0, whole: 0 };
        // In iced's order: sixteen registers of each width, after AL to BL another four, AH to BH.
        const TABLE: [Bits; 256] = {
            let mut table = [NONE; 256];
            let mut number = 0;
            while number < 16 {
                let bit = 1 << number;
                let low = Register::AL as usize + if number < 4 { number } else { number + 4 };
                table[low] = Bits { all: bit, whole: 0 };
                table[Register::AX as usize + number] = Bits { all: bit, whole: 0 };
                table[Register::EAX as usize + number] = Bits { all: bit, whole: bit };
                table[Register::RAX as usize + number] = Bits { all: bit, whole: bit };
                number += 1;
            }
            number = 0;
            while number < 4 {
                table[Register::AH as usize + number] = Bits { all: 1 << number, whole: 0 };
                number += 1;
            }
            table
        };
        TABLE.get(register as usize).copied().unwrap_or(NONE)
    }
}

fn is_high_byte(register: Register) -> bool {
    (Register::AH as usize..=Register::BH as usize).contains(&(register as usize))
}

fn has_repeat_prefix(instruction: &Instruction) -> bool {
    instruction.has_rep_prefix() || instruction.has_repne_prefix()
}

fn is_one_register_twice(instruction: &Instruction) -> bool {
    let first = instruction.op0_register();
    first != Register::None && first == instruction.op1_register()
}

/// Instructions that touch their operands and nothing else, and each operand in one way.
#[rustfmt::skip]
fn is_common(mnemonic: Mnemonic) -> bool {
    use Mnemonic::*;
    matches!(
        mnemonic,
        Mov | Movzx | Movsx | Movsxd | Lea | Add | Sub | Adc | Sbb | And | Or | Xor | Cmp | Test | Inc | Dec | Neg | Not
            | Cmovo | Cmovno | Cmovb | Cmovae | Cmove | Cmovne | Cmovbe | Cmova
            | Cmovs | Cmovns | Cmovp | Cmovnp | Cmovl | Cmovge | Cmovle | Cmovg
            | Seto | Setno | Setb | Setae | Sete | Setne | Setbe | Seta
            | Sets | Setns | Setp | Setnp | Setl | Setge | Setle | Setg
            | Jo | Jno | Jb | Jae | Je | Jne | Jbe | Ja | Js | Jns | Jp | Jnp | Jl | Jge | Jle | Jg | Jmp | Endbr64
            | Movaps | Movups | Movapd | Movupd | Movdqa | Movdqu | Movq | Movd | Pxor | Punpcklqdq
    )
}

#[cfg(test)]
mod tests;
