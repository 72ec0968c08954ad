use super::*;
use trace::FaultKind::{CopyOnWrite, Spurious, StackGrowth, ZeroFill};

#[test]
fn a_hundred_megabytes_fault_once_a_page() {
    let mut world = World::with_frames(30_000);
    let start = world.anonymous(100 << 20);
    assert_eq!(world.resident_pages(), 0);
    for page in 0..25_600 {
        assert_eq!(world.touch(start + page * K, Access::Write), Ok(Some(ZeroFill)));
    }
    assert_eq!((world.faults().minor, world.resident_pages()), (25_600, 25_600));
    world.end();
}

#[test]
fn reading_maps_the_frame_of_zeros_and_writing_copies_it() {
    let mut world = World::new();
    let start = world.anonymous(10 * K);
    for page in 0..10 {
        assert_eq!(world.touch(start + page * K, Access::Read), Ok(Some(ZeroFill)));
    }
    assert_eq!(world.resident_pages(), 0);
    for page in 0..10 {
        assert_eq!(world.touch(start + page * K, Access::Write), Ok(Some(CopyOnWrite)));
        assert_eq!(world.load(start + page * K), Ok(0));
    }
    assert_eq!((world.faults().minor, world.resident_pages()), (20, 10));
    world.end();
}

#[test]
fn the_kinds_of_refusal() {
    let mut world = World::new();
    assert_eq!(world.load(0), Err(FaultError::MapErr));
    let start = world.map(0, 3 * K, R, PRIVATE).expect("there is room");
    assert_eq!(world.store(start, 1), Err(FaultError::AccErr));
    assert_eq!(world.touch(start, Access::Execute), Err(FaultError::AccErr));
    world.mm.mprotect(world.id, start, K, 0).expect("it is mapped");
    assert_eq!(world.load(start), Err(FaultError::AccErr));
    let write_only = world.map(0, K, 2, PRIVATE).expect("there is room");
    assert_eq!(world.load(write_only), Ok(0), "what may be written may be read");
    assert_eq!(world.faults().protection, 4);
    world.end();
}

#[test]
fn copies_stop_where_memory_ends() {
    let mut world = World::new();
    let start = world.anonymous(2 * K);
    world.mm.munmap(world.id, start + K, K).expect("it is aligned");
    let mut bytes = [1; 100];
    assert_eq!(world.mm.read(world.id, VirtAddr::new(start + K - 10), &mut bytes), 10);
    assert_eq!(world.mm.write(world.id, VirtAddr::new(start + K - 10), &[7; 100]), 10);
    assert_eq!(world.mm.read_cstr(world.id, VirtAddr::new(start + K - 10), 99), Err(Errno::EFAULT));
    world.mm.write_all(world.id, VirtAddr::new(start), b"hello\0").expect("it is mapped");
    assert_eq!(world.mm.read_cstr(world.id, VirtAddr::new(start), 99), Ok(b"hello".to_vec()));
    assert_eq!(world.mm.read_cstr(world.id, VirtAddr::new(start), 3), Err(Errno::ENAMETOOLONG));
    world.end();
}

#[test]
fn a_stack_grows_any_distance_up_to_its_guard() {
    let mut world = World::new();
    let stack = world.mm.map_stack(world.id, 33 * K, Perms::READ_WRITE).expect("there is room");
    assert_eq!(stack.start.get(), 0x7fff_fffd_e000);
    assert_eq!(world.touch(stack.start.get() - 100 * K, Access::Write), Ok(Some(StackGrowth)));
    assert_eq!(world.touch(stack.start.get() - 100 * K, Access::Write), Ok(None));
    let low = stack.start.get() - 800 * K;
    world.map(low, K, RW, PRIVATE | FIXED).expect("it is free");
    assert_eq!(world.touch(low + 256 * K, Access::Write), Err(FaultError::MapErr));
    assert_eq!(world.touch(low + 257 * K, Access::Write), Ok(Some(StackGrowth)));
    world.mm.mprotect(world.id, low, K, 0).expect("it is mapped");
    assert_eq!(world.touch(low + 2 * K, Access::Write), Ok(Some(StackGrowth)), "no access needs no guard");
    assert_eq!(world.touch(stack.end.get() - (8 << 20) - K, Access::Write), Err(FaultError::MapErr), "RLIMIT_STACK");
    assert!(world.mm.maps_text(world.id).lines().last().expect("a line").ends_with("[stack]"));
    world.end();
}

