//! Time and steps of an operation as a heap grows to ten million blocks, as a table and as an SVG.
//!
//! `cargo bench -p pagewalk-heap --bench scaling -- FILE.svg`
//!
//! A heap is filled with blocks of 8 to 40 bytes; then random ones are replaced (`free`, `malloc`), and that is timed. What
//! an allocator does is counted as well: blocks searched, splits and coalescings, in the mean of the timed operations and
//! the most of any one from an empty heap to an empty one. The counts do not depend on the machine; the time also grows with what
//! caches and TLBs miss, so memory alone, a load and a store at a random block an operation, is drawn beside them. Times are
//! medians of nine parts. Ten million blocks take half a GiB, and all of it a few
//! minutes.

use pagewalk_heap::bench::chart::{Axis, COLOURS, Panel, Scale, Unit, svg};
use pagewalk_heap::synth::Rng;
use pagewalk_heap::{Allocator, Arena, ByteArena, Ptr, Spec};
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
    /// In the mean.
    steps: f64,
    /// Of the operation that took the most.
    most: f64,
}

fn main() {
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("{:>10}  {:>8}  ns, steps and most steps an operation of {}", "blocks", "memory", SPECS.join(", "));
    let (mut memory, mut curves) = (Vec::new(), SPECS.map(|_| Vec::new()));
    for blocks in BLOCKS {
        memory.push(Point { ns: touch(blocks), steps: 0.0, most: 0.0 });
        print!("{blocks:>10}  {:>5.1} ns", memory[memory.len() - 1].ns);
        for (spec, curve) in SPECS.iter().zip(&mut curves) {
            let point = measure(spec, blocks);
            print!("  {:>6.1} ns {:>5.2} {:>6}", point.ns, point.steps, point.most);
            curve.push(point);
        }
        println!();
    }
    if let Some(file) = file {
        let named: Vec<_> = SPECS.into_iter().zip(&curves).chain([("memory alone", &memory)]).collect();
        std::fs::write(&file, chart(&named)).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// Replaces random ones of `blocks` live blocks.
fn measure(spec: &str, blocks: usize) -> Point {
    let spec: Spec = spec.parse().expect("a spec of this file");
    let mut heap = spec.open(ByteArena::new(LIMIT)).expect("room");
    let mut rng = Rng::new(1);
    let mut most = Most::default();
    let fill = |_| {
        let at = heap.malloc(rng.between(8, 40)).expect("room");
        most.see(heap.as_ref());
        at
    };
    let mut live: Vec<Ptr> = (0..blocks).map(fill).collect();
    // As many again untimed, so that the heap has the gaps of one that has lived.
    replace(heap.as_mut(), &mut live, &mut rng, blocks, |heap| most.see(heap));
    let before = work(heap.as_ref());
    let ns = median_ns(|| replace(heap.as_mut(), &mut live, &mut rng, OPS / 2, |_| ()));
    let steps = (work(heap.as_ref()) - before) as f64 / (PARTS * OPS) as f64;
    // At the end all is given back. Then a small block is cut from what that became, and a large one, for which deferred
    // coalescing does at once what it put off.
    most.before = work(heap.as_ref());
    for at in live {
        heap.free(at).expect("it is live");
        most.see(heap.as_ref());
    }
    for bytes in [8, 1 << 16] {
        heap.malloc(bytes).expect("room");
        most.see(heap.as_ref());
    }
    Point { ns, steps, most: most.steps as f64 }
}

/// The most steps of one operation.
#[derive(Default)]
struct Most {
    before: u64,
    steps: u64,
}

impl Most {
    fn see<A: Arena>(&mut self, heap: &dyn Allocator<A>) {
        let now = work(heap);
        self.steps = self.steps.max(now - self.before);
        self.before = now;
    }
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

fn replace<A: Arena>(
    heap: &mut dyn Allocator<A>,
    live: &mut [Ptr],
    rng: &mut Rng,
    times: usize,
    mut after: impl FnMut(&dyn Allocator<A>),
) {
    for _ in 0..times {
        let slot = &mut live[rng.below(live.len() as u64) as usize];
        heap.free(*slot).expect("it is live");
        after(heap);
        *slot = heap.malloc(rng.between(8, 40)).expect("room");
        after(heap);
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

/// Three panels over the number of blocks: nanoseconds, steps in the mean, and the most steps.
fn chart(curves: &[(&str, &Vec<Point>)]) -> String {
    let steps = &curves[..curves.len() - 1];
    let panels = [
        panel("Time of an operation", "nanoseconds", Scale::Log, curves, |point| point.ns),
        panel("Steps of an operation, in the mean", "searched, split, joined", Scale::Linear, steps, |point| {
            point.steps
        }),
        panel("Most steps of one operation", "searched, split, joined", Scale::Log, steps, |point| point.most),
    ];
    svg(&panels)
}

fn panel(title: &str, unit: &str, scale: Scale, curves: &[(&str, &Vec<Point>)], of: fn(&Point) -> f64) -> Panel {
    let axis = |title: &str, ends, scale| Axis { title: title.into(), ends, scale, unit: Unit::Plain };
    let highest = curves.iter().flat_map(|(_, curve)| curve.iter()).map(of).fold(1.0, f64::max);
    let from = if scale == Scale::Log { 1.0 } else { 0.0 };
    let blocks = axis("live blocks", (BLOCKS[0] as f64, BLOCKS[BLOCKS.len() - 1] as f64), Scale::Log);
    let mut panel = Panel::new(title, blocks, axis(unit, (from, 1.3 * highest), scale));
    for ((name, curve), colour) in curves.iter().zip(COLOURS) {
        let points: Vec<_> = BLOCKS.iter().zip(*curve).map(|(&blocks, point)| (blocks as f64, of(point))).collect();
        panel.curve(*name, colour, &points);
    }
    panel
}
