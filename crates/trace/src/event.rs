//! The values.

use crate::{Kind, words};
use addr::{Access, Perms, VirtAddr};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds of host time since the machine was started.
    pub at_ns: u64,
    /// The guest process.
    pub pid: u32,
    /// The guest thread.
    pub tid: u32,
    /// What it was.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// A walk was refused, and the kernel resolved it or not.
    Fault(Fault),
    /// An area of an address space appeared, changed or went.
    Area(AreaChange),
    /// A system call ended.
    Call(Call),
    /// A virtual CPU began to run another thread.
    Switch(Switch),
}

impl What {
    /// Which kind it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fault(_) => Kind::Faults,
            Self::Area(_) => Kind::Areas,
            Self::Call(_) => Kind::Calls,
            Self::Switch(_) => Kind::Switches,
        }
    }
}

/// A fault and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The first byte that could not be reached.
    #[serde(with = "words::address")]
    pub addr: VirtAddr,
    /// What was attempted.
    #[serde(with = "words::access")]
    pub access: Access,
    /// How it was resolved.
    pub kind: FaultKind,
    /// Whether the disk was needed.
    pub cost: Cost,
    /// The instruction that attempted it.
    #[serde(with = "words::address")]
    pub rip: VirtAddr,
}

/// How a fault was resolved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A page of zeros, or the shared zero page for a load.
    ZeroFill,
    /// A page of a file.
    File,
    /// A private copy at the first store, or the re-use of a page that nobody shares any more.
    CopyOnWrite,
    /// A page that had been swapped out.
    SwapIn,
    /// A stack that grew downwards.
    StackGrowth,
    /// The page was there all along: another thread was faster, or the rights had been raised.
    Spurious,
    /// Not at all: the access is not allowed and ends in a signal.
    Protection,
}

impl FaultKind {
    /// The word that the report, the events and the documentation use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ZeroFill => "zero_fill",
            Self::File => "file",
            Self::CopyOnWrite => "copy_on_write",
            Self::SwapIn => "swap_in",
            Self::StackGrowth => "stack_growth",
            Self::Spurious => "spurious",
            Self::Protection => "protection",
        }
    }
}

/// What a fault cost: Linux's minor and major.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Resolved in memory.
    Minor,
    /// The disk was read.
    Major,
}

/// A change of one area.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AreaChange {
    /// What became of it.
    pub verb: AreaVerb,
    /// Its first byte.
    #[serde(with = "words::address")]
    pub start: VirtAddr,
    /// The first byte past it.
    #[serde(with = "words::address")]
    pub end: VirtAddr,
    /// What is allowed there.
    #[serde(with = "words::perms")]
    pub perms: Perms,
    /// As /proc/PID/maps names it; empty if anonymous.
    pub name: String,
}

/// What became of an area.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AreaVerb {
    /// It was not there before.
    Mapped,
    /// It was there with other bounds, rights or backing.
    Changed,
    /// It is not there any more.
    Unmapped,
}

impl AreaVerb {
    /// The word in text and in NDJSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mapped => "mapped",
            Self::Changed => "changed",
            Self::Unmapped => "unmapped",
        }
    }
}

/// A system call with its answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Its name, as in the manual.
    pub name: String,
    /// Its arguments as strace prints them.
    pub arguments: Vec<String>,
    /// Its answer.
    pub result: CallResult,
}

/// The answer of a system call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallResult {
    /// A number; an address if it looks like one.
    Value(u64),
    /// An error, by its name.
    Error(String),
    /// The call does not return, as exit does not.
    Never,
}

/// A virtual CPU began to run another thread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Switch {
    /// Which virtual CPU.
    pub cpu: u32,
    /// Whom it ran before, if anybody.
    pub from_tid: Option<u32>,
}
