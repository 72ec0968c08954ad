//! The unsafe floor: simulated RAM, executable memory, host signals, clocks, the host-call stub.

pub mod guest_thread;
mod kept_file;
pub mod outer_signals;
mod ram;
pub mod traced;

pub use kept_file::{FileIdentity, KeptFile};
pub use ram::Ram;
