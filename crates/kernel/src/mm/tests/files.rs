use super::*;
use host::{FileIdentity, KeptFile};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use trace::FaultKind::{CopyOnWrite, File as FromFile};

const MAP_SHARED: u64 = libc::MAP_SHARED as u64;
const MAP_PRIVATE: u64 = libc::MAP_PRIVATE as u64;

/// A file of the host whose byte at `n` is `n / 4096 + 1`, and the world that maps it.
fn file_world(config: MmConfig, bytes: u64) -> (World, File, FileId) {
    let mut world = World::with_config(4096, config);
    let file = tempfile::tempfile().expect("a temporary file");
    let content: Vec<u8> = (0..bytes).map(|at| (at / K) as u8 + 1).collect();
    file.write_all_at(&content, 0).expect("it takes bytes");
    let id = adopt(&mut world, &file);
    (world, file, id)
}

fn adopt(world: &mut World, file: &File) -> FileId {
    let kept = KeptFile::of(file.try_clone().expect("a descriptor"));
    world.mm.adopt_file(kept, "/tmp/file", OpenMode::ReadWrite).expect("the host knows it")
}

fn host_byte(file: &File, at: u64) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("the file is long enough");
    byte[0]
}

#[test]
fn one_fault_maps_sixteen_pages_and_a_private_store_copies_one() {
    let (mut world, file, id) = file_world(MmConfig::default(), 40 * K);
    let start = world.map_file(id, 40 * K, RW, MAP_PRIVATE, OpenMode::ReadOnly).expect("it is readable");
    for page in 0..40 {
        assert_eq!(world.load(start + page * K), Ok(page as u8 + 1));
    }
    let faults = world.faults();
    assert!((3..=4).contains(&faults.file) && faults.minor == faults.file, "{faults:?}");
    assert_eq!(world.touch(start, Access::Write), Ok(Some(CopyOnWrite)));
    world.store(start, 99).expect("it is private");
    assert_eq!((world.load(start), host_byte(&file, 0)), (Ok(99), 1));
    world.mm.check();
    world.end();
}

#[test]
fn a_file_is_read_window_by_window_around_what_is_there() {
    let (mut world, _file, id) = file_world(MmConfig::default(), 200 * K + 1);
    let resident = |world: &World| -> Vec<u64> {
        (0..201).filter(|index| world.mm.store.objects.get(id).resident(*index).is_some()).collect()
    };
    let page = |world: &mut World, index| world.mm.store.object_page(id, index).map(|(pfn, _)| pfn);
    page(&mut world, 100).expect("it is in the file");
    assert_eq!(resident(&world), (96..128).collect::<Vec<_>>());
    world.mm.store.remove_object_pages(id, 110..111);
    world.mm.store.remove_object_pages(id, 112..113);
    page(&mut world, 112).expect("it is in the file");
    assert_eq!(resident(&world), (96..128).filter(|index| *index != 110).collect::<Vec<_>>());
    let last = page(&mut world, 200).expect("one byte of it is in the file");
    assert_eq!(resident(&world).last(), Some(&200));
    let mut bytes = [9; 4096];
    world.mm.store.frames.memory().ram().read(last.start(), &mut bytes);
    assert_eq!((bytes[0], bytes[1..].iter().max()), (201, Some(&0)), "beyond the end are zeros");
    world.end();
}

#[test]
fn a_page_is_read_alone_where_ram_has_no_room_for_its_window() {
    let mut world = World::with_frames(64);
    let file = tempfile::tempfile().expect("a temporary file");
    file.set_len(64 * K).expect("it grows");
    let id = adopt(&mut world, &file);
    while world.mm.store.frames.free_frames() > 3 {
        world.mm.store.frames.alloc_zeroed(0).expect("one is free").into_pfn();
    }
    world.mm.store.object_page(id, 40).expect("there is room for one");
    assert!(world.mm.store.objects.get(id).resident(40).is_some());
}

#[test]
fn a_file_that_is_known_and_unchanged_needs_no_other_descriptor() {
    let (mut world, file, id) = file_world(MmConfig::default(), 2 * K);
    let identity = |file: &File| host::files::describe(file.as_raw_fd()).expect("it is open").identity;
    let now = identity(&file);
    assert_eq!(now, KeptFile::of(file.try_clone().expect("a descriptor")).identity().expect("it is open"));
    for mode in [OpenMode::ReadOnly, OpenMode::WriteOnly, OpenMode::ReadWrite] {
        assert_eq!(world.mm.unchanged_file(&now, "/tmp/other name", mode), Some(id));
    }
    file.set_len(3 * K).expect("it grows");
    assert_eq!(world.mm.unchanged_file(&identity(&file), "/tmp/file", OpenMode::ReadOnly), None);
    assert_eq!(world.mm.unchanged_file(&FileIdentity { ino: 1, ..now }, "/tmp/file", OpenMode::ReadOnly), None);
    let writable = tempfile::tempfile().expect("a temporary file");
    let read_only = File::open(format!("/proc/self/fd/{}", writable.as_raw_fd())).expect("it is open");
    let kept = KeptFile::of(read_only.try_clone().expect("a descriptor"));
    let other = world.mm.adopt_file(kept, "/tmp/read", OpenMode::ReadOnly).expect("the host knows it");
    assert_eq!(world.mm.unchanged_file(&identity(&read_only), "/tmp/read", OpenMode::ReadOnly), Some(other));
    assert_eq!(world.mm.unchanged_file(&identity(&read_only), "/tmp/read", OpenMode::ReadWrite), None);
    world.end();
}

