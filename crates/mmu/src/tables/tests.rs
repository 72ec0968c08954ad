use super::*;
use crate::{Cause, Frame, Origin, SharedPages, SwapSlot};
use addr::Perms;
use proptest::prelude::*;
use std::collections::BTreeMap;

struct Machine {
    frames: Frames,
    upper: UpperHalf,
}

impl Machine {
    fn new(frame_count: u32, levels: Levels) -> Self {
        let mut frames = Frames::new(&Memory::new(frame_count).expect("a small RAM fits"));
        let upper = UpperHalf::new(levels, &mut frames).expect("RAM is empty");
        Self { frames, upper }
    }

    fn tables(&mut self) -> Tables {
        Tables::new(&self.upper, &mut self.frames).expect("RAM is not full")
    }

    fn anonymous(&mut self, perms: Perms) -> Leaf {
        let pfn = self.frames.alloc_zeroed(0).expect("RAM is not full").into_pfn();
        Leaf::user(pfn, perms, Origin::Anonymous).written()
    }

    fn unmap(&mut self, tables: &Tables, range: PageRange) {
        let mut shootdown = tables.shootdown();
        let mut cursor = tables.cursor(range);
        while let Some(met) = cursor.next() {
            shootdown.forget_range(met.pages());
            if let Entry::Leaf(leaf) = cursor.take() {
                (0..met.page_count() as u32).for_each(|index| shootdown.own(leaf.pfn + index));
            }
        }
        tables.prune(range, &mut shootdown);
        shootdown.complete(&mut self.frames);
    }

    fn end(mut self, tables: Vec<Tables>) {
        for tables in tables {
            tables.release(&mut self.frames);
        }
        self.upper.release(&mut self.frames);
        self.frames.check();
        assert_eq!(self.frames.in_use(), 0, "every frame returned");
    }
}

fn page(number: u64) -> Page {
    Page::new(number)
}

#[test]
fn the_example_walks_through_four_tables() {
    let mut machine = Machine::new(4096, Levels::Four);
    let tables = machine.tables();
    let addr = VirtAddr::new(0x7fff_f7fc_3010);
    let refused = tables.walk(addr, Access::Write, Privilege::User).expect_err("nothing is mapped");
    assert_eq!(refused.cause, Cause::Absent { level: 4 });
    let leaf = Leaf { dirty: false, accessed: false, ..machine.anonymous(Perms::READ_WRITE) };
    tables.set(addr.page(), Entry::Leaf(leaf), &mut machine.frames).expect("RAM is not full");
    assert_eq!(tables.table_frames(), 4);
    let found = tables.walk(addr, Access::Write, Privilege::User).expect("mapped");
    assert_eq!(found.phys, leaf.pfn.start() + 0x10);
    assert_eq!(tables.entry(addr.page()), Entry::Leaf(leaf.written()));
    machine.unmap(&tables, PageRange::from_count(addr.page(), 1));
    assert_eq!(tables.table_frames(), 1, "empty tables are freed");
    machine.end(vec![tables]);
}

#[test]
fn the_upper_half_is_refused_as_protection_and_shows_ram() {
    for (levels, frames) in [(Levels::Four, 700), (Levels::Five, 262_144 + 512 + 3)] {
        let mut machine = Machine::new(frames, levels);
        let tables = machine.tables();
        for pfn in [0, 511, frames - 1] {
            let addr = UpperHalf::direct_map(levels) + u64::from(pfn) * addr::PAGE_BYTES;
            for access in [Access::Read, Access::Write, Access::Execute] {
                let refused = tables.walk(addr, access, Privilege::User).expect_err("not the program's");
                assert_eq!((refused.cause, refused.error_code().expect("a page fault") & 1), (Cause::Protection, 1));
            }
            let found = tables.walk(addr, Access::Read, Privilege::Supervisor).expect("RAM is mapped");
            assert_eq!(found.phys, Pfn::new(pfn).start());
        }
        machine.end(vec![tables]);
    }
}

#[test]
fn no_access_keeps_the_frame() {
    let mut machine = Machine::new(64, Levels::Four);
    let tables = machine.tables();
    let leaf = machine.anonymous(Perms::NONE);
    tables.set(page(5), Entry::Leaf(leaf), &mut machine.frames).expect("RAM is not full");
    let refused = tables.walk(page(5).start(), Access::Read, Privilege::User).expect_err("no rights");
    assert_eq!(refused.cause, Cause::Absent { level: 1 });
    assert_eq!(tables.entry(page(5)), Entry::Leaf(leaf));
    machine.unmap(&tables, PageRange::from_count(page(5), 1));
    machine.end(vec![tables]);
}

#[test]
fn a_large_leaf_splits_without_moving() {
    let mut machine = Machine::new(600_000, Levels::Five);
    let tables = machine.tables();
    for (level, order, first) in [(2, 9, 0x200), (3, 18, 1 << 18)] {
        let pfn = machine.frames.alloc_zeroed(order).expect("a block is free").into_pfn();
        let leaf = Leaf::user(pfn, Perms::READ_WRITE, Origin::Anonymous).written();
        tables.set_large(page(first), leaf, level, &mut machine.frames).expect("RAM is not full");
        let inside = page(first + 77);
        let before = tables.walk(inside.start() + 5, Access::Read, Privilege::User).expect("mapped");
        assert_eq!(before.page_bytes, addr::PAGE_BYTES << (9 * (level - 1)));
        tables.split(inside, &mut machine.frames).expect("RAM is not full");
        let after = tables.walk(inside.start() + 5, Access::Read, Privilege::User).expect("mapped");
        assert_eq!((after.phys, after.page_bytes), (before.phys, addr::PAGE_BYTES));
        assert_eq!(tables.mapped(inside).level, 1);
        machine.unmap(&tables, PageRange::from_count(page(first), 1 << order));
    }
    machine.end(vec![tables]);
}

