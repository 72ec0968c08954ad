//! `heap record` and `heap run`: a program's malloc calls, recorded while it runs natively.
//!
//! The trace is made of the log of the last image of the process that we started, so that a wrapper script that ends in
//! `exec` does not hide the program.

use super::recording::{Log, Made, Recording};
use super::{Options, check_place, write_trace};
use crate::failure::Failure;
use clap::Args;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

/// Runs a program natively and writes a trace of its malloc calls; exits as the program did.
#[derive(Args)]
pub struct Record {
    /// Where to write the trace; .rep writes the malloc lab's text, anything else the compact format
    #[arg(short, long, value_name = "FILE", default_value = "heap.trace")]
    output: PathBuf,

    /// Also write a trace of each process that it forked and each program that these became, to FILE.PID.N
    #[arg(long)]
    children: bool,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Records a program and compares the allocators on its trace, on stderr; exits as the program did.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    options: Options,

    /// Also compare on the trace of each process that it forked and each program that these became
    #[arg(long)]
    children: bool,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

impl Record {
    pub fn run(self) -> Result<ExitCode, Failure> {
        check_place(&self.output)?;
        let recording = Recording::make(&self.program)?;
        let main = recording.main()?;
        let made = recording.read(main)?;
        write_trace(&made.trace, &self.output)?;
        say(&made, &format!("written to {}", self.output.display()));
        let others: Vec<&Log> = recording.logs.iter().filter(|log| log.name != main.name).collect();
        if self.children {
            for log in others {
                let mut file = self.output.clone().into_os_string();
                file.push(format!(".{}", log.name));
                let made = recording.read(log)?;
                write_trace(&made.trace, Path::new(&file))?;
                say(&made, &format!("written to {}", Path::new(&file).display()));
            }
        } else if !others.is_empty() {
            let count = others.len();
            eprintln!(
                "pagewalk: not written: {count} more, of child processes or earlier programs (--children writes them)"
            );
        }
        Ok(exit_as(recording))
    }
}

impl Run {
    pub fn run(self) -> Result<ExitCode, Failure> {
        self.options.check()?;
        let recording = Recording::make(&self.program)?;
        let main = recording.main()?;
        let others = recording.logs.iter().filter(|log| self.children && log.name != main.name);
        let mut traces = Vec::new();
        for log in std::iter::once(main).chain(others) {
            let made = recording.read(log)?;
            say(&made, "compared");
            traces.push(made.trace);
        }
        let text = self.options.compare(&traces)?;
        self.options.print(&text, &mut std::io::stderr())?;
        Ok(exit_as(recording))
    }
}

fn say(made: &Made, what: &str) {
    let (peak, _) = made.trace.peak_payload();
    let (name, operations) = (&made.trace.name, made.trace.ops.len());
    eprintln!("pagewalk: {name}: {operations} operations, {peak} bytes live at the peak, {what}");
    if made.unknown_frees > 0 {
        eprintln!(
            "pagewalk: {} frees were of blocks from before the recorder was there, and are left out",
            made.unknown_frees
        );
    }
    if made.is_cut {
        eprintln!("pagewalk: recording ended early: there was no room for more in the directory for temporary files");
    }
}

/// Ends as the program did.
fn exit_as(recording: Recording) -> ExitCode {
    let status: ExitStatus = recording.status;
    drop(recording);
    if let Some(signal) = status.signal() {
        machine::die_of(signal);
    }
    ExitCode::from(status.code().unwrap_or(0) as u8)
}
