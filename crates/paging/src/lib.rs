//! The shape of paging: geometries, formats of entries, and the walk.
//!
//! Nothing here knows where memory is: a walk reads entries in an [`EntrySource`], which is simulated RAM for the
//! programs that run, and [`SparseMemory`] for the systems that are explained.
#![forbid(unsafe_code)]

mod format;
mod geometry;
mod sparse;
mod walk;

pub use format::EntryFormat;
pub use geometry::{AddressParts, Addressing, Geometry, MAX_LEVELS};
pub use sparse::SparseMemory;
pub use walk::{Cause, EntrySource, Marking, Refusal, Step, Translation, peek, walk, walk_observed};
