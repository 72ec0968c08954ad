//! One guest instruction as the translator sees it: what it is, which registers and flags it uses.

use crate::asm::{RSP, Reg};
use crate::block::{Address, Narrow, Segment, Use};
use crate::features;
use crate::layout::HighByte;
use addr::VirtAddr;
use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};

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

/// Whether an instruction may change x87 or MMX state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsesX87 {
    Yes,
    No,
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

/// The flags that an instruction needs and the ones it surely writes.
///
/// A shift by CL or by zero may leave the flags alone, so it needs them and kills none; likewise a repeated compare,
/// which may run zero times.
pub fn flags_of(instruction: &Instruction) -> (u8, u8) {
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

/// Analyses a decoded instruction.
pub fn analyse(instruction: &Instruction, factory: &mut InstructionInfoFactory) -> Analysed {
    let (flags_read, flags_kill) = flags_of(instruction);
    let mut analysed = Analysed {
        rip: VirtAddr::new(instruction.ip()),
        len: instruction.len() as u8,
        class: Class::Helper,
        reads: 0,
        kills: 0,
        writes: 0,
        flags_read,
        flags_kill,
        flags_write: instruction.rflags_modified() as u8 & ARITHMETIC_FLAGS,
        high_byte: high_byte(instruction),
        x87: uses_x87(instruction),
        stack_moves: None,
    };
    let usage = note_registers(instruction, factory, &mut analysed);
    analysed.class = classify(instruction, usage);
    if analysed.class == Class::Helper {
        analysed.flags_read = ARITHMETIC_FLAGS;
    }
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

/// Fills in the register masks and returns how memory is used.
fn note_registers(
    instruction: &Instruction,
    factory: &mut InstructionInfoFactory,
    analysed: &mut Analysed,
) -> Option<Use> {
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
            OpAccess::Read | OpAccess::CondRead => analysed.reads |= bit,
            OpAccess::Write if whole => {
                analysed.writes |= bit;
                full |= bit;
            }
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
                analysed.reads |= bit;
                read_otherwise |= bit;
                analysed.writes |= bit;
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
        analysed.reads |= full;
    } else if plain_load {
        // The destination may be part of the address: it is read before it is written.
        analysed.kills = full & !read_otherwise;
    } else {
        analysed.kills = full & !analysed.reads;
    }
    info.used_memory()
        .iter()
        .map(|memory| memory_use(memory.access()))
        .reduce(|a, b| if a == b { a } else { Use::Modify })
}

fn memory_use(access: OpAccess) -> Use {
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

fn classify(instruction: &Instruction, usage: Option<Use>) -> Class {
    if !features::is_executable(instruction) || features::is_by_hand(instruction) {
        return Class::Helper;
    }
    match instruction.flow_control() {
        FlowControl::Next => classify_straight(instruction, usage),
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

fn classify_straight(instruction: &Instruction, usage: Option<Use>) -> Class {
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
        return if usage.is_some() { Class::Helper } else { Class::Plain };
    }
    let operand = Operand {
        address: address_of(instruction),
        usage: usage.unwrap_or(Use::Load),
        bytes: features::memory_bytes(instruction),
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
