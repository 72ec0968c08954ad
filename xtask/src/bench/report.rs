//! The table, and its section of bench/RESULTS.md.

use super::Measured;
use crate::results;
use crate::shell::Result;
use std::fmt::Write;

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

/// Replaces the section of bench/RESULTS.md.
pub fn write(table: &str, rounds: usize) -> Result<()> {
    let text = format!(
        "## Whole programs\n\n`cargo xtask bench --rounds {rounds}`: seconds of wall time, median of {rounds} \
         interleaved rounds, start-up included, and the ratio to native. {}. A dash is a run that failed or printed \
         something else. The first run of pagewalk translates the program; again, it has the translations that one \
         earlier run kept (`--code-cache`).\n\n{table}",
        results::machine()
    );
    results::replace_section("cargo xtask bench", &text)
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
