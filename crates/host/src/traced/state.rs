//! Registers to and from the two images that ptrace moves.
//!
//! The vector image is XSAVE's standard format (SDM vol. 1, 13.4): FXSAVE's 512 bytes, a header whose first word says
//! which parts hold something, and the upper halves of YMM at 576.

use super::ptrace::Process;
use addr::{Gpr, Registers, VirtAddr, X87_BYTES};
use libc::user_regs_struct;
use std::io;
use std::ops::Range;

const MXCSR: Range<usize> = 24..28;
const XMM: usize = 160;
const HEADER: Range<usize> = 512..520;
const YMM_UPPER: usize = 576;
/// x87, SSE and AVX, in the header's word.
const PARTS: u64 = 0b111;
/// More than any CPU's image.
const MOST_BYTES: usize = 16 << 10;
/// The flags that the kernel or the CPU sets on its own: TF while stepping, RF at a fault.
const HIDDEN_FLAGS: u64 = 1 << 8 | 1 << 16;
const USER_CODE: u64 = 0x33;
const USER_STACK: u64 = 0x2b;

/// The image of a process that has not run yet: what [`Xstate::encode`] fills in.
pub struct Xstate {
    image: Vec<u8>,
    scratch: Vec<u8>,
}

impl Xstate {
    /// Takes the image of a new process.
    pub fn of(process: &Process) -> io::Result<Self> {
        let image = process.xstate(MOST_BYTES)?;
        if image.len() < YMM_UPPER + 256 {
            return Err(io::Error::other(
                "this CPU or kernel has no AVX state, so it cannot be the oracle of x86-64-v3",
            ));
        }
        Ok(Self { scratch: image.clone(), image })
    }

    /// How long an image is.
    pub fn bytes(&self) -> usize {
        self.image.len()
    }

    /// The image with the given registers in it.
    pub fn encode(&mut self, registers: &Registers) -> &mut [u8] {
        let image = &mut self.scratch;
        image.copy_from_slice(&self.image);
        image[..MXCSR.start].copy_from_slice(&registers.x87[..MXCSR.start]);
        image[MXCSR].copy_from_slice(&registers.mxcsr.to_le_bytes());
        image[32..X87_BYTES].copy_from_slice(&registers.x87[32..]);
        for (index, ymm) in registers.ymm.iter().enumerate() {
            for (word, value) in ymm.iter().enumerate() {
                let at = vector_word(index, word);
                image[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
        }
        image[HEADER].copy_from_slice(&PARTS.to_le_bytes());
        image
    }
}

/// The general registers as ptrace sets them.
pub fn encode_general(registers: &Registers) -> user_regs_struct {
    let get = |register| registers.get(register);
    user_regs_struct {
        rax: get(Gpr::Rax),
        rcx: get(Gpr::Rcx),
        rdx: get(Gpr::Rdx),
        rbx: get(Gpr::Rbx),
        rsp: get(Gpr::Rsp),
        rbp: get(Gpr::Rbp),
        rsi: get(Gpr::Rsi),
        rdi: get(Gpr::Rdi),
        r8: get(Gpr::R8),
        r9: get(Gpr::R9),
        r10: get(Gpr::R10),
        r11: get(Gpr::R11),
        r12: get(Gpr::R12),
        r13: get(Gpr::R13),
        r14: get(Gpr::R14),
        r15: get(Gpr::R15),
        rip: registers.rip.get(),
        eflags: registers.rflags,
        fs_base: registers.fs_base,
        gs_base: registers.gs_base,
        cs: USER_CODE,
        ss: USER_STACK,
        ds: 0,
        es: 0,
        fs: 0,
        gs: 0,
        // No system call is under way that the kernel could think of restarting.
        orig_rax: u64::MAX,
    }
}

/// Registers from what ptrace gave.
pub fn decode(general: &user_regs_struct, image: &[u8]) -> Registers {
    let mut registers = Registers::at_entry(VirtAddr::new(general.rip), VirtAddr::new(general.rsp));
    let g = general;
    registers.gpr =
        [g.rax, g.rcx, g.rdx, g.rbx, g.rsp, g.rbp, g.rsi, g.rdi, g.r8, g.r9, g.r10, g.r11, g.r12, g.r13, g.r14, g.r15];
    registers.rflags = general.eflags & !HIDDEN_FLAGS;
    registers.fs_base = general.fs_base;
    registers.gs_base = general.gs_base;
    registers.mxcsr = u32::from_le_bytes(image[MXCSR].try_into().expect("four bytes"));
    registers.x87[..MXCSR.start].copy_from_slice(&image[..MXCSR.start]);
    registers.x87[32..].copy_from_slice(&image[32..X87_BYTES]);
    for (index, ymm) in registers.ymm.iter_mut().enumerate() {
        for (word, value) in ymm.iter_mut().enumerate() {
            let at = vector_word(index, word);
            *value = u64::from_le_bytes(image[at..at + 8].try_into().expect("eight bytes"));
        }
    }
    registers
}

/// Where a quadword of a YMM register is in the image.
fn vector_word(index: usize, word: usize) -> usize {
    let half = if word < 2 { XMM } else { YMM_UPPER };
    half + index * 16 + word % 2 * 8
}
