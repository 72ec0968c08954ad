//! clear_refs, pagemap and what RAM is used for.

use super::*;

const SOFT_DIRTY: u64 = 1 << 55;
const PRESENT: u64 = 1 << 63;

fn words(world: &World, start: u64, pages: u64) -> Vec<u64> {
    (0..pages).map(|page| world.mm.pagemap_word(world.id, VirtAddr::new(start + page * K).page())).collect()
}

fn changed(world: &World, start: u64, pages: u64) -> Vec<bool> {
    words(world, start, pages).iter().map(|word| word & SOFT_DIRTY != 0).collect()
}

#[test]
fn a_store_after_clear_refs_is_a_fault_and_marks_its_page() {
    let mut world = World::new();
    let start = world.anonymous(4 * K);
    (0..3).for_each(|page| world.store(start + page * K, 7).unwrap());
    assert_eq!(changed(&world, start, 4), [true, true, true, false]);
    world.mm.clear_references(world.id, ClearReferences::SoftDirty);
    assert_eq!(changed(&world, start, 4), [false; 4]);
    assert!(words(&world, start, 3).iter().all(|word| word & PRESENT != 0));
    assert_eq!(world.load(start), Ok(7));
    assert_eq!(changed(&world, start, 1), [false], "a load changes nothing");
    assert_eq!(world.touch(start + K, Access::Write), Ok(Some(FaultKind::CopyOnWrite)));
    assert_eq!(changed(&world, start, 3), [false, true, false]);
    assert_eq!(world.load(start + K), Ok(7), "the page is the same");
    world.end();
}

#[test]
fn rights_that_come_back_do_not_hide_a_change() {
    let mut world = World::new();
    let start = world.anonymous(K);
    world.store(start, 1).unwrap();
    world.mm.clear_references(world.id, ClearReferences::SoftDirty);
    world.mm.mprotect(world.id, start, K, R).unwrap();
    world.mm.mprotect(world.id, start, K, RW).unwrap();
    assert_eq!(changed(&world, start, 1), [false]);
    world.store(start, 2).unwrap();
    assert_eq!(changed(&world, start, 1), [true]);
    world.end();
}

#[test]
fn a_child_and_its_parent_are_watched_apart() {
    let mut world = World::new();
    let start = world.anonymous(K);
    world.store(start, 1).unwrap();
    world.mm.clear_references(world.id, ClearReferences::SoftDirty);
    let child = world.mm.fork_space(world.id).unwrap();
    assert_eq!(world.mm.write(child, VirtAddr::new(start), &[2]), 1);
    assert_eq!(changed(&world, start, 1), [false]);
    assert_ne!(world.mm.pagemap_word(child, VirtAddr::new(start).page()) & SOFT_DIRTY, 0);
    world.mm.release_space(child);
    world.end();
}

#[test]
fn used_pages_are_forgotten_by_what_is_behind_them() {
    let mut world = World::new();
    let own = world.anonymous(2 * K);
    let shared = world.map(0, K, RW, SHARED).unwrap();
    (0..2).for_each(|page| world.store(own + page * K, 1).unwrap());
    world.store(shared, 1).unwrap();
    let referenced = |world: &World| {
        let text = world.mm.smaps_rollup_text(world.id);
        let line = text.lines().find(|line| line.starts_with("Referenced:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 4
    };
    assert_eq!(referenced(&world), 3);
    world.mm.clear_references(world.id, ClearReferences::Mapped);
    assert_eq!(referenced(&world), 2);
    world.mm.clear_references(world.id, ClearReferences::Anonymous);
    assert_eq!(referenced(&world), 0);
    world.load(own).unwrap();
    world.touch(own, Access::Read).unwrap();
    assert_eq!(referenced(&world), 1);
    world.mm.clear_references(world.id, ClearReferences::All);
    assert_eq!(referenced(&world), 0);
    world.end();
}

#[test]
fn the_peak_begins_again() {
    let mut world = World::new();
    let start = world.anonymous(8 * K);
    (0..8).for_each(|page| world.store(start + page * K, 1).unwrap());
    world.mm.munmap(world.id, start, 6 * K).unwrap();
    assert_eq!(world.mm.usage(world.id).peak_resident_pages, 8);
    world.mm.clear_references(world.id, ClearReferences::Peak);
    assert_eq!(world.mm.usage(world.id).peak_resident_pages, 2);
    world.end();
}

#[test]
fn numbers_of_clear_refs_are_linuxs() {
    assert_eq!(ClearReferences::from_number(4), Some(ClearReferences::SoftDirty));
    assert_eq!(ClearReferences::from_number(5), Some(ClearReferences::Peak));
    assert_eq!((ClearReferences::from_number(0), ClearReferences::from_number(6)), (None, None));
}

#[test]
fn frames_are_used_for_something() {
    let mut world = World::new();
    let before = world.mm.ram_use();
    let own = world.anonymous(16 * K);
    let shared = world.map(0, 4 * K, RW, SHARED).unwrap();
    (0..16).for_each(|page| world.store(own + page * K, 1).unwrap());
    (0..4).for_each(|page| world.store(shared + page * K, 1).unwrap());
    let used = world.mm.ram_use();
    assert_eq!(used.anonymous_frames - before.anonymous_frames, 16);
    assert_eq!((used.shared_memory_pages, used.mapped_pages, used.file_pages), (4, 4, 0));
    let total = used.anonymous_frames + used.shared_memory_pages + used.table_frames + used.file_pages;
    assert_eq!(total, u64::from(world.mm.frames_in_use()));
    world.end();
}
