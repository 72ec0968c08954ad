//! The unsafe floor: simulated RAM, executable memory, host signals, clocks, the host-call stub.

pub mod guest_thread;
pub mod outer_signals;
mod ram;
pub mod traced;

pub use ram::Ram;
