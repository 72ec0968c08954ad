//! `cargo xtask bless`: golden files become what the tests print.

use crate::shell::Result;
use crate::test;

/// Arguments for the test runner, such as a name to filter by.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    tests: test::Options,
}

/// Runs the tests with both golden-file libraries told to overwrite.
pub fn run(options: &Options) -> Result<()> {
    test::run_with(&options.tests, &[("INSTA_UPDATE", "always"), ("SNAPSHOTS", "overwrite")])
}
