//! `pagewalk run`: a program on a machine, and a report at the end.

mod options;
mod size;
mod summary;

use crate::failure::Failure;
use clap::Args;
use machine::{
    CannotRun, Ended, EventLog, ExitStatus, Format, LoadError, Machine, Maps, NotFound, OuterSignals, Program,
    Warnings, Watch,
};
use options::{MachineOptions, ReportOptions};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

/// Runs a program; a short report on stderr at the end.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    machine: MachineOptions,
    #[command(flatten)]
    report: ReportOptions,
    /// The program, found as the shell finds it, and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    command: Vec<OsString>,
}

/// Runs it. The guest's exit status is the answer; if a signal killed the guest, pagewalk dies of it too.
///
/// # Errors
/// What is wrong with the options, the files they name or the program.
pub fn run(options: &Run) -> Result<ExitCode, Failure> {
    options.run()
}

impl Run {
    fn run(&self) -> Result<ExitCode, Failure> {
        let config = self.machine.config();
        let (name, arguments) = self.command.split_first().expect("clap asks for a program");
        let program = Program::find(name, arguments).map_err(|NotFound(sentence)| Failure::not_found(sentence))?;
        let mut report_file = self.report.report.as_deref().map(create).transpose()?;
        let watch = Watch {
            events: self.event_log()?,
            warnings: if self.report.quiet { Warnings::Quiet } else { Warnings::Said },
            maps: if self.report.maps_at_exit { Maps::Kept } else { Maps::Dropped },
            outer_signals: OuterSignals::Forwarded,
        };
        if program.is_setuid() && watch.warnings == Warnings::Said {
            eprintln!(
                "pagewalk: {} is set-user-ID or set-group-ID; it runs with your own rights",
                program.path.display()
            );
        }
        let machine =
            Machine::new(config).map_err(|error| Failure::usage(format!("no machine can be built: {error}")))?;
        let ended = machine.run(&program, watch).map_err(|error| cannot_run(&program, &error))?;
        self.speak(&ended, report_file.as_mut().map(|file| file as &mut dyn Write));
        end(&ended)
    }

    fn event_log(&self) -> Result<Option<EventLog>, Failure> {
        let Some(kinds) = self.report.events else { return Ok(None) };
        let to: Box<dyn Write + Send> = match &self.report.events_to {
            Some(path) => Box::new(io::BufWriter::new(create(path)?)),
            None => Box::new(io::stderr()),
        };
        Ok(Some(EventLog { kinds, format: self.report.format.into(), to }))
    }

    /// Prints what is to be said at the end. Where it cannot be printed there is nobody to tell.
    fn speak(&self, ended: &Ended, report_file: Option<&mut dyn Write>) {
        let mut stderr = io::stderr();
        if !self.report.quiet {
            for bug in &ended.bugs {
                let _ = writeln!(stderr, "pagewalk: bug: {bug}");
            }
            let texts = [ended.maps.as_deref(), ended.crash.as_ref().map(|crash| crash.text.as_str())];
            for text in texts.into_iter().flatten() {
                let _ = writeln!(stderr, "{}", text.trim_end());
            }
        }
        let text = match Format::from(self.report.format) {
            Format::Json => format!("{}\n", ended.report.to_json()),
            Format::Text => summary::text(ended, &self.command),
        };
        let _ = match report_file {
            Some(file) => file.write_all(text.as_bytes()),
            None if self.report.quiet => Ok(()),
            None => stderr.write_all(text.as_bytes()),
        };
    }
}

fn end(ended: &Ended) -> Result<ExitCode, Failure> {
    match ended.report.exit {
        ExitStatus::Exited { status } => Ok(ExitCode::from(status)),
        ExitStatus::Killed { signal, .. } => machine::die_of(i32::from(signal)),
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::usage(format!("{} cannot be written: {error}", path.display())))
}

fn cannot_run(program: &Program, error: &CannotRun) -> Failure {
    match error {
        CannotRun::Host(error) => Failure::usage(format!("the machine cannot start: {error}")),
        CannotRun::Program(error) => {
            let sentence = format!("{} cannot be run: {error}", program.path.display());
            match error {
                LoadError::NotFound => Failure::not_found(sentence),
                _ => Failure::cannot_run(sentence),
            }
        }
    }
}
