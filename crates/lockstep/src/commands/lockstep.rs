//! `cargo xtask lockstep`.

use addr::PAGE_BYTES;
use engine::{Count, EngineConfig, Extent, Linking};
use kernel::KernelConfig;
use mmu::Memory;
use pagewalk_lockstep::follow::{CannotFollow, Program, Verdict, follow};
use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::channel;

/// Simulated RAM; the host commits what is touched.
const RAM_BYTES: u64 = 2 << 30;

/// What to run, and how closely.
#[derive(clap::Args)]
pub struct Options {
    /// Translate and compare every instruction on its own.
    #[arg(long)]
    each_instruction: bool,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    program: Vec<OsString>,
}

/// Follows the program and prints where the two parted, if they did.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let extent = if options.each_instruction { Extent::Instruction } else { Extent::Superblock };
    let config = EngineConfig { extent, count: Count::Yes, linking: Linking::Off, ..EngineConfig::default() };
    let program = program(&options.program);
    let kernel = KernelConfig { cpus: 1, ..KernelConfig::default() };
    let memory = Memory::new((RAM_BYTES / PAGE_BYTES) as u32)?;
    let (send, received) = channel();
    let thread = host::guest_thread::spawn("guest".to_string(), move || {
        let result = follow(&program, &memory, config, kernel);
        // The receiver waits for exactly this message.
        let _ = send.send(result);
    })?;
    let result = received.recv();
    if thread.join().is_err() {
        return Err(io::Error::other("the checker itself failed"));
    }
    match result.map_err(io::Error::other)? {
        Err(CannotFollow::Host(error)) => Err(error),
        Err(CannotFollow::Program(error)) => Err(io::Error::other(format!("the program cannot be loaded: {error}"))),
        Ok(verdict) => Ok(told(verdict)),
    }
}

fn told(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Agreed(agreement, status) => {
            eprintln!("agreed to the end ({status:?}): {agreement}");
            ExitCode::SUCCESS
        }
        Verdict::Left(agreement) => {
            eprintln!("agreed until the program made a thread or a process, or slept: {agreement}");
            ExitCode::SUCCESS
        }
        Verdict::Diverged(divergence) => {
            eprintln!("{divergence}");
            ExitCode::FAILURE
        }
    }
}

fn program(words: &[OsString]) -> Program {
    let path = found(Path::new(&words[0]));
    let environment = std::env::vars_os().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat());
    Program {
        path: path.into_os_string().into_vec(),
        arguments: words.iter().map(|word| word.as_bytes().to_vec()).collect(),
        environment: environment.collect(),
    }
}

/// As a shell finds it.
fn found(name: &Path) -> PathBuf {
    if name.components().count() > 1 {
        return name.to_path_buf();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = std::env::split_paths(&path).map(|folder| folder.join(name));
    candidates.find(|candidate| candidate.is_file()).unwrap_or_else(|| name.to_path_buf())
}
