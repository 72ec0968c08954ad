//! The table of the crate's documentation, by running it: which misuse each allocator detects, with which error, and that
//! the heap is as it was.

use pagewalk_heap::{Allocator, Arena, ByteArena, Kind, Ptr, Refusal, Spec};

struct Scene {
    heap: Box<dyn Allocator<ByteArena>>,
    /// Three payloads; the middle one is freed where the misuse needs a freed one.
    at: [Ptr; 3],
}

fn scene(spec: &str) -> Scene {
    let spec: Spec = spec.parse().expect("the tests know the parameters");
    let mut heap = spec.open(ByteArena::new(1 << 16)).expect("room");
    let at = [0; 3].map(|_| heap.malloc(40).expect("room"));
    for payload in at {
        heap.arena_mut().fill(payload.get(), 40, 0xff);
    }
    Scene { heap, at }
}

/// The refusal of one misuse, after which the heap is sound.
fn refused(spec: &str, misuse: impl Fn(&mut Scene) -> Result<(), Refusal>) -> Option<Refusal> {
    let mut scene = scene(spec);
    let refusal = misuse(&mut scene).err();
    if refusal.is_some() {
        assert_eq!(scene.heap.check(), Ok(()), "{spec}: the heap is as it was");
    }
    refusal
}

#[test]
fn invalid_double_and_interior_frees_are_named() {
    for kind in Kind::ALL {
        let spec = if kind == Kind::SegregatedStorage { "segregated-storage:checks=walk" } else { kind.name() };
        let outside = Ptr::new(60_000);
        assert_eq!(refused(spec, |scene| scene.heap.free(outside)), Some(Refusal::InvalidFree(outside)), "{spec}");
        let double = refused(spec, |scene| {
            scene.heap.free(scene.at[1]).expect("allocated");
            scene.heap.free(scene.at[1])
        });
        assert!(matches!(double, Some(Refusal::DoubleFree(_))), "{spec}: {double:?}");
        let interior = refused(spec, |scene| scene.heap.free(Ptr::new(scene.at[1].get() + 8)));
        assert!(matches!(interior, Some(Refusal::InteriorPointer(_))), "{spec}: {interior:?}");
        let beyond = refused(spec, |scene| scene.heap.malloc(1 << 20).map(drop));
        assert_eq!(beyond, Some(Refusal::NoMemory), "{spec}");
        let overflow = refused(spec, |scene| scene.heap.calloc(u64::MAX, 2).map(drop));
        assert_eq!(overflow.and_then(Refusal::errno), Some(12), "{spec}");
    }
}

#[test]
fn without_a_walk_simple_cells_do_not_know_that_they_are_free() {
    let double = refused("segregated-storage", |scene| {
        scene.heap.free(scene.at[1]).expect("allocated");
        scene.heap.free(scene.at[1])
    });
    assert_eq!(double, None, "the table says checks=walk");
}

/// A payload that overran by one word destroyed the next block's header, or its own footer.
#[test]
fn smashed_tags_are_named() {
    for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::SegregatedStorage) {
        let mut scene = scene(kind.name());
        let header = scene.at[1].get() - 4;
        scene.heap.arena_mut().store32(header, u32::MAX);
        let refusal = scene.heap.free(scene.at[1]);
        assert!(matches!(refusal, Err(Refusal::Smashed(_))), "{}: {refusal:?}", kind.name());
        assert!(scene.heap.check().is_err(), "{}: check() sees it too", kind.name());
    }
    for spec in ["implicit", "explicit", "segregated-fits:footers=all"] {
        let mut scene = scene(spec);
        let footer = scene.at[1].get() + 40;
        scene.heap.arena_mut().store32(footer, 0);
        assert_eq!(scene.heap.free(scene.at[1]), Err(Refusal::Smashed(footer)), "{spec}");
    }
}

