//! Hostile input for the heap, made of any bytes: for the fuzz targets in `fuzz/`, and as bounded property tests.

use pagewalk_heap::collector::{Collector, Contents, Policy, Root};
use pagewalk_heap::{Allocator, Arena, ByteArena, LogHead, Op, Ptr, Recorded, Spec, Trace};

/// The bytes still to be read; when there are no more, zeros.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, self.0), |(&first, rest)| (first, rest));
        self.0 = rest;
        first
    }

    fn short(&mut self) -> u64 {
        u64::from(self.byte()) | u64::from(self.byte()) << 8
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// An allocator with any parameters, if they go together.
    fn spec(&mut self) -> Option<Spec> {
        let word = self.of(&["align=4,header=4", "align=8,header=4", "align=8,header=8", "align=16,header=8"]);
        let chunk = self.of(&["chunk=24", "chunk=256", "chunk=4096"]);
        let name = self.of(&[
            "implicit",
            "implicit-nofooter",
            "explicit",
            "segregated-fits",
            "segregated-storage",
            "buddy",
            "bump",
        ]);
        let mut text = match name {
            "bump" => format!("bump:{word}"),
            "buddy" => format!("buddy:{word},chunk=256"),
            _ => format!("{name}:{word},{chunk},checks=walk"),
        };
        if !matches!(name, "bump" | "buddy" | "segregated-storage") {
            for params in [
                ["fit=first", "fit=best", "fit=next"],
                ["split=always", "split=never", "split=32"],
                ["coalesce=immediate", "coalesce=deferred", "coalesce=never"],
                ["side=low", "side=by-size", "side=low"],
            ] {
                text = format!("{text},{}", self.of(&params));
            }
        }
        if name == "explicit" {
            text = format!("{text},{}", self.of(&["order=lifo", "order=address"]));
        }
        text.parse().ok()
    }
}

/// A trace is refused or makes sense; what makes sense is the same after it was written and read.
pub fn traces(bytes: &[u8]) {
    let Ok(trace) = Trace::parse("any", bytes) else { return };
    let (peak, at) = trace.peak_payload();
    assert!(at <= trace.ops.len() && (peak == 0) == (at == 0));
    assert_eq!(Trace::parse("any", &trace.to_compact()).as_ref(), Ok(&trace));
    let text = Trace::parse("any", trace.to_rep().as_bytes()).expect("it makes sense as text too");
    assert_eq!((text.ops.len(), text.ids, text.weight), (trace.ops.len(), trace.ids, trace.weight));
}

/// A recorder's log of any bytes is a trace that makes sense.
pub fn logs(bytes: &[u8]) {
    let mut log = bytes;
    let Ok(head) = LogHead::read(&mut log) else { return };
    let mut recorded = Recorded::default();
    recorded.append(head.slots, log).expect("bytes are read without errors");
    let most = |op: &Op| match *op {
        Op::Malloc { bytes, .. } | Op::Calloc { bytes, .. } | Op::Realloc { bytes, .. } => bytes,
        Op::Aligned { alignment, bytes, .. } => alignment.max(bytes),
        Op::Free { .. } => 0,
    };
    // No allocator has granted more, so a real log has no such size.
    if recorded.trace.ops.iter().all(|op| most(op) <= 1 << 47) {
        assert!(Trace::parse("", &recorded.trace.to_compact()).is_ok_and(|trace| trace == recorded.trace));
    }
}

/// A payload that was given out, and the byte that fills it.
struct Live {
    at: Ptr,
    bytes: u64,
    fill: u8,
}

struct Heap {
    heap: Box<dyn Allocator<ByteArena>>,
    live: Vec<Live>,
    freed: Vec<Ptr>,
}

const ARENA_BYTES: u64 = 1 << 15;

/// Allocations and frees among frees and reallocs of pointers that were never given out, of interior ones and of freed
/// ones: those are refused, and the heap and all payloads are as they were.
pub fn frees(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Some(spec) = input.spec() else { return };
    let detects_all = spec.to_string().contains("walk");
    let Ok(heap) = spec.open(ByteArena::new(ARENA_BYTES)) else { return };
    let mut heap = Heap { heap, live: Vec::new(), freed: Vec::new() };
    while !input.0.is_empty() {
        let hostile = match input.byte() % 10 {
            0..=2 => heap.allocate(input.short() % 700, 1),
            3 => heap.allocate(input.short() % 700, 1 << (input.byte() % 10)),
            4..=5 => heap.free(input.byte()),
            6 => heap.realloc(input.byte(), input.short() % 700),
            7 => Some(Ptr::new(input.short())),
            8 => heap.live.last().map(|live| Ptr::new(live.at.get() + 1 + input.short() % live.bytes.max(1))),
            _ => heap.freed.last().copied(),
        };
        let Some(at) = hostile.filter(|&at| !at.is_null() && heap.live.iter().all(|live| live.at != at)) else {
            continue;
        };
        let before = heap.heap.blocks().expect("sound");
        let answers =
            [heap.heap.usable_bytes(at).is_err(), heap.heap.realloc(at, 50).is_err(), heap.heap.free(at).is_err()];
        if !detects_all && answers.contains(&false) {
            // It imitates a block's tags, which only a walk would notice.
            return;
        }
        assert_eq!(answers, [true; 3], "{spec}: {at} is no payload");
        assert_eq!(heap.heap.blocks().expect("sound"), before, "{spec}");
        heap.heap.check().unwrap_or_else(|broken| panic!("{spec}: {broken}"));
        heap.live.iter().for_each(|live| heap.verify(live, live.bytes));
    }
    heap.heap.check().unwrap_or_else(|broken| panic!("{spec}: {broken}"));
}

