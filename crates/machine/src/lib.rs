//! Puts the parts together: the run loop and the API that tests and the CLI use.
//!
//! A [`Machine`] is built from a [`MachineConfig`] and runs one [`Program`] with all that it starts:
//! ```text
//! Machine::run      first host thread: own descriptors, load the program
//!   GuestThread     one host thread a guest thread: Cpu::run -> Exit -> Kernel -> Outcome
//!     RunToken      one of them executes generated code at a time
//!     Vcpus         lends it a CPU that knows its space
//!   Voice           the thread that writes events and warnings
//!   Control         what others may ask of it meanwhile: reports, maps, events, a stop
//! Ended             the Report, the description of a death, the address space at the end
//! ```
#![forbid(unsafe_code)]

mod accounts;
mod code_archive;
mod config;
mod control;
mod core_file;
mod crash;
mod death;
mod guest_thread;
mod machine;
mod manifest;
mod memory_watch;
mod program;
mod program_hash;
mod report;
mod shared;
mod tasks;
mod token;
mod vcpus;
mod voice;

pub use code_archive::CodeArchive;
pub use config::{Count, FileCache, Isa, Levels, MAX_RAM_BYTES, MIN_RAM_BYTES, MachineConfig, Placement, VerifyCode};
pub use control::Control;
pub use crash::{Crash, CrashReport, Death, Place, signal_name};
pub use guest_thread::trap_of;
pub use host::outer_signals::die_of;
pub use kernel::{LoadError, ProcessMaps};
pub use machine::{CannotRun, Ended, Machine, Maps, OuterSignals, Watch};
pub use manifest::Manifest;
pub use program::{NotFound, Program};
pub use program_hash::ProgramHash;
pub use report::{CodeUse, ExitStatus, MemoryUse, ProcessReport, REPORT_VERSION, Report};
pub use trace::{FaultCounts, Kind, Kinds};
pub use voice::{EventLog, Format, Warnings};

/// The number of a machine's first process.
const FIRST_PID: u32 = 2;
