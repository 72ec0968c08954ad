//! Why the CPU stopped.

use addr::{Access, Page, VirtAddr};
use mmu::Refusal;
use std::fmt;

/// Why [`crate::Cpu::run`] returned. But where said otherwise, the registers are exactly those before the instruction
/// at RIP, so that running again tries it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// A `syscall` instruction; RIP is past it, RCX and R11 are set.
    Syscall,
    /// An `int 80h`, the system call of 32-bit programs; RIP is past it.
    OldSyscall,
    /// The walk refused an access to an address of the space.
    Fault(Fault),
    /// The instruction raised an exception.
    Exception(Exception),
    /// Somebody kicked the CPU's view; between two instructions.
    Kicked,
    /// The budget is used up; between two instructions.
    Budget,
    /// A lookup failed by order of `--chaos`: the page is to be evicted.
    Chaos(Page),
}

/// An access that the walk refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The first byte that could not be accessed: what CR2 would hold.
    pub addr: VirtAddr,
    /// What was attempted.
    pub access: Access,
    /// Why it was refused.
    pub refusal: Refusal,
}

/// An exception other than a page fault (SDM vol. 3, 6.15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    /// #DE: division by zero or an overflowing quotient.
    DivideError,
    /// #BP: `int3`; RIP is past it.
    Breakpoint,
    /// #DB: `int1`; RIP is past it.
    Debug,
    /// #DB: an instruction was executed with TF set; RIP is past it.
    Step,
    /// #UD.
    InvalidOpcode(Opcode),
    /// #GP: a misaligned or non-canonical operand, a privileged instruction.
    GeneralProtection,
    /// #GP about a selector or a gate, with its error code: one that a program may not use.
    Selector(u16),
    /// #OF: `int 4`; RIP is past it.
    Overflow,
    /// #SS: a non-canonical operand in the stack segment.
    StackSegment,
    /// #MF: an unmasked x87 exception; the si_code of SIGFPE.
    X87(i32),
    /// #XM: an unmasked SSE exception; the si_code of SIGFPE.
    Simd(i32),
    /// #AC: an unaligned access with AC set.
    AlignmentCheck,
}

/// Why an opcode is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// It is one of AVX-512, which the CPU does not announce.
    Avx512(Name),
    /// Any other.
    Undefined,
}

/// The name of an instruction, as an assembler writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Name(pub(crate) iced_x86::Mnemonic);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{:?}", self.0).to_lowercase())
    }
}
