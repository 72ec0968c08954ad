//! Programs that harm themselves, and terminals that must survive them.

mod common;

use common::{compile, natively, pagewalk, stderr, stdout, under_pagewalk};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Command, Output};

fn assert_is_well(output: &Output) {
    let said = stderr(output);
    assert!(!said.contains("pagewalk: bug:") && !said.contains("panicked"), "{said}");
}

#[test]
fn who_takes_away_what_it_stands_on_dies_as_on_linux() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("self_harm", directory.path());
    let (native, guest) = (natively(&program, &[]), under_pagewalk(&["--ram", "256M"], &program, &[]));
    assert_is_well(&guest);
    assert_eq!(stdout(&guest), stdout(&native), "{}", stderr(&guest));
}

#[test]
fn random_bytes_are_a_program_like_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("random_code", directory.path());
    let output = under_pagewalk(&["--ram", "256M"], &program, &["5000", "200"]);
    assert_is_well(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let counts =
        stdout(&output).lines().map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum::<u32>();
    assert_eq!(counts, 200, "{}", stdout(&output));
}

/// Types a key when the script has said `ready`; how the command ended, and what became of the terminal.
fn on_terminal(key: &str, command: &[&str], script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("on_terminal", directory.path());
    let output = Command::new(program).arg(key).args(command).args(["sh", "-c", script]).output().unwrap();
    stdout(&output)
}

#[test]
fn the_keys_of_the_terminal_reach_the_guest() {
    let guest = [env!("CARGO_BIN_EXE_pagewalk"), "run", "--quiet"];
    let (interrupt, quit, end) = ("3", "28", "4");
    let told = |key, script| (on_terminal(key, &[], script), on_terminal(key, &guest, script));
    let trap = "trap 'exit 9' INT; echo ready; while :; do sleep 0.02; done";
    let (native, ours) = told(interrupt, trap);
    assert_eq!(ours, native);
    assert_eq!(ours, "exit status 9, modes as before\n");
    let (native, ours) = told(interrupt, "echo ready; exec sleep 60");
    assert_eq!(ours, native);
    assert_eq!(ours, "killed by 2, modes as before\n");
    let (native, ours) = told(quit, "ulimit -c 0; echo ready; exec sleep 60");
    assert_eq!(ours, native);
    let (native, ours) = told(end, "echo ready; cat; exit 4");
    assert_eq!(ours, native);
    assert_eq!(ours, "exit status 4, modes as before\n");
}

/// A program that is killed cannot put the terminal back; pagewalk does it for it. One that ends may leave it as it likes.
#[test]
fn the_terminal_is_sane_after_a_death() {
    let guest = [env!("CARGO_BIN_EXE_pagewalk"), "run", "--quiet"];
    assert_eq!(
        on_terminal("13", &guest, "stty raw -echo; echo ready; kill -KILL $$"),
        "killed by 9, modes as before\n"
    );
    let stays = "stty -echo; echo ready; exit 0";
    assert_eq!(on_terminal("13", &guest, stays), on_terminal("13", &[], stays));
}

/// Once for each program, also of those that guests execute.
#[test]
fn set_user_id_bits_are_ignored_and_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("identity");
    fs::copy("/usr/bin/id", &program).unwrap();
    // Only root can give files away; anybody else's set-user-ID file gives no other rights than their own.
    let is_given_away = chown(&program, Some(65534), Some(65534)).is_ok();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o6755)).unwrap();
    let script = format!("{0} -u; exec {0} -u", program.display());
    let output = pagewalk(&[]).args(["/bin/sh", "-c", &script]).output().unwrap();
    let own = Command::new("id").arg("-u").output().unwrap();
    assert_eq!(stdout(&output), stdout(&own).repeat(2));
    let said = stderr(&output).matches("identity is set-user-ID or set-group-ID; it runs with your own rights").count();
    assert_eq!(said, usize::from(is_given_away), "{}", stderr(&output));
}
