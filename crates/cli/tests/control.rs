//! A program that runs for long: reports at intervals, and `pagewalk ctl`.

mod common;

use common::{pagewalk, stderr, stdout};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A shell that says `ready` and goes on until somebody ends it.
const SERVICE: &str = "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.02; done";
/// One that a polite signal does not end.
const DEAF: &str = "trap '' TERM; echo ready; while :; do sleep 0.02; done";

/// A pagewalk that runs a shell script.
struct Service {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Service {
    /// Starts it and waits until the script has said `ready`.
    fn start(options: &[&str], script: &str) -> Self {
        let mut command = pagewalk(options);
        command.args(["sh", "-c", script]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("pagewalk starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        let mut service = Self { child, output };
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

    fn ctl(&self, words: &[&str]) -> Output {
        ctl(&self.pid(), words)
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

fn ctl(pid: &str, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pagewalk")).args(["ctl", pid]).args(words).output().expect("pagewalk starts")
}

fn user() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() }
}

/// Asks by the socket alone.
fn connects(pid: &str) -> bool {
    let name = format!("pagewalk/{}/{pid}", user());
    UnixStream::connect_addr(&SocketAddr::from_abstract_name(name).unwrap()).is_ok()
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

    let stopped = service.ctl(&["stop"]);
    assert!(stopped.status.success(), "{}", stderr(&stopped));
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

/// What the first process left behind goes on, and the reports meanwhile say so.
#[test]
fn the_last_report_alone_is_a_verdict() {
    let service = Service::start(&["--report-every", "50ms"], "sleep 1 & sleep 1 & echo ready");
    let said = stderr(&service.end().1);
    let verdicts = ["sh succeeded, 2 processes go on: ", "sh succeeded: "].map(|verdict| said.matches(verdict).count());
    assert!(verdicts[0] >= 1 && verdicts[1] == 1, "{said}");
}

#[test]
fn a_process_that_is_no_pagewalk_is_named_in_one_sentence() {
    refused(&ctl("1", &["report"]), 127, "process 1 is no running pagewalk of yours");
    refused(&ctl("4194305", &["stop"]), 127, "process 4194305 is no running pagewalk of yours");
    assert_eq!(ctl("0", &["stop"]).status.code(), Some(125));
    assert_eq!(ctl("1", &["stop", "--grace", "10"]).status.code(), Some(125));
    assert_eq!(ctl("1", &["dance"]).status.code(), Some(125));
}

/// Wherever a file of its could be, there is none, while it runs and when it was killed.
#[test]
fn a_killed_pagewalk_leaves_nothing() {
    let places = tempfile::tempdir().unwrap();
    let mut command = pagewalk(&["--quiet"]);
    for place in ["TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_DATA_HOME", "HOME"] {
        command.env(place, places.path());
    }
    let child = command.args(["sh", "-c", SERVICE]).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("pagewalk starts");
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    let pid = child.id().to_string();
    assert!(line == "ready\n" && connects(&pid));
    let shared = format!("/tmp/pagewalk-{}/{pid}", user());
    assert!(fs::symlink_metadata(&shared).is_err());
    child.kill().unwrap();
    child.wait().unwrap();
    refused(&ctl(&pid, &["report"]), 127, &format!("process {pid} is no running pagewalk of yours"));
    assert!(!connects(&pid) && fs::symlink_metadata(&shared).is_err());
    assert_eq!(fs::read_dir(places.path()).unwrap().count(), 0);
}

/// A user who is not the tests' own, if the tests may become one.
const SOMEBODY: u32 = 65534;

/// Python, as somebody else, with a socket and a name for it.
fn python(script: &str, name: &str) -> Command {
    let begin = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); name = '\\0' + sys.argv[1];";
    let mut command = Command::new("python3");
    command.args(["-c", &format!("{begin} {script}"), name]).stdout(Stdio::piped()).stdin(Stdio::piped());
    if user() == 0 {
        command.uid(SOMEBODY).current_dir("/");
    }
    command
}

#[test]
fn only_its_owner_is_heard() {
    let service = Service::start(&["--quiet"], SERVICE);
    if user() == 0 {
        let name = format!("pagewalk/{}/{}", user(), service.pid());
        let said = python("s.connect(name); print(s.makefile().read())", &name).output().unwrap();
        assert_eq!(stdout(&said).trim(), "no\nyou are not its owner");
        // A server that waits for a stranger's next word would not hear its owner.
        let mut silent =
            python("s.connect(name); print('ready', flush=True); sys.stdin.read()", &name).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(silent.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line == "ready\n" && service.ctl(&["report"]).status.success());
        drop(silent.stdin.take());
        silent.wait().unwrap();
    }
    assert!(service.ctl(&["stop"]).status.success());
    assert_eq!(service.end().1.status.code(), Some(7));
}

/// Whoever takes a name is not believed: neither another process, nor, with the right number, another user's.
#[test]
fn nobody_else_poses_as_a_pagewalk() {
    let poses = "s.bind(name.replace('PID', str(os.getpid()))); s.listen(9); print('ready', flush=True); \
                 t, _ = s.accept(); print(t.makefile().read() or 'nothing')";
    let mut names = vec!["4194304"];
    if user() == 0 {
        names.push("PID");
    }
    for pid in names {
        let mut child = python(poses, &format!("pagewalk/{}/{pid}", user())).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let pid = pid.replace("PID", &child.id().to_string());
        refused(&ctl(&pid, &["report"]), 127, &format!("process {pid} is no running pagewalk of yours"));
        line.clear();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "nothing\n");
        child.wait().unwrap();
    }
}

/// Neither by `ctl`, to which the other end of the socket is nobody in there, nor by the socket itself.
#[test]
fn a_program_does_not_control_its_own_machine() {
    let asks = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); \
                s.connect('\\0pagewalk/%d/' % os.geteuid() + sys.argv[1]); s.send(b'stop 0\\n'); \
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
