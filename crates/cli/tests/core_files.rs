//! Core files, and what a death says of itself.

mod common;

use common::{compile, stderr, stdout, under_pagewalk};
use serde_json::Value;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};

/// Runs a program under pagewalk in a directory, with a limit for core files.
fn run_there(directory: &Path, limit: &str, options: &str, program: &str) -> Output {
    let script = format!("ulimit -c {limit}; exec {} run {options} ./{program}", env!("CARGO_BIN_EXE_pagewalk"));
    Command::new("sh").args(["-c", &script]).current_dir(directory).output().unwrap()
}

/// What gdb says of the core file in a directory; `None` on a machine without gdb, which cannot look.
fn gdb(directory: &Path, program: &str, commands: &[&str]) -> Option<String> {
    let mut gdb = Command::new("gdb");
    gdb.args(["--batch", "-nx"]).current_dir(directory);
    commands.iter().for_each(|command| _ = gdb.args(["-ex", command]));
    let output = gdb.args([program, "core"]).output().ok();
    if output.is_none() {
        println!("skipped: there is no gdb");
    }
    output.as_ref().map(stdout)
}

#[test]
fn every_thread_is_in_the_core_file() {
    let directory = tempfile::tempdir().unwrap();
    compile("core_threads", directory.path());
    let output = run_there(directory.path(), "unlimited", "--quiet", "core_threads");
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{}", stderr(&output));
    let commands = ["info threads", "bt", "p/x $ymm5.v4_int64", "thread apply all bt", "p $_siginfo.si_signo"];
    let Some(said) = gdb(directory.path(), "core_threads", &commands) else { return };
    assert!(said.contains("Program terminated with signal SIGSEGV"), "{said}");
    assert!(said.contains("in stores_nowhere (") && said.contains("core_threads.c:"), "{said}");
    assert_eq!(said.matches("in waits_in_vain (").count(), 2, "{said}");
    assert!(said.contains("in main () at "), "{said}");
    assert!(said.contains("* 1    Thread") && said.contains("  4    Thread"), "{said}");
    if stdout(&output).contains("avx\n") && !stdout(&output).contains("no avx") {
        assert!(said.contains("{0x1111, 0x2222, 0x3333, 0x4444}"), "{said}");
    }
}

#[test]
fn the_core_bit_is_true() {
    let directory = tempfile::tempdir().unwrap();
    compile("core_bit", directory.path());
    let output = run_there(directory.path(), "unlimited", "--quiet", "core_bit");
    let expected = "\
no limit: signal 6, core bit 1, file 1
limit 0: signal 6, core bit 0, file 0
limit below a page: signal 6, core bit 0, file 0
limit of 64 KiB: signal 3, core bit 1, file 1
not dumpable: signal 6, core bit 0, file 0
a signal without core: signal 15, core bit 0, file 0
a directory in its place: signal 6, core bit 0, file 1
a link in its place: signal 6, core bit 0, file 0
behind the link: file 0
";
    assert_eq!(stdout(&output), expected, "{}", stderr(&output));
}

#[test]
fn writing_the_core_is_no_fault_of_the_programs() {
    let directory = tempfile::tempdir().unwrap();
    compile("segv", directory.path());
    let faults = |limit: &str| {
        let output = run_there(directory.path(), limit, "--format json --report report", "segv");
        let report = std::fs::read_to_string(directory.path().join("report")).unwrap();
        let report: Value = serde_json::from_str(&report).unwrap();
        (report["faults"].clone(), report["exit"]["core_dumped"].clone(), output.status.signal())
    };
    let (without, with) = (faults("0"), faults("unlimited"));
    assert_eq!((without.1, with.1), (Value::Bool(false), Value::Bool(true)));
    assert_eq!(without.0, with.0);
    assert_eq!((without.2, with.2), (Some(libc::SIGSEGV), Some(libc::SIGSEGV)));
}

/// A program and a core file that fits it, without the pages that are in the program's file.
#[test]
fn what_was_never_touched_takes_no_room() {
    let directory = tempfile::tempdir().unwrap();
    compile("segv", directory.path());
    run_there(directory.path(), "unlimited", "--quiet", "segv");
    let bytes = std::fs::metadata(directory.path().join("core")).unwrap().len();
    assert!(bytes < 2 << 20, "{bytes}");
    let Some(said) = gdb(directory.path(), "segv", &["p stdout != 0", "x/i $rip", "info auxv"]) else { return };
    assert!(said.contains("$1 = 1") && said.contains("AT_ENTRY"), "{said}");
}

/// The story of a death in a library: who called whom, in which file.
#[test]
fn a_death_in_a_library_names_the_library() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("story.c");
    let text = "#include <string.h>\nint length(const char *of) { return strlen(of); }\n\
                int main(int n, char **v) { return length((const char *)(long)n) + !v; }\n";
    std::fs::write(&source, text).unwrap();
    let program = directory.path().join("story");
    let flags = ["-g", "-O0", "-fno-builtin", "-o"];
    assert!(Command::new("cc").args(flags).arg(&program).arg(&source).status().unwrap().success());
    let output = under_pagewalk(&[], &program, &[]);
    let said = stderr(&output);
    assert!(said.contains("SIGSEGV: a read at 0x1, where nothing is mapped, by "), "{said}");
    assert!(said.contains("libc.so.6, 0x7f") && said.contains("\nnearest: "), "{said}");
    assert!(said.contains("called from length at ") && said.contains("story.c:2"), "{said}");
    assert!(said.contains("called from main at ") && said.contains("story.c:3"), "{said}");
}
