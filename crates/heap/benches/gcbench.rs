//! The collector against libgc, in one run, by turns: GCBench, a large graph, many small objects.
//!
//! `cargo bench -p pagewalk-heap --bench gcbench` (needs a C compiler and Debian's libgc-dev). GCBench is written from its
//! published description: trees of depth 4 to 16 are built top-down and bottom-up and dropped, beside a tree of depth 16
//! and an array of 500,000 doubles that live on. `GC_MARKERS=1` keeps libgc's marking to one thread, as ours is; without
//! it in the environment libgc is free to use every core.

use pagewalk_heap::collector::{Collector, Contents, Policy, Root};
use pagewalk_heap::{Arena, ByteArena, Ptr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Runs a workload on our collector, and gives the heap's size.
type Workload = fn() -> u64;

const WORKLOADS: [(&str, Workload); 3] = [("gcbench", gcbench), ("graph", graph), ("small", small)];
const REPEATS: usize = 5;

fn main() {
    let Some(peer) = compile() else {
        println!("libgc is not here, so there is nothing to compare with: apt-get install libgc-dev");
        return;
    };
    println!("{:<10}{:>12}{:>12}{:>8}{:>14}{:>14}", "workload", "ours s", "libgc s", "ratio", "ours MiB", "libgc MiB");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, ours) in WORKLOADS {
        if !wanted.is_empty() && !wanted.iter().any(|word| word == name) {
            continue;
        }
        let (mut our_runs, mut their_runs) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            let start = Instant::now();
            let heap = ours();
            our_runs.push((start.elapsed().as_secs_f64(), heap));
            their_runs.push(run_peer(&peer, name));
        }
        let ((our_time, our_heap), (their_time, their_heap)) = (median(our_runs), median(their_runs));
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        let ratio = our_time / their_time;
        let (our_heap, their_heap) = (mib(our_heap), mib(their_heap));
        println!("{name:<10}{our_time:>12.3}{their_time:>12.3}{ratio:>8.2}{our_heap:>14.1}{their_heap:>14.1}");
    }
}

fn compile() -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gcbench.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gcbench");
    let status = Command::new("cc").arg("-O2").arg(&source).arg("-o").arg(&program).arg("-lgc").status();
    status.is_ok_and(|status| status.success()).then_some(program)
}

fn run_peer(program: &Path, name: &str) -> (f64, u64) {
    let output = Command::new(program).arg(name).output().expect("it was just compiled");
    let text = String::from_utf8(output.stdout).expect("two numbers");
    let mut words = text.split_whitespace();
    let mut word = || words.next().expect("two numbers").to_string();
    (word().parse().expect("seconds"), word().parse().expect("bytes"))
}

fn median(mut runs: Vec<(f64, u64)>) -> (f64, u64) {
    runs.sort_by(|one, other| one.0.total_cmp(&other.0));
    runs[runs.len() / 2]
}

/// A program's heap and its stack of roots.
struct Program {
    heap: Collector<ByteArena>,
    roots: Vec<u64>,
}

impl Program {
    fn new() -> Self {
        let policy = Policy { min_bytes: 16 << 20, ..Policy::default() };
        let heap = Collector::new(ByteArena::new(1 << 30), policy).expect("room");
        Self { heap, roots: Vec::new() }
    }

    fn allocate(&mut self, bytes: u64, contents: Contents) -> u64 {
        self.heap.malloc(bytes, contents, || [Root::Words(&self.roots)]).expect("a gibibyte is enough").get()
    }

    /// `left`, `right`, and two numbers in one word.
    fn leaf(&mut self) -> u64 {
        self.allocate(24, Contents::Pointers)
    }

    fn set(&mut self, node: u64, slot: u64, value: u64) {
        self.heap.arena_mut().store64(node + 8 * slot, value);
    }

    fn populate(&mut self, depth: u32, node: u64) {
        if depth == 0 {
            return;
        }
        self.roots.push(node);
        let left = self.leaf();
        self.set(node, 0, left);
        let right = self.leaf();
        self.set(node, 1, right);
        self.populate(depth - 1, left);
        self.populate(depth - 1, right);
        self.roots.pop();
    }

    fn make(&mut self, depth: u32) -> u64 {
        if depth == 0 {
            return self.leaf();
        }
        let left = self.make(depth - 1);
        self.roots.push(left);
        let right = self.make(depth - 1);
        self.roots.push(right);
        let node = self.leaf();
        self.set(node, 0, left);
        self.set(node, 1, right);
        self.roots.truncate(self.roots.len() - 2);
        node
    }
}

fn gcbench() -> u64 {
    let mut program = Program::new();
    program.make(18);
    let kept = program.leaf();
    program.roots.push(kept);
    program.populate(16, kept);
    let array = program.allocate(500_000 * 8, Contents::Atomic);
    program.roots.push(array);
    for index in 1..250_000_u32 {
        program.set(array, u64::from(index), (1.0 / f64::from(index)).to_bits());
    }
    for depth in (4..=16).step_by(2) {
        let times = 2 * ((1 << 19) - 1) / ((1 << (depth + 1)) - 1);
        for _ in 0..times {
            let node = program.leaf();
            program.populate(depth, node);
        }
        for _ in 0..times {
            program.make(depth);
        }
    }
    let arena = program.heap.arena();
    assert!(arena.load64(kept) != 0 && arena.load64(array + 8000) == (1.0_f64 / 1000.0).to_bits());
    arena.bytes()
}

fn graph() -> u64 {
    const NODES: u64 = 500_000;
    const EDGES: u64 = 4;
    let mut program = Program::new();
    let nodes = program.allocate(NODES * 8, Contents::Pointers);
    program.roots.push(nodes);
    for index in 0..NODES {
        let node = program.allocate(EDGES * 8, Contents::Pointers);
        program.set(nodes, index, node);
    }
    let mut state: u64 = 1;
    let mut below = |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    for index in 0..NODES {
        let node = program.heap.arena().load64(nodes + index * 8);
        for edge in 0..EDGES {
            let target = program.heap.arena().load64(nodes + below(NODES) * 8);
            program.set(node, edge, target);
        }
    }
    for _ in 0..8 {
        program.heap.collect(&[Root::Words(&program.roots)]);
    }
    program.heap.arena().bytes()
}

fn small() -> u64 {
    let mut program = Program::new();
    let mut last = Ptr::NULL;
    for _ in 0..20_000_000 {
        last = Ptr::new(program.allocate(16, Contents::Pointers));
    }
    std::hint::black_box(last);
    program.heap.arena().bytes()
}
