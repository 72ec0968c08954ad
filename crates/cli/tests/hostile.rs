//! Programs that take all there is, calls with hostile arguments, and the sudden death of pagewalk itself.

mod common;

use common::{compile, pagewalk, stderr, stdout};
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs `tests/programs/bombs.c` on a machine with so much RAM; pagewalk must have nothing to say of itself.
fn bomb(ram: &str, kind: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("bombs", directory.path());
    let output = pagewalk(&["--ram", ram]).arg(program).arg(kind).output().unwrap();
    assert_is_well(&output);
    output
}

fn assert_is_well(output: &Output) {
    let said = stderr(output);
    assert!(!said.contains("pagewalk: bug:") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_fork_bomb_ends_when_its_group_is_killed() {
    let output = bomb("16M", "forks");
    assert_eq!(stdout(&output), "all of them are gone\n", "{}", stderr(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn threads_are_refused_when_there_is_no_room() {
    let output = bomb("512M", "threads");
    assert!(stdout(&output).starts_with("more than a hundred: 1, then: "), "{}", stdout(&output));
}

#[test]
fn who_takes_all_memory_is_told_or_killed() {
    let output = bomb("32M", "memory");
    let told = stdout(&output);
    assert_eq!(told.lines().count(), 3, "{told}{}", stderr(&output));
    assert!(told.lines().all(|line| line.ends_with(": killed") || line.ends_with(": told")), "{told}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn descriptors_run_out_as_on_linux() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("bombs", directory.path());
    let native = Command::new(&program).arg("descriptors").output().unwrap();
    assert_eq!(stdout(&bomb("64M", "descriptors")), stdout(&native));
}

#[test]
fn areas_run_out_as_on_linux() {
    let output = bomb("512M", "maps");
    assert_eq!(stdout(&output), "Cannot allocate memory after more than 60000: 1\n");
}

/// Memory files are the host's memory: without a bound the host would kill pagewalk.
#[test]
fn memory_files_are_refused_what_the_host_has_not() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("memory_files", directory.path());
    let output = pagewalk(&["--quiet"]).arg(program).arg("bombs").output().unwrap();
    assert_is_well(&output);
    let refused = |what| format!("{what}: -1 No space left on device\n");
    let each = ["fallocate", "fallocate, size kept", "fallocate at the end"].map(refused).concat();
    let each = format!("{each}write: 11\nkilobytes: 4\n").repeat(2);
    let story = format!("{each}refused: 500\nremoved from a sparse file: 0\nkilobytes: 0\n");
    assert_eq!(stdout(&output), story, "{}", stderr(&output));
}

/// What waits in the host with full pipes is held there: without a bound the host would kill pagewalk. All of it arrives.
#[test]
fn threads_that_wait_with_big_transfers_hold_a_part_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("big_transfers", directory.path());
    let native = Command::new(&program).output().unwrap();
    let mut command = pagewalk(&["--quiet", "--ram", "512M"]);
    let mut child = command.arg(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap());
    let mut story = String::new();
    told.read_line(&mut story).unwrap();
    // Of 1280 MiB; 80 of what is there besides are the program's own.
    let held_megabytes = anonymous_kilobytes(child.id()) >> 10;
    assert!((100..800).contains(&held_megabytes), "{held_megabytes} MiB");
    drop(child.stdin.take());
    told.read_to_string(&mut story).unwrap();
    assert_eq!(story, stdout(&native));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

fn anonymous_kilobytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Whoever was told that a write is done finds it done, whatever happens to pagewalk.
#[test]
fn a_killed_pagewalk_loses_no_answered_write_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("answered_writes", directory.path());
    let file = directory.path().join("lines");
    for lines in [1, 50, 400, 1000] {
        let temporary = directory.path().join(format!("tmp {lines}"));
        fs::create_dir(&temporary).unwrap();
        let mut command = pagewalk(&["--quiet"]);
        command.env("TMPDIR", &temporary).env("XDG_RUNTIME_DIR", directory.path()).arg(&program).arg(&file);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..lines {
            told.next().unwrap().unwrap();
        }
        child.kill().unwrap();
        // What was still on its way to us was answered too.
        let last = told.map_while(Result::ok).filter(|line| !line.is_empty()).last();
        assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
        let count: usize = last.map_or(lines, |line| line.parse().unwrap_or(lines));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.lines().count() >= count, "{} lines of {count}", text.lines().count());
        assert!((1..=count).zip(text.lines()).all(|(number, line)| line == format!("line {number}")));
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
        assert!(!is_alive(child.id()), "every guest is a thread of pagewalk, and none is left");
    }
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[test]
fn calls_with_hostile_arguments_do_not_hurt_pagewalk() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("call_fuzz", directory.path());
    let scratch = directory.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let run = format!("exec {} run --ram 256M", env!("CARGO_BIN_EXE_pagewalk"));
    // A file that is allocated shall not fill the disk: 512-byte blocks.
    let script = format!("ulimit -f 20000; {run} {} {} 1 16 250", program.display(), scratch.display());
    let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert_is_well(&output);
    let last_calls = || fs::read_to_string(directory.path().join("scratch.log")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{}\n{}", stderr(&output), last_calls());
    assert!(stdout(&output).starts_with("16 children: "), "{}", stdout(&output));
}

/// clone(2) takes any number for the signal of the end; one that is no signal once stopped the machine.
#[test]
fn a_child_may_end_with_a_signal_that_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("child.c");
    let text = "#include <sys/syscall.h>\n#include <sys/wait.h>\n#include <unistd.h>\n\
                int main(void) {\n  int status = -1;\n  long pid = syscall(SYS_clone, 200, 0, 0, 0, 0);\n\
                if (pid == 0) _exit(3);\n  return waitpid(pid, &status, __WALL) == pid ? WEXITSTATUS(status) : 1; }\n";
    fs::write(&source, text).unwrap();
    let program = directory.path().join("child");
    assert!(Command::new("cc").arg("-o").arg(&program).arg(&source).status().unwrap().success());
    let output = pagewalk(&["--quiet"]).arg(&program).output().unwrap();
    assert_is_well(&output);
    assert_eq!(output.status.code(), Some(3));
}

/// A process that is made under a limit of CPU time is looked at before its first task is there, which once was a panic.
#[test]
fn a_limit_of_processor_time_survives_a_fork() {
    let output = pagewalk(&["--quiet"]).args(["sh", "-c", "ulimit -t 100; /bin/true; echo fine"]).output().unwrap();
    assert_is_well(&output);
    assert_eq!(stdout(&output), "fine\n", "{}", stderr(&output));
}
