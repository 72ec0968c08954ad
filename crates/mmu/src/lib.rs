//! Frames, page tables in RAM, and a CPU's view of them.
//!
//! Everything here is a value or an atomic word: a walk reads entries in simulated RAM and answers; it calls nobody
//! back. [`Memory`] is the machine's RAM with the marks of frames that hold translated code; [`Frames`] hands frames
//! out; [`Tables`] is one tree of page tables; [`CpuView`] is what one virtual CPU remembers of a tree. Geometries and
//! the walk itself are the crate `paging`, which needs no RAM of the host; their names are passed on from here.
#![forbid(unsafe_code)]

mod bit_tree;
mod code_changes;
mod code_marks;
mod cpu_view;
mod cursor;
mod entry;
mod fork;
mod frames;
mod memory;
mod shootdown;
mod tables;
mod upper_half;

pub use code_changes::CodeChanges;
pub use code_marks::{CodeMarks, Stores};
pub use cpu_view::{CpuView, Kicked, SAVE_WORDS, STACK_TLB_ENTRIES, TLB_ENTRIES, TlbTable};
pub use cursor::Cursor;
pub use entry::{Entry, Leaf, Origin, SwapSlot};
pub use fork::SharedPages;
pub use frames::{Frame, Frames, MAX_ORDER, Released};
pub use memory::Memory;
pub use paging::{Cause, EntrySource, Geometry, Marking, Refusal, Step, Translation, peek, walk, walk_observed};
pub use shootdown::Shootdown;
pub use tables::{Levels, Mapped, OutOfFrames, Tables};
pub use upper_half::UpperHalf;
