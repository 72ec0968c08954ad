//! `cargo xtask`: the project's own commands, each a file here.
#![forbid(unsafe_code)]

mod bench;
mod bless;
mod checkers;
mod corpus;
mod fuzz_calls;
mod portable;
mod results;
mod shell;
mod test;
mod tools;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test, tidy checks and documentation examples included; arguments go to the test runner.
    Test(test::Options),
    /// Run a program in lockstep with the host's CPU and name the first instruction that differs.
    Lockstep(checkers::Options),
    /// Compare single instructions and short sequences with the host's CPU; unbounded without --seconds.
    Fuzz(checkers::Options),
    /// Make random system calls with hostile arguments in guests until pagewalk breaks, or for --seconds.
    FuzzCalls(fuzz_calls::Options),
    /// Measure against native, qemu-x86_64 and valgrind, and write the section of bench/RESULTS.md.
    Bench(bench::Options),
    /// Check that the binary builds for platforms where it cannot run programs; rustup provides their libraries.
    Portable,
    /// Run real programs natively and under pagewalk, compare, and write the table of bench/RESULTS.md.
    Corpus(corpus::Options),
    /// Run the tests and accept what they print as the golden files; review the diff.
    Bless(test::Options),
}

fn main() -> ExitCode {
    let result = match Xtask::parse().command {
        Command::Test(options) => test::run(&options),
        Command::Lockstep(options) => checkers::run("lockstep", &options),
        Command::Fuzz(options) => checkers::run("fuzz", &options),
        Command::FuzzCalls(options) => fuzz_calls::run(&options),
        Command::Bench(options) => bench::run(&options),
        Command::Portable => portable::run(),
        Command::Corpus(options) => corpus::run(&options),
        Command::Bless(options) => bless::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("xtask: {sentence}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Xtask;
    use clap::CommandFactory;

    #[test]
    fn every_command_can_be_parsed() {
        Xtask::command().debug_assert();
    }
}
