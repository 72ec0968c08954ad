//! Guests cannot name processes of the host, nor pagewalk itself.

mod common;

use common::{compile, pagewalk, stderr, stdout};
use std::fs;
use std::process::{Child, Command, Stdio};

/// A process of the host that nothing shall happen to.
struct Bystander(Child);

impl Bystander {
    fn start() -> Self {
        Self(Command::new("sleep").arg("600").spawn().expect("sleep starts"))
    }

    /// What others could have changed: the state, the priority, the limits, the CPUs it may use.
    fn condition(&mut self) -> String {
        assert!(self.0.try_wait().unwrap().is_none(), "the bystander has ended");
        let read = |file: &str| fs::read_to_string(format!("/proc/{}/{file}", self.0.id())).unwrap();
        let stat = read("stat");
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let status = read("status");
        let cpus = status.lines().find(|line| line.starts_with("Cpus_allowed:")).unwrap();
        // Fields 17 and 18 of proc_pid_stat(5), after the state: priority and nice.
        format!("group {} priority {} nice {} {cpus}\n{}", fields[2], fields[15], fields[16], read("limits"))
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn guests_cannot_name_processes_of_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("isolation", directory.path());
    let mut bystander = Bystander::start();
    let before = bystander.condition();
    // A shell that becomes pagewalk knows its number beforehand.
    let script = format!(
        "exec {} run --quiet {} {} $$ {}",
        env!("CARGO_BIN_EXE_pagewalk"),
        program.display(),
        directory.path().display(),
        bystander.0.id()
    );
    let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}\n{}{}", output.status, stdout(&output), stderr(&output));
    assert!(stdout(&output).ends_with(" attempts, 0 not refused\n"), "{}", stdout(&output));
    assert_eq!(bystander.condition(), before);
}

#[test]
fn numbers_of_guests_are_their_own() {
    let output = pagewalk(&["--quiet"]).args(["sh", "-c", "echo $$ $PPID; kill -0 1; echo $?"]).output().unwrap();
    assert!(stdout(&output).starts_with("2 1\n"), "{}", stdout(&output));
}

/// The limit of pagewalk's own process: the guest gets the signal, and pagewalk tells of it.
#[test]
fn a_file_that_gets_too_long_is_the_guests_end_and_not_pagewalks() {
    let directory = tempfile::tempdir().unwrap();
    let pagewalk = env!("CARGO_BIN_EXE_pagewalk");
    let run = |command: &str| {
        let script = format!("ulimit -f 1; exec {command} dd if=/dev/zero of=out bs=4096 count=2");
        Command::new("sh").args(["-c", &script]).current_dir(directory.path()).output().unwrap()
    };
    let (native, guest) = (run(""), run(&format!("{pagewalk} run")));
    assert_eq!(guest.status, native.status, "{}", stderr(&guest));
    assert!(stderr(&guest).contains("dd was killed by SIGXFSZ"), "{}", stderr(&guest));
}
