//! `cargo xtask fuzz-calls`: random system calls with hostile arguments, from a guest program, until pagewalk breaks.

use crate::shell::{self, Result};
use crate::tools;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Guest processes in one run of pagewalk, and calls that each makes.
const CHILDREN: u64 = 40;
const CALLS: u64 = 400;
/// The longest file that a guest may make, in blocks of 512 bytes: a disk shall not fill up.
const FILE_BLOCKS: u64 = 20_000;
/// No run takes so long, unless it hangs.
const PATIENCE_SECONDS: u64 = 600;

/// Where to begin, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// The seed of the first guest process; the next one has the next seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When to stop; without it, never
    #[arg(long)]
    seconds: Option<u64>,
}

/// Runs until the time is over or pagewalk fails; the seed and the last calls say where.
pub fn run(options: &Options) -> Result<()> {
    tools::provide(tools::FOR_TESTS)?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "pagewalk"]))?;
    let place = std::env::temp_dir().join(format!("pagewalk-fuzz-calls-{}", std::process::id()));
    std::fs::create_dir_all(&place).map_err(|error| format!("{} cannot be made: {error}", place.display()))?;
    let program = place.join("call_fuzz");
    let source = shell::root().join("tests/programs/call_fuzz.c");
    shell::run(Command::new("cc").args(["-O1", "-o"]).arg(&program).arg(source))?;
    let started = Instant::now();
    let is_over = || options.seconds.is_some_and(|seconds| started.elapsed() >= Duration::from_secs(seconds));
    let mut seed = options.seed;
    while !is_over() {
        let scratch = place.join("scratch");
        let output = round(&program, &scratch, seed)?;
        if let Some(failure) = failure(&output) {
            return Err(format!("{failure} with seed {seed}; the last calls are in {}.log", scratch.display()));
        }
        println!("seed {seed}: {}", String::from_utf8_lossy(&output.stdout).trim_end());
        seed += CHILDREN;
    }
    // What is left behind is of use to nobody.
    let _ = std::fs::remove_dir_all(&place);
    Ok(())
}

fn round(program: &Path, scratch: &PathBuf, seed: u64) -> Result<Output> {
    // A guest may have changed the rights of what it made.
    let _ = std::fs::remove_dir_all(scratch);
    std::fs::create_dir_all(scratch).map_err(|error| format!("{} cannot be made: {error}", scratch.display()))?;
    let pagewalk = shell::root().join("target/release/pagewalk");
    let script = format!(
        "ulimit -f {FILE_BLOCKS}; exec timeout {PATIENCE_SECONDS} {} run --ram 256M --quiet {} {} {seed} {CHILDREN} {CALLS}",
        pagewalk.display(),
        program.display(),
        scratch.display()
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::null());
    command.output().map_err(|error| format!("sh cannot be started: {error}"))
}

/// What pagewalk did wrong, if it did.
fn failure(output: &Output) -> Option<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = said.lines().find(|line| line.contains("panicked") || line.contains("pagewalk: bug:"));
    match complaint {
        Some(line) => Some(line.to_owned()),
        None => (!output.status.success()).then(|| format!("pagewalk ended with {}", output.status)),
    }
}
