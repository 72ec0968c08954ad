//! `pagewalk run`: a program on a machine, and a report at the end.

pub mod duration;
mod options;
mod service;
mod size;
mod summary;

pub use options::FormatOption;

use crate::control::socket::OwnSocket;
use crate::failure::Failure;
use clap::Args;
use host::TerminalModes;
use machine::{
    CannotRun, Control, Ended, EventLog, ExitStatus, Format, Kinds, LoadError, Maps, NotFound, OuterSignals, Program,
    Warnings, Watch,
};
use options::{MachineOptions, ReportOptions};
use service::Interval;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

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
        let (name, arguments) = self.command.split_first().expect("clap asks for a program");
        let program = Program::find(name, arguments).map_err(|NotFound(sentence)| Failure::not_found(sentence))?;
        let mut report_file = self.report.report.as_deref().map(create).transpose()?;
        let interval = self.interval(report_file.as_ref())?;
        let watch = Watch {
            events: Some(self.event_log()?),
            warnings: if self.report.quiet { Warnings::Quiet } else { Warnings::Said },
            maps: if self.report.maps_at_exit { Maps::Kept } else { Maps::Dropped },
            outer_signals: OuterSignals::Forwarded,
        };
        let machine =
            self.machine.build().map_err(|error| Failure::usage(format!("no machine can be built: {error}")))?;
        let socket = self.control_socket();
        let modes = TerminalModes::of_stdin();
        let mut reports = None;
        let begun = |control| reports = self.serve(control, socket.as_ref(), interval);
        let ended = machine.run_controlled(&program, watch, begun).map_err(|error| cannot_run(&program, &error))?;
        if let (Some(modes), Some(ExitStatus::Killed { .. })) = (modes, ended.report.exit) {
            // A program that was killed had no chance to. Without a terminal there is nothing to put back.
            let _ = modes.put_back();
        }
        if let Some(reports) = reports {
            // A panic of the thread has been printed already; the last report follows.
            let _ = reports.join();
        }
        self.speak(&ended, report_file.as_mut().map(|file| file as &mut dyn Write));
        end(&ended)
    }

    fn event_log(&self) -> Result<EventLog, Failure> {
        let kinds = self.report.events.unwrap_or(Kinds::NONE);
        let to: Box<dyn Write + Send> = match &self.report.events_to {
            Some(path) => Box::new(io::BufWriter::new(create(path)?)),
            None => Box::new(io::stderr()),
        };
        Ok(EventLog { kinds, format: self.report.format.into(), to })
    }

    /// The reports that are wanted while the program runs.
    fn interval(&self, report_file: Option<&File>) -> Result<Option<Interval>, Failure> {
        let Some(every) = self.report.report_every else { return Ok(None) };
        let to: Box<dyn Write + Send> = match report_file {
            Some(file) => Box::new(file.try_clone().map_err(|error| Failure::usage(error.to_string()))?),
            None if self.report.quiet => {
                return Err(Failure::usage("with --quiet, --report-every needs a --report FILE to write to"));
            }
            None => Box::new(io::stderr()),
        };
        Ok(Some(Interval { every, format: self.report.format.into(), to }))
    }

    /// Where `pagewalk ctl` reaches this run. It runs as well without.
    fn control_socket(&self) -> Option<Arc<OwnSocket>> {
        let socket = OwnSocket::bind();
        if let Err(error) = &socket
            && !self.report.quiet
        {
            eprintln!("pagewalk: pagewalk ctl will not reach this run: {error}");
        }
        socket.ok().map(Arc::new)
    }

    /// Starts what goes on beside the run.
    fn serve(
        &self,
        control: Control,
        socket: Option<&Arc<OwnSocket>>,
        interval: Option<Interval>,
    ) -> Option<std::thread::JoinHandle<()>> {
        let events = self.report.events.unwrap_or(Kinds::ALL);
        let served = socket.map_or(Ok(()), |socket| service::serve(socket, control.clone(), events));
        let reports = served.and_then(|()| interval.map(|interval| interval.start(control)).transpose());
        reports.unwrap_or_else(|error| {
            eprintln!("pagewalk: the host has no thread for reports and pagewalk ctl: {error}");
            None
        })
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
            // Several reports in one file are told apart by their lines.
            Format::Json if self.report.report_every.is_some() => format!("{}\n", ended.report.to_json_line()),
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
        Some(ExitStatus::Exited { status }) => Ok(ExitCode::from(status)),
        Some(ExitStatus::Killed { signal, .. }) => machine::die_of(i32::from(signal)),
        None => unreachable!("a run that is over has a status"),
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
