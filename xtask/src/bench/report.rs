//! The table, and its section of bench/RESULTS.md.

use super::Measured;
use crate::shell::{self, Result};
use std::fmt::Write;
use std::fs;

const START: &str = "<!-- cargo xtask bench -->";
const END: &str = "<!-- end of cargo xtask bench -->";

/// The medians in seconds, each with its ratio to native, and the geometric mean of the ratios.
pub fn table(runners: &[&str], rows: &[Measured]) -> String {
    let mut table = format!("| program | {} |\n", runners.join(" | "));
    table += &format!("|---|{}\n", "---|".repeat(runners.len()));
    for row in rows {
        let native = row.seconds[0];
        let cells: Vec<String> = row.seconds.iter().map(|seconds| cell(*seconds, native)).collect();
        writeln!(table, "| {} | {} |", row.name, cells.join(" | ")).expect("a string takes everything");
    }
    let means: Vec<String> = (0..runners.len()).map(|column| mean(rows, column)).collect();
    writeln!(table, "| geometric mean of ratios | {} |", means.join(" | ")).expect("a string takes everything");
    table
}

/// Replaces the section between the two marks, or appends it.
pub fn write(table: &str, rounds: usize) -> Result<()> {
    let path = shell::root().join("bench/RESULTS.md");
    let old = fs::read_to_string(&path).unwrap_or_else(|_| "# Measurements\n".to_string());
    let (before, after) = match (old.split_once(START), old.split_once(END)) {
        (Some((before, _)), Some((_, after))) => (before.to_string(), after.to_string()),
        _ => (format!("{old}\n"), "\n".to_string()),
    };
    let section = format!(
        "{START}\n## Whole programs\n\n`cargo xtask bench --rounds {rounds}`: seconds of wall time, median of \
         {rounds} interleaved rounds, start-up included, and the ratio to native. {}. A dash is a run that failed or \
         printed something else.\n\n{table}{END}",
        machine()
    );
    fs::write(&path, before + &section + &after)
        .map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

fn cell(seconds: Option<f64>, native: Option<f64>) -> String {
    match (seconds, native) {
        (Some(seconds), Some(native)) => format!("{seconds:.3} ({:.2}x)", seconds / native),
        _ => "-".to_string(),
    }
}

fn mean(rows: &[Measured], column: usize) -> String {
    let ratios: Option<Vec<f64>> = rows.iter().map(|row| Some(row.seconds[column]? / row.seconds[0]?)).collect();
    match ratios {
        Some(ratios) if !ratios.is_empty() => {
            let logarithms: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
            format!("{:.2}x", (logarithms / ratios.len() as f64).exp())
        }
        _ => "-".to_string(),
    }
}

fn machine() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("Machine: {}, {count} cores", model.unwrap_or("unknown CPU"))
}
