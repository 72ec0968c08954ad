//! The subcommands, one file each.

pub mod explain;
pub mod heap;
pub mod policies;
#[cfg(runs_programs)]
pub mod run;
