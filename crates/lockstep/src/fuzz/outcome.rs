//! What a case came to, and how two outcomes differ.

use addr::{Access, Registers, VirtAddr};
use std::fmt;

/// How a run of a case ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// At a trap that follows the code.
    Trap,
    /// A page refused an access. The host does not say what was attempted.
    Fault {
        /// The first byte refused.
        addr: VirtAddr,
        /// What was attempted, where it is known.
        access: Option<Access>,
    },
    /// The CPU raised an exception.
    Exception(Exception),
    /// A system call.
    Syscall,
    /// It went on and on.
    Endless,
}

/// Exceptions, as far as the signals of Linux tell them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exception {
    /// SIGFPE with FPE_INTDIV.
    Divide,
    /// SIGFPE of the x87 unit or of SSE.
    FloatingPoint,
    /// SIGILL.
    InvalidOpcode,
    /// SIGSEGV without an address.
    GeneralProtection,
    /// SIGBUS without an address.
    StackSegment,
    /// SIGBUS with BUS_ADRALN.
    Alignment,
    /// SIGTRAP other than `int3`.
    Debug,
}

/// The state at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// Every register then.
    pub registers: Registers,
    /// The bytes of every page of the arena then, in the arena's order.
    pub memory: Vec<u8>,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap => write!(f, "the end of the code"),
            Self::Fault { addr, access: Some(access) } => write!(f, "a fault at {addr} ({access:?})"),
            Self::Fault { addr, access: None } => write!(f, "a fault at {addr}"),
            Self::Exception(exception) => write!(f, "an exception, {exception:?}"),
            Self::Syscall => write!(f, "a system call"),
            Self::Endless => write!(f, "no end"),
        }
    }
}

impl Ending {
    /// Whether the two are the same as far as both tell.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fault { addr: left, access: a }, Self::Fault { addr: right, access: b }) => {
                left == right && (a.is_none() || b.is_none() || a == b)
            }
            _ => self == other,
        }
    }
}