/// A write after free destroyed a free block's links: the next request that would follow them is refused.
#[test]
fn smashed_links_are_named() {
    for spec in ["explicit", "segregated-fits:coalesce=immediate", "segregated-storage", "buddy"] {
        let mut scene = scene(spec);
        scene.heap.free(scene.at[1]).expect("allocated");
        scene.heap.arena_mut().store32(scene.at[1].get(), 0xffff_fff1);
        let refusal = scene.heap.malloc(40);
        assert!(matches!(refusal, Err(Refusal::Smashed(_))), "{spec}: {refusal:?}");
    }
}

/// A link may be smaller than a header, so that no block can begin before it.
#[test]
fn a_link_to_the_arenas_very_start_is_an_error_of_the_check() {
    for spec in ["explicit:header=8", "segregated-fits:header=8", "segregated-storage:header=8", "buddy:header=8"] {
        let mut scene = scene(spec);
        scene.heap.free(scene.at[1]).expect("allocated");
        scene.heap.arena_mut().store64(scene.at[1].get(), 1);
        assert!(scene.heap.check().is_err(), "{spec}");
    }
}

/// The epilogue says that the free block before it is allocated: what the heap grows by is then not joined with that block.
#[test]
fn a_smashed_epilogue_is_named_before_the_heap_grows() {
    let mut scene = scene("segregated-fits");
    let epilogue = scene.heap.arena().bytes() - 4;
    assert_eq!(scene.heap.arena().load32(epilogue), 1);
    scene.heap.arena_mut().store32(epilogue, 3);
    assert!(matches!(scene.heap.malloc(8000), Err(Refusal::Smashed(_))));
}

/// The corners of realloc, in every allocator.
#[test]
fn realloc_of_null_of_zero_and_at_the_top() {
    for kind in Kind::ALL {
        let mut heap = kind.spec().open(ByteArena::new(1 << 16)).expect("room");
        let at = heap.realloc(Ptr::NULL, 100).expect("malloc");
        heap.arena_mut().fill(at.get(), 100, 7);
        let grown = heap.realloc(at, 3000).expect("room");
        let mut bytes = [0; 100];
        heap.arena().read(grown.get(), &mut bytes);
        assert_eq!(bytes, [7; 100]);
        if !matches!(kind, Kind::SegregatedStorage) {
            assert_eq!(grown, at, "{}: the last block grows where it is", kind.name());
        }
        assert_eq!(heap.realloc(grown, 0), Ok(Ptr::NULL));
        assert_eq!(heap.free(Ptr::NULL), Ok(()));
        let (one, two) = (heap.malloc(0).expect("a block"), heap.malloc(0).expect("another"));
        assert!(!one.is_null() && one != two, "malloc(0) is a payload of its own");
        assert!(heap.aligned_alloc(48, 10).is_err(), "48 is not a power of two");
        heap.check().expect("sound");
    }
}

/// Next fit begins at the heap's end when the block there was taken; that place may then lie inside a block that grew.
#[test]
fn next_fit_begins_at_a_block_after_the_last_one_grew() {
    for spec in ["implicit:fit=next,chunk=256", "implicit-nofooter:fit=next,chunk=256"] {
        let mut scene = scene(spec);
        let [_, grows, last] = scene.at;
        scene.heap.free(last).expect("allocated");
        for bytes in [100, 1000, 2000] {
            assert_eq!(scene.heap.realloc(grows, bytes), Ok(grows), "{spec}");
            assert_eq!(scene.heap.check(), Ok(()), "{spec}");
        }
    }
}

/// With 4-byte headers and alignment the first header is the arena's first word; overwritten, it may claim that the block
/// before is free.
#[test]
fn nothing_is_before_the_first_block() {
    let mut scene = scene("segregated-fits:align=4,header=4,coalesce=immediate");
    let first = scene.at[0];
    assert_eq!(first, Ptr::new(4));
    let header = scene.heap.arena().load32(0);
    scene.heap.arena_mut().store32(0, header & !2);
    assert_eq!(scene.heap.free(first), Err(Refusal::Smashed(0)));
}
