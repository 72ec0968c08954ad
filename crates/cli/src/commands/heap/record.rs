//! `heap record` and `heap run`: a program's malloc calls, recorded while it runs natively.
//!
//! The recorder library is in this binary. It is written to a private directory, preloaded into the program and every
//! program that it starts, and each program image writes a log of its own there. The trace is made of the log of the
//! last image of the process that we started, so that a wrapper script that ends in `exec` does not hide the program.

use super::{Options, write_trace};
use crate::failure::Failure;
use clap::Args;
use heap::Recorded;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

const RECORDER: &[u8] = include_bytes!(env!("PAGEWALK_RECORDER"));

/// Runs a program natively and writes a trace of its malloc calls; exits as the program did.
#[derive(Args)]
pub struct Record {
    /// Where to write the trace; .rep writes the malloc lab's text, anything else the compact format
    #[arg(short, long, value_name = "FILE", default_value = "heap.trace")]
    output: PathBuf,

    /// Also write a trace of each program that it started, to FILE.PID.N
    #[arg(long)]
    children: bool,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

/// Records a program and compares the allocators on its trace; exits as the program did.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    options: Options,

    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<OsString>,
}

impl Record {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let recording = record(&self.program)?;
        let main = recording.main()?;
        write_trace(&main.trace, &self.output)?;
        say(&main, &format!("written to {}", self.output.display()));
        let others: Vec<&Image> = recording.images.iter().filter(|image| !main.is(image)).collect();
        if self.children {
            for image in others {
                let mut file = self.output.clone().into_os_string();
                file.push(format!(".{}.{}", image.process, image.number));
                write_trace(&image.read()?.trace, Path::new(&file))?;
            }
        } else if !others.is_empty() {
            eprintln!("pagewalk: {} other program images were not written; --children writes them", others.len());
        }
        Ok(exit_code(recording.status))
    }
}

impl Run {
    pub fn run(self) -> Result<ExitCode, Failure> {
        let recording = record(&self.program)?;
        let main = recording.main()?;
        say(&main, "compared");
        self.options.compare(&[main.trace])?;
        Ok(exit_code(recording.status))
    }
}

/// What a run left behind, until it is dropped.
struct Recording {
    _directory: tempfile::TempDir,
    program: String,
    process: u32,
    status: ExitStatus,
    images: Vec<Image>,
}

/// The log of one program image: a process has one for each exec.
struct Image {
    process: u32,
    number: u32,
    log: PathBuf,
}

/// A log that was read, and which one.
struct Main {
    recorded: Recorded,
    trace: heap::Trace,
    process: u32,
    number: u32,
}

fn record(program: &[OsString]) -> Result<Recording, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("no temporary directory for the recorder: {error}"));
    let directory = tempfile::Builder::new().prefix("pagewalk-").tempdir().map_err(failed)?;
    let library = directory.path().join("libpagewalk_recorder.so");
    std::fs::write(&library, RECORDER).map_err(failed)?;
    let mut preload = library.into_os_string();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        preload.push(":");
        preload.push(others);
    }
    let (name, arguments) = program.split_first().expect("clap asks for a program");
    let shown = name.to_string_lossy().into_owned();
    let mut child = Command::new(name)
        .args(arguments)
        .env("LD_PRELOAD", preload)
        .env("PAGEWALK_HEAP_LOG", directory.path().join("log"))
        .spawn()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::not_found(format!("{shown} was not found")),
            _ => Failure::cannot_run(format!("{shown} cannot be run: {error}")),
        })?;
    let process = child.id();
    let status = child.wait().map_err(|error| Failure::cannot_run(format!("{shown} cannot be waited for: {error}")))?;
    let images = images(directory.path()).map_err(failed)?;
    Ok(Recording { _directory: directory, program: shown, process, status, images })
}

/// The logs, in order of process and exec.
fn images(directory: &Path) -> std::io::Result<Vec<Image>> {
    let mut images = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let log = entry?.path();
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut numbers = name.strip_prefix("log.").unwrap_or("").split('.').map(str::parse);
        if let (Some(Ok(process)), Some(Ok(number))) = (numbers.next(), numbers.next()) {
            images.push(Image { process, number, log });
        }
    }
    images.sort_by_key(|image| (image.process, image.number));
    Ok(images)
}

impl Recording {
    /// The last image of the process that we started.
    fn main(&self) -> Result<Main, Failure> {
        let image = self.images.iter().rfind(|image| image.process == self.process).ok_or_else(|| {
            Failure::cannot_run(format!(
                "{} made no malloc call that the recorder saw: is it statically linked, or with an allocator of its own?",
                self.program
            ))
        })?;
        let mut recorded = image.read()?;
        let name = Path::new(&self.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let trace = heap::Trace { name, ..std::mem::take(&mut recorded.trace) };
        Ok(Main { recorded, trace, process: image.process, number: image.number })
    }
}

impl Image {
    fn read(&self) -> Result<Recorded, Failure> {
        let read = File::open(&self.log).and_then(|log| Recorded::read(BufReader::new(log)));
        read.map_err(|error| Failure::usage(format!("the recorder's log cannot be read: {error}")))
    }
}

impl Main {
    fn is(&self, image: &Image) -> bool {
        (self.process, self.number) == (image.process, image.number)
    }
}

fn say(main: &Main, what: &str) {
    let (peak, _) = main.trace.peak_payload();
    eprintln!("pagewalk: {} operations, {peak} bytes live at the peak, {what}", main.trace.ops.len());
    let unknown = main.recorded.unknown_frees;
    if unknown > 0 {
        eprintln!("pagewalk: {unknown} frees were of blocks from before the recorder was there, and are left out");
    }
}

/// The program's status; killed by a signal, what a shell says of that.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(code as u8)
}
