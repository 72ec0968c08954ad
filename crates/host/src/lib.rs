//! The unsafe floor: simulated RAM, executable memory, host signals, clocks, the host-call stub.

mod ram;
pub mod traced;

pub use ram::Ram;
