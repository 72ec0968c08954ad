//! The known answers of the textbook (CS:APP 3e, chapter 9) and of its malloc lab.

use pagewalk_heap::{self as heap, Allocator, ByteArena, Kind, Ptr, Spec, Use};

fn open(spec: &str) -> Box<dyn Allocator<ByteArena>> {
    let spec: Spec = spec.parse().expect("the tests know the parameters");
    spec.open(ByteArena::new(1 << 20)).expect("a mebibyte is room enough")
}

/// Practice problem 9.6: blocks without footers, double-word aligned, and no bit for the block before, which nobody
/// needs where nothing coalesces; in a heap that keeps it, it is added to the header.
#[test]
fn sizes_and_headers() {
    let mut heap = open("implicit-nofooter:chunk=8");
    let found = [1, 5, 12, 13].map(|bytes| {
        let at = heap.malloc(bytes).expect("room");
        let before_allocated = 2;
        (heap.block_bytes(at), heap.arena().load(at) & !before_allocated)
    });
    assert_eq!(found, [(8, 0x9), (16, 0x11), (16, 0x11), (24, 0x19)]);
}

trait LoadHeader {
    fn load(&self, payload: Ptr) -> u32;
}

impl LoadHeader for ByteArena {
    fn load(&self, payload: Ptr) -> u32 {
        heap::Arena::load32(self, payload.get() - 4)
    }
}

/// Practice problem 9.7: the smallest block is what a payload of one byte takes.
#[test]
fn minimum_blocks() {
    let smallest = |spec: &str| {
        let mut heap = open(spec);
        let at = heap.malloc(1).expect("room");
        heap.block_bytes(at)
    };
    assert_eq!(smallest("implicit:align=4,chunk=4"), 12);
    assert_eq!(smallest("implicit-nofooter:align=4,chunk=4"), 8);
    assert_eq!(smallest("implicit:align=8"), 16);
    assert_eq!(smallest("implicit-nofooter:align=8"), 8);
}

/// Figure 9.34 draws blocks without headers: 4 + 6 + 6 words. Here the header is one of a block's words.
#[test]
fn the_16_word_heap() {
    let mut heap = open("implicit-nofooter:chunk=64");
    let header = 4;
    let mut words = |words: u64| heap.malloc(words * 4 - header).expect("room");
    let (p1, p2, p3) = (words(4), words(5), words(6));
    assert_eq!([p1, p2, p3].map(|at| heap.block_bytes(at) / 4), [4, 6, 6]);
    assert_eq!([p2.get() - p1.get(), p3.get() - p2.get()], [16, 24]);
    let blocks = heap.blocks().expect("sound tags");
    assert_eq!(blocks.iter().map(|block| block.bytes).sum::<u64>(), 64, "the blocks fill the 16 words");
    heap.free(p2).expect("allocated");
    assert_eq!(heap.malloc(2 * 4 - header).expect("room"), p2, "p4 is carved from p2's block");
}

/// The trace "short1": peak payload 8144, heap 12304.
#[test]
fn short1() {
    for fit in ["first", "next"] {
        let mut heap = open(&format!("implicit:fit={fit}"));
        let mut at = [Ptr::NULL; 6];
        let (mut payload, mut peak, mut sizes) = (0, 0, [0; 6]);
        let ops: [(usize, u64); 12] = [
            (0, 2040),
            (1, 2040),
            (1, 0),
            (2, 48),
            (3, 4072),
            (3, 0),
            (4, 4072),
            (0, 0),
            (2, 0),
            (5, 4072),
            (4, 0),
            (5, 0),
        ];
        for (id, bytes) in ops {
            if bytes > 0 {
                at[id] = heap.malloc(bytes).expect("room");
                payload += bytes;
                sizes[id] = bytes;
            } else {
                heap.free(at[id]).expect("allocated");
                payload -= sizes[id];
            }
            peak = peak.max(payload);
            heap.check().expect("sound");
        }
        assert_eq!((peak, heap::Arena::bytes(heap.arena())), (8144, 12304), "{fit} fit");
        assert_eq!(peak * 100 / 12304, 66);
    }
}

/// Figure 9.40: the four cases of freeing a block between two neighbours.
#[test]
fn the_four_cases_of_coalescing() {
    for kind in [Kind::Implicit, Kind::ImplicitNoFooter, Kind::Explicit] {
        let shapes = [(false, false), (false, true), (true, false), (true, true)].map(|(before, after)| {
            let mut heap = open(&format!("{}:chunk=8", kind.name()));
            let at = [0; 5].map(|_| heap.malloc(24).expect("room"));
            for free in [before.then_some(at[1]), after.then_some(at[3]), Some(at[2])].into_iter().flatten() {
                heap.free(free).expect("allocated");
                heap.check().expect("sound");
            }
            let free = |block: &&heap::Block| block.used == Use::Free;
            let blocks = heap.blocks().expect("sound");
            (blocks.len(), blocks.iter().filter(free).count(), heap.counters().coalescings)
        });
        assert_eq!(shapes, [(5, 1, 0), (4, 1, 1), (4, 1, 1), (3, 1, 2)], "{}", kind.name());
    }
}
