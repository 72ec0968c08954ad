use super::*;
use trace::FaultKind::{SwapIn, ZeroFill};

const DONTNEED: u64 = libc::MADV_DONTNEED as u64;

impl World {
    fn advise(&mut self, start: u64, bytes: u64, advice: i32) -> Result<(), Errno> {
        self.mm.madvise(self.id, start, bytes, advice as u64)
    }
}

#[test]
fn advice_is_checked_before_it_is_taken() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    let shared = world.map(0, K, RW, SHARED).expect("there is room");
    assert_eq!(world.advise(start + 1, K, libc::MADV_DONTNEED), Err(Errno::EINVAL));
    assert_eq!(world.advise(start, 0, 77), Err(Errno::EINVAL));
    assert_eq!(world.advise(start, 0, libc::MADV_DONTNEED), Ok(()));
    assert_eq!(world.advise(shared, K, libc::MADV_FREE), Err(Errno::EINVAL));
    assert_eq!(world.advise(shared, K, libc::MADV_WIPEONFORK), Err(Errno::EINVAL));
    assert_eq!(world.advise(start, K, libc::MADV_REMOVE), Err(Errno::EINVAL));
    assert_eq!(world.advise(start, K, libc::MADV_COLLAPSE), Err(Errno::EINVAL));
    world.mm.munmap(world.id, start + K, K).expect("it is aligned");
    world.store(start + 2 * K, 5).expect("it is mapped");
    assert_eq!(world.advise(start, 4 * K, libc::MADV_DONTNEED), Err(Errno::ENOMEM));
    assert_eq!(world.load(start + 2 * K), Ok(0), "beyond the hole it was taken");
    world.end();
}

#[test]
fn unneeded_pages_are_zero_again() {
    let mut world = World::new();
    let start = world.anonymous(100 * K);
    for _ in 0..2 {
        for page in 0..100 {
            assert_eq!(world.touch(start + page * K, Access::Write), Ok(Some(ZeroFill)));
        }
        assert_eq!(world.resident_pages(), 100);
        world.mm.madvise(world.id, start, 100 * K, DONTNEED).expect("it is mapped");
        assert_eq!(world.resident_pages(), 0);
    }
    world.end();
}

#[test]
fn freed_pages_are_lazy_until_written() {
    let mut world = World::new();
    let start = world.anonymous(2 * K);
    world.store(start, 1).expect("it is mapped");
    world.store(start + K, 2).expect("it is mapped");
    world.advise(start, 2 * K, libc::MADV_FREE).expect("it is anonymous");
    assert_eq!(world.load(start), Ok(1), "until the frame is wanted");
    let smaps = world.mm.smaps_text(world.id);
    assert!(smaps.contains("Private_Clean:         8 kB") && smaps.contains("LazyFree:              8 kB"), "{smaps}");
    world.store(start + K, 3).expect("it is mapped");
    for page in [start, start + K] {
        world.mm.evict(world.id, VirtAddr::new(page).page());
    }
    assert_eq!((world.load(start), world.load(start + K)), (Ok(0), Ok(3)));
    world.end();
}

#[test]
fn evicted_pages_come_back_from_swap() {
    let mut world = World::new();
    let start = world.anonymous(10 * K);
    for page in 0..10 {
        world.store(start + page * K, page as u8 + 1).expect("it is mapped");
        world.mm.evict(world.id, VirtAddr::new(start + page * K).page());
    }
    assert_eq!((world.resident_pages(), world.mm.usage(world.id).swapped_pages), (0, 10));
    world.mm.check();
    let child = world.mm.fork_space(world.id).expect("there is RAM");
    for page in 0..10 {
        assert_eq!(world.touch(start + page * K, Access::Read), Ok(Some(SwapIn)));
        assert_eq!(world.load(start + page * K), Ok(page as u8 + 1));
    }
    assert_eq!((world.faults().major, world.faults().swap_in), (10, 10));
    world.mm.check();
    let parent = std::mem::replace(&mut world.id, child);
    assert_eq!(world.load(start + 9 * K), Ok(10));
    world.mm.check();
    world.mm.release_space(parent);
    world.end();
}

