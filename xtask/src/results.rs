//! bench/RESULTS.md: sections that commands of ours write, each between two marks.

use crate::shell::{self, Result};
use std::fs;

/// Replaces the section of a command, or appends it.
pub fn replace_section(command: &str, text: &str) -> Result<()> {
    let path = shell::root().join("bench/RESULTS.md");
    let old = fs::read_to_string(&path).unwrap_or_else(|_| "# Results\n".to_string());
    let (start, end) = (format!("<!-- {command} -->"), format!("<!-- end of {command} -->"));
    let (before, after) = match (old.split_once(&start), old.split_once(&end)) {
        (Some((before, _)), Some((_, after))) => (before.to_string(), after.to_string()),
        _ => (format!("{old}\n"), "\n".to_string()),
    };
    let section = format!("{before}{start}\n{}\n{end}{after}", text.trim_end());
    fs::write(&path, section).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// The host, for the text above a table.
pub fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("Machine: {}, {count} cores", model.unwrap_or("unknown CPU"))
}
