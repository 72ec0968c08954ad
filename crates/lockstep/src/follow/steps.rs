//! What the host's CPU did for one block: its instructions, and what they stored where.

use addr::{Registers, VirtAddr};
use iced_x86::{Decoder, DecoderOptions, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register};

/// An instruction that the host's CPU has done.
pub struct Done {
    /// The instruction.
    pub instruction: Instruction,
    /// The bytes it may have stored to.
    pub stores: Vec<(VirtAddr, usize)>,
    /// The registers it may have written, by their widest names.
    pub writes: Vec<Register>,
}

impl Done {
    /// What the instruction will do in this state.
    pub fn of(instruction: Instruction, registers: &Registers, factory: &mut InstructionInfoFactory) -> Self {
        let info = factory.info(&instruction);
        let is_write = |access: OpAccess| {
            use OpAccess::{CondWrite, ReadCondWrite, ReadWrite, Write};
            matches!(access, Write | CondWrite | ReadWrite | ReadCondWrite)
        };
        let stored = info.used_memory().iter().filter(|memory| is_write(memory.access()));
        let stores = stored
            .filter_map(|memory| {
                let at =
                    memory.virtual_address(0, |register, element, size| value(registers, register, element, size))?;
                Some((VirtAddr::new(at), memory.memory_size().size()))
            })
            .collect();
        let written = info.used_registers().iter().filter(|register| is_write(register.access()));
        Self { instruction, stores, writes: written.map(|register| widest(register.register())).collect() }
    }
}

/// Whether the instruction shows the announced CPU, a clock or chance, or what only a kernel can do: its results are
/// taken from our run.
pub fn is_ours_to_tell(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    let is_old_call = instruction.mnemonic() == Int && instruction.immediate8() == 0x80;
    is_old_call
        || matches!(
            instruction.mnemonic(),
            Cpuid
                | Xgetbv
                | Rdtsc
                | Rdtscp
                | Rdpid
                | Rdrand
                | Rdseed
                | Xsave
                | Xsave64
                | Xsavec
                | Xsavec64
                | Xsaveopt
                | Xsaveopt64
                | Xrstor
                | Xrstor64
                | Fxsave
                | Fxsave64
                | Fnsave
                | Fnstenv
                | Syscall
                | Sgdt
                | Sidt
                | Sldt
                | Smsw
                | Str
                | INVALID
        )
}

/// Whether the instruction is done in several steps.
pub fn is_repeated(instruction: &Instruction) -> bool {
    instruction.is_string_instruction() && (instruction.has_rep_prefix() || instruction.has_repne_prefix())
}

/// The instruction at an address.
pub fn decode(bytes: &[u8], at: VirtAddr) -> Instruction {
    Decoder::with_ip(64, bytes, at.get(), DecoderOptions::NONE).decode()
}

/// The widest register that a register is a part of.
pub fn widest(register: Register) -> Register {
    if register.is_vector_register() { Register::YMM0 + register.number() as u32 } else { register.full_register() }
}

fn value(registers: &Registers, register: Register, element: usize, size: usize) -> Option<u64> {
    match register {
        Register::FS => Some(registers.fs_base),
        Register::GS => Some(registers.gs_base),
        _ if register.is_segment_register() => Some(0),
        _ if register.is_gpr() => {
            let full = registers.gpr[register.number()];
            Some(if register.size() == 4 { full & 0xffff_ffff } else { full })
        }
        _ if register.is_vector_register() => {
            let bytes: Vec<u8> = registers.ymm[register.number()].iter().flat_map(|word| word.to_le_bytes()).collect();
            let mut wide = [0; 8];
            wide[..size].copy_from_slice(bytes.get(element * size..(element + 1) * size)?);
            let value = u64::from_le_bytes(wide);
            Some(if size == 4 { i64::from(value as u32 as i32) as u64 } else { value })
        }
        _ => None,
    }
}
