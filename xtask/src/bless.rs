//! `cargo xtask bless`: golden files become what the tests print.

use crate::shell::Result;
use crate::test::{self, Options};

/// Runs the tests with both golden-file libraries told to overwrite.
pub fn run(options: &Options) -> Result<()> {
    test::run_with(options, &[("INSTA_UPDATE", "always"), ("SNAPSHOTS", "overwrite")])
}
