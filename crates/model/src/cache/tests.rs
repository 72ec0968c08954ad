use super::*;
use crate::{Random, WayReplacement};
use std::collections::{HashMap, VecDeque};

fn level(entries: usize, ways: usize, write: WritePolicy, inclusion: Inclusion) -> CacheLevel {
    CacheLevel { write, inclusion, ..CacheLevel::new(Shape::lru(entries, ways)) }
}

fn back(entries: usize, ways: usize, inclusion: Inclusion) -> CacheLevel {
    level(entries, ways, WritePolicy::WriteBack, inclusion)
}

fn touch(caches: &mut Caches, at: u64, access: Access) -> Where {
    caches.access(PhysAddr::new(at), access)
}

#[test]
fn a_dirty_line_is_written_back_when_it_leaves() {
    let mut caches = Caches::new(64, &[back(1, 1, Inclusion::NonInclusive)]);
    assert_eq!(touch(&mut caches, 0, Access::Write), Where::Memory);
    assert_eq!(touch(&mut caches, 63, Access::Read), Where::Level(1));
    assert_eq!(touch(&mut caches, 64, Access::Read), Where::Memory);
    assert_eq!((caches.memory_reads(), caches.memory_writes()), (2, 1));
}

#[test]
fn write_through_passes_every_store_down() {
    let through = level(4, 4, WritePolicy::WriteThrough, Inclusion::NonInclusive);
    let mut caches = Caches::new(64, &[through]);
    touch(&mut caches, 0, Access::Read);
    for _ in 0..3 {
        assert_eq!(touch(&mut caches, 8, Access::Write), Where::Level(1));
    }
    touch(&mut caches, 64, Access::Write);
    assert_eq!(touch(&mut caches, 64, Access::Read), Where::Memory, "a store that misses brings nothing in");
    assert_eq!(caches.memory_writes(), 4);
}

#[test]
fn exclusive_levels_add_up() {
    let mut caches = Caches::new(64, &[back(2, 2, Inclusion::NonInclusive), back(2, 2, Inclusion::Exclusive)]);
    for _ in 0..3 {
        for line in 0..4 {
            touch(&mut caches, 64 * line, Access::Read);
            caches.check();
        }
    }
    assert_eq!(caches.memory_reads(), 4, "four lines fit in two levels of two");
    let mut caches = Caches::new(64, &[back(2, 2, Inclusion::NonInclusive), back(2, 2, Inclusion::Inclusive)]);
    for _ in 0..3 {
        for line in 0..4 {
            touch(&mut caches, 64 * line, Access::Read);
            caches.check();
        }
    }
    assert_eq!(caches.memory_reads(), 12);
}

/// One level as a queue of (line, dirty) a set, straight from the definition.
#[test]
fn one_level_agrees_with_brute_force() {
    for (entries, ways) in [(1, 1), (8, 1), (8, 2), (12, 4), (16, 16)] {
        let mut caches = Caches::new(32, &[back(entries, ways, Inclusion::NonInclusive)]);
        let mut sets: HashMap<u64, VecDeque<(u64, bool)>> = HashMap::new();
        let (mut reads, mut writes) = (0, 0);
        let mut random = Random::new(11);
        for _ in 0..30_000 {
            let at = random.below(32 * 3 * entries as u64);
            let access = if random.below(3) == 0 { Access::Write } else { Access::Read };
            let line = at / 32;
            let set = sets.entry(line % (entries / ways) as u64).or_default();
            let old = set.iter().position(|&(other, _)| other == line).and_then(|place| set.remove(place));
            if old.is_none() {
                reads += 1;
                if set.len() == ways {
                    writes += u64::from(set.pop_front().is_some_and(|(_, dirty)| dirty));
                }
            }
            set.push_back((line, old.is_some_and(|(_, dirty)| dirty) || access == Access::Write));
            assert_eq!(touch(&mut caches, at, access) == Where::Memory, old.is_none());
            assert_eq!((caches.memory_reads(), caches.memory_writes()), (reads, writes));
        }
    }
}

/// Whatever the levels are, a byte read is the byte written last: dirty data is in exactly one place or in memory.
#[test]
fn inclusion_holds_and_no_store_is_lost() {
    use Inclusion::{Exclusive, Inclusive, NonInclusive};
    for (second, third) in
        [(Inclusive, Inclusive), (NonInclusive, Inclusive), (Exclusive, NonInclusive), (Inclusive, NonInclusive)]
    {
        for replacement in
            [WayReplacement::Lru, WayReplacement::Fifo, WayReplacement::TreePlru, WayReplacement::Random(3)]
        {
            let mut levels = [back(4, 2, NonInclusive), back(16, 4, second), back(64, 8, third)];
            levels.iter_mut().for_each(|level| level.shape.replacement = replacement);
            let mut caches = Caches::new(64, &levels);
            let mut random = Random::new(13);
            let mut dirty = std::collections::HashSet::new();
            for _ in 0..20_000 {
                let line = random.below(200);
                let access = if random.below(4) == 0 { Access::Write } else { Access::Read };
                if access == Access::Write {
                    dirty.insert(line);
                }
                touch(&mut caches, 64 * line, access);
                caches.check();
            }
            let before = caches.memory_writes();
            assert!(before > 0);
            for line in 0..200 {
                caches.invalidate(PhysAddr::new(64 * line), |_| {});
            }
            assert!(caches.levels.iter().all(|level| level.lines.count() == 0));
            assert!(caches.memory_writes() as usize >= dirty.len(), "each dirtied line reached memory at least once");
        }
    }
}

#[test]
fn synonyms_are_in_a_virtually_indexed_cache_twice() {
    // 8 KiB direct mapped over 4 KiB pages: one index bit lies above the page offset.
    let shape = Shape::lru(128, 1);
    let one_byte_by_two_names = |level| {
        let mut caches = Caches::new(64, &[level]);
        let at = PhysAddr::new(0x5040);
        caches.access_by_both(VirtAddr::new(0x1040), at, Access::Write);
        let second = caches.access_by_both(VirtAddr::new(0x2040), at, Access::Read);
        (second, caches.lines(1).filter(|(line, _)| line.phys == 0x5040 / 64).count())
    };
    let indexed = CacheLevel { indexed: By::Virtual, ..CacheLevel::new(shape) };
    assert_eq!(one_byte_by_two_names(indexed), (Where::Memory, 2));
    assert_eq!(one_byte_by_two_names(CacheLevel::new(shape)), (Where::Level(1), 1));
}
