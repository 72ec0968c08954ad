//! Instructions that are executed by hand: their operand is not where one lookup finds it (strings, bit strings,
//! gathers, masked moves), or they show or change what is ours (CPUID, XSAVE, the flags, segment registers).
//!
//! Each reads and writes the registers in the save area and guest memory through the walk, and changes nothing when it
//! faults, but what the manual says is done by then: completed elements of strings and gathers.

mod bits;
mod cpuid;
mod masked;
mod stack;
mod string;
mod system;
mod xsave;

pub use cpuid::answer as cpuid_answer;

use crate::Isa;
use crate::exit::{Exception, Exit, Name, Opcode};
use crate::features;
use crate::guest::Guest;
use crate::layout;
use crate::source::{Decoded, LONGEST_INSTRUCTION};
use crate::state::State;
use addr::VirtAddr;
pub use cpuid::announced;
use iced_x86::{Decoder, DecoderOptions, EncodingKind, Instruction, Mnemonic, OpKind};
use std::ops::ControlFlow;

/// Where the guest goes after an instruction done by hand.
pub enum Next {
    /// On at an address.
    At(VirtAddr),
    /// The same instruction again: a string that was interrupted.
    Again,
    /// The CPU stops, the guest being at an address.
    Stop(VirtAddr, Exit),
}

/// Fetches and executes the instruction at `rip`.
pub fn fetch_and_execute(state: State<'_>, guest: &Guest<'_>, rip: VirtAddr, isa: Isa) -> Next {
    match fetch(guest, rip) {
        Ok(instruction) => execute(state, guest, &instruction, isa),
        Err(exit) => Next::Stop(rip, exit),
    }
}

/// Executes a decoded instruction.
pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, isa: Isa) -> Next {
    let outcome = if features::is_refused(instruction) {
        Err(Exit::Exception(Exception::GeneralProtection))
    } else if features::is_executable(instruction) {
        one(state, guest, instruction, isa)
    } else {
        Err(undefined(instruction))
    };
    match outcome {
        Ok(next) => next,
        Err(exit) => Next::Stop(VirtAddr::new(instruction.ip()), exit),
    }
}

/// Whether the instruction at `rip` cannot be executed as it stands even with prepared operands.
///
/// # Errors
/// The fault, when it cannot be fetched.
pub fn needs_hand(guest: &Guest<'_>, rip: VirtAddr) -> Result<bool, Exit> {
    let instruction = fetch(guest, rip)?;
    Ok(match instruction.mnemonic() {
        Mnemonic::Call => true,
        Mnemonic::Push => instruction.op0_kind() == OpKind::Memory,
        _ => false,
    })
}

fn undefined(instruction: &Instruction) -> Exit {
    let opcode = if instruction.encoding() == EncodingKind::EVEX || features::uses_opmask(instruction) {
        Opcode::Avx512(Name(instruction.mnemonic()))
    } else {
        Opcode::Undefined
    };
    Exit::Exception(Exception::InvalidOpcode(opcode))
}

/// Decodes the instruction at `rip`.
///
/// # Errors
/// The fault, when it cannot be fetched; #GP if it is too long, #UD if it is none.
pub fn fetch(guest: &Guest<'_>, rip: VirtAddr) -> Result<Instruction, Exit> {
    let mut source = crate::source::Source::new(guest.memory, guest.tables);
    let refused = |refused: crate::source::FetchRefused| {
        Exit::Fault(crate::exit::Fault { addr: refused.addr, access: addr::Access::Execute, refusal: refused.refusal })
    };
    let mut found = Err(Exception::InvalidOpcode(Opcode::Undefined));
    let decode = |decoded: Decoded<'_>| {
        match decoded.instruction {
            Some(instruction) => found = Ok(*instruction),
            None if is_too_long(decoded.bytes) => found = Err(Exception::GeneralProtection),
            None => {}
        }
        ControlFlow::Break(())
    };
    source.decode_from(rip, decode).map_err(refused)?;
    found.map_err(Exit::Exception)
}

/// Whether bytes that are no instruction begin one of more than fifteen (SDM vol. 2, 2.3.11), which has each of its prefixes
/// once where that is not so long. What lies behind the bytes is taken to be zeros.
fn is_too_long(bytes: &[u8; LONGEST_INSTRUCTION]) -> bool {
    let (prefixes, rest) = bytes.split_at(layout::legacy_prefix_bytes(bytes));
    let mut shorter: Vec<u8> = Vec::new();
    for prefix in prefixes {
        if !shorter.contains(prefix) {
            shorter.push(*prefix);
        }
    }
    let dropped = prefixes.len() - shorter.len();
    shorter.extend(rest);
    shorter.resize(LONGEST_INSTRUCTION, 0);
    let instruction = Decoder::new(64, &shorter, DecoderOptions::NONE).decode();
    rest.is_empty() || !instruction.is_invalid() && dropped + instruction.len() > LONGEST_INSTRUCTION
}

/// `int n`: a program may use the gates of #BP and #OF and the one of Linux's old system calls, and no other (SDM vol. 3,
/// 6.12.1.1).
fn interrupt(next: VirtAddr, vector: u8) -> Result<Next, Exit> {
    match vector {
        3 => Ok(Next::Stop(next, Exit::Exception(Exception::Breakpoint))),
        4 => Ok(Next::Stop(next, Exit::Exception(Exception::Overflow))),
        0x80 => Ok(Next::Stop(next, Exit::OldSyscall)),
        _ => Err(Exit::Exception(Exception::Selector(u16::from(vector) * 8 + 2))),
    }
}

fn one(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, isa: Isa) -> Result<Next, Exit> {
    use Mnemonic::*;
    let next = VirtAddr::new(instruction.next_ip());
    if instruction.is_string_instruction() && !instruction.is_privileged() {
        return string::execute(state, guest, instruction);
    }
    if instruction.is_vsib() {
        return masked::gather(state, guest, instruction).map(|()| Next::At(next));
    }
    match instruction.mnemonic() {
        Syscall => return Ok(Next::Stop(next, Exit::Syscall)),
        Int3 => return Ok(Next::Stop(next, Exit::Exception(Exception::Breakpoint))),
        Int => return interrupt(next, instruction.immediate8()),
        Int1 => return Ok(Next::Stop(next, Exit::Exception(Exception::Debug))),
        Ud0 | Ud1 | Ud2 | Sysenter => return Err(undefined(instruction)),
        Call => return stack::call(state, guest, instruction).map(Next::At),
        Cpuid => cpuid::execute(state, isa),
        Xgetbv => cpuid::xgetbv(state, isa)?,
        Xsave | Xsave64 | Xsaveopt | Xsaveopt64 | Xsavec | Xsavec64 | Xrstor | Xrstor64 | Fxsave | Fxsave64
        | Fxrstor | Fxrstor64 => xsave::execute(state, guest, instruction, isa)?,
        Bt | Bts | Btr | Btc => bits::execute(state, guest, instruction)?,
        Maskmovq | Maskmovdqu | Vmaskmovdqu => masked::byte_store(state, guest, instruction)?,
        Vmaskmovps | Vmaskmovpd | Vpmaskmovd | Vpmaskmovq => masked::execute(state, guest, instruction)?,
        Push | Pop | Pushf | Pushfq | Popf | Popfq | Enter | Leave => stack::execute(state, guest, instruction)?,
        _ => system::execute(state, guest, instruction)?,
    }
    Ok(Next::At(next))
}
