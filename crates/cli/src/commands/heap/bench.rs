//! The rows of a comparison: each allocator on each trace, and the system's malloc beside them.

use super::Options;
use heap::bench::{Measured, measure, performance_index, race};
use heap::{Spec, Trace, Weight};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An allocator on a trace.
pub struct Row {
    pub allocator: String,
    pub trace: String,
    pub weight: Weight,
    pub ops: usize,
    pub ops_per_second: f64,
    /// Throughput as a multiple of the system malloc's on the same trace.
    pub relative: f64,
    /// Absent for the system's malloc, whose heap is not ours to measure.
    pub measured: Option<Measured>,
    /// Why the replay ended early; the numbers are then nothing.
    pub failed: Option<String>,
}

/// The system's malloc, as rows call it.
pub const SYSTEM: &str = "system";

/// All rows. What is timed is timed alone, and before there are threads; what is counted is counted on all cores at once.
pub fn rows(options: &Options, traces: &[Trace]) -> Vec<Row> {
    let specs = options.specs();
    let races: Vec<_> =
        traces.iter().map(|trace| race(&specs, trace, options.limit(), usize::from(options.repeats))).collect();
    let pairs: Vec<(&Trace, &Spec)> =
        traces.iter().flat_map(|trace| specs.iter().map(move |spec| (trace, spec))).collect();
    let mut measured = measure_all(options, &pairs).into_iter();
    let mut rows = Vec::new();
    for (trace, (system, speeds)) in traces.iter().zip(races) {
        let system = system.ops_per_second();
        rows.push(row(trace, SYSTEM.into(), system, Ok(system), None));
        for ((spec, speed), measured) in specs.iter().zip(speeds).zip(measured.by_ref()) {
            let speed = match (&measured, speed) {
                (Err(failed), _) => Err(failed.clone()),
                (Ok(_), Some(speed)) => Ok(speed.ops_per_second()),
                (Ok(measured), None) => Ok(trace.ops.len() as f64 / measured.in_calls.as_secs_f64()),
            };
            rows.push(row(trace, spec.to_string(), system, speed, measured.ok()));
        }
    }
    rows
}

fn row(trace: &Trace, allocator: String, system: f64, speed: Result<f64, String>, measured: Option<Measured>) -> Row {
    let ops_per_second = speed.as_ref().copied().unwrap_or(0.0);
    Row {
        allocator,
        trace: trace.name.clone(),
        weight: trace.weight,
        ops: trace.ops.len(),
        ops_per_second,
        relative: ops_per_second / system,
        failed: speed.err(),
        measured,
    }
}

fn measure_all(options: &Options, pairs: &[(&Trace, &Spec)]) -> Vec<Result<Measured, String>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores.min(pairs.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some((trace, spec)) = pairs.get(index) else { return };
                    let measured = measure(spec, trace, options.limit()).map_err(|failed| failed.to_string());
                    done.lock().expect("measuring does not panic").push((index, measured));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("measuring does not panic");
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, measured)| measured).collect()
}

/// The means of an allocator over all traces, as the lab scores it: utilisation counts as 0 where it failed, and speed is that
/// of the traces that it served.
pub struct Score {
    pub allocator: String,
    pub utilisation: f64,
    pub ops_per_second: f64,
    pub relative: f64,
    pub index: f64,
    pub failures: usize,
}

pub fn scores(options: &Options, rows: &[Row]) -> Vec<Score> {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.allocator.as_str()) {
            names.push(&row.allocator);
        }
    }
    let reference = options.reference.unwrap_or_else(|| throughput(rows, SYSTEM));
    let score = |name: &str| {
        let used = rows.iter().filter(|row| row.allocator == name && counts(row.weight, Weight::Utilisation));
        let measured = used.map(|row| row.measured.as_ref().map_or(0.0, Measured::utilisation));
        let served = || rows.iter().filter(|row| row.allocator == name && row.failed.is_none());
        let relative = if served().next().is_some() { mean(served().map(|row| row.relative.ln())).exp() } else { 0.0 };
        let (utilisation, ops_per_second) = (mean(measured), throughput(rows, name));
        let failures = rows.iter().filter(|row| row.allocator == name && row.failed.is_some()).count();
        let index = performance_index(options.utilisation_weight, utilisation, ops_per_second, reference);
        Score { allocator: name.into(), utilisation, ops_per_second, relative, index, failures }
    };
    names.into_iter().map(score).collect()
}

/// All operations of an allocator over all their time, as the lab counts throughput.
fn throughput(rows: &[Row], allocator: &str) -> f64 {
    let counted = rows.iter().filter(|row| row.allocator == allocator && counts(row.weight, Weight::Throughput));
    let (ops, seconds) = counted.filter(|row| row.failed.is_none()).fold((0.0, 0.0), |(ops, seconds), row| {
        (ops + row.ops as f64, seconds + row.ops as f64 / row.ops_per_second.max(1e-9))
    });
    if seconds > 0.0 { ops / seconds } else { 0.0 }
}

fn counts(weight: Weight, score: Weight) -> bool {
    weight == Weight::Both || weight == score
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}
