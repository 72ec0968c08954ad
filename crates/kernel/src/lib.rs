//! What Linux does: spaces, areas, faults, files, processes, signals, system calls.
#![forbid(unsafe_code)]

mod errno;
pub mod mm;

pub use errno::Errno;
