//! The heap after an operation, as a strip of blocks.
//!
//! In the terminal each block is drawn as wide as it is large: `#` allocated, `.` free, `~` resting, between bars.

use super::{Options, write};
use crate::failure::Failure;
use heap::bench::replay_until;
use heap::{Allocator, Arena, Block, PagedArena, Trace, Use};
use std::fmt::Write;

/// How wide a line of the strip is.
const LINE: usize = 96;
/// The largest heap that is drawn to scale with one column a unit; larger ones are scaled down.
const LINES: usize = 16;

/// What to print; nothing, if it went into an SVG file.
pub fn draw(options: &Options, traces: &[Trace], op: usize) -> Result<String, Failure> {
    let (mut text, mut svg) = (String::new(), String::new());
    let mut top = 10.0;
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
            let title = title(&spec.to_string(), &trace.name, op, bytes, &blocks);
            match options.svg {
                Some(_) => top = picture(&mut svg, top, &title, bytes, &blocks),
                None => text += &format!("{title}\n{}\n", terminal(heap.as_ref(), &blocks)),
            }
        }
    }
    if let Some(file) = &options.svg {
        let head = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 {top}\" font-family=\"monospace\" font-size=\"12\">\n"
        );
        write(file, format!("{head}{svg}</svg>\n").as_bytes())?;
    }
    Ok(text)
}

fn title(spec: &str, trace: &str, op: usize, bytes: u64, blocks: &[Block]) -> String {
    let sum = |used: Use| {
        let these = blocks.iter().filter(|block| block.used == used);
        these.fold((0, 0), |(count, bytes), block| (count + 1, bytes + block.bytes))
    };
    let ((allocated, in_use), (free, unused), (resting, rest)) =
        (sum(Use::Allocated), sum(Use::Free), sum(Use::Resting));
    let mut title = format!(
        "{spec} after operation {op} of {trace}: a heap of {bytes} bytes, {allocated} allocated blocks of {in_use} bytes, \
         {free} free of {unused}"
    );
    if resting > 0 {
        let _ = write!(title, ", {resting} resting of {rest}");
    }
    title
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
        if width > 0 {
            strip.push('|');
            strip.extend(std::iter::repeat_n(sign(block.used), width.saturating_sub(1)));
        }
    }
    strip.push('|');
    let mut text = String::new();
    for line in strip.as_bytes().chunks(LINE) {
        let _ = writeln!(text, "  {}", String::from_utf8_lossy(line));
    }
    let _ = writeln!(text, "  one column is {unit} bytes: # allocated, . free, ~ resting");
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

fn picture(svg: &mut String, top: f64, title: &str, bytes: u64, blocks: &[Block]) -> f64 {
    let scale = 980.0 / bytes.max(1) as f64;
    let _ = writeln!(svg, "<text x=\"10\" y=\"{}\">{title}</text>", top + 12.0);
    for block in blocks {
        let colour = match block.used {
            Use::Allocated => "#4269d0",
            Use::Free => "#e8e8e8",
            Use::Resting => "#efb118",
        };
        let _ = writeln!(
            svg,
            "<rect x=\"{:.2}\" y=\"{}\" width=\"{:.2}\" height=\"30\" fill=\"{colour}\" stroke=\"white\" \
             stroke-width=\"0.5\"><title>{:#x}: {} bytes, {:?}</title></rect>",
            10.0 + block.at as f64 * scale,
            top + 20.0,
            block.bytes as f64 * scale,
            block.at,
            block.bytes,
            block.used
        );
    }
    top + 70.0
}
