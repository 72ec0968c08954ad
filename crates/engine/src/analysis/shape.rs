//! What an instruction is apart from where it lies and the numbers in it: registers, flags, how it is executed.
//!
//! Few shapes make up most of a program, and finding out about one takes longer than decoding it, so they are remembered.

use super::ARITHMETIC_FLAGS;
use super::common::CommonForms;
use crate::block::Use;
use crate::features;
use crate::layout::HighByte;
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register};

/// What all instructions of one shape have in common. Sets of registers are bit masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Registers whose value it needs.
    pub reads: u16,
    /// Registers it writes in full without needing their value other than for an address.
    pub kills: u16,
    /// Registers it writes.
    pub writes: u16,
    /// Bytes of the memory operand, if it has one.
    pub memory_bytes: u16,
    /// Flags it needs, or may leave as they are although it can write them.
    pub flags_read: u8,
    /// Flags it writes whatever happens.
    pub flags_kill: u8,
    /// Flags it may write.
    pub flags_write: u8,
    /// How it uses memory, operands that are not named included.
    pub usage: Option<Use>,
    pub high_byte: HighByte,
    /// Whether it uses x87 or MMX state.
    pub x87: UsesX87,
    pub execution: Execution,
}

/// Whether an instruction may change x87 or MMX state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsesX87 {
    Yes,
    No,
}

/// How an instruction is executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Execution {
    /// By the host, with its memory operand replaced.
    ByHost,
    /// By hand, or not at all.
    ByHand,
}

/// The shapes seen lately.
pub struct Shapes {
    factory: InstructionInfoFactory,
    common: CommonForms,
    seen: Box<[Option<(Key, Shape)>]>,
}

/// What a shape follows from: the opcode, the registers, the kinds of operands, prefixes, and an immediate byte, which may
/// be the count of a shift.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key(u64, u64);

impl Key {
    fn of(instruction: &Instruction) -> Self {
        let last = instruction.op_count().saturating_sub(1);
        let immediate = match instruction.op_kind(last) {
            OpKind::Immediate8 => instruction.immediate8(),
            _ => 0,
        };
        let repeats = u8::from(instruction.has_rep_prefix()) | u8::from(instruction.has_repne_prefix()) << 1;
        let registers = [
            instruction.op0_register() as u8,
            instruction.op1_register() as u8,
            instruction.op2_register() as u8,
            instruction.op3_register() as u8,
        ];
        let others = [
            instruction.memory_base() as u8,
            instruction.memory_index() as u8,
            instruction.segment_prefix() as u8,
            instruction.op0_kind() as u8,
            instruction.op1_kind() as u8,
            instruction.op2_kind() as u8,
            immediate,
            repeats,
        ];
        let code = instruction.code() as u64;
        Self(u64::from(u32::from_le_bytes(registers)) << 32 | code, u64::from_le_bytes(others))
    }

    fn slot(self) -> usize {
        let mixed = (self.0 ^ self.1.rotate_left(25)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> (u64::BITS - Shapes::BITS)) as usize
    }
}

impl Shapes {
    const BITS: u32 = 12;

    pub fn new() -> Self {
        Self {
            factory: InstructionInfoFactory::new(),
            common: CommonForms::new(),
            seen: vec![None; 1 << Self::BITS].into(),
        }
    }

    /// The shape of an instruction.
    #[inline]
    pub fn of(&mut self, instruction: &Instruction) -> Shape {
        let Self { factory, common, seen } = self;
        if let Some(shape) = common.of(instruction, factory) {
            return shape;
        }
        let key = Key::of(instruction);
        let slot = &mut seen[key.slot()];
        if !matches!(slot, Some((known, _)) if *known == key) {
            *slot = Some((key, find_out(instruction, factory)));
        }
        let (_, shape) = slot.expect("it was just filled in");
        shape
    }
}

