//! What `pagewalk run` says, where, and in which form.

mod common;

use common::{compile, pagewalk, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn the_program_keeps_its_output_and_its_status() {
    let output = pagewalk(&[]).args(["sh", "-c", "echo out; echo err >&2; exit 3"]).output().unwrap();
    assert_eq!(stdout(&output), "out\n");
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.starts_with("err\npagewalk: sh ended with exit status 3: "), "{said}");
    assert!(said.trim_end().lines().last().unwrap().starts_with("next: pagewalk run "), "{said}");
}

#[test]
fn quiet_is_quiet() {
    let output = pagewalk(&["--quiet"]).args(["echo", "hello"]).output().unwrap();
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("hello\n", ""));
}

#[test]
fn the_report_as_json_reconciles() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("report.json");
    let options = ["--format", "json", "--count", "--report", file.to_str().unwrap()];
    let output = pagewalk(&options).args(["ls", "/"]).output().unwrap();
    assert_eq!(stderr(&output), "");
    let report: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(report["version"], 1);
    assert_eq!(report["exit"], serde_json::json!({"kind": "exited", "status": 0}));
    assert!(report["instructions"].as_u64().unwrap() > 50_000);
    let faults = |kind: &str| report["faults"][kind].as_u64().unwrap();
    let kinds = ["zero_fill", "file", "copy_on_write", "swap_in", "stack_growth"];
    assert_eq!(faults("minor") + faults("major"), kinds.map(faults).iter().sum::<u64>());
    assert!(report["memory"]["peak_resident_bytes"].as_u64().unwrap() > 100 << 10);
    assert_eq!(report["processes"].as_array().unwrap().len(), 1);
    assert_eq!(report["manifest"]["arguments"], serde_json::json!(["ls", "/"]));
    assert_eq!(report["manifest"]["program_sha256"].as_str().unwrap().len(), 64);
}

/// Every key of a report is in the tables of both documents.
#[test]
fn the_documents_name_every_key() {
    fn keys(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| {
                found.push(key.clone());
                keys(value, found);
            }),
            Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
            _ => {}
        }
    }
    let output = pagewalk(&["--format", "json"]).args(["sh", "-c", "true | true"]).output().unwrap();
    let mut report: Value = serde_json::from_str(&stderr(&output)).unwrap();
    // Options have documentation of their own.
    report["manifest"]["machine"] = serde_json::json!({"ram_bytes": 0});
    let mut found = Vec::new();
    keys(&report, &mut found);
    for document in ["report.md", "report.zh.md"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
        let text = fs::read_to_string(path).unwrap();
        for key in &found {
            let is_named = text.contains(&format!("`{key}`")) || text.contains(&format!(".{key}`"));
            let in_example = text.contains(&format!("\"{key}\":"));
            assert!(
                is_named || in_example || ["faults", "memory", "code", "processes"].contains(&key.as_str()),
                "{document}: {key}"
            );
        }
    }
}

#[test]
fn processes_are_a_tree() {
    let output = pagewalk(&["--format", "json"]).args(["sh", "-c", "(true; true) | cat; :"]).output().unwrap();
    let report: Value = serde_json::from_str(&stderr(&output)).unwrap();
    let processes = report["processes"].as_array().unwrap();
    let parents: Vec<(u64, u64)> = processes
        .iter()
        .map(|process| (process["pid"].as_u64().unwrap(), process["parent_pid"].as_u64().unwrap()))
        .collect();
    assert_eq!(parents, [(2, 1), (3, 2), (4, 2)]);
}

#[test]
fn without_counting_there_is_no_count() {
    let output = pagewalk(&["--format", "json"]).arg("true").output().unwrap();
    let report: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert!(report["instructions"].is_null());
}

#[test]
fn events_are_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events");
    let options = ["--quiet", "--events", "faults,areas,calls,switches", "--events-to", file.to_str().unwrap()];
    assert!(pagewalk(&options).arg("true").status().unwrap().success());
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("] area mapped: "), "{text}");
    assert!(text.contains(", zero_fill, minor, by 0x"), "{text}");
    assert!(text.contains("] switch: cpu "), "{text}");
    assert!(text.contains("] openat(AT_FDCWD, \"/etc/ld.so.cache\", "), "{text}");
    assert!(text.contains("] exit_group(0) = ?"), "{text}");

    assert!(pagewalk(&options).args(["--format", "json", "true"]).status().unwrap().success());
    let text = fs::read_to_string(&file).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0], serde_json::json!({"event": "version", "version": 1}));
    assert!(events[1..].iter().all(|event| event["at_ns"].is_u64() && event["pid"] == 2));
}

#[test]
fn the_address_space_at_the_end_is_printed_on_request() {
    let output = pagewalk(&["--maps-at-exit"]).arg("true").output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("[stack]") && said.contains("/true\n"), "{said}");
}

#[test]
fn a_core_file_opens_in_gdb() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("segv", directory.path());
    let script = format!("ulimit -c unlimited; exec {} run ./segv", env!("CARGO_BIN_EXE_pagewalk"));
    let output = Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap();
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{}", stderr(&output));
    let core = directory.path().join("core");
    assert!(core.exists(), "{}", stderr(&output));
    assert!(stderr(&output).contains("left a core file"), "{}", stderr(&output));
    let gdb = Command::new("gdb").args(["--batch", "-ex", "bt"]).arg(program).arg(core).output();
    // A machine without gdb cannot look; pagewalk needs only Rust and a C compiler.
    let Ok(gdb) = gdb else { return };
    let said = stdout(&gdb);
    assert!(said.contains("#0 ") && said.contains("main () at ") && said.contains("segv.c:9"), "{said}");
}

#[test]
fn signals_from_outside_reach_the_guest() {
    let script = "trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = pagewalk(&["--quiet"]).args(["sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));

    let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(killed.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(5));
}

/// Ctrl-Z and `fg`: pagewalk stops with its program and goes on with it.
#[test]
fn a_stop_stops_pagewalk_until_it_is_continued() {
    let pagewalk = env!("CARGO_BIN_EXE_pagewalk");
    let script = format!(
        "set -m; {pagewalk} run --quiet sh -c 'kill -TSTP $$; echo went on'; echo stopped with $?; fg >/dev/null"
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(stdout(&output), "stopped with 147\nwent on\n", "{}", stderr(&output));
}
