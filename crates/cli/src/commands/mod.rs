//! The subcommands, one file each.

#[cfg(runs_programs)]
pub mod ctl;
pub mod explain;
pub mod heap;
pub mod policies;
#[cfg(runs_programs)]
pub mod run;
