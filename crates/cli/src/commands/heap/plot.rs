//! The bench as a picture: utilisation against throughput, and the heap over time.

use super::bench::Row;
use heap::bench::chart::{Axis, COLOURS, Panel, Scale, Unit, bytes, svg as picture};

/// One SVG: a panel of points, then one panel of curves for each trace.
pub fn svg(rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.measured.is_some()) {
        if !names.contains(&row.allocator.as_str()) {
            names.push(&row.allocator);
        }
    }
    let traces = rows.chunk_by(|one, other| one.trace == other.trace);
    let panels: Vec<Panel> =
        std::iter::once(points(rows, &names)).chain(traces.map(|rows| curves(rows, &names))).collect();
    picture(&panels)
}

fn colour(names: &[&str], name: &str) -> &'static str {
    COLOURS[names.iter().position(|known| *known == name).unwrap_or(0) % COLOURS.len()]
}

/// A point for each allocator: mean utilisation up, geometric mean of the throughput relative to the system's right.
fn points(rows: &[Row], names: &[&str]) -> Panel {
    let points: Vec<(&str, f64, f64)> = names
        .iter()
        .map(|name| {
            let measured = || rows.iter().filter(|row| row.allocator == *name && row.measured.is_some());
            let count = measured().count() as f64;
            let utilisation = measured().filter_map(|row| row.measured.as_ref()).map(|m| m.utilisation()).sum::<f64>();
            let speed = measured().map(|row| row.relative.max(1e-6).ln()).sum::<f64>();
            (*name, (speed / count).exp(), 100.0 * utilisation / count)
        })
        .collect();
    let slowest = points.iter().map(|point| point.1).fold(0.5, f64::min);
    let fastest = points.iter().map(|point| point.1).fold(2.0, f64::max);
    let speed = Axis {
        title: "throughput, times the system's malloc (geometric mean over the traces)".into(),
        ends: (slowest / 1.3, fastest * 1.3),
        scale: Scale::Log,
        unit: Unit::Plain,
    };
    let utilisation =
        Axis { title: "peak utilisation (mean)".into(), ends: (0.0, 100.0), scale: Scale::Linear, unit: Unit::Percent };
    let mut panel = Panel::new("Memory against speed: better is up and right", speed, utilisation);
    panel.mark(1.0);
    for (name, speed, utilisation) in points {
        panel.point(name, colour(names, name), speed, utilisation);
    }
    panel
}

/// The heap of each allocator over time, and the payload in it.
fn curves(rows: &[Row], names: &[&str]) -> Panel {
    let measured = || rows.iter().filter_map(|row| Some((row, row.measured.as_ref()?)));
    // A heap that only grows leaves the picture, so that the others can be told apart.
    let mut heaps: Vec<u64> = measured().map(|(_, measured)| measured.heap_bytes).collect();
    heaps.sort_unstable();
    let middle = heaps.get(heaps.len() / 2).copied().unwrap_or(1);
    let highest = heaps.into_iter().filter(|&heap| heap <= 4 * middle).max().unwrap_or(1).max(1) as f64;
    let ops = Axis {
        title: "operations".into(),
        ends: (0.0, rows[0].ops.max(1) as f64),
        scale: Scale::Linear,
        unit: Unit::Plain,
    };
    let size = Axis { title: "bytes".into(), ends: (0.0, 1.04 * highest), scale: Scale::Linear, unit: Unit::Bytes };
    let mut panel = Panel::new(format!("{}: the heap over time", rows[0].trace), ops, size);
    if let Some((_, first)) = measured().next() {
        let payload: Vec<_> =
            first.samples.iter().map(|sample| (sample.op as f64, sample.payload_bytes as f64)).collect();
        panel.curve(format!("payload {}", bytes(first.peak_payload_bytes as f64)), "#222222", &payload);
    }
    for (row, measured) in measured() {
        let heap: Vec<_> = measured.samples.iter().map(|sample| (sample.op as f64, sample.heap_bytes as f64)).collect();
        let beyond = if measured.heap_bytes as f64 > highest { ", not all drawn" } else { "" };
        let name = format!("{} {}{beyond}", row.allocator, bytes(measured.heap_bytes as f64));
        panel.curve(name, colour(names, &row.allocator), &heap);
    }
    panel
}
