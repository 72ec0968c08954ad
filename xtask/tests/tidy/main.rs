//! What must hold for the sources themselves. Each check lists every offence, not the first.
#![forbid(unsafe_code)]

mod crate_graph;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the root").to_path_buf()
}

/// The tracked files, and those about to be: paths from the root.
fn tracked_files() -> Vec<String> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").args(arguments).current_dir(root()).output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("paths of this project are UTF-8");
    list.lines().filter(|path| root().join(path).is_file()).map(str::to_string).collect()
}

fn rust_files() -> impl Iterator<Item = (String, String)> {
    tracked_files().into_iter().filter(|path| path.ends_with(".rs")).map(|path| {
        let text = std::fs::read_to_string(root().join(&path)).expect("a tracked source is UTF-8");
        (path, text)
    })
}

/// The rows of a data file: words, then the reason. Lines that start with `#` are its explanation.
fn data(text: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once("  ").unwrap_or_else(|| panic!("{line:?}: a reason follows after two blanks")))
}

fn assert_none(offences: &[String], rule: &str) {
    assert!(offences.is_empty(), "{rule}:\n{}", offences.join("\n"));
}
