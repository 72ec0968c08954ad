//! `--events calls` reads like strace: the same program's calls, word for word where no address is in them.

mod common;

use common::{compile, pagewalk};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Calls whose arguments are the same natively and under pagewalk, addresses aside.
const COMPARED: [&str; 8] = ["openat", "access", "mprotect", "close", "exit_group", "getcwd", "fstat", "newfstatat"];

/// The names and arguments of calls in a trace, with addresses as `@`; strace's and ours differ in nothing else.
fn calls(trace: &str) -> BTreeSet<String> {
    let call = |line: &str| {
        let line = line.split("] ").last()?;
        let name = line.split('(').next()?;
        let end = line.rfind(" = ")?;
        COMPARED.contains(&name).then(|| without_addresses(line[..end].trim_end()))
    };
    trace.lines().filter_map(call).collect()
}

fn without_addresses(call: &str) -> String {
    let words = call.split(' ').map(|word| {
        let bare = word.trim_start_matches(|letter: char| letter != '0');
        if bare.starts_with("0x") && bare.len() > 8 { "@," } else { word }
    });
    words.collect::<Vec<_>>().join(" ").replace("mprotect(@,", "@")
}

#[test]
fn calls_are_printed_in_straces_words() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let (theirs, ours) = (directory.path().join("strace"), directory.path().join("events"));
    let program = ["sh", "-c", "umask 027; : > /dev/null; : >> /dev/null; read line < /etc/passwd"];
    let mut strace = Command::new("strace");
    strace.args(["-o", theirs.to_str().unwrap()]).args(program);
    // Where libraries are looked for depends on the processor.
    let native = strace.env_remove("LD_LIBRARY_PATH").status();
    if !native.unwrap().success() {
        eprintln!("skipped: strace cannot trace here");
        return;
    }
    let options = ["--quiet", "--events", "calls", "--events-to", ours.to_str().unwrap()];
    assert!(pagewalk(&options).args(program).env_remove("LD_LIBRARY_PATH").status().unwrap().success());
    let (theirs, ours) = (calls(&fs::read_to_string(theirs).unwrap()), calls(&fs::read_to_string(ours).unwrap()));
    let opens: Vec<&String> = theirs.iter().filter(|call| call.starts_with("openat")).collect();
    assert!(opens.len() >= 5 && opens.iter().any(|call| call.contains("O_WRONLY|O_CREAT|O_APPEND, 0666")), "{opens:?}");
    let missing: Vec<&String> = theirs.iter().filter(|call| !ours.contains(*call)).collect();
    assert!(missing.is_empty(), "strace prints {missing:#?}, and we {ours:#?}");
}

/// What a call has filled is printed, not where.
#[test]
fn what_was_read_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let (link, events) = (directory.path().join("link"), directory.path().join("events"));
    std::os::unix::fs::symlink("some where", &link).unwrap();
    let options = ["--quiet", "--events", "calls", "--events-to", events.to_str().unwrap()];
    let script = format!("readlink {}; echo nineteen characters | cat", link.display());
    assert!(pagewalk(&options).args(["sh", "-c", &script]).status().unwrap().success());
    let events = fs::read_to_string(events).unwrap();
    assert!(events.contains("\"some where\", "), "{events}");
    assert!(events.contains("read(0, \"nineteen characters\\n\", "), "{events}");
    assert!(events.contains("read(3, \"\\x7fELF"), "{events}");
}

#[test]
fn what_other_calls_have_filled_is_printed() {
    let directory = tempfile::tempdir().unwrap();
    let (program, events) = (compile("filled", directory.path()), directory.path().join("events"));
    let options = ["--quiet", "--events", "calls", "--events-to", events.to_str().unwrap()];
    assert!(pagewalk(&options).arg(&program).current_dir(directory.path()).status().unwrap().success());
    let events = fs::read_to_string(events).unwrap();
    for call in [
        "pipe2([3, 4], O_CLOEXEC) = 0",
        "socketpair(AF_UNIX, SOCK_STREAM, 0, [5, 6]) = 0",
        r#"readv(3, [{iov_base="firs", iov_len=4}, {iov_base="t second", iov_len=40}], 2) = 12"#,
        r#"recvmsg(6, {msg_iov=[{iov_base="mess", iov_len=4}, {iov_base="age", iov_len=40}], msg_iovlen=2, ...}, 0) = 7"#,
        "{st_mode=S_IFCHR|",
        ", st_rdev=makedev(0x1, 0x3), ...}",
        ", {st_mode=S_IFIFO|0600, st_size=0, ...}",
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = ",
        "waitid(P_ALL, -1, {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=",
        ", si_status=5, ...}, WEXITED, NULL) = 0",
        ", [{WIFSIGNALED(s) && WTERMSIG(s) == SIGABRT",
    ] {
        assert!(events.contains(call), "{call} is not among\n{events}");
    }
}
