//! The checkers' own commands, started by `cargo xtask lockstep` and `cargo xtask fuzz`.
#![forbid(unsafe_code)]

mod commands;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Checks the CPU against the host's.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Checkers {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compare single instructions and short sequences with the host's CPU.
    Fuzz(commands::fuzz::Options),
    /// Run a program with the host's CPU doing the same instructions, and name the first that differs.
    Lockstep(commands::lockstep::Options),
}

fn main() -> ExitCode {
    let Checkers { command } = Checkers::parse();
    let result = match command {
        Command::Fuzz(options) => commands::fuzz::run(&options),
        Command::Lockstep(options) => commands::lockstep::run(&options),
    };
    result.unwrap_or_else(|error| {
        let who = if error.raw_os_error().is_some() { "the host refuses" } else { "xtask" };
        eprintln!("{who}: {error}");
        ExitCode::from(125)
    })
}
