//! Random operation sequences through every combination of parameters, against a model that knows every payload.

use pagewalk_heap::{self as heap, Allocator, Arena, ByteArena, PagedArena, Ptr, Refusal, Spec};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    Malloc(u64),
    Calloc(u64, u64),
    Aligned(u32, u64),
    Realloc(usize, u64),
    Free(usize),
    Hostile(u64),
}

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![6 => 0_u64..80, 3 => 80_u64..700, 1 => 700_u64..9000]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => sizes().prop_map(Op::Malloc),
        1 => (0_u64..9, 0_u64..60).prop_map(|(count, bytes)| Op::Calloc(count, bytes)),
        1 => (0_u32..9, sizes()).prop_map(|(power, bytes)| Op::Aligned(power, bytes)),
        3 => (any::<usize>(), sizes()).prop_map(|(which, bytes)| Op::Realloc(which, bytes)),
        6 => any::<usize>().prop_map(Op::Free),
        1 => (0_u64..70_000).prop_map(Op::Hostile),
    ];
    prop::collection::vec(op, 1..90)
}

/// Every combination of the parameters that an allocator has, as specs.
fn every_spec() -> Vec<Spec> {
    let mut specs = Vec::new();
    let words = ["align=4,header=4", "align=8,header=4", "align=8,header=8", "align=16,header=4", "align=16,header=8"];
    for word in words {
        for simple in ["bump", "buddy:chunk=256", "buddy:chunk=4096", "segregated-storage:chunk=256,checks=walk"] {
            let separator = if simple.contains(':') { "," } else { ":" };
            specs.push(format!("{simple}{separator}{word}"));
        }
        for fit in ["first", "next", "best"] {
            for split in ["never", "always", "32"] {
                for coalesce in ["immediate", "deferred", "never"] {
                    for tail in ["chunk=4096", "chunk=24,side=by-size,checks=walk"] {
                        let params = format!("fit={fit},split={split},coalesce={coalesce},{tail},{word}");
                        specs.push(format!("implicit:{params}"));
                        specs.push(format!("implicit-nofooter:{params}"));
                        for footers in ["all", "free"] {
                            for order in ["lifo", "address"] {
                                specs.push(format!("explicit:{params},footers={footers},order={order}"));
                            }
                            if fit != "next" {
                                specs.push(format!("segregated-fits:{params},footers={footers}"));
                            }
                        }
                    }
                }
            }
        }
    }
    specs.iter().map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))).collect()
}

/// A payload as the model knows it.
struct Live {
    at: Ptr,
    bytes: u64,
    fill: u8,
}

struct Run<A> {
    heap: Box<dyn Allocator<A>>,
    live: Vec<Live>,
    next_fill: u8,
}

impl<A: Arena> Run<A> {
    fn step(&mut self, op: &Op) {
        match *op {
            Op::Malloc(bytes) => {
                let got = self.heap.malloc(bytes);
                self.took(got, bytes, 1);
            }
            Op::Calloc(count, bytes) => {
                let got = self.heap.calloc(count, bytes);
                if let Ok(at) = got {
                    assert!(self.payload(at, count * bytes).iter().all(|&byte| byte == 0), "calloc gives zeros");
                }
                self.took(got, count * bytes, 1);
            }
            Op::Aligned(power, bytes) => {
                let got = self.heap.aligned_alloc(1 << power, bytes);
                self.took(got, bytes, 1 << power);
            }
            Op::Realloc(which, bytes) if !self.live.is_empty() => self.realloc(which % self.live.len(), bytes),
            Op::Free(which) if !self.live.is_empty() => {
                let live = self.live.swap_remove(which % self.live.len());
                self.intact(&live, live.bytes);
                self.heap.free(live.at).expect("a live payload can be freed");
            }
            Op::Hostile(at) => self.hostile(Ptr::new(at)),
            _ => {}
        }
        self.heap.check().unwrap_or_else(|broken| panic!("after {op:?}: {broken}"));
    }

