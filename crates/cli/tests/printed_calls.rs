//! `--events calls` reads like strace: the same program's calls, word for word where no address is in them.

mod common;

use common::pagewalk;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Calls whose arguments are the same natively and under pagewalk, addresses aside.
const COMPARED: [&str; 5] = ["openat", "access", "mprotect", "close", "exit_group"];

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
