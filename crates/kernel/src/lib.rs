//! What Linux does: spaces, areas, faults, files, processes, signals, system calls.
//!
//! The machine calls a [`Kernel`] under the kernel lock. A system call ends as an [`Outcome`]: done, the host's to
//! execute, a sleep, a new task, a new program, an end. The kernel never blocks and calls nobody back; whom it has
//! woken it tells by [`Kernel::take_notices`].
#![forbid(unsafe_code)]

mod calls;
mod common;
mod errno;
mod exec;
mod ipc;
mod kernel;
pub mod mm;
mod oom;
mod outcome;
mod outside;
mod proc;
mod signal;
mod table;
mod task;
mod terminal;
mod timers;
mod waiting;
mod warning;

pub use calls::Gate;
pub use common::Sharing;
pub use errno::Errno;
pub use exec::{Architecture, ByteOrder, Image, LoadError};
pub use kernel::{Kernel, KernelConfig, ProcessSummary, Processor, TaskEvent};
pub use oom::Victim;
pub use outcome::{Core, Dying, HostCall, Outcome, Spawn, Trap, Wait};
pub use outside::{Identity, ProcessMaps};
pub use task::{Pid, Status, Tid};
pub use warning::Warning;
