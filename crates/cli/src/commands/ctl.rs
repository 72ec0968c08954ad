//! `pagewalk ctl`: a pagewalk that runs is asked something.

use crate::commands::run::{FormatOption, duration};
use crate::control::request::{Flow, Request};
use crate::control::{DONE, PATIENCE, REFUSED, socket};
use crate::failure::Failure;
use clap::{Args, Subcommand};
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// How long the programs have after SIGTERM, if nothing else is said.
const DEFAULT_GRACE: &str = "10s";

/// Asks a running pagewalk for a report, its address spaces, events, or its end.
#[derive(Args)]
pub struct Ctl {
    /// The process number of the pagewalk that runs
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pid: u32,
    #[command(subcommand)]
    wish: Wish,
}

#[derive(Subcommand)]
enum Wish {
    /// Print the report as of now
    Report {
        /// The form of the report
        #[arg(long, value_name = "text|json", value_enum, default_value_t = FormatOption::Text, hide_possible_values = true, hide_default_value = true)]
        format: FormatOption,
    },
    /// Print the address space of each process as it is now
    Maps,
    /// Write events from now on (those that --events named, or all, to where it writes them), or stop that
    Events {
        /// on or off
        #[arg(value_name = "on|off", value_enum, hide_possible_values = true)]
        flow: Flow,
    },
    /// End it: SIGTERM to each process, SIGKILL to those that are left; returns when it has ended
    Stop {
        /// How long the processes have before SIGKILL
        #[arg(long, value_name = "DURATION", value_parser = duration::parse, default_value = DEFAULT_GRACE)]
        grace: Duration,
    },
}

impl Wish {
    fn request(&self) -> Request {
        match self {
            Self::Report { format } => Request::Report((*format).into()),
            Self::Maps => Request::Maps,
            Self::Events { flow } => Request::Events(*flow),
            Self::Stop { grace } => Request::Stop(*grace),
        }
    }
}

/// Asks, and prints the answer.
///
/// # Errors
/// No such process, or it refuses, or it ends before it answers.
pub fn run(options: &Ctl) -> Result<ExitCode, Failure> {
    let pid = options.pid;
    let cannot = |error: io::Error| Failure::usage(format!("pagewalk {pid} cannot be asked: {error}"));
    let Some(mut stream) = socket::connect(pid).map_err(cannot)? else {
        return Err(Failure::not_found(format!("process {pid} is no running pagewalk of yours")));
    };
    let request = options.wish.request();
    // A stop is answered by the end of the process, however long that takes.
    let patience = (!matches!(request, Request::Stop(_))).then_some(PATIENCE);
    stream.set_read_timeout(patience).map_err(cannot)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(cannot)?;
    stream.write_all(format!("{request}\n").as_bytes()).map_err(cannot)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(cannot)?;
    match answer.split_once('\n') {
        Some((DONE, text)) => io::stdout().write_all(text.as_bytes()).map_err(cannot)?,
        Some((REFUSED, why)) => return Err(Failure::usage(format!("pagewalk {pid} refuses: {}", why.trim_end()))),
        _ => return Err(Failure::not_found(format!("pagewalk {pid} ended before it answered"))),
    }
    Ok(ExitCode::SUCCESS)
}
