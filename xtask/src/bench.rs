//! `cargo xtask bench`: whole programs, native, under pagewalk and under its neighbours, in one run.
//!
//! The commands of a row are run in turn, round after round, so that a slow minute of the machine hits all of them; the
//! figure is the median of the rounds. Each program must print what it prints natively.

mod programs;
mod report;

use crate::shell::{self, Result};
use crate::tools;
use programs::Row;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often, and which.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds; the figure is their median.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only the rows whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Print the table and leave bench/RESULTS.md as it is.
    #[arg(long)]
    dry_run: bool,
}

/// What runs a program.
struct Runner {
    name: &'static str,
    prefix: Vec<String>,
    /// Runs before those that count.
    rehearsals: usize,
}

/// One row's medians, one per runner; `None` where the runner failed or printed something else.
struct Measured {
    name: &'static str,
    seconds: Vec<Option<f64>>,
}

/// Builds everything, measures and writes.
pub fn run(options: &Options) -> Result<()> {
    tools::provide(tools::FOR_BENCHMARKS)?;
    shell::run(shell::cargo().args(["build", "--release", "--package", "pagewalk"]))?;
    let runners = runners();
    let wanted = |row: &Row| options.only.as_ref().is_none_or(|part| row.name.contains(part.as_str()));
    let rows: Vec<Row> = programs::rows()?.into_iter().filter(wanted).collect();
    let mut measured = Vec::new();
    for row in &rows {
        measured.push(measure(row, &runners, options.rounds.max(1)));
        eprintln!("xtask: measured {}", row.name);
    }
    let names: Vec<&str> = runners.iter().map(|runner| runner.name).collect();
    let table = report::table(&names, &measured);
    println!("{table}");
    if options.dry_run { Ok(()) } else { report::write(&table, options.rounds) }
}

fn runners() -> Vec<Runner> {
    let runner = |name, words: &[&str]| {
        let prefix = words.iter().map(ToString::to_string).collect();
        Runner { name, prefix, rehearsals: 0 }
    };
    let pagewalk = shell::root().join("target/release/pagewalk").display().to_string();
    let code = shell::root().join("target/bench-code");
    // What an earlier build left is no use.
    let _ = fs::remove_dir_all(&code);
    let code = code.display().to_string();
    vec![
        runner("native", &[]),
        runner("pagewalk, first run", &[&pagewalk, "run", "--quiet", "--code-cache", "none"]),
        Runner { rehearsals: 1, ..runner("pagewalk, again", &[&pagewalk, "run", "--quiet", "--code-cache", &code]) },
        runner("qemu-x86_64", &["qemu-x86_64"]),
        runner("valgrind none", &["valgrind", "--tool=none", "-q"]),
    ]
}

fn measure(row: &Row, runners: &[Runner], rounds: usize) -> Measured {
    let mut times = vec![Vec::new(); runners.len()];
    let mut expected = None;
    for runner in runners {
        for _ in 0..runner.rehearsals {
            timed(runner, row);
        }
    }
    for _ in 0..rounds {
        for (runner, times) in runners.iter().zip(&mut times) {
            let Some((time, output)) = timed(runner, row) else { continue };
            if *expected.get_or_insert_with(|| output.clone()) == output {
                times.push(time.as_secs_f64());
            } else {
                eprintln!("xtask: {}: {} printed something else than the native run", row.name, runner.name);
            }
        }
    }
    let seconds = times.into_iter().map(|times| (times.len() == rounds).then(|| median(times))).collect();
    Measured { name: row.name, seconds }
}

/// One run: how long it took and what it printed, or `None` if it failed.
fn timed(runner: &Runner, row: &Row) -> Option<(Duration, Vec<u8>)> {
    let mut words = runner.prefix.iter().chain(&row.command);
    let mut command = Command::new(words.next().expect("a command has a program"));
    command.args(words).stdin(Stdio::null()).stderr(Stdio::piped());
    let start = Instant::now();
    let output = command.output().ok()?;
    let time = start.elapsed();
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.lines().last().unwrap_or_default().to_string();
        eprintln!("xtask: {}: {} ended with {}: {last}", row.name, runner.name, output.status);
        return None;
    }
    Some((time, output.stdout))
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
