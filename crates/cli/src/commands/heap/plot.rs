//! The bench as a picture: utilisation against throughput, and the heap over time.

use super::bench::Row;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 860.0;
const PANEL: f64 = 300.0;
const MARGIN: f64 = 60.0;
const COLOURS: [&str; 8] = ["#4269d0", "#efb118", "#ff725c", "#3ca951", "#a463f2", "#9c6b4e", "#6cc5b0", "#ff8ab7"];

/// One SVG: a panel of points, then one panel of curves for each trace.
pub fn svg(rows: &[Row]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row.measured.is_some()) {
        if !names.contains(&row.allocator.as_str()) {
            names.push(&row.allocator);
        }
    }
    let traces: Vec<&[Row]> = rows.chunk_by(|one, other| one.trace == other.trace).collect();
    let height = (traces.len() + 1) as f64 * (PANEL + MARGIN) + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    points(&mut svg, rows, &names);
    for (panel, trace) in traces.iter().enumerate() {
        curves(&mut svg, trace, &names, MARGIN + (panel + 1) as f64 * (PANEL + MARGIN));
    }
    svg + "</svg>\n"
}

/// A point for each allocator: mean utilisation up, geometric mean of the throughput relative to the system's right.
fn points(svg: &mut String, rows: &[Row], names: &[&str]) {
    let mut means: BTreeMap<&str, (f64, f64, f64)> = BTreeMap::new();
    for row in rows {
        if let Some(measured) = &row.measured {
            let mean = means.entry(&row.allocator).or_default();
            *mean = (mean.0 + measured.utilisation(), mean.1 + row.relative.max(1e-6).ln(), mean.2 + 1.0);
        }
    }
    let at = |name: &str| means.get(name).map(|&(util, log, count)| (util / count, (log / count).exp()));
    let fastest = names.iter().filter_map(|name| at(name)).map(|(_, speed)| speed).fold(1.0, f64::max);
    frame(svg, MARGIN, "mean utilisation (up, 0 to 100 %) against throughput (right, times the system's malloc)");
    let scale = PANEL_WIDTH / (fastest * 1.1);
    let _ = writeln!(
        svg,
        "<line x1=\"{x}\" x2=\"{x}\" y1=\"{MARGIN}\" y2=\"{bottom}\" stroke=\"#bbb\" stroke-dasharray=\"4\"/>\
         <text x=\"{x}\" y=\"{label}\" text-anchor=\"middle\">1x</text>",
        x = MARGIN + scale,
        bottom = MARGIN + PANEL,
        label = MARGIN + PANEL + 14.0
    );
    for (index, name) in names.iter().enumerate() {
        let Some((utilisation, speed)) = at(name) else { continue };
        let (x, y) = (MARGIN + speed * scale, MARGIN + PANEL * (1.0 - utilisation));
        let colour = COLOURS[index % COLOURS.len()];
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
            x + 8.0,
            y + 4.0
        );
    }
}

const PANEL_WIDTH: f64 = WIDTH - 2.0 * MARGIN - 120.0;

/// The heap of each allocator over time, and the payload in it.
fn curves(svg: &mut String, rows: &[Row], names: &[&str], top: f64) {
    let measured = || rows.iter().filter_map(|row| Some((row, row.measured.as_ref()?)));
    let highest = measured().map(|(_, measured)| measured.heap_bytes).max().unwrap_or(1).max(1) as f64;
    let ops = rows[0].ops.max(1) as f64;
    let title =
        format!("{}: heap over {ops} operations (up to {:.0} KiB); grey: payload", rows[0].trace, highest / 1024.0);
    frame(svg, top, &title);
    let place = |op: usize, bytes: u64| {
        let (x, y) = (MARGIN + PANEL_WIDTH * op as f64 / ops, top + PANEL * (1.0 - bytes as f64 / highest));
        format!("{x:.1},{y:.1}")
    };
    for (row, measured) in measured() {
        let index = names.iter().position(|name| *name == row.allocator).unwrap_or(0);
        let heap: Vec<_> = measured.samples.iter().map(|sample| place(sample.op, sample.heap_bytes)).collect();
        let payload: Vec<_> = measured.samples.iter().map(|sample| place(sample.op, sample.payload_bytes)).collect();
        let colour = COLOURS[index % COLOURS.len()];
        if index == 0 {
            let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#aaa\"/>", payload.join(" "));
        }
        let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\"/>", heap.join(" "));
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
            MARGIN + PANEL_WIDTH + 8.0,
            top + 14.0 * (index + 1) as f64,
            row.allocator
        );
    }
}

fn frame(svg: &mut String, top: f64, title: &str) {
    let _ = writeln!(
        svg,
        "<rect x=\"{MARGIN}\" y=\"{top}\" width=\"{PANEL_WIDTH}\" height=\"{PANEL}\" fill=\"none\" stroke=\"#888\"/>\
         <text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        top - 8.0
    );
}
