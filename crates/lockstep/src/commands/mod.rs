//! One file a subcommand.

pub mod fuzz;
