//! What it takes to run the same thing again.

use crate::MachineConfig;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use std::path::Path;

/// The machine, the options, the program and the versions of a run.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Manifest {
    /// The version of pagewalk.
    pub pagewalk: String,
    /// The host: its kernel's release.
    pub host: String,
    /// The program's file.
    pub program: String,
    /// SHA-256 of the program's file, in hexadecimal.
    pub program_sha256: String,
    /// The argument vector.
    pub arguments: Vec<String>,
    /// The options of the machine, defaults filled in.
    pub machine: MachineConfig,
}

impl Manifest {
    /// Describes a run.
    ///
    /// # Errors
    /// The host's, when the program's file cannot be read.
    pub fn new(machine: &MachineConfig, program: &Path, arguments: &[Vec<u8>]) -> io::Result<Self> {
        Ok(Self {
            pagewalk: env!("CARGO_PKG_VERSION").to_owned(),
            host: host_release(),
            program: program.display().to_string(),
            program_sha256: sha256_of(program)?,
            arguments: arguments.iter().map(|argument| String::from_utf8_lossy(argument).into_owned()).collect(),
            machine: machine.clone(),
        })
    }
}

fn host_release() -> String {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

fn sha256_of(program: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut std::fs::File::open(program)?, &mut HashWriter(&mut hash))?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_what_sha256sum_prints() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        io::Write::write_all(&mut file, b"abc").unwrap();
        let hash = sha256_of(file.path()).unwrap();
        assert_eq!(hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
