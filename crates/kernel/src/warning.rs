//! What whoever runs the machine should know, each thing once.

use std::collections::BTreeSet;
use std::fmt;

/// Something that a program asked for and did not get as on Linux.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Warning {
    /// A system call that nobody has written.
    MissingCall(String),
    /// The number of a system call by `int 0x80` that does not stand for one of x86-64.
    MissingOldCall(u32),
    /// A system call that is never executed, and why.
    RefusedCall(String, &'static str),
    /// The path of an executed file whose set-user-ID or set-group-ID bit would have given other rights.
    IgnoredBits(Vec<u8>),
    /// The number and the name of a process that was killed because the host has no memory left.
    KilledForMemory(u32, Vec<u8>),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingCall(name) => write!(f, "the system call {name} is missing and answers ENOSYS"),
            Self::MissingOldCall(nr) => {
                write!(f, "the system call {nr} of 32-bit programs (int 0x80) is missing and answers ENOSYS")
            }
            Self::RefusedCall(name, why) => write!(f, "the system call {name} is refused with ENOSYS: {why}"),
            Self::IgnoredBits(path) => {
                let path = String::from_utf8_lossy(path);
                write!(f, "{path} is set-user-ID or set-group-ID; it runs with your own rights")
            }
            Self::KilledForMemory(pid, name) => {
                let name = String::from_utf8_lossy(name);
                write!(f, "the host is out of memory: process {pid} ({name}) was killed")
            }
        }
    }
}

/// The warnings so far, and those that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    told: BTreeSet<Warning>,
    new: Vec<Warning>,
}

impl Warnings {
    /// Warns, if it is the first time.
    pub fn add(&mut self, warning: Warning) {
        if self.told.insert(warning.clone()) {
            self.new.push(warning);
        }
    }

    /// Those that are new.
    pub fn take(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.new)
    }
}
