//! Files in the host's memory, as if the host had little of it.

use super::*;
use host::KeptFile;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};

const MAP_SHARED: u64 = libc::MAP_SHARED as u64;

/// A sparse file in memory, mapped shared, and room for so many pages more in all such files.
fn memory_world(pages: u64, room_pages: u64) -> (World, File, u64) {
    let mut world = World::new();
    let file = tempfile::tempfile_in("/dev/shm").expect("a temporary file");
    file.set_len(pages * K).expect("it is sparse");
    world.mm.give_memory_files(file.metadata().expect("it is open").dev(), room_pages * K);
    let kept = KeptFile::of(file.try_clone().expect("a descriptor"));
    let id = world.mm.adopt_file(kept, "/dev/shm/file", OpenMode::ReadWrite).expect("the host knows it");
    let start = world.map_file(id, pages * K, RW, MAP_SHARED, OpenMode::ReadWrite).expect("it is writable");
    (world, file, start)
}

fn pages_on_host(file: &File) -> u64 {
    file.metadata().expect("it is open").blocks() * 512 / K
}

/// As a tmpfs that is full: SIGBUS for a store to a hole, and for a load, which would fill it too.
#[test]
fn a_store_to_a_hole_without_room_is_a_bus_error() {
    let (mut world, file, start) = memory_world(1024, 40);
    // Sixteen pages are brought in at once, as long as so many fit, then one: 16 + 16 + 8.
    for page in [0, 64, 128, 129, 1000, 1001, 1002, 1003, 1004, 1005] {
        assert_eq!(world.store(start + page * K, 7), Ok(()), "page {page}");
    }
    for page in [600, 1006] {
        assert_eq!(world.store(start + page * K, 7), Err(FaultError::BusAdrErr), "page {page}");
        assert_eq!(world.load(start + page * K), Err(FaultError::BusAdrErr), "page {page}");
    }
    assert_eq!(world.store(start, 8), Ok(()), "it is there");
    world.end();
    assert!(pages_on_host(&file) <= 40, "{} pages", pages_on_host(&file));
}

#[test]
fn what_the_host_has_is_mapped_whatever_the_room() {
    let (mut world, file, start) = memory_world(256, 0);
    file.write_all_at(&[3; 65 * K as usize], 0).expect("the host has room");
    for page in [0, 10, 64] {
        assert_eq!((world.load(start + page * K), world.store(start + page * K, 9)), (Ok(3), Ok(())), "page {page}");
    }
    assert_eq!(world.load(start + 65 * K), Err(FaultError::BusAdrErr));
    world.end();
    assert_eq!(pages_on_host(&file), 65);
}

/// The hole is one on the host too, where zeros written over a large sparse file would fill it.
#[test]
fn removed_pages_are_a_hole_and_count_again() {
    let (mut world, file, start) = memory_world(1 << 20, 64);
    (0..32).for_each(|page| assert_eq!(world.store(start + page * K, 5), Ok(())));
    world.mm.madvise(world.id, start, (1 << 20) * K, libc::MADV_REMOVE as u64).expect("it is shared");
    assert_eq!(pages_on_host(&file), 0);
    assert_eq!((world.load(start + 3 * K), world.store(start + 3 * K, 6)), (Ok(0), Ok(())));
    // The pages that were removed are in RAM, and may all be stored to.
    assert_eq!(world.store(start + 512 * K, 7), Ok(()));
    assert_eq!(world.store(start + 640 * K, 7), Ok(()));
    assert_eq!(world.store(start + 768 * K, 7), Err(FaultError::BusAdrErr));
    world.end();
    assert!(pages_on_host(&file) <= 64, "{} pages", pages_on_host(&file));
}

#[test]
fn swap_that_a_guest_is_not_told_of_ends() {
    let mut world = World::new();
    let bytes = 6000 * K;
    for _ in 0..2 {
        let start = world.anonymous(bytes);
        (0..6000).for_each(|page| assert_eq!(world.store(start + page * K, page as u8), Ok(())));
        world.mm.madvise(world.id, start, bytes, libc::MADV_PAGEOUT as u64).expect("it is mapped");
        assert_eq!((world.load(start), world.load(start + 5000 * K)), (Ok(0), Ok(5000_u64 as u8)));
    }
    assert!(world.mm.ram_use().swapped_pages <= 4096);
    world.end();
}
