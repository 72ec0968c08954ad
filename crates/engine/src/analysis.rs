//! One guest instruction as the translator sees it: what it is, which registers and flags it uses.

mod common;
mod shape;

use crate::asm::{RSP, Reg};
use crate::block::{Address, Narrow, Segment, Use};
use crate::features;
use crate::layout::HighByte;
use addr::VirtAddr;
use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};
pub use shape::{Execution, Shape, Shapes, UsesX87};

/// The six arithmetic flags, in iced's numbering.
pub const ARITHMETIC_FLAGS: u8 = 0x3f;

/// What kind of translation an instruction needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Copied as it stands.
    Plain,
    /// Nothing: a hint.
    Nothing,
    /// A RIP-relative `lea`: the value is known.
    LoadAddress { to: Reg, value: u64, bits: u32 },
    /// Copied with its memory operand replaced.
    Memory(Operand),
    /// `mov` between the accumulator and an absolute address (opcodes A0 to A3).
    Moffs(Operand),
    /// `push`.
    Push(Pushed),
    /// `pop` into a 64-bit register.
    Pop(Reg),
    /// `leave`.
    Leave,
    /// `rep movs` of elements of so many bytes.
    RepeatedMove(u8),
    /// `rep stos` of elements of so many bytes.
    RepeatedStore(u8),
    /// `cld` or `std`.
    SetDirection(u32),
    /// `jmp` to a constant.
    Jump(VirtAddr),
    /// A conditional jump, its condition code and target.
    Branch(u8, VirtAddr),
    /// `jrcxz`, `loop` and relatives: the opcode byte, the address size and the target.
    CountBranch(u8, Narrow, VirtAddr),
    /// `call` of a constant.
    Call(VirtAddr),
    /// `jmp` to a register or a word of memory.
    JumpIndirect(Target),
    /// `call` of a register or a word of memory.
    CallIndirect(Target),
    /// `ret`, and the bytes it pops after the address.
    Return(u16),
    /// Executed by hand; ends the block.
    Helper,
}

/// What a `push` pushes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pushed {
    Register(Reg),
    Immediate(i32),
    Memory(Address),
}

/// Where an indirect jump finds its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Register(Reg),
    Memory(Address),
}

/// A memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operand {
    pub address: Address,
    pub usage: Use,
    pub bytes: u16,
}

/// Most bytes of an access that others may share their lookup with.
const WIDEST_SIMPLE: u16 = 32;

impl Operand {
    /// The register that it goes through, if it goes through one alone and is not too wide.
    pub fn simple_base(&self) -> Option<Reg> {
        let Self { address, bytes, .. } = self;
        let simple = address.index.is_none()
            && address.segment == Segment::Flat
            && address.narrow == Narrow::No
            && *bytes <= WIDEST_SIMPLE;
        address.base.filter(|_| simple)
    }
}

/// Where a push stores.
pub const PUSH_SLOT: Operand = Operand { address: Address::based(RSP, -8), usage: Use::Store, bytes: 8 };
/// Where a pop loads from.
pub const TOP_OF_STACK: Operand = Operand { address: Address::based(RSP, 0), usage: Use::Load, bytes: 8 };

impl Class {
    /// The accesses that are looked up for, in their order.
    pub fn accesses(&self) -> [Option<Operand>; 2] {
        let load = |address| Some(Operand { address, usage: Use::Load, bytes: 8 });
        let pushed = Some(PUSH_SLOT);
        match *self {
            Self::Memory(operand) => [Some(operand), None],
            Self::Push(Pushed::Memory(address)) | Self::CallIndirect(Target::Memory(address)) => {
                [load(address), pushed]
            }
            Self::Push(_) | Self::Call(_) | Self::CallIndirect(_) => [pushed, None],
            Self::Pop(_) | Self::Return(_) => [Some(TOP_OF_STACK), None],
            Self::JumpIndirect(Target::Memory(address)) => [load(address), None],
            _ => [None, None],
        }
    }
}

