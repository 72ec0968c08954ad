//! `cargo xtask portable`: what needs no particular platform builds for others.

use crate::shell::{self, Result};
use std::process::Command;

/// Checking needs no linker, only the target's standard library.
const TARGETS: [&str; 3] = ["x86_64-pc-windows-gnu", "aarch64-apple-darwin", "aarch64-unknown-linux-gnu"];

/// Installs the targets' libraries where they are missing, and checks the binary for each.
pub fn run() -> Result<()> {
    for target in TARGETS {
        shell::run(Command::new("rustup").args(["target", "add", target]))?;
        shell::run(shell::cargo().args(["check", "--package", "pagewalk", "--target", target]))?;
    }
    Ok(())
}
