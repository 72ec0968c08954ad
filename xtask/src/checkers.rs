//! `cargo xtask lockstep` and `cargo xtask fuzz`: the two checkers of the CPU, built with optimisation.

use crate::shell::{self, Result};

/// Arguments for the checker; its own --help lists them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Builds the checkers and starts one.
pub fn run(checker: &str, options: &Options) -> Result<()> {
    let mut cargo = shell::cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "pagewalk-lockstep", "--", checker]);
    shell::run(cargo.args(&options.args))
}
