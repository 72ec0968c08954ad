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

/// An allocator that looks at more blocks than this for each operation spends its time searching: the replay that measured
/// its heap has timed its calls too, and repeats would tell nothing new.
const SLOW_SEARCH: u64 = 50;

/// All rows. What is counted is counted on all cores at once; what is timed is timed alone.
pub fn rows(options: &Options, traces: &[Trace]) -> Vec<Row> {
    let specs = options.specs();
    let pairs: Vec<(&Trace, &Spec)> =
        traces.iter().flat_map(|trace| specs.iter().map(move |spec| (trace, spec))).collect();
    let mut measured = measure_all(options, &pairs).into_iter();
    let mut rows = Vec::new();
    for trace in traces {
        let measured: Vec<_> = specs.iter().zip(measured.by_ref()).collect();
        rows.extend(rows_of(options, trace, measured));
    }
    rows
}

/// The rows of one trace: the system's malloc first.
fn rows_of(options: &Options, trace: &Trace, measured: Vec<(&Spec, Result<Measured, String>)>) -> Vec<Row> {
    let is_timed = |measured: &Result<Measured, String>| measured.as_ref().is_ok_and(|m| !is_slow(m, trace));
    let timed: Vec<_> = measured.iter().filter(|(_, measured)| is_timed(measured)).collect();
    let specs: Vec<Spec> = timed.iter().map(|(spec, _)| **spec).collect();
    let largest = timed.iter().filter_map(|(_, measured)| measured.as_ref().ok()).map(|m| m.heap_bytes).max();
    let limit = (largest.unwrap_or(0) + (1 << 16)).min(options.limit());
    let (system, speeds) = race(&specs, trace, limit, usize::from(options.repeats));
    let system = system.ops_per_second();
    let mut speeds = speeds.into_iter();
    let row = |allocator: String, speed: Result<f64, String>, measured: Option<Measured>| {
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
    };
    let mut rows = vec![row(SYSTEM.into(), Ok(system), None)];
    for (spec, measured) in measured {
        let speed = match &measured {
            Err(failed) => Err(failed.clone()),
            Ok(measured) if is_slow(measured, trace) => Ok(trace.ops.len() as f64 / measured.in_calls.as_secs_f64()),
            Ok(_) => {
                let speed = speeds.next().expect("each spec that is not slow was timed");
                speed.map(|speed| speed.ops_per_second()).map_err(|refusal| refusal.to_string())
            }
        };
        rows.push(row(spec.to_string(), speed, measured.ok()));
    }
    rows
}

/// Whether the replay that counted has timed it too.
fn is_slow(measured: &Measured, trace: &Trace) -> bool {
    measured.counters.searched > SLOW_SEARCH * trace.ops.len() as u64
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

/// The means of an allocator over all traces, as the lab scores it.
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
        let relative =
            mean(rows.iter().filter(|row| row.allocator == name).map(|row| row.relative.max(1e-9).ln())).exp();
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
