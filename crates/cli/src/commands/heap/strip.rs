//! The heap after an operation, as a strip of blocks.
//!
//! In the terminal each block is drawn as wide as it is large: `#` allocated, `.` free, `~` resting, after a bar; one that is
//! no wider than its bar is `a`, `f` or `r`.

use super::{Options, write};
use crate::failure::Failure;
use heap::bench::chart::escaped;
use heap::bench::replay_until;
use heap::{Allocator, Arena, Block, PagedArena, Trace, Use};
use std::fmt::Write;

/// How wide a line of the strip is.
const LINE: usize = 96;
/// The largest heap that is drawn to scale with one column a unit; larger ones are scaled down.
const LINES: usize = 16;

/// What to print; nothing, if it went into an SVG file.
pub fn draw(options: &Options, traces: &[Trace], op: usize) -> Result<String, Failure> {
    let (mut text, mut picture) = (String::new(), Picture::default());
    for trace in traces {
        let ops = trace.ops.len();
        if op > ops {
            return Err(Failure::usage(format!("{} has {ops} operations, so there is no operation {op}", trace.name)));
        }
        for spec in options.specs() {
            let refused = |error: String| Failure::usage(format!("{spec} on {}: {error}", trace.name));
            let arena = PagedArena::new(options.limit());
            let mut heap = spec.open(arena).map_err(|refusal| refused(refusal.to_string()))?;
            replay_until(heap.as_mut(), trace, op).map_err(|failed| refused(failed.to_string()))?;
            let blocks = heap.blocks().map_err(|refusal| refused(refusal.to_string()))?;
            let bytes = heap.arena().bytes();
            let title = format!("{spec} after operation {op} of {}", trace.name);
            let sums = sums(bytes, &blocks);
            match options.svg {
                Some(_) => picture.heap(&escaped(&title), &sums, &blocks),
                None => text += &format!("{title}: {sums}\n{}\n", terminal(heap.as_ref(), &blocks)),
            }
        }
    }
    if let Some(file) = &options.svg {
        write(file, picture.svg().as_bytes())?;
    }
    Ok(text)
}

fn sums(bytes: u64, blocks: &[Block]) -> String {
    let sum = |used: Use| {
        let these = blocks.iter().filter(|block| block.used == used);
        these.fold((0, 0), |(count, bytes), block| (count + 1, bytes + block.bytes))
    };
    let ((allocated, in_use), (free, unused), (resting, rest)) =
        (sum(Use::Allocated), sum(Use::Free), sum(Use::Resting));
    let mut sums = format!(
        "a heap of {bytes} bytes, {allocated} allocated block{} of {in_use} bytes, {free} free of {unused}",
        if allocated == 1 { "" } else { "s" }
    );
    if resting > 0 {
        let _ = write!(sums, ", {resting} resting of {rest}");
    }
    sums
}

/// Each block between bars, to scale; then, for a small heap, a line a block.
fn terminal<A: Arena>(heap: &dyn Allocator<A>, blocks: &[Block]) -> String {
    let total: u64 = blocks.iter().map(|block| block.bytes).sum();
    let columns = (LINE * LINES) as u64;
    let unit = (total.div_ceil(columns)).max(heap.alignment()).next_power_of_two();
    let mut strip = String::new();
    let mut carried = 0;
    for block in blocks {
        // What was rounded off before is added to the next block, so that a long strip keeps its scale.
        let bytes = block.bytes + carried;
        let width = (bytes / unit) as usize;
        carried = bytes % unit;
        match width {
            0 => {}
            1 => strip.push(narrow(block.used)),
            _ => strip.extend(std::iter::once('|').chain(std::iter::repeat_n(sign(block.used), width - 1))),
        }
    }
    strip.push('|');
    let mut text = String::new();
    for line in strip.as_bytes().chunks(LINE) {
        let _ = writeln!(text, "  {}", String::from_utf8_lossy(line));
    }
    let narrow = if strip.contains(['a', 'f', 'r']) { "; a, f, r: such blocks of one column" } else { "" };
    let _ = writeln!(text, "  one column is {unit} bytes: # allocated, . free, ~ resting{narrow}");
    if blocks.len() <= 24 {
        for block in blocks {
            let used = format!("{:?}", block.used).to_lowercase();
            let _ = writeln!(text, "  {:#8x}  {:>8} bytes  {used}", block.at, block.bytes);
        }
    }
    text
}