/// An instruction with its uses. Sets of registers are bit masks.
#[derive(Clone, Copy, Debug)]
pub struct Analysed {
    pub rip: VirtAddr,
    pub len: u8,
    pub class: Class,
    /// Registers whose value it needs.
    pub reads: u16,
    /// Registers it writes in full without needing their value other than for an address.
    pub kills: u16,
    /// Registers it writes.
    pub writes: u16,
    /// Registers that it accesses memory through, each alone.
    pub bases: u16,
    /// Flags it needs, or may leave as they are although it can write them.
    pub flags_read: u8,
    /// Flags it writes whatever happens.
    pub flags_kill: u8,
    /// Flags it may write.
    pub flags_write: u8,
    pub high_byte: HighByte,
    /// Whether it uses x87 or MMX state.
    pub x87: UsesX87,
    /// By how much it moves RSP; `None` if nobody knows before it runs.
    pub stack_moves: Option<i32>,
}

impl Analysed {
    /// Bytes that are no instruction.
    pub fn undecodable(rip: VirtAddr) -> Self {
        Self {
            rip,
            len: 1,
            class: Class::Helper,
            reads: 0,
            kills: 0,
            writes: 0,
            bases: 0,
            flags_read: ARITHMETIC_FLAGS,
            flags_kill: 0,
            flags_write: 0,
            high_byte: HighByte::No,
            x87: UsesX87::No,
            stack_moves: None,
        }
    }

    /// The same; a string instruction, of which each element is a step, done by hand.
    pub fn without_repetition(self) -> Self {
        match self.class {
            Class::RepeatedMove(_) | Class::RepeatedStore(_) => {
                Self { class: Class::Helper, flags_read: ARITHMETIC_FLAGS, ..self }
            }
            _ => self,
        }
    }

    /// The address after it.
    pub fn next(&self) -> VirtAddr {
        self.rip.wrapping_add(u64::from(self.len))
    }

    /// Every register it touches.
    pub fn uses(&self) -> u16 {
        self.reads | self.writes
    }

    /// Whether it is done in registers alone, so that nothing is looked up for it.
    pub fn stays_in_registers(&self) -> bool {
        matches!(self.class, Class::Plain | Class::Nothing | Class::LoadAddress { .. } | Class::Branch(..))
    }

    /// Whether something may be looked up for it.
    pub fn accesses_memory(&self) -> bool {
        !self.stays_in_registers() && !matches!(self.class, Class::Jump(_))
    }

    /// Whether the block ends here.
    pub fn ends_block(&self) -> bool {
        !matches!(
            self.class,
            Class::Plain
                | Class::Nothing
                | Class::LoadAddress { .. }
                | Class::Memory(_)
                | Class::Moffs(_)
                | Class::Push(_)
                | Class::Pop(_)
                | Class::Leave
                | Class::RepeatedMove(_)
                | Class::RepeatedStore(_)
                | Class::SetDirection(_)
                | Class::Branch(..)
        )
    }
}

/// Decodes the instruction at the start of `bytes`; `None` if they are no instruction or not all of one.
pub fn decode(bytes: &[u8], rip: VirtAddr) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, bytes, rip.get(), DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// Analyses a decoded instruction.
pub fn analyse(instruction: &Instruction, shapes: &mut Shapes) -> Analysed {
    let shape = shapes.of(instruction);
    let class = classify(instruction, &shape);
    let mut analysed = Analysed {
        rip: VirtAddr::new(instruction.ip()),
        len: instruction.len() as u8,
        class,
        reads: shape.reads,
        kills: shape.kills,
        writes: shape.writes,
        bases: class.accesses().iter().flatten().filter_map(Operand::simple_base).fold(0, |all, base| all | 1 << base),
        flags_read: if class == Class::Helper { ARITHMETIC_FLAGS } else { shape.flags_read },
        flags_kill: shape.flags_kill,
        flags_write: shape.flags_write,
        high_byte: shape.high_byte,
        x87: shape.x87,
        stack_moves: None,
    };
    analysed.stack_moves = stack_moves(instruction, &analysed);
    analysed
}

