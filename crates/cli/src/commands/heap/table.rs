//! Rows as a table, as JSON and as CSV.

use super::bench::{Row, SYSTEM, Score, scores};
use super::{Format, Options};
use comfy_table::{CellAlignment, Table, presets};
use heap::bench::Measured;
use serde_json::{Value, json};

/// The version of the JSON fields.
const VERSION: u32 = 1;

pub fn render(options: &Options, rows: &[Row]) -> String {
    match options.format {
        Format::Text => text(options, rows),
        Format::Csv => csv(rows),
        Format::Json => {
            let scores: Vec<Value> = scores(options, rows).iter().map(score).collect();
            let rows: Vec<Value> = rows
                .iter()
                .map(|row| Value::Object(fields(row).into_iter().map(|(name, value)| (name.into(), value)).collect()))
                .collect();
            format!("{:#}\n", json!({ "version": VERSION, "rows": rows, "scores": scores }))
        }
    }
}

/// A row's fields. Those that were not measured are null.
fn fields(row: &Row) -> Vec<(&'static str, Value)> {
    let measured = row.measured.as_ref();
    let number = |get: fn(&Measured) -> u64| measured.map(get).into();
    let real = |get: fn(&Measured) -> f64| measured.map(get).into();
    vec![
        ("allocator", row.allocator.clone().into()),
        ("trace", row.trace.clone().into()),
        ("operations", row.ops.into()),
        ("peak_payload_bytes", number(|m| m.peak_payload_bytes)),
        ("heap_bytes", number(|m| m.heap_bytes)),
        ("utilisation", real(Measured::utilisation)),
        ("ops_per_second", row.ops_per_second.into()),
        ("relative_to_system", row.relative.into()),
        ("table_bytes", number(|m| m.table_bytes)),
        ("header_bytes", number(|m| m.header_bytes)),
        ("alignment_bytes", number(|m| m.alignment_bytes)),
        ("rounding_bytes", number(|m| m.rounding_bytes)),
        ("external_bytes", number(|m| m.external_bytes)),
        ("external_mean", real(|m| m.external_mean)),
        ("touched_bytes", number(|m| m.touched_bytes)),
        ("searched_per_allocation", real(searched)),
        ("splits", number(|m| m.counters.splits)),
        ("coalescings", number(|m| m.counters.coalescings)),
        ("extensions", number(|m| m.counters.extensions)),
        ("failed", row.failed.clone().into()),
    ]
}

fn score(score: &Score) -> Value {
    json!({
        "allocator": score.allocator,
        "utilisation": score.utilisation,
        "ops_per_second": score.ops_per_second,
        "relative_to_system": score.relative,
        "performance_index": score.index,
        "failures": score.failures,
    })
}

fn searched(measured: &Measured) -> f64 {
    measured.counters.searched as f64 / measured.allocations.max(1) as f64
}

