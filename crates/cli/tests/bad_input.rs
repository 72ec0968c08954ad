//! What cannot be run, or cannot be asked for: one sentence, and exit status 125, 126 or 127.

mod common;

use common::{compile, pagewalk, stderr};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn refused(arguments: &[&str], status: i32, sentence: &str) {
    let output = pagewalk(&[]).args(arguments).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(sentence), "{said:?} does not contain {sentence:?}");
    assert!(output.stdout.is_empty());
    assert!(said.starts_with("pagewalk: "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

fn file(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn refused_file(path: &Path, sentence: &str) {
    refused(&[path.to_str().unwrap()], 126, sentence);
}

#[test]
fn what_is_not_there_is_127() {
    refused(&["no-such-program-anywhere"], 127, "no-such-program-anywhere is not found in PATH");
    refused(&["/no/such/program"], 127, "/no/such/program cannot be run: there is no such file");
    refused(&["/bin/ls/x"], 127, "there is no such file");
    refused(&[""], 127, "the name of the program is empty");
}

#[test]
fn what_cannot_be_run_is_126() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    refused_file(Path::new("/"), "/ cannot be run: it is a directory");
    refused_file(Path::new("/dev/null"), "/dev/null cannot be run: ");
    refused_file(&file(at, "text", b"hello\n"), "it is neither an ELF program nor a script");
    refused_file(&file(at, "empty", b""), "it is neither an ELF program nor a script");
    refused_file(&file(at, "magic", b"\x7fELF"), "the ELF file ends within its headers");
    let pipe = at.join("pipe");
    assert!(Command::new("mkfifo").args(["-m", "755"]).arg(&pipe).status().unwrap().success());
    refused_file(&pipe, "you may not execute it");
    let plain = file(at, "plain", b"#!/bin/sh\n");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    refused_file(&plain, "you may not execute it");
}

#[test]
fn a_damaged_program_is_126() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let whole = fs::read(compile("segv", at)).unwrap();
    let damaged = |name: &str, damage: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        damage(&mut bytes);
        file(at, name, &bytes)
    };
    let mainframe = damaged("s390", &|bytes| bytes[5..20].copy_from_slice(b"\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x16"));
    refused_file(&mainframe, "it is a program for 64-bit big-endian S/390, not for 64-bit x86");
    let narrow = damaged("mips", &|bytes| (bytes[4], bytes[5], bytes[18], bytes[19]) = (1, 1, 8, 0));
    refused_file(&narrow, "it is a program for 32-bit MIPS, not for 64-bit x86");
    refused_file(&damaged("arm", &|bytes| bytes[18] = 183), "it is a program for 64-bit ARM, not for 64-bit x86");
    refused_file(&damaged("object", &|bytes| bytes[16] = 1), "it is an ELF file but no program");
    refused_file(&damaged("short", &|bytes| bytes.truncate(1000)), "a segment lies beyond the end of the ELF file");
    refused_file(&damaged("stub", &|bytes| bytes.truncate(40)), "the ELF file ends within its headers");
    let interpreter = whole.windows(7).position(|bytes| bytes == b"/lib64/").unwrap();
    refused_file(
        &damaged("lost", &|bytes| bytes[interpreter + 1] = b'X'),
        "its interpreter /Xib64/ld-linux-x86-64.so.2 is missing",
    );
}

/// Segments that share pages are laid one over the other, as on Linux: the program cannot start, and nothing else happens.
#[test]
fn segments_that_overlap_hurt_only_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let whole = fs::read(compile("segv", directory.path())).unwrap();
    let word = |at: usize| u64::from_le_bytes(whole[at..at + 8].try_into().unwrap());
    let headers: Vec<usize> = (0..usize::from(whole[56])).map(|index| word(32) as usize + index * 56).collect();
    let loads: Vec<usize> = headers.into_iter().filter(|at| whole[*at] == 1 && whole[*at + 1] == 0).collect();
    for (moved, onto) in [(1, 0), (2, 1), (3, 2)] {
        let mut bytes = whole.clone();
        let at = word(loads[onto] + 16) + (word(loads[moved] + 8) & 0xfff);
        bytes[loads[moved] + 16..loads[moved] + 24].copy_from_slice(&at.to_le_bytes());
        let path = file(directory.path(), "overlap", &bytes);
        let output = pagewalk(&[]).arg(path).output().unwrap();
        assert!(!output.status.success());
        assert!(!stderr(&output).contains("bug:") && !stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

#[test]
fn absurd_options_are_125() {
    refused(&["--ram", "1K", "true"], 125, "a machine has 4 MiB to ");
    refused(&["--ram", "plenty", "true"], 125, "a size is a number");
    refused(&["--ram", "99999999T", "true"], 125, "more than a machine can have");
    refused(&["--levels", "6", "true"], 125, "invalid value '6'");
    refused(&["--cpus", "0", "true"], 125, "invalid value '0'");
    refused(&["--chaos", "1", "true"], 125, "invalid value '1'");
    refused(&["--events", "moods", "true"], 125, "'moods' is no kind of event");
    refused(&["--no-such-option", "true"], 125, "unexpected argument");
    refused(&["--report", "/no/such/directory/file", "true"], 125, "cannot be written");
    refused(&["--events", "calls", "--events-to", "/no/such/directory/file", "true"], 125, "cannot be written");
    refused(&["--report-every", "10", "true"], 125, "a duration is a whole number and a unit");
    refused(&["--report-every", "0s", "true"], 125, "a duration is more than zero");
    refused(&["--quiet", "--report-every", "1s", "true"], 125, "--report-every needs a --report FILE");
    refused(&[], 125, "required arguments were not provided");
}