#[test]
fn large_pages_fault_once_in_two_megabytes() {
    let mut world = World::with_frames(32_768);
    let start = world.anonymous(100 << 20);
    world.advise(start, 100 << 20, libc::MADV_HUGEPAGE).expect("it is mapped");
    for page in 0..25_600 {
        world.store(start + page * K, page as u8).expect("it is mapped");
    }
    assert_eq!((world.faults().zero_fill, world.resident_pages()), (50, 25_600));
    assert_eq!(world.mm.tables(world.id).table_frames(), 3, "no leaf tables");
    world.mm.check();
    let child = world.mm.fork_space(world.id).expect("there is RAM");
    world.store(start + 7 * K, 200).expect("it is mapped");
    world.mm.evict(world.id, VirtAddr::new(start + 8 * K).page());
    assert_eq!((world.load(start + 7 * K), world.load(start + 8 * K)), (Ok(200), Ok(8)));
    world.mm.munmap(world.id, start + (3 << 20), 50 << 20).expect("it is aligned");
    world.mm.mprotect(world.id, start + (61 << 20), 2 << 20, R).expect("it is mapped");
    world.mm.check();
    let parent = std::mem::replace(&mut world.id, child);
    assert_eq!((world.load(start + 7 * K), world.load(start + 99 * K)), (Ok(7), Ok(99)));
    world.mm.release_space(parent);
    world.end();
}

#[test]
fn forks_leave_out_and_wipe() {
    let mut world = World::new();
    let start = world.anonymous(3 * K);
    for page in 0..3 {
        world.store(start + page * K, 7).expect("it is mapped");
    }
    world.advise(start, K, libc::MADV_DONTFORK).expect("it is mapped");
    world.advise(start + K, K, libc::MADV_WIPEONFORK).expect("it is anonymous");
    world.mm.mlock(world.id, start + 2 * K, K, 0).expect("within the limit");
    let child = world.mm.fork_space(world.id).expect("there is RAM");
    assert_eq!(world.mm.locked_bytes(child), 0);
    let parent = std::mem::replace(&mut world.id, child);
    assert_eq!(world.load(start), Err(FaultError::MapErr));
    assert_eq!((world.load(start + K), world.load(start + 2 * K)), (Ok(0), Ok(7)));
    world.mm.release_space(parent);
    world.end();
}

#[test]
fn locked_memory_is_in_core_and_limited() {
    let mut world = World::new();
    let start = world.anonymous(8 * K);
    let answer = world.anonymous(K);
    world.mm.mlock(world.id, start + 2 * K, 2 * K, 0).expect("within the limit");
    world.mm.mincore(world.id, start, 8 * K, VirtAddr::new(answer)).expect("it is mapped");
    assert_eq!(world.mm.read_array(world.id, VirtAddr::new(answer)), Ok([0, 0, 1, 1, 0, 0, 0, 0]));
    assert_eq!(world.mm.area_count(world.id), 3, "the locked part is an area of its own");
    assert_eq!(world.advise(start, 8 * K, libc::MADV_DONTNEED), Err(Errno::EINVAL));
    assert_eq!(world.advise(start, 8 * K, libc::MADV_DONTNEED_LOCKED), Ok(()));
    assert_eq!(world.mm.mincore(world.id, start + 1, K, VirtAddr::new(answer)), Err(Errno::EINVAL));
    assert_eq!(world.mm.mincore(world.id, start, 8 * K, VirtAddr::new(8)), Err(Errno::EFAULT));
    assert_eq!(world.mm.mincore(world.id, start - 64 * K, K, VirtAddr::new(answer)), Err(Errno::ENOMEM));
    assert_eq!(world.mm.mlock(world.id, start, u64::MAX, 0), Ok(()), "rounds to nothing");
    assert_eq!(world.mm.mlock(world.id, start, K, 2), Err(Errno::EINVAL));
    assert_eq!(world.mm.mlockall(world.id, 0), Err(Errno::EINVAL));
    assert_eq!(world.mm.mlockall(world.id, 4), Err(Errno::EINVAL));
    assert_eq!(world.mm.munlock(world.id, start, 8 * K), Ok(()));
    world.mm.set_limits(world.id, Limits { locked: 2 * K, ..Limits::default() });
    assert_eq!(world.mm.mlock(world.id, start, 2 * K, 0), Ok(()));
    assert_eq!(world.mm.mlock(world.id, start, 2 * K, 0), Ok(()), "again is free");
    assert_eq!(world.mm.mlock(world.id, start, 3 * K, 0), Err(Errno::ENOMEM));
    assert_eq!(world.map(0, K, RW, PRIVATE | libc::MAP_LOCKED as u64), Err(Errno::EAGAIN));
    world.mm.set_limits(world.id, Limits { locked: 0, ..Limits::default() });
    assert_eq!(world.mm.mlock(world.id, start, K, 0), Err(Errno::EPERM));
    assert_eq!(world.map(0, K, RW, PRIVATE | libc::MAP_LOCKED as u64), Err(Errno::EPERM));
    assert_eq!(world.mm.mlockall(world.id, 1), Err(Errno::EPERM));
    world.mm.munlockall(world.id);
    world.end();
}

