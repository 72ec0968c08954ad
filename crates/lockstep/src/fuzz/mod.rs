//! Single instructions and short sequences against the host's CPU.
//!
//! A *case* is made from one number: an instruction of a form that iced-x86 can encode, or a few of them, with operands
//! and a register state at random. It runs in two *worlds*, the traced process and our engine on bare page tables, over
//! the same *arena* of pages that let accesses through, refuse stores, or are absent. The outcomes must be equal, at
//! every fault and at the end; what may differ is in `masks`, and what is not tried at all in `excluded.txt`. Forms of
//! AVX-512, which the announced CPU does not have, are tried on our engine alone: each must be an illegal instruction
//! that changes nothing.

mod arena;
mod case;
mod check;
mod compare;
mod forms;
mod generate;
mod masks;
mod native;
mod operands;
mod ours;
mod outcome;
mod search;
mod state;
mod world;

pub use case::{Case, CaseId};
pub use forms::{Exclusion, exclusions, forms, hidden_forms};
pub use native::Native;
pub use ours::Ours;
pub use outcome::{Ending, Exception, Outcome};
pub use search::{Failure, Search, Tally};
pub use world::World;