#[test]
fn an_attached_cpu_forgets_and_a_running_one_delays_the_frame() {
    let mut machine = Machine::new(64, Levels::Four);
    let tables = machine.tables();
    let cpu = CpuView::new();
    tables.attach(&cpu);
    let leaf = machine.anonymous(Perms::READ_WRITE);
    tables.set(page(5), Entry::Leaf(leaf), &mut machine.frames).expect("RAM is not full");
    cpu.fill(crate::TlbTable::Write, page(5), 0x1000);
    cpu.enter();
    machine.unmap(&tables, PageRange::from_count(page(5), 1));
    assert!(!cpu.remembers(crate::TlbTable::Write, page(5)));
    assert_eq!(cpu.take_kick(), crate::Kicked::Yes);
    assert_eq!(machine.frames.count(leaf.pfn), 1, "the CPU may be on its way there");
    cpu.leave();
    machine.frames.reap();
    assert_eq!(machine.frames.count(leaf.pfn), 0);
    tables.detach(&cpu);
    machine.end(vec![tables]);
}

#[test]
fn a_fork_shares_and_forbids_stores() {
    let mut machine = Machine::new(4096, Levels::Four);
    let (parent, child) = (machine.tables(), machine.tables());
    let leaf = machine.anonymous(Perms::READ_WRITE);
    let slot = SwapSlot::new(9);
    for (at, entry) in [(0x1ff, Entry::Leaf(leaf)), (0x201, Entry::Swapped(slot))] {
        parent.set(page(at), entry, &mut machine.frames).expect("RAM is not full");
    }
    let block = machine.frames.alloc_zeroed(9).expect("a block is free").into_pfn();
    let large = Leaf::user(block, Perms::READ_WRITE, Origin::Anonymous).written();
    parent.set_large(page(0x400), large, 2, &mut machine.frames).expect("RAM is not full");
    let mut shared = SharedPages::default();
    let all = PageRange::new(page(0), page(0x1000));
    parent.share_into(&child, all, &mut machine.frames, &mut shared).expect("RAM is not full");
    assert_eq!(shared, SharedPages { anonymous: 513, object: 0, swapped: vec![slot] });
    for tables in [&parent, &child] {
        assert_eq!(tables.entry(page(0x1ff)), Entry::Leaf(leaf.with_perms(Perms::READ)));
        assert_eq!(tables.entry(page(0x201)), Entry::Swapped(slot));
        assert_eq!(tables.entry(page(0x410)), Entry::Leaf(large.with_perms(Perms::READ)));
    }
    assert_eq!((machine.frames.count(leaf.pfn), machine.frames.count(block + 511)), (2, 2));
    for tables in [&parent, &child] {
        machine.unmap(tables, all);
    }
    machine.end(vec![parent, child]);
}

#[test]
fn without_frames_nothing_is_mapped_and_nothing_lost() {
    let mut machine = Machine::new(8, Levels::Four);
    let tables = machine.tables();
    while machine.frames.free_frames() > 2 {
        let _ = machine.frames.alloc(0).map(Frame::into_pfn);
    }
    let leaf = machine.anonymous(Perms::READ);
    assert_eq!(tables.set(page(1 << 27), Entry::Leaf(leaf), &mut machine.frames), Err(OutOfFrames));
    assert_eq!(tables.entry(page(1 << 27)), Entry::Absent);
    let mut shootdown = tables.shootdown();
    tables.prune(PageRange::from_count(page(1 << 27), 1), &mut shootdown);
    shootdown.complete(&mut machine.frames);
    assert_eq!(machine.frames.free_frames(), 1);
}

proptest! {
    /// Against a map: what was set is there, what was not is absent, and the tables are as few as they can be.
    #[test]
    fn tables_are_a_map(steps in prop::collection::vec((0..3_u8, 0..40_u64, 1..2000_u64), 1..60)) {
        let mut machine = Machine::new(4096, Levels::Four);
        let tables = machine.tables();
        let mut model: BTreeMap<u64, Leaf> = BTreeMap::new();
        for (what, place, count) in steps {
            let first = place * 211 * (1 + place % 3 * 512);
            match what {
                0 | 1 => {
                    for at in first..first + count % 7 {
                        if let std::collections::btree_map::Entry::Vacant(free) = model.entry(at) {
                            let leaf = machine.anonymous(Perms::READ_WRITE);
                            prop_assert_eq!(tables.set(page(at), Entry::Leaf(leaf), &mut machine.frames), Ok(Entry::Absent));
                            free.insert(leaf);
                        }
                    }
                }
                _ => {
                    machine.unmap(&tables, PageRange::from_count(page(first), count));
                    model.retain(|at, _| !(first..first + count).contains(at));
                }
            }
            let all = PageRange::new(page(0), page(1 << 35));
            let mut cursor = tables.cursor(all);
            let found: Vec<_> = std::iter::from_fn(|| cursor.next()).map(|met| (met.page.get(), met.entry)).collect();
            prop_assert_eq!(found, model.iter().map(|(at, leaf)| (*at, Entry::Leaf(*leaf))).collect::<Vec<_>>());
            let spans = |bits: u32| model.keys().map(|at| at >> bits).collect::<std::collections::BTreeSet<_>>().len() as u64;
            prop_assert_eq!(tables.table_frames(), 1 + spans(27) + spans(18) + spans(9));
            machine.frames.check();
        }
        machine.unmap(&tables, PageRange::new(page(0), page(1 << 35)));
        machine.end(vec![tables]);
    }
}
