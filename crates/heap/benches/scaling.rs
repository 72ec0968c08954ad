//! Time and steps of an operation as a heap grows to ten million blocks, as a table and as an SVG.
//!
//! `cargo bench -p pagewalk-heap --bench scaling -- FILE.svg`
//!
//! A heap is filled with blocks of 8 to 40 bytes; then random ones are replaced (`free`, `malloc`), and that is timed. What
//! an allocator does is counted as well: blocks searched, splits and coalescings an operation. The counts do not depend
//! on the machine; the time also grows with what caches and TLBs miss, so memory alone, a load and a store
//! at a random block an operation, is drawn beside them. Times are medians of nine parts.

use pagewalk_heap::synth::Rng;
use pagewalk_heap::{Allocator, Arena, ByteArena, Ptr, Spec};
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How many blocks are live.
const BLOCKS: [usize; 9] = [1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
const SPECS: [&str; 3] = ["segregated-fits", "segregated-fits:coalesce=immediate", "buddy"];
/// How often a part of the operations is timed; the median counts.
const PARTS: usize = 9;
/// Operations of a part, half of them frees.
const OPS: usize = 40_000;
/// What a heap of ten million blocks takes at most.
const LIMIT: u64 = 1 << 30;

/// One allocator at one size.
struct Point {
    ns: f64,
    steps: f64,
}

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:>10}  {:>8}  ns and steps an operation of {}", "blocks", "memory", SPECS.join(", "));
    let (mut memory, mut curves) = (Vec::new(), SPECS.map(|_| Vec::new()));
    for blocks in BLOCKS {
        memory.push(Point { ns: touch(blocks), steps: 0.0 });
        print!("{blocks:>10}  {:>5.1} ns", memory[memory.len() - 1].ns);
        for (spec, curve) in SPECS.iter().zip(&mut curves) {
            let point = measure(spec, blocks);
            print!("  {:>6.1} ns {:>5.2}", point.ns, point.steps);
            curve.push(point);
        }
        println!();
    }
    if let Some(file) = file {
        let named: Vec<_> = SPECS.into_iter().zip(&curves).chain([("memory alone", &memory)]).collect();
        std::fs::write(&file, svg(&named)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// Replaces random ones of `blocks` live blocks.
fn measure(spec: &str, blocks: usize) -> Point {
    let spec: Spec = spec.parse().expect("a spec of this file");
    let mut heap = spec.open(ByteArena::new(LIMIT)).expect("room");
    let mut rng = Rng::new(1);
    let mut live: Vec<Ptr> = (0..blocks).map(|_| heap.malloc(rng.between(8, 40)).expect("room")).collect();
    // As many again unmeasured, so that the heap has the gaps of one that has lived.
    replace(heap.as_mut(), &mut live, &mut rng, blocks);
    let before = work(heap.as_ref());
    let ns = median_ns(|| replace(heap.as_mut(), &mut live, &mut rng, OPS / 2));
    Point { ns, steps: (work(heap.as_ref()) - before) as f64 / (PARTS * OPS) as f64 }
}

/// The nanoseconds an operation of a part, in the median.
fn median_ns(mut part: impl FnMut()) -> f64 {
    let mut times = [(); PARTS].map(|()| {
        // A pause, so that the scheduler gives a whole time slice.
        std::thread::sleep(Duration::from_micros(100));
        let start = Instant::now();
        part();
        start.elapsed().as_nanos() as f64 / OPS as f64
    });
    times.sort_unstable_by(f64::total_cmp);
    times[PARTS / 2]
}

fn replace<A: Arena>(heap: &mut dyn Allocator<A>, live: &mut [Ptr], rng: &mut Rng, times: usize) {
    for _ in 0..times {
        let slot = &mut live[rng.below(live.len() as u64) as usize];
        heap.free(*slot).expect("it is live");
        *slot = heap.malloc(rng.between(8, 40)).expect("room");
    }
}

fn work<A: Arena>(heap: &dyn Allocator<A>) -> u64 {
    let counters = heap.counters();
    counters.searched + counters.splits + counters.coalescings
}

/// What the memory of so many blocks costs alone: a random slot, and a load and a store where it leads.
fn touch(blocks: usize) -> f64 {
    let (mut rng, bytes) = (Rng::new(1), 32);
    let mut arena = ByteArena::new(LIMIT);
    arena.grow(blocks as u64 * bytes).expect("room");
    let slots: Vec<u64> = (0..blocks).map(|_| bytes * rng.below(blocks as u64)).collect();
    slots.iter().for_each(|&at| arena.store32(at, 1));
    median_ns(|| {
        for _ in 0..OPS {
            let at = slots[rng.below(blocks as u64) as usize];
            arena.store32(at, arena.load32(at) + 1);
        }
    })
}

/// Two panels over the logarithm of the number of blocks: nanoseconds, and steps.
fn svg(curves: &[(&str, &Vec<Point>)]) -> String {
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 820 600\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
    );
    panel(&mut svg, 40.0, "nanoseconds an operation, by live blocks", curves, |point| point.ns);
    let steps = &curves[..curves.len() - 1];
    panel(&mut svg, 330.0, "blocks searched, split and coalesced an operation", steps, |point| point.steps);
    svg + "</svg>\n"
}

fn panel(svg: &mut String, top: f64, title: &str, curves: &[(&str, &Vec<Point>)], of: fn(&Point) -> f64) {
    const COLOURS: [&str; 4] = ["#4269d0", "#efb118", "#ff725c", "#888888"];
    const HEIGHT: f64 = 220.0;
    let highest = curves.iter().flat_map(|(_, curve)| curve.iter()).map(of).fold(1.0, f64::max);
    let x = |index: usize| 50.0 + 500.0 * ((BLOCKS[index] as f64).log10() - 3.0) / 4.0;
    let y = |value: f64| top + HEIGHT * (1.0 - value / highest);
    let mut line = |text: String| svg.push_str(&(text + "\n"));
    line(format!("<text x=\"50\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 8.0));
    line(format!("<rect x=\"50\" y=\"{top}\" width=\"500\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#888\"/>"));
    line(format!("<text x=\"46\" y=\"{}\" text-anchor=\"end\">{highest:.0}</text>", top + 10.0));
    line(format!("<text x=\"46\" y=\"{}\" text-anchor=\"end\">0</text>", top + HEIGHT));
    for power in 3..=7 {
        let x = 50.0 + 125.0 * f64::from(power - 3);
        let y = top + HEIGHT + 16.0;
        line(format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">10^{power}</text>"));
    }
    for (index, ((name, curve), colour)) in curves.iter().zip(COLOURS).enumerate() {
        let mut points = String::new();
        for (at, point) in curve.iter().enumerate() {
            let _ = write!(points, "{:.1},{:.1} ", x(at), y(of(point)));
        }
        line(format!("<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        let y = top + 16.0 * (index + 1) as f64;
        line(format!("<text x=\"560\" y=\"{y}\" fill=\"{colour}\">{name}</text>"));
    }
}