impl Heap {
    fn allocate(&mut self, bytes: u64, alignment: u64) -> Option<Ptr> {
        let at = if alignment == 1 { self.heap.malloc(bytes) } else { self.heap.aligned_alloc(alignment, bytes) };
        if let Ok(at) = at {
            self.took(at, bytes);
        }
        None
    }

    fn took(&mut self, at: Ptr, bytes: u64) {
        assert!(at.get() + bytes <= self.heap.arena().bytes());
        let apart =
            |other: &Live| other.at.get() >= at.get() + bytes.max(1) || other.at.get() + other.bytes.max(1) <= at.get();
        assert!(self.live.iter().all(apart), "{at} overlaps another payload");
        let fill = 0x80 | self.live.len() as u8;
        self.heap.arena_mut().fill(at.get(), bytes, fill);
        self.live.push(Live { at, bytes, fill });
    }

    fn free(&mut self, which: u8) -> Option<Ptr> {
        if !self.live.is_empty() {
            let live = self.live.swap_remove(usize::from(which) % self.live.len());
            self.verify(&live, live.bytes);
            self.heap.free(live.at).expect("a live payload");
            self.freed.push(live.at);
        }
        None
    }

    fn realloc(&mut self, which: u8, bytes: u64) -> Option<Ptr> {
        if self.live.is_empty() || bytes == 0 {
            return None;
        }
        let live = self.live.swap_remove(usize::from(which) % self.live.len());
        match self.heap.realloc(live.at, bytes) {
            Ok(at) => {
                self.verify(&Live { at, ..live }, live.bytes.min(bytes));
                self.took(at, bytes);
            }
            Err(_) => self.live.push(live),
        }
        None
    }

    fn verify(&self, live: &Live, bytes: u64) {
        let mut payload = vec![0; bytes as usize];
        self.heap.arena().read(live.at.get(), &mut payload);
        assert!(payload.iter().all(|&byte| byte == live.fill), "the payload at {} is intact", live.at);
    }
}

/// A program that overwrites anything: every call is answered, without panic and without end.
pub fn smashes(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Some(spec) = input.spec() else { return };
    let Ok(mut heap) = spec.open(ByteArena::new(ARENA_BYTES)) else { return };
    let mut given = vec![Ptr::new(64)];
    while !input.0.is_empty() {
        let some = given[usize::from(input.byte()) % given.len()];
        match input.byte() % 8 {
            0 | 1 => given.extend(heap.malloc(input.short() % 700)),
            2 => given.extend(heap.aligned_alloc(1 << (input.byte() % 10), input.short() % 700)),
            3 => given.extend(heap.realloc(some, input.short() % 700)),
            4 => drop(heap.free(some)),
            5 => drop(heap.free(Ptr::new(input.short()))),
            6 => smash(heap.as_mut(), input.short(), input.short() as u32),
            _ => smash(heap.as_mut(), some.get().saturating_sub(input.short() % 32), u32::from(input.byte())),
        }
    }
    let _ = (heap.blocks(), heap.check());
}

fn smash(heap: &mut dyn Allocator<ByteArena>, at: u64, word: u32) {
    let at = at / 4 * 4;
    if at + 4 <= heap.arena().bytes() {
        heap.arena_mut().store32(at, word);
    }
}

/// A program on the collector whose words are any numbers, pointers or not: what a root reaches keeps its words.
pub fn words(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (stack_limit, min_bytes) = (1 + usize::from(input.byte() % 8), 200 + input.short());
    let policy = Policy { base: 0, min_bytes, stack_limit, chunk: 1 + input.short() };
    let Ok(mut heap) = Collector::new(ByteArena::new(1 << 20), policy) else { return };
    let mut kept: Vec<(u64, Vec<u64>)> = Vec::new();
    while !input.0.is_empty() {
        let roots: Vec<u64> = kept.iter().map(|(at, _)| *at).collect();
        match input.byte() % 6 {
            0..=2 => {
                let count = if input.byte() < 250 { input.short() % 40 } else { input.short() };
                let contents = if input.byte() < 200 { Contents::Pointers } else { Contents::Atomic };
                if let Ok(at) = heap.malloc(count * 8, contents, || [Root::Words(&roots)]) {
                    let words: Vec<u64> = (0..count).map(|slot| if slot < 4 { input.short() } else { 0 }).collect();
                    assert!(
                        (0..count).all(|slot| heap.arena().load64(at.get() + slot * 8) == 0),
                        "a payload is zeroed"
                    );
                    words
                        .iter()
                        .zip(0_u64..)
                        .for_each(|(&word, slot)| heap.arena_mut().store64(at.get() + slot * 8, word));
                    kept.push((at.get(), words));
                }
            }
            3 if !kept.is_empty() => drop(kept.swap_remove(usize::from(input.byte()) % kept.len())),
            4 => heap.collect(&[Root::Words(&roots)]),
            _ => {
                let leaks = heap.leaks(&[Root::Words(&roots)]);
                assert!(kept.iter().all(|(at, _)| leaks.contains_key(at)), "a kept block is known");
            }
        }
        heap.check().unwrap_or_else(|broken| panic!("{broken}"));
        for (at, words) in &kept {
            let slots = (0_u64..).zip(words);
            assert!(
                slots.into_iter().all(|(slot, &word)| heap.arena().load64(at + slot * 8) == word),
                "{at:#x} is intact"
            );
        }
    }
}