#[test]
fn cold_files_fault_major_one_by_one() {
    let config = MmConfig { file_cache: FileCache::Cold, fault_around_pages: 1, ..MmConfig::default() };
    let (mut world, _file, id) = file_world(config, 3 * K);
    let start = world.map_file(id, 3 * K, R, MAP_PRIVATE, OpenMode::ReadOnly).expect("it is readable");
    assert_eq!(world.touch(start, Access::Read), Ok(Some(FromFile)));
    assert_eq!((world.faults().major, world.resident_pages()), (1, 1));
    world.end();
}

#[test]
fn a_shared_store_reaches_the_file() {
    let (mut world, file, id) = file_world(MmConfig::default(), 2 * K + 100);
    let start = world.map_file(id, 4 * K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    world.store(start + 5, 77).expect("it is mapped");
    world.mm.msync(world.id, start, K, libc::MS_SYNC as u64).expect("it is mapped");
    assert_eq!(host_byte(&file, 5), 77);
    world.store(start + 6, 78).expect("it is mapped");
    world.mm.sync_file(id);
    assert_eq!(host_byte(&file, 6), 78);
    world.store(start + 7, 79).expect("it is mapped");
    world.store(start + 2 * K + 50, 80).expect("it is in the last page");
    world.store(start + 2 * K + 200, 81).expect("beyond the end, in the last page");
    assert_eq!(world.load(start + 2 * K + 200), Ok(81));
    assert_eq!(world.load(start + 3 * K), Err(FaultError::BusAdrErr));
    assert_eq!(world.store(start + 3 * K, 1), Err(FaultError::BusAdrErr));
    world.mm.munmap(world.id, start, 4 * K).expect("it is aligned");
    assert_eq!((host_byte(&file, 7), host_byte(&file, 2 * K + 50)), (79, 80));
    assert_eq!(file.metadata().expect("it is open").len(), 2 * K + 100, "not written beyond the end");
    world.end();
}

#[test]
fn writing_and_growing_the_file_shows_in_maps() {
    let (mut world, file, id) = file_world(MmConfig::default(), K + 100);
    let shared = world.map_file(id, 3 * K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    let private = world.map_file(id, 3 * K, RW, MAP_PRIVATE, OpenMode::ReadWrite).expect("it is readable");
    assert_eq!((world.load(shared), world.load(private)), (Ok(1), Ok(1)));
    file.write_all_at(&[50], 0).expect("it takes bytes");
    world.mm.file_written(id, 0, 1);
    assert_eq!((world.load(shared), world.load(private)), (Ok(50), Ok(50)));
    world.store(shared + K + 200, 9).expect("beyond the end, in the last page");
    world.mm.sync_file(id);
    file.set_len(3 * K).expect("it grows");
    world.mm.file_changed(id);
    assert_eq!(world.load(shared + K + 200), Ok(0), "what was stored beyond the end is gone");
    assert_eq!(world.load(shared + 2 * K), Ok(0));
    world.end();
}

#[test]
fn a_store_outlives_a_write_back_and_the_next_map() {
    let (mut world, file, id) = file_world(MmConfig::default(), 2 * K);
    let start = world.map_file(id, 2 * K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    world.store(start, 41).expect("it is mapped");
    world.mm.sync_file(id);
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("its owner may");
    world.store(start, 42).expect("it is mapped");
    assert_eq!(adopt(&mut world, &file), id);
    assert_eq!((world.load(start), host_byte(&file, 0)), (Ok(42), 42));
    file.set_len(K).expect("it shrinks");
    world.store(start + K, 43).expect("the cache does not know yet");
    adopt(&mut world, &file);
    assert_eq!(file.metadata().expect("it is open").len(), K, "not written beyond the new end");
    world.end();
}

#[test]
fn a_write_leaves_the_bytes_beside_it() {
    let (mut world, file, id) = file_world(MmConfig::default(), K);
    let start = world.map_file(id, K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    world.store(start + 9, 42).expect("it is mapped");
    file.write_all_at(&[50], 8).expect("it takes bytes");
    world.mm.file_written(id, 8, 1);
    assert_eq!((world.load(start + 8), world.load(start + 9)), (Ok(50), Ok(42)));
    world.end();
}

#[test]
fn truncation_takes_pages_and_private_copies() {
    let (mut world, file, id) = file_world(MmConfig::default(), 4 * K);
    let shared = world.map_file(id, 4 * K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    let private = world.map_file(id, 4 * K, RW, MAP_PRIVATE, OpenMode::ReadWrite).expect("it is readable");
    for page in 0..4 {
        world.store(shared + page * K, 100).expect("it is mapped");
        world.store(private + page * K, 200).expect("it is mapped");
    }
    world.mm.sync_file(id);
    file.set_len(2 * K).expect("it shrinks");
    world.mm.file_changed(id);
    world.mm.check();
    assert_eq!((world.load(shared + K), world.load(private + K)), (Ok(100), Ok(200)));
    for start in [shared, private] {
        assert_eq!(world.load(start + 2 * K), Err(FaultError::BusAdrErr));
        assert_eq!(world.store(start + 3 * K, 1), Err(FaultError::BusAdrErr));
    }
    file.set_len(4 * K).expect("it grows");
    world.mm.file_changed(id);
    assert_eq!((world.load(shared + 2 * K), world.load(private + 2 * K)), (Ok(0), Ok(0)), "not the old copy");
    world.end();
}

#[test]
fn a_file_is_refused_as_linux_refuses_it() {
    let (mut world, _file, id) = file_world(MmConfig::default(), K);
    let mut map = |prot, flags, mode| world.map_file(id, K, prot, flags, mode).map(drop);
    assert_eq!(map(RW, MAP_SHARED, OpenMode::ReadOnly), Err(Errno::EACCES));
    assert_eq!(map(R, MAP_SHARED, OpenMode::ReadOnly), Ok(()));
    assert_eq!(map(2, MAP_PRIVATE, OpenMode::WriteOnly), Err(Errno::EACCES));
    assert_eq!(map(RW, MAP_PRIVATE, OpenMode::ReadOnly), Ok(()));
    assert_eq!(map(R, MAP_PRIVATE | libc::MAP_GROWSDOWN as u64, OpenMode::ReadOnly), Err(Errno::EINVAL));
    assert_eq!(map(R, 3 | 0x200, OpenMode::ReadOnly), Err(Errno::EOPNOTSUPP));
    assert_eq!(map(R, 3 | 0x80, OpenMode::ReadOnly), Ok(()));
    assert_eq!(map(R, 1 | libc::MAP_SYNC as u64, OpenMode::ReadOnly), Err(Errno::EOPNOTSUPP));
    assert_eq!(map(R, 0, OpenMode::ReadOnly), Err(Errno::EINVAL));
    let read_only = world.map_file(id, K, R, MAP_SHARED, OpenMode::ReadOnly).expect("it is readable");
    assert_eq!(world.mm.mprotect(world.id, read_only, K, RW), Err(Errno::EACCES));
    let file = Some(MappedFile { id, mode: OpenMode::ReadOnly, mount: Mount::NoExec });
    let request = MmapRequest { addr: 0, bytes: K, prot: RX, flags: MAP_PRIVATE, offset: 0, file };
    assert_eq!(world.mm.mmap(world.id, &request), Err(Errno::EPERM));
    assert_eq!(world.mm.mmap(world.id, &MmapRequest { prot: R, offset: 100, ..request }), Err(Errno::EINVAL));
    let far = MmapRequest { prot: R, offset: !(K - 1), ..request };
    assert_eq!(world.mm.mmap(world.id, &far), Err(Errno::EOVERFLOW));
    let beyond = MmapRequest { offset: i64::MAX as u64 & !(K - 1), ..far };
    assert_eq!(world.mm.mmap(world.id, &beyond), Err(Errno::EOVERFLOW));
    world.end();
}

#[test]
fn maps_names_the_file_in_column_73() {
    let (mut world, file, id) = file_world(MmConfig::default(), 3 * K);
    let file_part = Some(MappedFile { id, mode: OpenMode::ReadOnly, mount: Mount::Exec });
    let request = MmapRequest { addr: 0, bytes: K, prot: RX, flags: MAP_PRIVATE, offset: 2 * K, file: file_part };
    world.mm.mmap(world.id, &request).expect("it is readable");
    let text = world.mm.maps_text(world.id);
    let ino = std::os::unix::fs::MetadataExt::ino(&file.metadata().expect("it is open"));
    assert!(text.starts_with("7ffff7ffe000-7ffff7fff000 r-xp 00002000 "), "{text}");
    assert!(text.contains(&format!(" {ino} ")) && text.find("/tmp/file") == Some(73), "{text}");
    world.end();
}

#[test]
fn an_evicted_file_page_comes_back() {
    let (mut world, file, id) = file_world(MmConfig::default(), 2 * K);
    let start = world.map_file(id, 2 * K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    world.store(start, 42).expect("it is mapped");
    let frames = world.mm.frames_in_use();
    world.mm.evict(world.id, VirtAddr::new(start).page());
    assert_eq!((host_byte(&file, 0), world.mm.frames_in_use()), (42, frames - 1));
    assert_eq!(world.load(start), Ok(42));
    world.end();
}

#[test]
fn shared_memory_is_seen_by_the_child_and_goes_with_its_last_map() {
    let mut world = World::new();
    let start = world.map(0, 4 * K, RW, SHARED).expect("there is room");
    world.store(start, 1).expect("it is mapped");
    let parent = world.id;
    world.id = world.mm.fork_space(parent).expect("there is RAM");
    assert_eq!(world.load(start), Ok(1));
    world.store(start + K, 2).expect("it is mapped");
    world.mm.evict(world.id, VirtAddr::new(start + K).page());
    world.mm.release_space(world.id);
    world.id = parent;
    assert_eq!(world.load(start + K), Ok(2));
    assert!(world.mm.maps_text(parent).contains("rw-s 00000000 00:01"));
    assert!(world.mm.maps_text(parent).ends_with("/dev/zero (deleted)\n"));
    world.mm.madvise(parent, start, K, libc::MADV_DONTNEED as u64).expect("it is mapped");
    assert_eq!(world.load(start), Ok(1), "only the entries are dropped");
    world.mm.madvise(parent, start, K, libc::MADV_REMOVE as u64).expect("it is shared");
    assert_eq!(world.load(start), Ok(0));
    world.end();
}

/// madvise(2): EINVAL for locked pages, EACCES for a file that is not mapped shared and writable; both are asked in that
/// order.
#[test]
fn what_is_locked_is_not_removed_whatever_it_is() {
    let (mut world, _file, id) = file_world(MmConfig::default(), K);
    let private = world.map_file(id, K, R, MAP_PRIVATE, OpenMode::ReadWrite).expect("it is readable");
    let remove = |world: &mut World, start| world.mm.madvise(world.id, start, K, libc::MADV_REMOVE as u64);
    assert_eq!(remove(&mut world, private), Err(Errno::EACCES));
    let shared = world.map_file(id, K, R, MAP_SHARED, OpenMode::ReadOnly).expect("it is readable");
    assert_eq!(remove(&mut world, shared), Err(Errno::EACCES));
    for start in [private, shared] {
        world.mm.mlock(world.id, start, K, 0).expect("it can be read");
        assert_eq!(remove(&mut world, start), Err(Errno::EINVAL));
    }
    world.end();
}

/// Measured on Linux 6.18: of an anonymous area a guard makes a family, of a file's none, and a child gets it all the same.
#[test]
fn guards_of_a_file_keep_no_areas_apart_and_reach_a_child() {
    const INSTALL: u64 = 102;
    for flags in [MAP_PRIVATE, MAP_SHARED] {
        let (mut world, _file, id) = file_world(MmConfig::default(), 6 * K);
        let start = world.map_file(id, 6 * K, 0, flags, OpenMode::ReadWrite).expect("it is readable");
        world.mm.mprotect(world.id, start, 4 * K, RW).expect("it is mapped");
        world.mm.madvise(world.id, start, 5 * K, INSTALL).expect("it is mapped");
        world.mm.mprotect(world.id, start, 5 * K, RW).expect("it is mapped");
        assert_eq!(world.mm.area_count(world.id), 2, "what was protected, and the rest");
        let parent = world.id;
        world.id = world.mm.fork_space(parent).expect("there is RAM");
        assert_eq!(world.load(start + 4 * K), Err(FaultError::MapErr));
        world.mm.release_space(parent);
        world.end();
    }
}

/// Measured on Linux 6.18.
#[test]
fn a_store_beyond_the_end_of_a_private_file_keeps_areas_apart() {
    let (mut world, _file, id) = file_world(MmConfig::default(), K);
    let start = world.map_file(id, 3 * K, RW, MAP_PRIVATE, OpenMode::ReadWrite).expect("it is readable");
    world.mm.mprotect(world.id, start + K, K, 0).expect("it is mapped");
    world.mm.mlock(world.id, start, K, 0).expect("it is in the file");
    world.mm.mprotect(world.id, start + K, K, RW).expect("it is mapped");
    assert_eq!((world.store(start + K, 1), world.mm.area_count(world.id)), (Err(FaultError::BusAdrErr), 2));
    world.mm.munlock(world.id, start, K).expect("it is mapped");
    assert_eq!(world.mm.area_count(world.id), 2, "each has a family of its own");
    world.end();
}
