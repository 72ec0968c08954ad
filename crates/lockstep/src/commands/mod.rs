//! One file a subcommand.

pub mod fuzz;
pub mod lockstep;
