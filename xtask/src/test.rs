//! `cargo xtask test`: every test of the workspace.

use crate::shell::{self, Result};
use crate::tools;

/// Arguments for the test runner, such as a name to filter by.
#[derive(clap::Args)]
pub struct Options {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    runner: Vec<String>,
}

/// Provides what tests need and runs them: with cargo-nextest where it is installed, else with cargo's own runner.
pub fn run(options: &Options) -> Result<()> {
    tools::provide(tools::FOR_TESTS)?;
    tools::provide_if_possible(tools::WANTED_BY_TESTS);
    run_with(options, &[])?;
    if options.runner.is_empty() {
        shell::run(shell::cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    }
    Ok(())
}

/// Runs the tests with more variables in their environment.
pub fn run_with(options: &Options, variables: &[(&str, &str)]) -> Result<()> {
    let mut runner = shell::cargo();
    if shell::succeeds(shell::cargo().args(["nextest", "--version"])) {
        runner.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        runner.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    shell::run(runner.args(&options.runner).envs(variables.iter().copied()))
}
