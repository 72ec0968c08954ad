//! The quick part of the corpus: real programs do under pagewalk what they do natively.

use corpus::{Equality, Restart, Runner, Timer, Verdict};
use std::path::{Path, PathBuf};
use std::process::Command;

fn runner(folder: &Path) -> Runner {
    let pagewalk = PathBuf::from(env!("CARGO_BIN_EXE_pagewalk"));
    Runner { pagewalk, options: Vec::new(), folder: folder.to_path_buf(), patience: 1, timer: None }
}

/// Runs the quick cases whose name begins so. Cases whose programs are not installed are named and left out.
fn all_equal(beginning: &str, runner: &Runner) {
    let cases = corpus::all().unwrap();
    let quick: Vec<_> = cases.into_iter().filter(|case| case.quick && case.name.starts_with(beginning)).collect();
    assert!(!quick.is_empty(), "no quick case begins with {beginning}");
    for case in &quick {
        match runner.judge(case) {
            Verdict::Compared { equality: Equality::Equal, .. } => {}
            Verdict::Disturbed { .. } => eprintln!("{} is left out: the signal disturbs the native run too", case.name),
            Verdict::Skipped(program) => eprintln!("{} is skipped: {program} is not installed", case.name),
            verdict => panic!("{}: {verdict:#?}", case.name),
        }
    }
}

/// As [`all_equal`], in a folder of its own, with a changed runner.
fn in_new_folder(beginning: &str, change: impl FnOnce(&mut Runner)) {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = runner(folder.path());
    change(&mut runner);
    all_equal(beginning, &runner);
}

#[test]
fn shell_scripts() {
    in_new_folder("shell/", |_| {});
}

#[test]
fn coreutils() {
    in_new_folder("coreutils/", |_| {});
}

#[test]
fn tools() {
    in_new_folder("tools/", |_| {});
}

#[test]
fn databases_and_git() {
    in_new_folder("databases/", |_| {});
    in_new_folder("git/", |_| {});
}

#[test]
fn python() {
    in_new_folder("python/", |_| {});
}

#[test]
fn pythons_own_tests() {
    in_new_folder("python_tests/", |_| {});
}

/// script, expect and tmux as guests: they make terminals, and job control works on those.
#[test]
fn terminals() {
    in_new_folder("terminals/", |_| {});
}

#[test]
fn compilers() {
    in_new_folder("languages/", |_| {});
}

#[test]
fn under_chaos() {
    in_new_folder("shell/pipelines", |runner| runner.options = vec!["--chaos".into(), "40".into()]);
}

#[test]
fn with_verified_code() {
    in_new_folder("shell/pipelines", |runner| runner.options = vec!["--verify-code".into()]);
}

#[test]
fn under_a_timer_signal() {
    for (case, restart) in [("shell/here-documents", Restart::On), ("python/threads", Restart::Off)] {
        in_new_folder(case, |runner| {
            let library = timer_library(&runner.folder);
            runner.timer = Some(Timer { library, restart, period_us: 200 });
        });
    }
}

fn timer_library(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/timer_signal.c");
    let library = folder.join("timer_signal.so");
    let status = Command::new("cc").args(["-O1", "-Wall", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(status.expect("there is a C compiler").success());
    library
}
