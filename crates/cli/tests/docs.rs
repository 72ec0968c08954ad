//! Every command in the teaching documents is run, and its output is compared with what the document shows.
//! `cargo xtask bless` writes the new output into the documents.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

const FENCE: &str = "```";
const SHELL: &str = "```console";

fn check(document: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
    let written = fs::read_to_string(&path).expect("the document is there");
    let mut lines = written.lines();
    let mut fresh = String::new();
    let mut commands = 0;
    while let Some(line) = lines.next() {
        fresh.push_str(line);
        fresh.push('\n');
        if line != SHELL {
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != FENCE).collect();
        for command in block.iter().filter_map(|line| line.strip_prefix("$ ")) {
            commands += 1;
            fresh.push_str(&format!("$ {command}\n{}", output(command)));
        }
        fresh.push_str("```\n");
    }
    assert!(commands > 0, "{document} shows commands");
    if std::env::var("SNAPSHOTS").is_ok_and(|value| value == "overwrite") {
        fs::write(&path, &fresh).expect("the document can be written");
    } else {
        snapbox::assert_data_eq!(written, snapbox::Data::text(fresh).raw());
    }
}

/// What a command prints, run by a shell in the directory of the documents' own files.
fn output(command: &str) -> String {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_pagewalk"));
    let directory = binary.parent().expect("a program lies in a directory");
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    let workplace = tempfile::tempdir().expect("there is room for a file");
    let done = Command::new("sh").args(["-c", command]).env("PATH", path).current_dir(&workplace).output();
    let done = done.expect("there is a shell");
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}

#[test]
fn translation() {
    check("translation.md");
}

#[test]
fn translation_in_chinese() {
    check("translation.zh.md");
}

#[test]
fn paging() {
    check("paging.md");
}

#[test]
fn paging_in_chinese() {
    check("paging.zh.md");
}

/// The schema of machine files is published where the documents link to it.
#[test]
fn machine_schema() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/machine.schema.json");
    let fresh = output("pagewalk explain --schema");
    if std::env::var("SNAPSHOTS").is_ok_and(|value| value == "overwrite") {
        fs::write(&path, &fresh).expect("the schema can be written");
    }
    assert_eq!(fs::read_to_string(&path).expect("the schema is there"), fresh);
}
