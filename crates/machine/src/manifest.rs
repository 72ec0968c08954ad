//! What it takes to run the same thing again.

use crate::MachineConfig;
use crate::program_hash::ProgramHash;
use serde::Serialize;
use std::io;
use std::path::Path;

/// The machine, the options, the program and the versions of a run.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct Manifest {
    /// The version of pagewalk.
    pub pagewalk: String,
    /// The host: its kernel's release.
    pub host: String,
    /// The program's file.
    pub program: String,
    /// SHA-256 of the program's file, in hexadecimal.
    pub program_sha256: ProgramHash,
    /// The argument vector.
    pub arguments: Vec<String>,
    /// The options of the machine, defaults filled in.
    pub machine: MachineConfig,
}

impl Manifest {
    /// Describes a run.
    ///
    /// # Errors
    /// The host's, when the program's file cannot be opened.
    pub fn new(machine: &MachineConfig, program: &Path, arguments: &[Vec<u8>]) -> io::Result<Self> {
        Ok(Self {
            pagewalk: env!("CARGO_PKG_VERSION").to_owned(),
            host: host_release(),
            program: program.display().to_string(),
            program_sha256: ProgramHash::of(program)?,
            arguments: arguments.iter().map(|argument| String::from_utf8_lossy(argument).into_owned()).collect(),
            machine: machine.clone(),
        })
    }
}

fn host_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}
