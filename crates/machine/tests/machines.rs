//! Machines as a library: the API that the CLI uses, without the CLI.

use machine::{ExitStatus, Machine, MachineConfig, Program, Warnings, Watch};
use pagewalk_machine as machine;
use std::ffi::{OsStr, OsString};
use std::thread;

fn run(name: &str, arguments: &[&str]) -> machine::Ended {
    let config = MachineConfig { ram_bytes: 128 << 20, ..MachineConfig::of_this_host() };
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let program = Program::find(OsStr::new(name), &arguments).unwrap();
    let watch = Watch { warnings: Warnings::Quiet, ..Watch::default() };
    Machine::new(config).unwrap().run(&program, watch).unwrap()
}

#[test]
fn two_machines_run_side_by_side() {
    let threads: Vec<_> = (0..2).map(|_| thread::spawn(|| run("true", &[]))).collect();
    for thread in threads {
        let ended = thread.join().unwrap();
        assert_eq!(ended.report.exit, Some(ExitStatus::Exited { status: 0 }));
        assert_eq!(ended.bugs, Vec::<String>::new());
        assert!(ended.report.faults.reconcile() && ended.report.faults.resolved() > 0);
    }
}

#[test]
fn an_exit_status_is_the_programs() {
    let ended = run("sh", &["-c", "exit 7"]);
    assert_eq!(ended.report.exit, Some(ExitStatus::Exited { status: 7 }));
    let ended = run("sh", &["-c", "kill -TERM $$"]);
    assert_eq!(ended.report.exit, Some(ExitStatus::Killed { signal: 15, core_dumped: false }));
}

#[test]
fn each_process_has_its_line() {
    let ended = run("sh", &["-c", "/bin/true; /bin/true"]);
    let names: Vec<&str> = ended.report.processes.iter().map(|process| process.program.as_str()).collect();
    assert_eq!(names, ["sh", "true", "true"]);
    assert_eq!(ended.bugs, Vec::<String>::new());
}