/// A head and a line for each row.
fn csv(rows: &[Row]) -> String {
    let mut lines = Vec::new();
    for row in rows {
        let fields = fields(row);
        if lines.is_empty() {
            lines.push(fields.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(","));
        }
        lines.push(fields.iter().map(|(_, value)| csv_value(value)).collect::<Vec<_>>().join(","));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Quoted where it must be.
fn csv_value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text.contains([',', '"', '\n']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn text(options: &Options, rows: &[Row]) -> String {
    let scores = scores(options, rows);
    let mut text = verdict(&scores);
    for trace in rows.chunk_by(|one, other| one.trace == other.trace) {
        text += &format!("\n{}: {} operations\n{}\n", trace[0].trace, trace[0].ops, details(trace));
    }
    text += &format!("\nover all traces\n{}\n", means(options, &scores));
    for row in rows {
        if let Some(failed) = &row.failed {
            text += &format!("{} on {}: {failed}\n", row.allocator, row.trace);
        }
    }
    text
}

fn verdict(scores: &[Score]) -> String {
    let ours = || scores.iter().filter(|score| score.allocator != SYSTEM && score.failures == 0);
    let densest = ours().max_by(|one, other| one.utilisation.total_cmp(&other.utilisation));
    let fastest = ours().max_by(|one, other| one.relative.total_cmp(&other.relative));
    let many = scores.iter().filter(|score| score.allocator != SYSTEM).count() > 1;
    match (densest, fastest) {
        (Some(best), Some(same)) if many && best.allocator == same.allocator => format!(
            "{} uses memory best ({:.1} % of the heap is payload at its peak) and is fastest ({:.2} times the system's \
             malloc).\n",
            best.allocator,
            100.0 * best.utilisation,
            best.relative
        ),
        (Some(only), Some(_)) if !many => format!(
            "{}: {:.1} % of the heap is payload at its peak; {:.2} times as fast as the system's malloc.\n",
            only.allocator,
            100.0 * only.utilisation,
            only.relative
        ),
        (Some(densest), Some(fastest)) => format!(
            "{} uses memory best ({:.1} % of the heap is payload at its peak); {} is fastest ({:.2} times the system's \
             malloc).\n",
            densest.allocator,
            100.0 * densest.utilisation,
            fastest.allocator,
            fastest.relative
        ),
        _ => "No allocator served every trace.\n".into(),
    }
}

/// Two decimals, and for what is slow as many as show two digits.
fn short(number: f64) -> String {
    let decimals = if number > 0.0 && number < 0.1 { (1.0 - number.log10().floor()).min(9.0) as usize } else { 2 };
    format!("{number:.decimals$}")
}

fn details(rows: &[Row]) -> String {
    let head = [
        "allocator",
        "util %",
        "heap KiB",
        "table %",
        "header %",
        "align %",
        "round %",
        "extern %",
        "ext mean %",
        "Mops/s",
        "x system",
        "searched",
        "splits",
        "coalesc.",
    ];
    let mut table = plain(&head);
    for row in rows {
        let speed = [short(row.ops_per_second / 1e6), short(row.relative)];
        let Some(measured) = &row.measured else {
            let blank = if row.failed.is_some() { "failed" } else { "" };
            let cells = [row.allocator.clone(), blank.into()].into_iter().chain(vec![String::new(); 7]);
            table.add_row(cells.chain(speed).chain(vec![String::new(); 3]));
            continue;
        };
        let heap = measured.heap_bytes.max(1) as f64;
        let share = |bytes: u64| format!("{:.1}", 100.0 * bytes as f64 / heap);
        let space = [
            row.allocator.clone(),
            format!("{:.1}", 100.0 * measured.utilisation()),
            format!("{:.1}", heap / 1024.0),
            share(measured.table_bytes),
            share(measured.header_bytes),
            share(measured.alignment_bytes),
            share(measured.rounding_bytes),
            share(measured.external_bytes),
            format!("{:.1}", 100.0 * measured.external_mean),
        ];
        let work = [
            format!("{:.1}", searched(measured)),
            measured.counters.splits.to_string(),
            measured.counters.coalescings.to_string(),
        ];
        table.add_row(space.into_iter().chain(speed).chain(work));
    }
    table.to_string()
}

fn means(options: &Options, scores: &[Score]) -> String {
    let weight = options.utilisation_weight;
    let index = format!("index ({:.0}/{:.0})", 100.0 * weight, 100.0 * (1.0 - weight));
    let mut table = plain(&["allocator", "util %", "Mops/s", "x system", &index, "failures"]);
    for score in scores {
        let (utilisation, index) = match score.allocator.as_str() {
            SYSTEM => (String::new(), String::new()),
            _ => (format!("{:.1}", 100.0 * score.utilisation), format!("{:.0}", 100.0 * score.index)),
        };
        table.add_row([
            score.allocator.clone(),
            utilisation,
            short(score.ops_per_second / 1e6),
            short(score.relative),
            index,
            score.failures.to_string(),
        ]);
    }
    table.to_string()
}

fn plain(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head.iter());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
