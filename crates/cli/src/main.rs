//! The binary `pagewalk`: options and printing.
//!
//! Each subcommand is one file in `commands` with a clap struct of its options and a `run` that returns the exit status.
//! What runs programs exists on x86-64 Linux only (`cfg(runs_programs)`, set by the build script); the rest builds anywhere.
#![forbid(unsafe_code)]

#[cfg(runs_programs)]
mod bugs;
mod commands;
#[cfg(runs_programs)]
mod control;
mod failure;

use clap::{Parser, Subcommand};
use commands::{explain, policies};
use failure::Failure;
use std::process::ExitCode;

/// Runs unmodified x86-64 Linux programs on a virtual memory system of its own, and shows what memory does.
#[derive(Parser)]
#[command(name = "pagewalk", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(runs_programs)]
    Run(commands::run::Run),
    #[cfg(runs_programs)]
    Ctl(commands::ctl::Ctl),
    Heap(commands::heap::Heap),
    Explain(explain::Options),
    Policies(policies::Options),
}

fn main() -> ExitCode {
    #[cfg(runs_programs)]
    bugs::tell_on_stderr();
    match Cli::try_parse() {
        Ok(cli) => match run(cli.command) {
            Ok(status) => status,
            Err(failure) => failure.report(),
        },
        Err(error) => failure::of_options(&error),
    }
}

fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Heap(heap) => commands::heap::run(heap),
        Command::Explain(options) => explain::run(&options),
        Command::Policies(options) => policies::run(&options),
        #[cfg(runs_programs)]
        Command::Run(run) => commands::run::run(&run),
        #[cfg(runs_programs)]
        Command::Ctl(ctl) => commands::ctl::run(&ctl),
    }
}
