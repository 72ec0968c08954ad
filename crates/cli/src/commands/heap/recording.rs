//! Running a program with the recorder in it, and what its logs say.
//!
//! The recorder library is in this binary. It is written to a private directory and preloaded into the program and into
//! every program that it starts; each program image and each forked child writes a log of its own there.

use crate::failure::Failure;
use heap::{LogHead, Recorded, Trace};
use host::outer_signals::OthersInterrupts;
use machine::Program;
use object::elf::{DF_1_PIE, FileHeader64, PT_INTERP};
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, elf};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus};

const RECORDER: &[u8] = include_bytes!(env!("PAGEWALK_RECORDER"));
const LOG_PREFIX: &str = "log";

/// What a run left behind, until it is dropped.
pub struct Recording {
    directory: tempfile::TempDir,
    program: String,
    process: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// The logs, in order of process and exec.
    pub logs: Vec<Log>,
}

/// A log: that of a program image or of a forked child.
pub struct Log {
    process: u32,
    image: u32,
    /// Both, as its file is called.
    pub name: String,
}

/// A log that was read.
pub struct Made {
    /// What it is about.
    pub trace: Trace,
    /// Frees that are not in the trace.
    pub unknown_frees: u64,
    /// Whether there are calls after the last one in it.
    pub is_cut: bool,
}

impl Recording {
    /// Runs a program to its end.
    pub fn make(program: &[OsString]) -> Result<Self, Failure> {
        let (name, arguments) = program.split_first().expect("clap asks for a program");
        let shown = name.to_string_lossy().into_owned();
        let found = Program::find(name, arguments).map_err(|error| Failure::not_found(error.0))?;
        if is_static(&found.path) {
            return Err(Failure::cannot_run(format!(
                "{shown} is statically linked, so no library can be preloaded into it to record its malloc calls"
            )));
        }
        let directory = tempfile::Builder::new().prefix("pagewalk-").tempdir().map_err(no_directory)?;
        let library = directory.path().join("libpagewalk_recorder.so");
        std::fs::write(&library, RECORDER).map_err(no_directory)?;
        let mut preload = library.into_os_string();
        if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
            preload.push(":");
            preload.push(others);
        }
        let interrupts = OthersInterrupts::leave();
        let mut child = Command::new(name)
            .args(arguments)
            .env("LD_PRELOAD", preload)
            .env("PAGEWALK_HEAP_LOG", directory.path().join(LOG_PREFIX))
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Failure::not_found(format!("{shown} cannot be run: {error}")),
                _ => Failure::cannot_run(format!("{shown} cannot be run: {error}")),
            })?;
        let process = child.id();
        let ended = child.wait();
        drop(interrupts);
        let status = ended.map_err(|error| Failure::cannot_run(format!("{shown} cannot be waited for: {error}")))?;
        let logs = logs(directory.path()).map_err(no_directory)?;
        Ok(Self { directory, program: shown, process, status, logs })
    }

    /// The log of the last image of the process that we started.
    pub fn main(&self) -> Result<&Log, Failure> {
        self.logs.iter().rfind(|log| log.process == self.process).ok_or_else(|| {
            Failure::cannot_run(format!(
                "{} made no malloc call that the recorder saw: it makes none, brings its own malloc, or ignores LD_PRELOAD",
                self.program
            ))
        })
    }

    /// The trace of a log.
    pub fn read(&self, log: &Log) -> Result<Made, Failure> {
        let mut recorded = Recorded::default();
        let (program, is_cut) = self
            .append(&mut recorded, log, u64::MAX)
            .map_err(|error| Failure::usage(format!("the recorder's log {} cannot be read: {error}", log.name)))?;
        let is_main = self.main().is_ok_and(|main| main.name == log.name);
        let name = if is_main { program } else { format!("{program}.{}", log.name) };
        let trace = Trace { name, ..recorded.trace };
        Ok(Made { trace, unknown_frees: recorded.unknown_frees, is_cut })
    }

    /// Appends the first `most` slots of a log, behind what its process had done as a part of its parent. Gives the
    /// program's name, and whether the log is cut.
    fn append(&self, recorded: &mut Recorded, log: &Log, most: u64) -> io::Result<(String, bool)> {
        let file = self.directory.path().join(format!("{LOG_PREFIX}.{}", log.name));
        let mut reader = BufReader::new(File::open(file)?);
        let head = LogHead::read(&mut reader)?;
        let mut is_cut = head.is_cut;
        if let Some(parent) = head.parent {
            let is_parents = |log: &&Log| (log.process, log.image) == (parent.process, parent.image);
            if let Some(log) = self.logs.iter().find(is_parents) {
                is_cut |= self.append(recorded, log, parent.slots)?.1;
            }
        }
        recorded.append(head.slots.min(most), reader)?;
        Ok((head.name, is_cut))
    }
}

fn no_directory(error: io::Error) -> Failure {
    Failure::usage(format!("no temporary directory for the recorder: {error}"))
}

fn logs(directory: &Path) -> io::Result<Vec<Log>> {
    let mut logs = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_prefix("log.") else { continue };
        let mut numbers = name.split('.').map(str::parse);
        if let (Some(Ok(process)), Some(Ok(image))) = (numbers.next(), numbers.next()) {
            logs.push(Log { process, image, name: name.to_owned() });
        }
    }
    logs.sort_by_key(|log| (log.process, log.image));
    Ok(logs)
}

/// Whether it is an ELF program that the kernel starts without a dynamic linker, which would do the preloading.
fn is_static(path: &Path) -> bool {
    std::fs::read(path).is_ok_and(|bytes| needs_no_linker(&bytes).unwrap_or(false))
}

fn needs_no_linker(bytes: &[u8]) -> object::Result<bool> {
    let head = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = head.endian()?;
    let segments = head.program_headers(endian, bytes)?;
    if segments.iter().any(|segment| segment.p_type(endian) == PT_INTERP) {
        return Ok(false);
    }
    // A dynamic linker itself needs none either, and preloads; what tells a static program at any address from it is a flag.
    let mut is_program = head.e_type(endian) == elf::ET_EXEC;
    for segment in segments {
        for entry in segment.dynamic(endian, bytes)?.unwrap_or_default() {
            let flags = DF_1_PIE.0;
            is_program |= entry.d_tag(endian) == elf::DT_FLAGS_1 && entry.d_val(endian) & flags != 0;
        }
    }
    Ok(is_program)
}
