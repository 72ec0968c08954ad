//! The gate between Rust and generated code: stubs, made when the engine is.
//!
//! ```text
//! enter(view in RDI): saves the callee-saved registers and the stack pointer of the host, loads MXCSR, vector
//!                     registers, flags and general registers from the save area, jumps to Slot::TARGET
//! exit through a register: stores the reason that the register holds, and goes on with
//! exit:               stores them all back, clears DF, restores the host's, returns to the caller of enter
//! ```
//! No register survives in between but through the save area, and the host's stack is only touched after RSP is the
//! host's again. The x87 state stays in the host's registers: no Rust code touches it.

use crate::asm::{Assembler, RAX, RSP, Reg, Width};
use crate::block::Reason;
use crate::context::{Slot, ymm_offset};
use host::CodeMemory;
use mmu::CpuView;

/// Callee-saved registers of the System V ABI other than RSP.
const CALLEE_SAVED: [Reg; 6] = [3, 5, 12, 13, 14, 15];

/// Width of the vector registers that generated code may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vectors {
    /// XMM only.
    Sse,
    /// YMM.
    Avx,
}

impl Vectors {
    /// What the host has.
    pub fn of_host() -> Self {
        if std::is_x86_feature_detected!("avx") { Self::Avx } else { Self::Sse }
    }
}

/// The host addresses that generated code leaves by.
#[derive(Clone, Copy, Debug)]
pub struct Exits {
    /// The reason stands in its slot.
    pub main: u64,
    through: u64,
}

impl Exits {
    /// Bytes from the stub for one register to that for the next.
    const STRIDE: u64 = 16;

    /// The reason is in a register, whose value is lost: half of the bytes of a store.
    pub fn through(self, register: Reg) -> u64 {
        self.through + u64::from(register) * Self::STRIDE
    }
}

/// The stubs, at the start of the code memory.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    enter: u64,
    /// Where cold paths jump to.
    pub exits: Exits,
    /// Where the jump cache leads for an address that it does not know, and the last way in of a chain for one that is not its own.
    pub nowhere: u64,
    /// Bytes of all.
    pub bytes: usize,
}

impl Gate {
    /// Writes the stubs to the start of the code memory.
    pub fn build(memory: &mut CodeMemory, vectors: Vectors) -> Self {
        let mut asm = Assembler::new(Vec::new(), memory.address(0));
        let enter = asm.address();
        emit_enter(&mut asm, vectors);
        let main = asm.address();
        emit_exit(&mut asm, vectors);
        let nowhere = asm.address();
        asm.store_gs_imm(Slot::REASON, Reason::Indirect.encode());
        asm.jmp(main);
        let exits = Exits { main, through: asm.address() };
        for register in RAX..16 {
            asm.store_gs(Width::B32, Slot::REASON, register);
            asm.jmp(main);
            let unused = exits.through(register + 1) - asm.address();
            asm.raw(&[0xcc; Exits::STRIDE as usize][..unused as usize]);
        }
        memory.write(0, asm.bytes());
        Self { enter, exits, nowhere, bytes: asm.bytes().len() }
    }

    /// Runs generated code until it leaves.
    ///
    /// # Safety
    /// `Slot::TARGET` of the view holds the address of generated code in the code memory of this gate; GS is based at
    /// the view; this thread has an alternate signal stack, because RSP is the guest's meanwhile; nothing changes the
    /// generated code meanwhile.
    pub unsafe fn enter(&self, view: &CpuView) {
        // SAFETY: `enter` is the address of the stub written by `build`, which keeps the System V ABI.
        let stub: extern "sysv64" fn(*const CpuView) = unsafe { std::mem::transmute(self.enter) };
        stub(view);
    }
}

fn emit_enter(asm: &mut Assembler, vectors: Vectors) {
    for register in CALLEE_SAVED {
        push(asm, register);
    }
    asm.stmxcsr_gs(Slot::HOST_MXCSR);
    asm.store_gs(Width::B64, Slot::HOST_RSP, RSP);
    asm.ldmxcsr_gs(Slot::GUEST_MXCSR);
    for vector in 0..16 {
        match vectors {
            Vectors::Avx => asm.load_ymm_gs(vector, ymm_offset(vector)),
            Vectors::Sse => asm.load_xmm_gs(vector, ymm_offset(vector)),
        }
    }
    asm.push_gs(Slot::RAW_FLAGS);
    asm.raw(&[0x9d]); // popfq
    for register in general_registers_but_rsp().chain([RSP]) {
        asm.load_gs(Width::B64, register, Slot::raw(register));
    }
    asm.jmp_gs(Slot::TARGET);
}

fn emit_exit(asm: &mut Assembler, vectors: Vectors) {
    for register in general_registers_but_rsp().chain([RSP]) {
        asm.store_gs(Width::B64, Slot::raw(register), register);
    }
    asm.load_gs(Width::B64, RSP, Slot::HOST_RSP);
    asm.raw(&[0x9c]); // pushfq
    asm.pop_gs(Slot::RAW_FLAGS);
    asm.raw(&[0xfc]); // cld
    asm.stmxcsr_gs(Slot::GUEST_MXCSR);
    asm.ldmxcsr_gs(Slot::HOST_MXCSR);
    for vector in 0..16 {
        match vectors {
            Vectors::Avx => asm.store_ymm_gs(ymm_offset(vector), vector),
            Vectors::Sse => asm.store_xmm_gs(ymm_offset(vector), vector),
        }
    }
    if vectors == Vectors::Avx {
        asm.raw(&[0xc5, 0xf8, 0x77]); // vzeroupper
    }
    for register in CALLEE_SAVED.into_iter().rev() {
        pop(asm, register);
    }
    asm.raw(&[0xc3]);
}

fn general_registers_but_rsp() -> impl Iterator<Item = Reg> {
    (RAX..16).filter(|register| *register != RSP)
}

fn push(asm: &mut Assembler, register: Reg) {
    if register >= 8 {
        asm.raw(&[0x41]);
    }
    asm.raw(&[0x50 | register & 7]);
}

fn pop(asm: &mut Assembler, register: Reg) {
    if register >= 8 {
        asm.raw(&[0x41]);
    }
    asm.raw(&[0x58 | register & 7]);
}
