//! The user-visible registers of a guest thread.

use crate::VirtAddr;

/// A general-purpose register, numbered as instructions encode it (SDM vol. 2, table 2-2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Gpr {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

/// Bytes of the x87 part of a legacy FXSAVE image: control, status, tag, pointers and the eight registers
/// (SDM vol. 1, 10.5.1). MXCSR lies inside, at 24, and is not used: [`Registers::mxcsr`] holds it.
pub const X87_BYTES: usize = 160;

/// Every register that a user-mode program can see, except the segment selectors, which are constant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registers {
    /// The general-purpose registers, indexed by [`Gpr`].
    pub gpr: [u64; 16],
    /// The next instruction.
    pub rip: VirtAddr,
    /// The flags; bit 1 is always set and IF reads as 1.
    pub rflags: u64,
    /// The base of FS: thread-local storage.
    pub fs_base: u64,
    /// The base of GS.
    pub gs_base: u64,
    /// Control and status of SSE.
    pub mxcsr: u32,
    /// The vector registers, 256 bits each, low quadword first.
    pub ymm: [[u64; 4]; 16],
    /// The x87 and MMX state as FXSAVE lays it out.
    pub x87: [u8; X87_BYTES],
}

impl Registers {
    /// RFLAGS at program start: bit 1 and IF.
    pub const INITIAL_RFLAGS: u64 = 0x202;
    /// MXCSR at program start: all exceptions masked, round to nearest.
    pub const INITIAL_MXCSR: u32 = 0x1f80;

    /// Registers of a new program: everything zero but the instruction and stack pointers and the control words
    /// (psABI, 3.4.1).
    pub fn at_entry(rip: VirtAddr, rsp: VirtAddr) -> Self {
        let mut x87 = [0; X87_BYTES];
        x87[..2].copy_from_slice(&0x37fu16.to_le_bytes());
        let mut gpr = [0; 16];
        gpr[Gpr::Rsp as usize] = rsp.get();
        Self {
            gpr,
            rip,
            rflags: Self::INITIAL_RFLAGS,
            fs_base: 0,
            gs_base: 0,
            mxcsr: Self::INITIAL_MXCSR,
            ymm: [[0; 4]; 16],
            x87,
        }
    }

    /// Puts x87, SSE and AVX state back to what it is at program start.
    pub fn reset_extended_state(&mut self) {
        let initial = Self::at_entry(VirtAddr::new(0), VirtAddr::new(0));
        (self.x87, self.mxcsr, self.ymm) = (initial.x87, initial.mxcsr, initial.ymm);
    }

    /// One general-purpose register.
    pub fn get(&self, register: Gpr) -> u64 {
        self.gpr[register as usize]
    }

    /// Sets one general-purpose register.
    pub fn set(&mut self, register: Gpr, value: u64) {
        self.gpr[register as usize] = value;
    }
}
