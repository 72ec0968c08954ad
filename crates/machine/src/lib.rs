//! Puts the parts together: the run loop and the API that tests and the CLI use.
#![forbid(unsafe_code)]

mod config;
pub mod core_file;
mod crash;
mod manifest;
mod program;
mod report;
pub mod token;
pub mod vcpus;
mod voice;

pub use config::{Count, FileCache, Isa, Levels, MAX_RAM_BYTES, MIN_RAM_BYTES, MachineConfig, Placement, VerifyCode};
pub use crash::{Crash, Death, Place, signal_name};
pub use manifest::Manifest;
pub use program::{Program, Unrunnable};
pub use report::{ExitStatus, FaultCounts, MemoryUse, ProcessReport, REPORT_VERSION, Report};
pub use voice::{EventLog, Format, Voice, Warnings};