#[test]
fn populating_is_as_many_faults() {
    let mut world = World::new();
    world.map(0, 100 * K, RW, PRIVATE | libc::MAP_POPULATE as u64).expect("there is room");
    assert_eq!((world.faults().minor, world.resident_pages()), (100, 100));
    let start = world.map(0, 3 * K, R, PRIVATE).expect("there is room");
    assert_eq!(world.advise(start, K, libc::MADV_POPULATE_WRITE), Err(Errno::EINVAL));
    assert_eq!(world.advise(start, K, libc::MADV_POPULATE_READ), Ok(()));
    world.mm.munmap(world.id, start + K, K).expect("it is aligned");
    assert_eq!(world.advise(start, 3 * K, libc::MADV_POPULATE_READ), Err(Errno::ENOMEM));
    world.end();
}

#[test]
fn syncing_is_checked() {
    let mut world = World::new();
    let start = world.anonymous(3 * K);
    let sync = |world: &mut World, at, bytes, flags| world.mm.msync(world.id, at, bytes, flags as u64);
    assert_eq!(sync(&mut world, start, K, libc::MS_SYNC | libc::MS_ASYNC), Err(Errno::EINVAL));
    assert_eq!(sync(&mut world, start, K, 8), Err(Errno::EINVAL));
    assert_eq!(sync(&mut world, start + 1, K, libc::MS_SYNC), Err(Errno::EINVAL));
    world.mm.munmap(world.id, start + K, K).expect("it is aligned");
    assert_eq!(sync(&mut world, start, 3 * K, libc::MS_SYNC), Err(Errno::ENOMEM));
    assert_eq!(world.mm.msync(world.id, start, u64::MAX, libc::MS_SYNC as u64), Ok(()), "rounds to nothing");
    world.mm.mlock(world.id, start, K, 0).expect("within the limit");
    assert_eq!(sync(&mut world, start, K, libc::MS_INVALIDATE), Err(Errno::EBUSY));
    world.end();
}

#[test]
fn smaps_tells_a_child_what_it_shares() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    for page in 0..4 {
        world.store(start + page * K, 1).expect("it is mapped");
    }
    let child = world.mm.fork_space(world.id).expect("there is RAM");
    let text = world.mm.smaps_text(child);
    for line in ["Rss:                  16 kB", "Pss:                   8 kB", "Shared_Dirty:         16 kB"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(text.ends_with("VmFlags: rd wr mr mw me ac \n"), "{text}");
    world.mm.release_space(child);
    assert!(world.mm.smaps_text(world.id).contains("Private_Dirty:        16 kB"));
    assert_eq!(world.mm.statm(world.id), Statm { size: 4, resident: 4, shared: 0, text: 0, data: 4 });
    world.end();
}

#[test]
fn guards_stay_until_they_are_removed() {
    const INSTALL: i32 = 102;
    const REMOVE: i32 = 103;
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    world.store(start + K, 5).expect("it is mapped");
    world.advise(start + K, K, INSTALL).expect("it is mapped");
    assert_eq!((world.load(start + K), world.mm.area_count(world.id)), (Err(FaultError::MapErr), 1));
    world.advise(start, 4 * K, libc::MADV_DONTNEED).expect("it is mapped");
    assert_eq!(world.mm.pagemap_word(world.id, VirtAddr::new(start + K).page()), 1 << 58);
    let child = world.mm.fork_space(world.id).expect("there is RAM");
    let parent = std::mem::replace(&mut world.id, child);
    assert_eq!(world.store(start + K, 1), Err(FaultError::MapErr));
    world.mm.release_space(parent);
    world.advise(start, 4 * K, REMOVE).expect("it is mapped");
    assert_eq!(world.load(start + K), Ok(0));
    world.mm.mlock(world.id, start, K, 0).expect("within the limit");
    assert_eq!(world.advise(start, K, INSTALL), Err(Errno::EINVAL));
    world.end();
}
