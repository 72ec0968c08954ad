//! Why a program cannot be run.

use crate::Errno;
use std::fmt;
use std::io;

/// Why a program cannot be run: a sentence for people, an error number for guests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// There is no such file, or a part of the path is missing.
    NotFound,
    /// It may not be executed.
    NoPermission,
    /// It is a directory.
    Directory,
    /// Somebody has it open for writing.
    BeingWritten,
    /// It is neither an ELF file nor a script.
    NotElf,
    /// An ELF file that ends within its headers.
    Truncated,
    /// An ELF file for another machine.
    OtherArchitecture(Architecture),
    /// An object file or a core file.
    NotProgram,
    /// Its header table makes no sense.
    BadHeaders,
    /// Nothing is to be loaded.
    NoSegments,
    /// A segment lies partly beyond the end of the file.
    BeyondFile,
    /// A segment's numbers make no sense.
    BadSegment,
    /// Two segments overlap.
    OverlappingSegments,
    /// The name of its interpreter makes no sense.
    BadInterpreter,
    /// Its interpreter is missing, by name.
    MissingInterpreter(String),
    /// Its interpreter is no program for this machine, by name.
    BrokenInterpreter(String),
    /// A script whose interpreter is a script, too often.
    ScriptDepth,
    /// Its arguments and environment are too large for its stack.
    TooManyArguments,
    /// There is no room for it in memory.
    NoMemory,
    /// The host says something else.
    Host(Errno),
}

impl LoadError {
    /// What execve answers.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NotFound | Self::MissingInterpreter(_) => Errno::ENOENT,
            Self::NoPermission | Self::Directory => Errno::EACCES,
            Self::BeingWritten => Errno::ETXTBSY,
            Self::ScriptDepth => Errno::ELOOP,
            Self::TooManyArguments => Errno::E2BIG,
            Self::NoMemory => Errno::ENOMEM,
            Self::BrokenInterpreter(_) => Errno::from_code(libc::ELIBBAD),
            Self::Host(errno) => *errno,
            Self::NotElf
            | Self::Truncated
            | Self::OtherArchitecture(_)
            | Self::NotProgram
            | Self::BadHeaders
            | Self::NoSegments
            | Self::BeyondFile
            | Self::BadSegment
            | Self::OverlappingSegments
            | Self::BadInterpreter => Errno::ENOEXEC,
        }
    }

    /// pagewalk's own exit status: 127 for what is not there, 126 for what cannot be run.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::NotFound => 127,
            _ => 126,
        }
    }
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => Self::NotFound,
            Some(libc::EACCES) => Self::NoPermission,
            Some(libc::EISDIR) => Self::Directory,
            _ => Self::Host(Errno::of_host(&error)),
        }
    }
}

impl From<Errno> for LoadError {
    fn from(errno: Errno) -> Self {
        if errno == Errno::ENOMEM { Self::NoMemory } else { Self::Host(errno) }
    }
}

/// Ends a sentence that begins with the program's name.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => write!(f, "there is no such file"),
            Self::NoPermission => write!(f, "you may not execute it"),
            Self::Directory => write!(f, "it is a directory"),
            Self::BeingWritten => write!(f, "somebody has it open for writing"),
            Self::NotElf => write!(f, "it is neither an ELF program nor a script that begins with #!"),
            Self::Truncated => write!(f, "the ELF file ends within its headers"),
            Self::OtherArchitecture(architecture) => {
                write!(f, "it is a program for {architecture}, not for 64-bit x86")
            }
            Self::NotProgram => write!(f, "it is an ELF file but no program"),
            Self::BadHeaders => write!(f, "the table of program headers of the ELF file makes no sense"),
            Self::NoSegments => write!(f, "the ELF file has nothing to load"),
            Self::BeyondFile => write!(f, "a segment lies beyond the end of the ELF file, which may be truncated"),
            Self::BadSegment => write!(f, "a segment of the ELF file has addresses or sizes that make no sense"),
            Self::OverlappingSegments => write!(f, "two segments of the ELF file overlap"),
            Self::BadInterpreter => write!(f, "the ELF file names its interpreter in a way that makes no sense"),
            Self::MissingInterpreter(name) => write!(f, "its interpreter {name} is missing"),
            Self::BrokenInterpreter(name) => write!(f, "its interpreter {name} is no ELF program for 64-bit x86"),
            Self::ScriptDepth => write!(f, "it is a script whose interpreter is a script, and so on too often"),
            Self::TooManyArguments => write!(f, "its arguments and environment are too large"),
            Self::NoMemory => write!(f, "there is not enough simulated memory for it"),
            Self::Host(errno) => write!(f, "the host refuses it with {errno}"),
        }
    }
}

impl std::error::Error for LoadError {}

/// What an ELF file is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Architecture {
    /// The machine's number.
    pub machine: u16,
    /// The bits of its addresses: 32 or 64.
    pub bits: u8,
    /// The order of its bytes.
    pub order: ByteOrder,
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ByteOrder {
    /// The lowest.
    Little,
    /// The highest.
    Big,
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.order == ByteOrder::Big { "big-endian " } else { "" };
        write!(f, "{}-bit {order}", self.bits)?;
        match self.machine {
            3 | 62 => write!(f, "x86"),
            2 | 43 => write!(f, "SPARC"),
            8 => write!(f, "MIPS"),
            20 | 21 => write!(f, "PowerPC"),
            22 => write!(f, "S/390"),
            40 | 183 => write!(f, "ARM"),
            243 => write!(f, "RISC-V"),
            258 => write!(f, "LoongArch"),
            other => write!(f, "machine number {other}"),
        }
    }
}
