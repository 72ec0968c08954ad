use super::*;
use crate::{MAX_LEVELS, SparseMemory};

const ROOT: PhysAddr = PhysAddr::new(0);

/// Writes the tables that map one page, each table in a frame of its own, and returns the place of the leaf.
fn map(memory: &SparseMemory, geometry: &Geometry, addr: VirtAddr, leaf_level: usize, leaf: u64) -> PhysAddr {
    let mut table = ROOT;
    for level in (1..=geometry.level_count()).rev() {
        let at = table + geometry.index(addr, level) * geometry.entry_bytes();
        if level == leaf_level {
            memory.store_entry(at, geometry.entry_bytes(), leaf);
            return at;
        }
        let frame = 1 + level as u64 * (geometry.table_bytes(level).div_ceil(geometry.page_bytes()));
        memory.store_entry(at, geometry.entry_bytes(), geometry.format().table(frame));
        table = PhysAddr::new(frame * geometry.page_bytes());
    }
    panic!("there is no level {leaf_level}");
}

fn user(memory: &impl EntrySource, geometry: &Geometry, addr: u64, access: Access) -> Result<Translation, Refusal> {
    walk(memory, geometry, ROOT, VirtAddr::new(addr), access, Privilege::User)
}

#[test]
fn every_geometry_walks_through_the_same_code() {
    let shapes =
        [Geometry::X86_64, Geometry::X86_64_FIVE_LEVEL, Geometry::TWO_LEVEL, Geometry::SMALL, Geometry::BOOK_100];
    for geometry in shapes.into_iter().chain((1..=MAX_LEVELS).filter_map(Geometry::levels)) {
        let memory = SparseMemory::new();
        let addr = VirtAddr::new(geometry.virtual_bytes() / 2 - geometry.page_bytes() / 2 - 1);
        let leaf = geometry.format().leaf(5, Perms::READ_WRITE, Privilege::User);
        map(&memory, &geometry, addr, 1, leaf);
        let found = user(&memory, &geometry, addr.get(), Access::Read).expect("the page is mapped");
        assert_eq!(found.phys, PhysAddr::new(5 * geometry.page_bytes()) + geometry.offset(addr, 1), "{geometry:?}");
        assert_eq!(found.page_bytes, geometry.page_bytes());
        assert!(!found.dirty);
    }
}

#[test]
fn a_and_d_are_set_as_the_manual_says() {
    let (memory, geometry) = (SparseMemory::new(), Geometry::X86_64);
    let addr = VirtAddr::new(0x7fff_f7fc_3010);
    let at = map(&memory, &geometry, addr, 1, geometry.format().leaf(5, Perms::READ_WRITE, Privilege::User));
    let marks = |at| memory.load_entry(at, 8) & 0x60;

    peek(&memory, &geometry, ROOT, addr, Access::Write, Privilege::User).expect("the page is mapped");
    assert_eq!(marks(at), 0, "a peek leaves no trace");
    assert!(!user(&memory, &geometry, addr.get(), Access::Read).expect("mapped").dirty);
    assert_eq!(marks(at), 0x20);
    assert!(user(&memory, &geometry, addr.get(), Access::Write).expect("mapped").dirty);
    assert_eq!(marks(at), 0x60);

    let mut steps = Vec::new();
    let all = |step: Step| steps.push((step.level, step.index, step.word & 0x60));
    walk_observed(&memory, &geometry, ROOT, addr, Access::Read, Privilege::User, Marking::LeaveAlone, all)
        .expect("mapped");
    assert_eq!(steps, [(4, 0xff, 0x20), (3, 0x1ff, 0x20), (2, 0x1bf, 0x20), (1, 0x1c3, 0x60)]);
}

