//! The rows of the table: what is run, and on what input.

use crate::shell::{self, Result};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One program of the table.
pub struct Row {
    /// As the table names it.
    pub name: &'static str,
    /// The program's absolute path and its arguments.
    pub command: Vec<String>,
}

/// Our own programs: the file's stem and the row's name.
const COMPILED: [(&str, &str); 4] = [
    ("qsort", "qsort 3M ints with a callback"),
    ("matrix", "matrix product 512 doubles"),
    ("malloc", "malloc/free 6M"),
    ("sieve", "sieve + collatz"),
];
const HASHED_BYTES: usize = 30 << 20;
const SORTED_LINES: usize = 400_000;

/// Compiles the programs, makes their inputs, and lists the commands.
pub fn rows() -> Result<Vec<Row>> {
    let sources = shell::root().join("bench/programs");
    let folder = shell::root().join("target/bench");
    fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    let mut rows = Vec::new();
    for (stem, name) in COMPILED {
        let program = folder.join(stem);
        let source = sources.join(stem).with_extension("c");
        shell::run(Command::new("cc").args(["-O2", "-o"]).arg(&program).arg(source))?;
        rows.push(Row { name, command: vec![text(&program)] });
    }
    let busybox = found("busybox")?;
    let bytes = input(&folder.join("bytes"), random_bytes)?;
    let lines = input(&folder.join("lines"), random_lines)?;
    let compiled = text(&sources.join("compiled.c"));
    let script = text(&sources.join("python.py"));
    let cc1 = answer(Command::new("cc").arg("-print-prog-name=cc1"))?;
    let python = answer(Command::new("python3").args(["-c", "import sys; print(sys.executable)"]))?;
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
    rows.push(Row { name: "busybox sha256sum 30 MB", command: words(&[&busybox, "sha256sum", &bytes]) });
    rows.push(Row { name: "busybox sort 400k lines", command: words(&[&busybox, "sort", &lines]) });
    let cc1_words = [cc1.as_str(), "-quiet", "-O2", &compiled, "-o", "/dev/null"];
    rows.push(Row { name: "cc1 -O2, 40 lines", command: words(&cc1_words) });
    rows.push(Row { name: "CPython, fib(25) + dict", command: words(&[&python, "-S", &script]) });
    Ok(rows)
}

fn input(path: &Path, make: fn() -> Vec<u8>) -> Result<String> {
    fs::write(path, make()).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    Ok(text(path))
}

fn random_bytes() -> Vec<u8> {
    let mut state = 1;
    (0..HASHED_BYTES).map(|_| next(&mut state) as u8).collect()
}

fn random_lines() -> Vec<u8> {
    let mut state = 2;
    let mut lines = String::new();
    for _ in 0..SORTED_LINES {
        writeln!(lines, "{:016x}", next(&mut state)).expect("a string takes everything");
    }
    lines.into_bytes()
}

/// Marsaglia's xorshift: the same input in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn found(program: &str) -> Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let candidates = std::env::split_paths(&path).map(|folder| folder.join(program));
    let first: Option<PathBuf> = candidates.into_iter().find(|candidate| candidate.is_file());
    first.map(|path| text(&path)).ok_or_else(|| format!("{program} is not installed"))
}

fn answer(command: &mut Command) -> Result<String> {
    let output = command.output().map_err(|error| format!("{command:?} cannot be started: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