    fn took(&mut self, got: Result<Ptr, Refusal>, bytes: u64, alignment: u64) {
        let at = match got {
            Ok(at) => at,
            Err(Refusal::NoMemory | Refusal::BadAlignment(_)) => return,
            Err(other) => panic!("{other}"),
        };
        assert!(at.get().is_multiple_of(alignment.max(self.heap.alignment())), "{at} is aligned");
        let end = at.get() + self.heap.usable_bytes(at).expect("a live payload");
        assert!(at.get() + bytes <= end && end <= self.heap.arena().bytes(), "the payload lies in the arena");
        for other in &self.live {
            let apart = other.at.get() >= end || other.at.get() + other.bytes.max(1) <= at.get();
            assert!(apart, "{at} overlaps {}", other.at);
        }
        self.next_fill = self.next_fill.wrapping_add(1) | 0x80;
        self.heap.arena_mut().fill(at.get(), bytes, self.next_fill);
        self.live.push(Live { at, bytes, fill: self.next_fill });
    }

    fn realloc(&mut self, which: usize, bytes: u64) {
        let live = self.live.swap_remove(which);
        match self.heap.realloc(live.at, bytes) {
            Ok(at) if bytes == 0 => assert!(at.is_null(), "a size of 0 frees"),
            Ok(at) => {
                self.intact(&Live { at, ..live }, live.bytes.min(bytes));
                self.took(Ok(at), bytes, 1);
            }
            Err(Refusal::NoMemory) => {
                self.intact(&live, live.bytes);
                self.live.push(live);
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// Frees a pointer that the program never got: it must be refused. Payloads are filled with bytes that no tag has.
    fn hostile(&mut self, at: Ptr) {
        if at.is_null() || self.live.iter().any(|live| live.at == at) {
            return;
        }
        let before = self.heap.blocks().expect("sound");
        assert!(self.heap.free(at).is_err(), "{at} was never given out");
        assert_eq!(self.heap.blocks().expect("sound"), before);
    }

    fn intact(&self, live: &Live, bytes: u64) {
        let payload = self.payload(live.at, bytes);
        assert!(payload.iter().all(|&byte| byte == live.fill), "the payload at {} is intact", live.at);
    }

    fn payload(&self, at: Ptr, bytes: u64) -> Vec<u8> {
        let mut payload = vec![0; bytes as usize];
        self.heap.arena().read(at.get(), &mut payload);
        payload
    }
}

fn replay<A: Arena + 'static>(spec: &Spec, arena: A, ops: &[Op]) {
    let mut run = Run { heap: spec.open(arena).expect("room"), live: Vec::new(), next_fill: 0 };
    ops.iter().for_each(|op| run.step(op));
    while let Some(live) = run.live.pop() {
        run.intact(&live, live.bytes);
        run.heap.free(live.at).expect("a live payload can be freed");
    }
    run.heap.check().expect("an empty heap is sound");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn every_combination_agrees_with_the_model(ops in ops()) {
        for spec in every_spec() {
            let failed = std::panic::catch_unwind(|| replay(&spec, ByteArena::new(1 << 16), &ops));
            prop_assert!(failed.is_ok(), "{}", spec);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_defaults_agree_with_the_model_in_paged_memory(ops in ops()) {
        for kind in heap::Kind::ALL {
            if kind != heap::Kind::SegregatedStorage {
                replay(&kind.spec(), PagedArena::new(1 << 16), &ops);
            }
        }
    }

    /// Whatever a program overwrites, the allocators answer, and neither panic nor hang.
    #[test]
    fn a_smashed_heap_is_survived(
        ops in ops(),
        smashes in prop::collection::vec((0_u64..9000, prop_oneof![Just(0_u32), Just(8), any::<u32>(), 0_u32..4096]), 1..9),
    ) {
        for spec in every_spec().into_iter().step_by(7) {
            let mut heap = spec.open(ByteArena::new(1 << 16)).expect("room");
            let mut live = Vec::new();
            for (step, op) in ops.iter().enumerate() {
                if let Some(&(at, word)) = smashes.get(step / 10).filter(|_| step % 10 == 9) {
                    heap.arena_mut().store32(at / 4 * 4, word);
                }
                match *op {
                    Op::Malloc(bytes) | Op::Aligned(_, bytes) | Op::Calloc(bytes, _) => live.extend(heap.malloc(bytes)),
                    Op::Realloc(which, bytes) if !live.is_empty() => {
                        let which = which % live.len();
                        live[which] = heap.realloc(live[which], bytes).unwrap_or(live[which]);
                    }
                    Op::Free(which) if !live.is_empty() => drop(heap.free(live.swap_remove(which % live.len()))),
                    Op::Hostile(at) => drop(heap.free(Ptr::new(at))),
                    _ => {}
                }
            }
            let _ = heap.check();
        }
    }
}