#[test]
fn the_heap_moves_with_brk() {
    let mut world = World::new();
    world.mm.set_heap(world.id, VirtAddr::new(0x5555_5555_5123));
    let start = world.mm.brk(world.id, 0).get();
    assert_eq!(start, 0x5555_5555_6000);
    assert_eq!(world.mm.brk(world.id, start + 100).get(), start + 100);
    assert_eq!(world.mm.brk(world.id, start - 1).get(), start + 100);
    world.store(start + 50, 3).expect("the heap is there");
    assert_eq!(world.mm.brk(world.id, start + 0x21000).get(), start + 0x21000);
    assert_eq!(
        world.mm.maps_text(world.id),
        "555555556000-555555577000 rw-p 00000000 00:00 0                          [heap]\n"
    );
    world.map(start + 0x30000, K, RW, PRIVATE | FIXED).expect("it is free");
    assert_eq!(world.mm.brk(world.id, start + 0x31000).get(), start + 0x21000, "no room");
    assert_eq!(world.mm.brk(world.id, start + 0x2f001).get(), start + 0x21000, "no free page between");
    assert_eq!(world.mm.brk(world.id, start + 0x2f000).get(), start + 0x2f000);
    assert_eq!(world.mm.brk(world.id, start).get(), start);
    assert_eq!(world.resident_pages(), 0);
    world.end();
}

#[test]
fn a_child_shares_until_it_writes() {
    let mut world = World::new();
    let start = world.anonymous(100 * K);
    for page in 0..100 {
        world.store(start + page * K, page as u8).expect("it is mapped");
    }
    let before = world.mm.frames_in_use();
    let parent = world.id;
    let child = world.mm.fork_space(parent).expect("there is RAM");
    assert!(world.mm.frames_in_use() - before <= 4, "tables only");
    world.mm.check();
    world.id = child;
    assert_eq!(world.resident_pages(), 100);
    for page in 0..100 {
        assert_eq!(world.touch(start + page * K, Access::Write), Ok(Some(CopyOnWrite)));
        assert_eq!(world.load(start + page * K), Ok(page as u8));
        world.store(start + page * K, 200).expect("it is mapped");
    }
    assert_eq!((world.resident_pages(), world.faults().copy_on_write), (100, 100));
    world.mm.check();
    world.mm.release_space(child);
    world.id = parent;
    let frames = world.mm.frames_in_use();
    for page in 0..100 {
        assert_eq!(world.touch(start + page * K, Access::Write), Ok(Some(CopyOnWrite)), "re-use counts");
        assert_eq!(world.load(start + page * K), Ok(page as u8));
    }
    assert_eq!(world.mm.frames_in_use(), frames, "nothing was copied");
    world.end();
}

#[test]
fn raising_rights_shows_at_once() {
    let mut world = World::new();
    let start = world.anonymous(3 * K);
    world.store(start, 5).expect("it is mapped");
    world.mm.mprotect(world.id, start, K, R).expect("it is mapped");
    assert_eq!(world.store(start, 6), Err(FaultError::AccErr));
    world.mm.mprotect(world.id, start, K, RW).expect("it is mapped");
    assert_eq!(world.touch(start, Access::Write), Ok(None));
    assert_eq!(world.mm.fault(world.id, VirtAddr::new(start), Access::Write).map(|done| done.kind), Ok(Spurious));
    assert_eq!(world.mm.area_count(world.id), 1, "alike again, so one");
    world.end();
}

#[test]
fn without_frames_a_fault_says_so() {
    let mut world = World::with_frames(64);
    let start = world.anonymous(60 * K);
    let end = (0..60).find(|page| world.store(start + page * K, 1) == Err(FaultError::OutOfMemory));
    assert!(end.is_some());
    assert_eq!(world.mm.fork_space(world.id), Err(Errno::ENOMEM));
    world.end();
}
