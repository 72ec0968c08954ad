//! Pure state machines: replacement policies, TLB, page-walk-cache and cache models.
//!
//! A model is told what happened and answers with values; the live kernel and a replay drive the same code. Nothing
//! here allocates per reference.
#![forbid(unsafe_code)]

mod page_map;
pub mod policies;
mod policy;
mod random;
mod slots;

pub use policies::{PolicyKind, Settings};
pub use policy::{Marks, Outcome, Policy, Reference, Residency, TestAndClear};
pub use random::Random;
