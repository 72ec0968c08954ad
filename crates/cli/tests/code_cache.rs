//! Translations that are kept from run to run: everything but the time is as without.

mod common;

use common::{pagewalk, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Runs a command, and returns its output and the report.
fn run(directory: &str, command: &[&str]) -> (String, Value) {
    let report = tempfile::NamedTempFile::new().unwrap();
    let report_path = report.path().to_str().unwrap();
    let options = ["--code-cache", directory, "--format", "json", "--report", report_path];
    let output = pagewalk(&options).args(command).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    (stdout(&output), serde_json::from_str(&fs::read_to_string(report.path()).unwrap()).unwrap())
}

fn blocks(report: &Value, which: &str) -> u64 {
    report["code"][which].as_u64().unwrap()
}

fn kept(directory: &Path) -> usize {
    fs::read_dir(directory).map_or(0, Iterator::count)
}

#[test]
fn the_second_run_is_as_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let kept_in = directory.path().join("code");
    let awk = "BEGIN { for (i = 0; i < 3000; i++) text = text substr(i, 1, 3); print length(text), sqrt(2) }";
    for command in [&["ls", "/usr/bin"][..], &["awk", awk], &["sort", "--version"]] {
        let (output, without) = run("none", command);
        assert_eq!(blocks(&without, "recalled_blocks"), 0);
        for later in [false, true, true] {
            let (again, report) = run(kept_in.to_str().unwrap(), command);
            assert_eq!(again, output);
            assert_eq!(report["faults"], without["faults"], "{command:?}");
            for peak in ["peak_resident_bytes", "peak_page_table_bytes", "peak_areas"] {
                assert_eq!(report["memory"][peak], without["memory"][peak], "{command:?}: {peak}");
            }
            if later {
                assert!(blocks(&report, "translated_blocks") < blocks(&without, "translated_blocks") / 20);
                assert!(blocks(&report, "recalled_blocks") > 100);
            }
        }
    }
    assert_eq!(kept(&kept_in), 3);
    assert_eq!(fs::metadata(&kept_in).unwrap().mode() & 0o777, 0o700);
    for file in fs::read_dir(&kept_in).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_process_has_the_translations_of_those_before() {
    let script =
        "for word in one two; do echo $word | sed s/o/0/; done; cd /; /bin/ls -d usr; python3 -c 'print(2**70)'";
    let directory = tempfile::tempdir().unwrap();
    let command = ["bash", "-c", script];
    let (output, without) = run("none", &command);
    for _ in 0..2 {
        let (again, report) = run(directory.path().to_str().unwrap(), &command);
        assert_eq!(again, output);
        // One sed, at least, had the translations of the other.
        assert!(blocks(&report, "recalled_blocks") > 1000);
        assert!(blocks(&report, "translated_blocks") < blocks(&without, "translated_blocks"));
    }
}

#[test]
fn nothing_is_kept_of_runs_for_torture_or_at_drawn_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let kept_in = directory.path().join("code");
    for option in ["--chaos=40", "--verify-code", "--aslr"] {
        let output = pagewalk(&["--code-cache", kept_in.to_str().unwrap(), option]).arg("true").output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(kept(&kept_in), 0, "{option}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_no_reason_not_to_run() {
    for directory in ["/proc/code", "/dev/null"] {
        let output = pagewalk(&["--quiet", "--code-cache", directory]).args(["echo", "runs"]).output().unwrap();
        assert_eq!((stdout(&output).as_str(), output.stderr.len()), ("runs\n", 0), "{directory}");
    }
}