#[test]
fn rights_are_anded_over_the_levels() {
    let (memory, geometry) = (SparseMemory::new(), Geometry::X86_64);
    let addr = VirtAddr::new(0x40_0000);
    map(&memory, &geometry, addr, 1, geometry.format().leaf(5, Perms::ALL, Privilege::User));
    assert_eq!(user(&memory, &geometry, addr.get(), Access::Execute).expect("mapped").perms, Perms::ALL);

    let root_entry = memory.load_entry(ROOT, 8);
    memory.store_entry(ROOT, 8, root_entry & !2 | 1 << 63);
    let refusal = user(&memory, &geometry, addr.get(), Access::Execute).expect_err("NX is ORed");
    assert_eq!((refusal.cause, refusal.error_code()), (Cause::Protection, Some(1 | 4 | 16)));
    let refusal = user(&memory, &geometry, addr.get(), Access::Write).expect_err("RW is ANDed");
    assert_eq!(refusal.error_code(), Some(1 | 2 | 4));
    assert_eq!(user(&memory, &geometry, addr.get(), Access::Read).expect("mapped").perms, Perms::READ);

    memory.store_entry(ROOT, 8, root_entry & !4);
    assert_eq!(user(&memory, &geometry, addr.get(), Access::Read).expect_err("US is ANDed").error_code(), Some(1 | 4));
    let found = walk(&memory, &geometry, ROOT, addr, Access::Write, Privilege::Supervisor);
    assert_eq!(found.expect("the kernel may").perms, Perms::ALL);
}

#[test]
fn a_refused_store_does_not_mark_the_leaf() {
    let (memory, geometry) = (SparseMemory::new(), Geometry::SMALL);
    let leaf = geometry.format().leaf(5, Perms::READ, Privilege::User);
    let at = map(&memory, &geometry, VirtAddr::new(0), 1, leaf);
    user(&memory, &geometry, 0, Access::Write).expect_err("it is read-only");
    assert_eq!(memory.load_entry(at, 2), leaf);
}

#[test]
fn absent_entries_are_refused_at_their_level() {
    let (memory, geometry) = (SparseMemory::new(), Geometry::X86_64);
    map(&memory, &geometry, VirtAddr::new(0x1000), 1, geometry.format().leaf(5, Perms::ALL, Privilege::User));
    for (addr, level) in [(0x2000, 1), (0x20_0000, 2), (0x4000_0000, 3), (0x7fff_f7fc_3010, 4)] {
        let refusal = user(&memory, &geometry, addr, Access::Write).expect_err("nothing is there");
        assert_eq!((refusal.cause, refusal.error_code()), (Cause::Absent { level }, Some(2 | 4)));
    }
}

#[test]
fn addresses_outside_the_space_are_no_page_faults() {
    let memory = SparseMemory::new();
    for (geometry, addr) in [(Geometry::X86_64, 1 << 47), (Geometry::SMALL, 0x4000), (Geometry::BOOK_100, 500)] {
        let refusal = user(&memory, &geometry, addr, Access::Read).expect_err("it is outside");
        assert_eq!((refusal.cause, refusal.error_code()), (Cause::OutsideSpace, None));
    }
}

#[test]
fn large_leaves_map_what_their_level_spans() {
    let geometry = Geometry::X86_64.with_physical_bits(40);
    let large = geometry.format().large;
    for (level, frame) in [(2, 0x200), (3, 0x4_0000)] {
        let memory = SparseMemory::new();
        let addr = VirtAddr::new(0x7fff_f7fc_3010);
        let leaf = geometry.format().leaf(frame, Perms::READ, Privilege::User) | large;
        let at = map(&memory, &geometry, addr, level, leaf);
        let found = user(&memory, &geometry, addr.get(), Access::Read).expect("mapped");
        assert_eq!(found.page_bytes, geometry.span_bytes(level));
        assert_eq!(found.phys.get(), frame * 4096 + addr.get() % geometry.span_bytes(level));
        // Bit 12 is PAT, bit 13 is reserved.
        memory.store_entry(at, 8, leaf | 1 << 12);
        assert_eq!(user(&memory, &geometry, addr.get(), Access::Read).expect("mapped").phys, found.phys);
        memory.store_entry(at, 8, leaf | 1 << 13);
        let refusal = user(&memory, &geometry, addr.get(), Access::Read).expect_err("reserved");
        assert_eq!((refusal.cause, refusal.error_code()), (Cause::ReservedBit { level }, Some(1 | 4 | 8)));
    }
}
