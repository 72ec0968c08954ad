//! A program that runs for long: reports at intervals, and `pagewalk ctl`.

mod common;

use common::{pagewalk, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use tempfile::TempDir;

/// A shell that says `ready` and goes on until somebody ends it.
const SERVICE: &str = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done";
/// One that a polite signal does not end.
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.02; done";

/// A pagewalk that runs a shell script, with sockets in a directory of its own.
struct Service {
    child: Child,
    output: BufReader<ChildStdout>,
    runtime: TempDir,
}

impl Service {
    /// Starts it and waits until the script has said `ready`.
    fn start(options: &[&str], script: &str) -> Self {
        let runtime = tempfile::tempdir().unwrap();
        let mut command = pagewalk(options);
        command.env("XDG_RUNTIME_DIR", runtime.path()).args(["sh", "-c", script]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("pagewalk starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        let mut service = Self { child, output, runtime };
        assert_eq!(service.line(), "ready");
        service
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the script prints text");
        line.trim_end().to_owned()
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    fn socket(&self) -> PathBuf {
        self.runtime.path().join("pagewalk").join(self.pid())
    }

    fn ctl(&self, words: &[&str]) -> Output {
        ctl(self.runtime.path(), &self.pid(), words)
    }

    /// What it printed on stdout to its end, and how it ended.
    fn end(mut self) -> (String, Output) {
        let mut rest = String::new();
        while let line = self.line()
            && !line.is_empty()
        {
            rest.push_str(&line);
        }
        (rest, self.child.wait_with_output().expect("pagewalk ends"))
    }
}

fn ctl(runtime: &Path, pid: &str, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pagewalk"));
    command.env("XDG_RUNTIME_DIR", runtime).args(["ctl", pid]).args(words);
    command.output().expect("pagewalk starts")
}

fn refused(output: &Output, status: i32, sentence: &str) {
    assert_eq!(output.status.code(), Some(status), "{}", stderr(output));
    assert!(stderr(output).contains(sentence) && stderr(output).lines().count() == 1, "{}", stderr(output));
    assert_eq!(stdout(output), "");
}

#[test]
fn a_running_pagewalk_reports_and_ends_cleanly() {
    let service = Service::start(&[], SERVICE);
    let text = stdout(&service.ctl(&["report"]));
    assert!(text.starts_with("pagewalk: sh runs: ") || text.starts_with("pagewalk: dash runs: "), "{text}");
    assert!(text.contains(" zero_fill + ") && !text.contains("next: "), "{text}");
    let report: Value = serde_json::from_str(&stdout(&service.ctl(&["report", "--format", "json"]))).unwrap();
    assert!(report["exit"].is_null() && report["wall_ms"].as_f64().unwrap() > 0.0);
    let faults = |kind: &str| report["faults"][kind].as_u64().unwrap();
    let kinds = ["zero_fill", "file", "copy_on_write", "swap_in", "stack_growth"];
    assert_eq!(faults("minor") + faults("major"), kinds.map(faults).iter().sum::<u64>());

    let socket = service.socket();
    assert_eq!(fs::metadata(socket.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    let stopped = service.ctl(&["stop"]);
    assert!(stopped.status.success(), "{}", stderr(&stopped));
    assert!(!socket.exists());
    let (rest, output) = service.end();
    assert_eq!((rest.as_str(), output.status.code()), ("bye", Some(7)));
    assert!(stderr(&output).contains("ended with exit status 7: "), "{}", stderr(&output));
}

#[test]
fn who_does_not_end_is_killed() {
    let service = Service::start(&[], DEAF);
    assert!(service.ctl(&["stop", "--grace", "200ms"]).status.success());
    let (_, output) = service.end();
    assert_eq!(output.status.signal(), Some(libc::SIGKILL));
    assert!(stderr(&output).contains("was killed by SIGKILL"), "{}", stderr(&output));
}

#[test]
fn maps_are_those_of_each_process() {
    let service = Service::start(&["--quiet"], "echo ready; sleep 60; true");
    let maps = stdout(&service.ctl(&["maps"]));
    assert!(maps.starts_with("process 2 ") && maps.contains("[stack]"), "{maps}");
    service.ctl(&["stop"]);
    assert_eq!(service.end().1.status.signal(), Some(libc::SIGTERM));
}

#[test]
fn events_begin_and_end_when_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events");
    // The script makes a call for each line that it reads.
    let script = "echo ready; while read number; do cd /proc/$number; echo $number; done";
    let options = ["--quiet", "--events", "calls", "--events-to", file.to_str().unwrap()];
    let mut service = Service::start(&options, script);
    let visit = |service: &mut Service, number: &str| {
        writeln!(service.child.stdin.as_ref().unwrap(), "{number}").unwrap();
        assert_eq!(service.line(), number);
    };
    assert!(service.ctl(&["events", "off"]).status.success());
    visit(&mut service, "101");
    assert!(service.ctl(&["events", "on"]).status.success());
    visit(&mut service, "102");
    assert!(service.ctl(&["events", "off"]).status.success());
    visit(&mut service, "103");
    service.ctl(&["stop"]);
    service.end();
    let events = fs::read_to_string(&file).unwrap();
    let seen = ["101", "102", "103"].map(|number| events.contains(&format!("/proc/{number}")));
    assert_eq!(seen, [false, true, false], "{events}");
}

#[test]
fn reports_come_at_intervals() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("reports");
    let options = ["--quiet", "--report-every", "50ms", "--format", "json", "--report", file.to_str().unwrap()];
    let service = Service::start(&options, SERVICE);
    let lines = || fs::read_to_string(&file).unwrap().lines().count();
    while lines() < 3 {
        std::thread::yield_now();
    }
    service.ctl(&["stop"]);
    service.end();
    let text = fs::read_to_string(&file).unwrap();
    let reports: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, others) = reports.split_last().unwrap();
    assert_eq!(last["exit"], serde_json::json!({"kind": "exited", "status": 7}));
    assert!(others.len() >= 3 && others.iter().all(|report| report["exit"].is_null()));

    let service = Service::start(&["--report-every", "50ms"], "echo ready; sleep 1");
    let said = stderr(&service.end().1);
    assert!(said.matches(" runs: ").count() >= 2 && said.matches(" succeeded: ").count() == 1, "{said}");
}

#[test]
fn a_process_that_is_no_pagewalk_is_named_in_one_sentence() {
    let runtime = tempfile::tempdir().unwrap();
    let no_such = "process 1 is no running pagewalk of yours";
    refused(&ctl(runtime.path(), "1", &["report"]), 127, no_such);
    refused(&ctl(runtime.path(), "4194305", &["stop"]), 127, "process 4194305 is no running pagewalk of yours");
    assert_eq!(ctl(runtime.path(), "0", &["stop"]).status.code(), Some(125));
    assert_eq!(ctl(runtime.path(), "1", &["stop", "--grace", "10"]).status.code(), Some(125));
    assert_eq!(ctl(runtime.path(), "1", &["dance"]).status.code(), Some(125));
}

#[test]
fn a_killed_pagewalk_leaves_no_socket_for_long() {
    let mut service = Service::start(&[], SERVICE);
    let (pid, socket) = (service.pid(), service.socket());
    service.child.kill().unwrap();
    service.child.wait().unwrap();
    assert!(socket.exists());
    refused(&service.ctl(&["report"]), 127, &format!("process {pid} is no running pagewalk of yours"));
    assert!(!socket.exists());
}

#[test]
fn a_directory_that_others_may_enter_is_not_used() {
    let runtime = tempfile::tempdir().unwrap();
    let place = runtime.path().join("pagewalk");
    fs::DirBuilder::new().mode(0o755).create(&place).unwrap();
    let output = pagewalk(&[]).env("XDG_RUNTIME_DIR", runtime.path()).arg("true").output().unwrap();
    assert!(output.status.success());
    assert!(stderr(&output).starts_with("pagewalk: pagewalk ctl will not reach this run: "), "{}", stderr(&output));
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
    fs::write(place.join("1"), "").unwrap();
    refused(&ctl(runtime.path(), "1", &["report"]), 125, "is not a directory of yours alone");
}

/// Neither by `ctl`, to which the other end of the socket is nobody in there, nor by the socket itself.
#[test]
fn a_program_does_not_control_its_own_machine() {
    let asks = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); \
                s.connect(os.environ['XDG_RUNTIME_DIR'] + '/pagewalk/' + sys.argv[1]); s.send(b'stop 0\\n'); \
                print(s.makefile().read().replace('\\n', ' '))";
    let ctl = env!("CARGO_BIN_EXE_pagewalk");
    let script = format!("echo ready; read pid; {ctl} ctl $pid stop 2>&1; echo $?; python3 -c \"{asks}\" $pid");
    let mut service = Service::start(&["--quiet"], &script);
    let pid = service.pid();
    writeln!(service.child.stdin.as_ref().unwrap(), "{pid}").unwrap();
    assert_eq!(service.line(), format!("pagewalk: process {pid} is no running pagewalk of yours"));
    assert_eq!(service.line(), "127");
    let refusal = service.line();
    assert!(refusal.ends_with("a program does not control the machine that runs it"), "{refusal}");
    assert!(service.end().1.status.success());
}
