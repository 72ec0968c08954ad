//! The two checkers of the CPU: programs in lockstep with the host, and single instructions against it.
//!
//! A crate of its own, because it stands on the whole machine *and* on the traced process, and nothing that users run
//! may depend on either checker.
#![forbid(unsafe_code)]

mod flags;
pub mod follow;
pub mod fuzz;
mod random;
mod registers;

pub use random::Random;