fn sign(used: Use) -> char {
    match used {
        Use::Allocated => '#',
        Use::Free => '.',
        Use::Resting => '~',
    }
}

/// A block that is no wider than the bar before it.
fn narrow(used: Use) -> char {
    match used {
        Use::Allocated => 'a',
        Use::Free => 'f',
        Use::Resting => 'r',
    }
}

fn colour(used: Use) -> &'static str {
    match used {
        Use::Allocated => "#0072b2",
        Use::Free => "#dddddd",
        Use::Resting => "#e69f00",
    }
}

/// Heaps under each other, each as rows of equally many bytes.
#[derive(Default)]
struct Picture {
    shapes: String,
    bottom: f64,
}

impl Picture {
    const LEFT: f64 = 90.0;
    const WIDE: f64 = 900.0;
    const ROW: f64 = 22.0;

    /// Adds a heap: its title, a legend, and its blocks.
    fn heap(&mut self, title: &str, sums: &str, blocks: &[Block]) {
        let base = blocks.first().map_or(0, |first| first.at);
        let bytes: u64 = blocks.iter().map(|block| block.bytes).sum();
        let (top, left) = (self.bottom + 24.0, Self::LEFT);
        let _ = writeln!(self.shapes, "<text x=\"{left}\" y=\"{top}\" font-weight=\"bold\">{title}</text>");
        let _ = writeln!(self.shapes, "<text x=\"{left}\" y=\"{}\">{sums}</text>", top + 17.0);
        for (at, used) in [Use::Allocated, Use::Free, Use::Resting].into_iter().enumerate() {
            let x = left + Self::WIDE - 250.0 + 90.0 * at as f64;
            let _ = writeln!(
                self.shapes,
                "<rect x=\"{x}\" y=\"{}\" width=\"11\" height=\"11\" fill=\"{}\"/><text x=\"{}\" y=\"{top}\">{}</text>",
                top - 10.0,
                colour(used),
                x + 15.0,
                format!("{used:?}").to_lowercase()
            );
        }
        let row_bytes = bytes.div_ceil(LINES as u64).next_power_of_two().max(256);
        let first_row = top + 30.0;
        for row in 0..bytes.div_ceil(row_bytes) {
            let y = first_row + Self::ROW * row as f64 + 13.0;
            let at = base + row * row_bytes;
            let _ = writeln!(self.shapes, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{at:#x}</text>", left - 8.0);
        }
        blocks.iter().for_each(|block| self.block(first_row, (base, row_bytes), block));
        self.bottom = first_row + Self::ROW * bytes.div_ceil(row_bytes) as f64;
    }

    /// A block, in as many parts as the rows it lies in; the first row begins at `base`.
    fn block(&mut self, top: f64, (base, row_bytes): (u64, u64), block: &Block) {
        let scale = Self::WIDE / row_bytes as f64;
        let (mut at, end) = (block.at - base, block.at - base + block.bytes);
        while at < end {
            let (row, part) = (at / row_bytes, (row_bytes - at % row_bytes).min(end - at));
            let (x, wide) = (Self::LEFT + (at % row_bytes) as f64 * scale, part as f64 * scale);
            // A gap tells neighbours apart, where there is room for one.
            let gap = if wide > 3.0 && at + part == end { 1.0 } else { 0.0 };
            let _ = writeln!(
                self.shapes,
                "<rect x=\"{x:.2}\" y=\"{}\" width=\"{:.2}\" height=\"18\" fill=\"{}\"><title>{:#x}: {} bytes, {}</title></rect>",
                top + Self::ROW * row as f64,
                wide - gap,
                colour(block.used),
                block.at,
                block.bytes,
                format!("{:?}", block.used).to_lowercase()
            );
            at += part;
        }
    }

    fn svg(&self) -> String {
        let (wide, high) = (Self::LEFT + Self::WIDE + 16.0, self.bottom + 12.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide}\" height=\"{high}\" viewBox=\"0 0 {wide} {high}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}</svg>\n",
            self.shapes
        )
    }
}