pub fn find_out(instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Shape {
    let (flags_read, flags_kill) = flags_of(instruction);
    let by_host = features::is_executable(instruction) && !features::is_by_hand(instruction);
    let mut shape = Shape {
        reads: 0,
        kills: 0,
        writes: 0,
        memory_bytes: features::memory_bytes(instruction),
        flags_read,
        flags_kill,
        flags_write: instruction.rflags_modified() as u8 & ARITHMETIC_FLAGS,
        usage: None,
        high_byte: high_byte(instruction),
        x87: uses_x87(instruction),
        execution: if by_host { Execution::ByHost } else { Execution::ByHand },
    };
    shape.usage = note_registers(instruction, factory, &mut shape);
    shape
}

/// The flags that an instruction needs and the ones it surely writes.
///
/// A shift by CL or by zero may leave the flags alone, so it needs them and kills none; likewise a repeated compare,
/// which may run zero times.
fn flags_of(instruction: &Instruction) -> (u8, u8) {
    let read = instruction.rflags_read() as u8 & ARITHMETIC_FLAGS;
    let modified = instruction.rflags_modified() as u8 & ARITHMETIC_FLAGS;
    if instruction.mnemonic() == Mnemonic::Syscall {
        return (ARITHMETIC_FLAGS, 0);
    }
    if may_leave_flags(instruction) { (read | modified, 0) } else { (read, modified) }
}

fn may_leave_flags(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    match instruction.mnemonic() {
        Rol | Ror | Rcl | Rcr | Shl | Sal | Shr | Sar | Shld | Shrd => {
            let count = instruction.op_count() - 1;
            match instruction.op_kind(count) {
                OpKind::Immediate8 => {
                    let mask = if instruction.op0_register().is_gpr64() || instruction.memory_size().size() == 8 {
                        63
                    } else {
                        31
                    };
                    instruction.immediate8() & mask == 0
                }
                _ => true,
            }
        }
        _ => instruction.has_rep_prefix() || instruction.has_repne_prefix(),
    }
}

/// Fills in the register masks and returns how memory is used.
fn note_registers(instruction: &Instruction, factory: &mut InstructionInfoFactory, shape: &mut Shape) -> Option<Use> {
    let info = factory.info(instruction);
    let mut full = 0;
    let mut read_otherwise = 0;
    for used in info.used_registers() {
        let register = used.register();
        if !register.is_gpr() {
            continue;
        }
        let bit = 1u16 << register.full_register().number();
        let whole = register.size() >= 4;
        match used.access() {
            OpAccess::Read | OpAccess::CondRead => shape.reads |= bit,
            OpAccess::Write if whole => {
                shape.writes |= bit;
                full |= bit;
            }
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
                shape.reads |= bit;
                read_otherwise |= bit;
                shape.writes |= bit;
            }
            OpAccess::None | OpAccess::NoMemAccess => {}
        }
    }
    let keeps_destination =
        matches!(instruction.mnemonic(), Mnemonic::Bsf | Mnemonic::Bsr | Mnemonic::Lar | Mnemonic::Lsl);
    let plain_load = matches!(
        instruction.mnemonic(),
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movsx | Mnemonic::Movsxd | Mnemonic::Pop
    );
    if keeps_destination {
        shape.reads |= full;
    } else if plain_load {
        // The destination may be part of the address: it is read before it is written.
        shape.kills = full & !read_otherwise;
    } else {
        shape.kills = full & !shape.reads;
    }
    info.used_memory()
        .iter()
        .map(|memory| memory_use(memory.access()))
        .reduce(|a, b| if a == b { a } else { Use::Modify })
}

pub fn memory_use(access: OpAccess) -> Use {
    match access {
        OpAccess::Read | OpAccess::CondRead | OpAccess::None | OpAccess::NoMemAccess => Use::Load,
        OpAccess::Write => Use::Store,
        OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => Use::Modify,
    }
}

fn high_byte(instruction: &Instruction) -> HighByte {
    let named = (0..instruction.op_count()).any(|index| {
        instruction.op_kind(index) == OpKind::Register
            && matches!(instruction.op_register(index), Register::AH | Register::BH | Register::CH | Register::DH)
    });
    if named { HighByte::Yes } else { HighByte::No }
}

fn uses_x87(instruction: &Instruction) -> UsesX87 {
    let mmx = (0..instruction.op_count()).any(|index| {
        instruction.op_kind(index) == OpKind::Register
            && (instruction.op_register(index).is_mm() || instruction.op_register(index).is_st())
    });
    let code = instruction.code();
    if mmx || features::is_x87(code) { UsesX87::Yes } else { UsesX87::No }
}