fn stack_moves(instruction: &Instruction, analysed: &Analysed) -> Option<i32> {
    if analysed.writes & 1 << RSP == 0 {
        return Some(0);
    }
    match analysed.class {
        Class::Push(_) | Class::Call(_) => Some(-8),
        Class::Pop(to) if to != RSP => Some(8),
        Class::Plain => match instruction.code() {
            Code::Sub_rm64_imm8 => i32::try_from(instruction.immediate8to64()).ok().map(|by| -by),
            Code::Sub_rm64_imm32 => i32::try_from(instruction.immediate32to64()).ok().map(|by| -by),
            Code::Add_rm64_imm8 => i32::try_from(instruction.immediate8to64()).ok(),
            Code::Add_rm64_imm32 => i32::try_from(instruction.immediate32to64()).ok(),
            Code::Lea_r64_m => {
                let address = address_of(instruction);
                let based = address.base == Some(RSP) && address.index.is_none() && address.narrow == Narrow::No;
                i32::try_from(address.disp).ok().filter(|_| based)
            }
            _ => None,
        },
        _ => None,
    }
}

fn classify(instruction: &Instruction, shape: &Shape) -> Class {
    if shape.execution == Execution::ByHand {
        return Class::Helper;
    }
    match instruction.flow_control() {
        FlowControl::Next => classify_straight(instruction, shape),
        FlowControl::UnconditionalBranch => match near_target(instruction) {
            Some(target) => Class::Jump(target),
            None => Class::Helper,
        },
        FlowControl::ConditionalBranch => classify_conditional(instruction),
        FlowControl::Call => match (instruction.mnemonic(), near_target(instruction)) {
            (Mnemonic::Call, Some(target)) => Class::Call(target),
            _ => Class::Helper,
        },
        FlowControl::IndirectBranch => indirect_target(instruction).map_or(Class::Helper, Class::JumpIndirect),
        FlowControl::IndirectCall => indirect_target(instruction).map_or(Class::Helper, Class::CallIndirect),
        FlowControl::Return => match instruction.code() {
            Code::Retnq => Class::Return(0),
            Code::Retnq_imm16 => Class::Return(instruction.immediate16()),
            _ => Class::Helper,
        },
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => Class::Helper,
    }
}

fn classify_conditional(instruction: &Instruction) -> Class {
    let Some(target) = near_target(instruction) else { return Class::Helper };
    use Code::*;
    match instruction.code() {
        Jrcxz_rel8_64 => Class::CountBranch(0xe3, Narrow::No, target),
        Jecxz_rel8_64 => Class::CountBranch(0xe3, Narrow::Yes, target),
        Loop_rel8_64_RCX => Class::CountBranch(0xe2, Narrow::No, target),
        Loop_rel8_64_ECX => Class::CountBranch(0xe2, Narrow::Yes, target),
        Loope_rel8_64_RCX => Class::CountBranch(0xe1, Narrow::No, target),
        Loope_rel8_64_ECX => Class::CountBranch(0xe1, Narrow::Yes, target),
        Loopne_rel8_64_RCX => Class::CountBranch(0xe0, Narrow::No, target),
        Loopne_rel8_64_ECX => Class::CountBranch(0xe0, Narrow::Yes, target),
        _ if instruction.is_jcc_short_or_near() => Class::Branch(instruction.condition_code() as u8 - 1, target),
        _ => Class::Helper,
    }
}

