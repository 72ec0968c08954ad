//! Programs of our own, compiled at test time, and run both natively and under pagewalk.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Compiles `tests/programs/NAME.c` into a directory.
pub fn compile(name: &str, directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs").join(format!("{name}.c"));
    let program = directory.join(name);
    let status = Command::new("cc").args(["-g", "-O1", "-Wall", "-o"]).arg(&program).arg(source).status();
    assert!(status.expect("there is a C compiler").success(), "{name}.c compiles");
    program
}

/// Where the tests keep translations: not among the user's.
const CODE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/code");

/// `pagewalk run` with options.
pub fn pagewalk(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pagewalk"));
    command.arg("run").args(options);
    if !options.contains(&"--code-cache") {
        command.args(["--code-cache", CODE]);
    }
    command
}

/// What a program prints natively, addresses not random.
pub fn natively(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().expect("the program runs natively")
}

/// What a program prints under pagewalk.
pub fn under_pagewalk(options: &[&str], program: &Path, arguments: &[&str]) -> Output {
    pagewalk(options).arg(program).args(arguments).output().expect("pagewalk runs")
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the program prints text")
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("pagewalk prints text")
}

/// Runs a program without arguments natively and under pagewalk: output and end are the same. Returns the output.
pub fn same_transcript(name: &str) -> String {
    let directory = tempfile::tempdir().expect("there is room");
    let program = compile(name, directory.path());
    let native = natively(&program, &[]);
    let guest = under_pagewalk(&["--quiet", "--ram", "512M"], &program, &[]);
    assert_eq!(stdout(&guest), stdout(&native), "stderr: {}", stderr(&guest));
    assert_eq!(guest.status, native.status, "stderr: {}", stderr(&guest));
    assert!(!stderr(&guest).contains("pagewalk: bug:"), "{}", stderr(&guest));
    stdout(&guest)
}
