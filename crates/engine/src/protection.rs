//! What an exception without an address was about: said for people, once a program has died of #GP or #SS.

use crate::analysis::decode;
use crate::exit::Name;
use crate::features;
use crate::source::LONGEST_INSTRUCTION;
use addr::{Access, Registers, VirtAddr};
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory};

/// Why an instruction is refused for what it does, and not for what is mapped where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protection {
    /// It accesses an address that is not canonical.
    NoAddress {
        /// The address.
        addr: VirtAddr,
        /// What it does there.
        access: Access,
    },
    /// It jumps to an address that is not canonical.
    NoTarget(VirtAddr),
    /// It accesses an address that must be a multiple of something, and is not.
    Misaligned {
        /// The instruction.
        name: Name,
        /// The address.
        addr: VirtAddr,
        /// Of what it must be a multiple.
        alignment: u64,
    },
    /// It is for kernels.
    Privileged(Name),
    /// It has an operand that the processor refuses.
    Operand(Name),
}

impl Protection {
    /// Why the instruction at RIP raises #GP or #SS. `read` copies bytes of the program and says how many it could; the
    /// program's addresses have so many bits. `None` if there is no instruction.
    pub fn of(
        registers: &Registers,
        address_bits: u32,
        read: &mut dyn FnMut(VirtAddr, &mut [u8]) -> usize,
    ) -> Option<Self> {
        let mut bytes = [0; LONGEST_INSTRUCTION];
        let available = read(registers.rip, &mut bytes);
        let instruction = decode(&bytes[..available], registers.rip)?;
        let name = Name(instruction.mnemonic());
        if features::is_refused(&instruction)
            || instruction.is_privileged()
            || matches!(instruction.mnemonic(), Mnemonic::Int)
        {
            return Some(Self::Privileged(name));
        }
        let is_address = |addr: &VirtAddr| addr.is_canonical(address_bits);
        let mut factory = InstructionInfoFactory::new();
        let accesses = factory.info(&instruction).used_memory();
        let refused = accesses.iter().find_map(|memory| {
            let last = (memory.memory_size().size() as u64).saturating_sub(1);
            let is_whole = |addr: &VirtAddr| is_address(addr) && is_address(&addr.wrapping_add(last));
            let addr = addresses(memory, registers).find(|addr| !is_whole(addr))?;
            Some(Self::NoAddress { addr, access: access_of(memory) })
        });
        let misaligned = || {
            let alignment = alignment(&instruction)?;
            let addr = accesses.iter().flat_map(|memory| addresses(memory, registers)).next()?;
            (addr.get() % alignment != 0).then_some(Self::Misaligned { name, addr, alignment })
        };
        let astray = || {
            let target = target(&instruction, accesses, registers, read)?;
            (!is_address(&target)).then_some(Self::NoTarget(target))
        };
        Some(refused.or_else(misaligned).or_else(astray).unwrap_or(Self::Operand(name)))
    }
}

/// The addresses of an access: several, if a vector has them.
fn addresses<'a>(memory: &'a UsedMemory, registers: &'a Registers) -> impl Iterator<Item = VirtAddr> + 'a {
    let count = if memory.vsib_size() == 0 { 1 } else { 32 / memory.vsib_size() as usize };
    (0..count).filter_map(move |element| {
        let value = |register: Register, element: usize, bytes: usize| Some(value(registers, register, element, bytes));
        memory.virtual_address(element, value).map(VirtAddr::new)
    })
}

fn value(registers: &Registers, register: Register, element: usize, bytes: usize) -> u64 {
    match register {
        Register::FS => registers.fs_base,
        Register::GS => registers.gs_base,
        _ if register.is_vector_register() => {
            let quadword = registers.ymm[register.number() % 16][element * bytes / 8 % 4];
            if bytes == 4 { (quadword >> (element % 2 * 32)) as u32 as i32 as u64 } else { quadword }
        }
        _ if register.is_gpr() => {
            let whole = registers.gpr[register.full_register().number()];
            match register.size() {
                1 => whole & 0xff,
                2 => whole & 0xffff,
                4 => whole & u64::from(u32::MAX),
                _ => whole,
            }
        }
        _ => 0,
    }
}

fn access_of(memory: &UsedMemory) -> Access {
    use OpAccess::*;
    if matches!(memory.access(), Write | CondWrite | ReadWrite | ReadCondWrite) { Access::Write } else { Access::Read }
}

/// The alignment that an instruction asks of its operand.
fn alignment(instruction: &Instruction) -> Option<u64> {
    use Mnemonic::*;
    match instruction.mnemonic() {
        Fxsave | Fxsave64 | Fxrstor | Fxrstor64 => Some(16),
        Xsave | Xsave64 | Xsavec | Xsavec64 | Xsaveopt | Xsaveopt64 | Xrstor | Xrstor64 => Some(64),
        _ => features::alignment(instruction),
    }
}

/// Where an indirect jump leads.
fn target(
    instruction: &Instruction,
    accesses: &[UsedMemory],
    registers: &Registers,
    read: &mut dyn FnMut(VirtAddr, &mut [u8]) -> usize,
) -> Option<VirtAddr> {
    let is_jump = instruction.is_jmp_near_indirect() || instruction.is_call_near_indirect();
    if !is_jump && instruction.mnemonic() != Mnemonic::Ret {
        return None;
    }
    if is_jump && instruction.op0_kind() == OpKind::Register {
        return Some(VirtAddr::new(value(registers, instruction.op0_register(), 0, 8)));
    }
    let from = accesses.iter().find(|memory| access_of(memory) == Access::Read)?;
    let mut word = [0; 8];
    let from = addresses(from, registers).next()?;
    (read(from, &mut word) == word.len()).then(|| VirtAddr::new(u64::from_le_bytes(word)))
}

#[cfg(test)]
mod tests;
