//! Files that several processes change at once: the host's file is the truth, for all of them and afterwards.

mod common;

use common::{compile, natively, pagewalk, same_transcript, stderr, stdout, under_pagewalk};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

/// What a run of `tests/programs/file_torture.c` printed, and the file that it left.
fn tortured(run: impl Fn(&[&str]) -> String, folder: &Path, seed: &str) -> (String, Vec<u8>) {
    let file = folder.join("tortured");
    let text = run(&[&file.to_string_lossy(), seed, "2500"]);
    (text, fs::read(file).unwrap())
}

/// A page that one process stores to while another writes to the same page of the file once went back to the file in
/// the middle of the write, with its old bytes.
#[test]
fn two_processes_change_every_page_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let program = compile("file_torture", folder.path());
    for seed in ["1", "2"] {
        let native = tortured(|arguments| stdout(&natively(&program, arguments)), folder.path(), seed);
        assert!(native.0.starts_with("good: "), "{}", native.0);
        for machine in [["--quiet", "--ram=512M"], ["--quiet", "--ram=4M"], ["--quiet", "--chaos=50"]] {
            let guest = |arguments: &[&str]| {
                let output = under_pagewalk(&machine, &program, arguments);
                format!("{}{}", stdout(&output), stderr(&output))
            };
            let guest = tortured(guest, folder.path(), seed);
            assert_eq!(guest.0, native.0, "{machine:?}, seed {seed}");
            assert!(guest.1 == native.1, "{machine:?}, seed {seed}: the file is another on the host");
        }
    }
}

/// What fsync has answered for is in the host's file, whatever happens to pagewalk.
#[test]
fn a_store_that_was_synced_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (program, file) = (compile("synced_store", folder.path()), folder.path().join("file"));
    let mut command = pagewalk(&["--quiet"]);
    let mut child = command.arg(&program).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let mut word = [0; 7];
    child.stdout.as_mut().unwrap().read_exact(&mut word).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_to_string(file).unwrap(), "stored");
}

/// Runs a program natively and under pagewalk, each time in a new folder, which is its argument: output and end are the
/// same. Returns the output.
fn same_in_folder(name: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = compile(name, folder.path());
    let (native, guest) = (tempfile::tempdir_in(folder.path()).unwrap(), tempfile::tempdir_in(folder.path()).unwrap());
    let native = natively(&program, &[native.path().to_str().unwrap()]);
    let guest = under_pagewalk(&["--quiet"], &program, &[guest.path().to_str().unwrap()]);
    assert_eq!((stdout(&guest), guest.status), (stdout(&native), native.status), "{}", stderr(&guest));
    stdout(&native)
}

/// On a filesystem that shares blocks between files; elsewhere the refusals are compared.
#[test]
fn a_file_shows_what_another_has_given_it() {
    let story = same_in_folder("clone_files");
    assert!(story.ends_with("to no file, of nowhere: -1 Bad file descriptor\n"), "{story}");
}

#[test]
fn a_map_shows_that_its_file_was_truncated_by_opening_it() {
    let story = same_in_folder("opened_anew");
    assert!(story.ends_with("openat2: 88 88, then 97 0\n"), "{story}");
}

#[test]
fn a_seal_against_writing_counts_what_is_mapped() {
    let story = same_transcript("seals");
    assert!(story.contains("to seal what is mapped: EBUSY") && story.contains("the file has: pcn"), "{story}");
}

/// What they take, and that a hole is one on the host too.
#[test]
fn files_in_memory_take_what_is_put_into_them() {
    let story = same_transcript("memory_files");
    assert!(story.contains("removed: 0\na byte there: 0\na byte behind: 5\n"), "{story}");
}

/// Nobody writes to a program while it is executed, nor executes it while it is written.
#[test]
fn programs_that_run_are_not_written_to() {
    let story = same_in_folder("busy_text");
    assert!(story.contains("it is whole: 1"), "{story}");
}