fn classify_straight(instruction: &Instruction, shape: &Shape) -> Class {
    use Mnemonic::*;
    if instruction.is_string_instruction() {
        let bytes = instruction.memory_size().size() as u8;
        return match instruction.mnemonic() {
            Movsb | Movsw | Movsd | Movsq => Class::RepeatedMove(bytes),
            _ => Class::RepeatedStore(bytes),
        };
    }
    match instruction.mnemonic() {
        Nop | Endbr64 | Endbr32 | Prefetch | Prefetchw | Prefetchwt1 | Prefetchnta | Prefetcht0 | Prefetcht1
        | Prefetcht2 | Reservednop | Pause => return Class::Nothing,
        Cld => return Class::SetDirection(0),
        Std => return Class::SetDirection(1),
        Lea => return classify_lea(instruction),
        Push => return classify_push(instruction),
        Pop => {
            let register = instruction.op0_register();
            return if register.is_gpr64() { Class::Pop(register.number() as Reg) } else { Class::Helper };
        }
        Leave => return if instruction.code() == Code::Leaveq { Class::Leave } else { Class::Helper },
        _ => {}
    }
    let has_operand = (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
    if !has_operand {
        return if shape.usage.is_some() { Class::Helper } else { Class::Plain };
    }
    let operand = Operand {
        address: address_of(instruction),
        usage: shape.usage.unwrap_or(Use::Load),
        bytes: shape.memory_bytes,
    };
    if features::is_moffs(instruction.code()) { Class::Moffs(operand) } else { Class::Memory(operand) }
}

fn classify_lea(instruction: &Instruction) -> Class {
    // A segment's base takes no part.
    let address = Address { segment: Segment::Flat, ..address_of(instruction) };
    match address.as_constant() {
        Some(value) if instruction.is_ip_rel_memory_operand() => {
            let to = instruction.op0_register();
            Class::LoadAddress { to: to.full_register().number() as Reg, value, bits: to.size() as u32 * 8 }
        }
        _ => Class::Plain,
    }
}

fn classify_push(instruction: &Instruction) -> Class {
    use Code::*;
    match instruction.code() {
        Push_r64 => Class::Push(Pushed::Register(instruction.op0_register().number() as Reg)),
        Pushq_imm8 => Class::Push(Pushed::Immediate(instruction.immediate8to64() as i32)),
        Pushq_imm32 => Class::Push(Pushed::Immediate(instruction.immediate32to64() as i32)),
        Push_rm64 if instruction.op0_kind() == OpKind::Register => {
            Class::Push(Pushed::Register(instruction.op0_register().number() as Reg))
        }
        Push_rm64 => Class::Push(Pushed::Memory(address_of(instruction))),
        _ => Class::Helper,
    }
}

fn near_target(instruction: &Instruction) -> Option<VirtAddr> {
    (instruction.op0_kind() == OpKind::NearBranch64).then(|| VirtAddr::new(instruction.near_branch64()))
}

fn indirect_target(instruction: &Instruction) -> Option<Target> {
    match instruction.code() {
        Code::Jmp_rm64 | Code::Call_rm64 if instruction.op0_kind() == OpKind::Register => {
            Some(Target::Register(instruction.op0_register().number() as Reg))
        }
        Code::Jmp_rm64 | Code::Call_rm64 => Some(Target::Memory(address_of(instruction))),
        _ => None,
    }
}

/// The effective address of the memory operand.
pub fn address_of(instruction: &Instruction) -> Address {
    let segment = match instruction.memory_segment() {
        Register::FS => Segment::Fs,
        Register::GS => Segment::Gs,
        _ => Segment::Flat,
    };
    if instruction.is_ip_rel_memory_operand() {
        let value = instruction.ip_rel_memory_address();
        return Address { segment, ..Address::constant(value) };
    }
    let number = |register: Register| register.is_gpr().then(|| register.full_register().number() as Reg);
    let narrow = (instruction.memory_base().size() == 4 && instruction.memory_base() != Register::None)
        || (instruction.memory_index().size() == 4 && instruction.memory_index() != Register::None)
        || matches!(instruction.memory_base(), Register::EIP);
    Address {
        base: number(instruction.memory_base()),
        index: number(instruction.memory_index()),
        scale: instruction.memory_index_scale() as u8,
        segment,
        narrow: if narrow { Narrow::Yes } else { Narrow::No },
        disp: instruction.memory_displacement64() as i64,
    }
}

/// Registers that may not serve as scratch: the stack pointer, and nothing else by itself.
pub const NEVER_SCRATCH: u16 = 1 << RSP;

/// The registers of an address.
pub fn address_registers(address: &Address) -> u16 {
    address.base.map_or(0, |r| 1 << r) | address.index.map_or(0, |r| 1 << r)
}

#[cfg(test)]
mod tests;
