//! The subcommands, one file each.

pub mod explain;
pub mod heap;
pub mod policies;
pub mod run;
