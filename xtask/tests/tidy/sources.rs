//! Rules for single source files.

use crate::{assert_none, data, root, rust_files, tracked_files};

const MOST_LINES: usize = 500;
/// How far above an unsafe block its note may start.
const NOTE_LINES: usize = 8;

#[test]
fn files_are_short_or_listed_with_a_reason() {
    let listed: Vec<&str> = data(include_str!("long_files.txt")).map(|(path, _)| path).collect();
    let mut offences = Vec::new();
    for (path, text) in rust_files() {
        let lines = text.lines().count();
        match (lines > MOST_LINES, listed.contains(&path.as_str())) {
            (true, false) => offences.push(format!("{path} has {lines} lines")),
            (false, true) => offences.push(format!("{path} has {lines} lines and need not be listed")),
            _ => {}
        }
    }
    assert_none(&offences, "files have at most 500 lines");
}

#[test]
fn unsafe_code_is_forbidden_outside_the_listed_crates() {
    let listed: Vec<&str> = data(include_str!("unsafe_crates.txt")).map(|(folder, _)| folder).collect();
    let is_root = |path: &str| {
        let file = path.rsplit('/').next().expect("a path has a last part");
        let folder = path.rsplit('/').nth(1).unwrap_or_default();
        (folder == "src" && matches!(file, "lib.rs" | "main.rs")) || path.contains("/src/bin/")
    };
    let offences: Vec<String> = rust_files()
        .filter(|(path, _)| is_root(path) && !listed.iter().any(|folder| path.starts_with(&format!("{folder}/"))))
        .filter(|(_, text)| !text.contains("#![forbid(unsafe_code)]"))
        .map(|(path, _)| path)
        .collect();
    assert_none(&offences, "the crate roots must say #![forbid(unsafe_code)]");
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let mut offences = Vec::new();
    for (path, text) in rust_files() {
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = line.split("//").next().expect("a split has a first part");
            let opens = code.contains("unsafe {") || code.contains("unsafe impl ");
            let before = &lines[index.saturating_sub(NOTE_LINES)..=index];
            if opens && !code.contains('"') && !before.iter().any(|line| line.contains("SAFETY:")) {
                offences.push(format!("{path}:{}", index + 1));
            }
        }
    }
    assert_none(&offences, "unsafe blocks need a SAFETY note");
}

/// Places that exist on a developer's machine only; `concat!` so that this file is not an offence.
const PRIVATE_PLACES: [&str; 4] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/tmp/ba", "sh_jobs")];

#[test]
fn no_file_names_a_place_of_a_development_machine() {
    let mut offences = Vec::new();
    for path in tracked_files() {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (index, line) in text.lines().enumerate() {
            if PRIVATE_PLACES.iter().any(|place| names(line, place)) {
                offences.push(format!("{path}:{}: {line}", index + 1));
            }
        }
    }
    assert_none(&offences, "absolute paths of a development machine");
}

/// Whether the line has the place as a path of its own, and not as the inside of a longer one.
fn names(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "._-$}/".contains(before))
    })
}
