//! A CPU's whole way to memory: TLBs, page-walk caches, and caches through which walks read entries.

use crate::cache::{Caches, Where};
use crate::tlb::{Asid, TlbEntry, Tlbs};
use crate::walk_cache::WalkCaches;
use addr::{Access, PhysAddr, VirtAddr};

/// One entry that a full walk reads: its level, its place, and where its table or page starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryRead {
    /// The level, from the root's down.
    pub level: usize,
    /// Where the entry is.
    pub at: PhysAddr,
    /// The table that it names, or the page.
    pub target: PhysAddr,
}

/// What a translation took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translated {
    /// The TLB level that hit, or `None` for a walk.
    pub tlb_level: Option<usize>,
    /// Entries read by the walk.
    pub entries_read: usize,
    /// Of those, how many came from memory and not from a cache.
    pub entries_from_memory: usize,
    /// Where the byte itself was found.
    pub data: Where,
}

/// TLBs, page-walk caches and caches in one.
#[derive(Clone, Debug)]
pub struct TranslationModel {
    /// Translations.
    pub tlbs: Tlbs,
    /// Tables on the way.
    pub walk_caches: WalkCaches,
    /// Lines, of data and of tables.
    pub caches: Caches,
}

impl TranslationModel {
    /// One access. `walk` gives the entries of a full walk, the root's first, and what it found; it is asked on a TLB
    /// miss only, and only the entries below the deepest page-walk-cache hit are then read.
    pub fn access<W: AsRef<[EntryRead]>>(
        &mut self,
        addr: VirtAddr,
        access: Access,
        asid: Asid,
        walk: impl FnOnce() -> (W, TlbEntry),
    ) -> Translated {
        let mut done = Translated { tlb_level: None, entries_read: 0, entries_from_memory: 0, data: Where::Memory };
        let entry = match self.tlbs.lookup(addr, access, asid) {
            Some((level, entry)) => {
                done.tlb_level = Some(level);
                entry
            }
            None => {
                let (entries, found) = walk();
                self.read_entries(addr, asid, entries.as_ref(), &mut done);
                self.tlbs.fill(addr, access, found);
                found
            }
        };
        let phys = PhysAddr::new(entry.frame * entry.page_bytes + addr.get() % entry.page_bytes);
        done.data = self.caches.access_by_both(addr, phys, access);
        done
    }

    fn read_entries(&mut self, addr: VirtAddr, asid: Asid, entries: &[EntryRead], done: &mut Translated) {
        let known = self.walk_caches.lookup(addr, asid);
        let start = known.map_or(usize::MAX, |(level, _)| level);
        for (place, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.level <= start) {
            done.entries_read += 1;
            if self.caches.access(entry.at, Access::Read) == Where::Memory {
                done.entries_from_memory += 1;
            }
            if place + 1 < entries.len() {
                self.walk_caches.fill(entry.level, addr, asid, entry.target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CacheLevel, Inclusion, Random, Scope, Serves, Shape, TlbStructure, WalkCache};
    use std::collections::VecDeque;

    fn skylake_like() -> TranslationModel {
        let tlb = |level, serves, shape| TlbStructure { level, serves, page_bytes: vec![4096], shape };
        let walk = |level, entries| WalkCache {
            level,
            span_bytes: 4096 << (9 * (level - 1)),
            shape: Shape::fully_associative(entries),
        };
        let cache =
            |bytes: usize, ways, inclusion| CacheLevel { inclusion, ..CacheLevel::new(Shape::lru(bytes / 64, ways)) };
        TranslationModel {
            tlbs: Tlbs::new(&[tlb(1, Serves::Data, Shape::lru(64, 4)), tlb(2, Serves::Both, Shape::lru(1536, 12))]),
            walk_caches: WalkCaches::new(&[walk(2, 32), walk(3, 4)]),
            caches: Caches::new(
                64,
                &[cache(32 << 10, 8, Inclusion::NonInclusive), cache(1 << 20, 16, Inclusion::Inclusive)],
            ),
        }
    }

    fn walk_of(addr: VirtAddr) -> (Vec<EntryRead>, TlbEntry) {
        let entries = (1..=4).rev().map(|level| EntryRead {
            level,
            at: PhysAddr::new((5 - level as u64) << 32 | (addr.get() >> (3 + 9 * level)) & !7),
            target: PhysAddr::new(level as u64 - 1),
        });
        (entries.collect(), TlbEntry { frame: addr.get() / 4096, page_bytes: 4096, scope: Scope::Space(1) })
    }

    #[test]
    fn a_walk_starts_where_the_caches_know_the_way() {
        let mut model = skylake_like();
        let at = VirtAddr::new(0x7fff_f7fc_3010);
        let mut go = |at| model.access(at, Access::Read, 1, || walk_of(at));
        let cold = go(at);
        assert_eq!((cold.tlb_level, cold.entries_read, cold.entries_from_memory), (None, 4, 4));
        let warm = go(at + 8);
        assert_eq!((warm.tlb_level, warm.entries_read, warm.data), (Some(1), 0, Where::Level(1)));
        let neighbour = go(at + 4096);
        assert_eq!((neighbour.entries_read, neighbour.entries_from_memory), (1, 0), "the entry is in the same line");
        assert_eq!(go(at + (2 << 20)).entries_read, 2, "another table of level 1");
        assert_eq!(go(at - (1 << 39)).entries_read, 4, "another table of level 3");
        model.walk_caches.invalidate_page(at, 1);
        model.tlbs.invalidate_page(at, 1);
        let again = model.access(at, Access::Read, 1, || walk_of(at));
        assert_eq!((again.entries_read, again.entries_from_memory), (4, 0), "the lines are still in the caches");
    }

    /// The keys of a fully associative structure, the next victim in front.
    struct Queue<K> {
        keys: VecDeque<K>,
        most: usize,
    }

    impl<K: PartialEq> Queue<K> {
        fn new(most: usize) -> Self {
            Self { keys: VecDeque::new(), most }
        }

        /// Whether the key is there; it is the latest then.
        fn find(&mut self, key: K) -> bool {
            let place = self.keys.iter().position(|other| *other == key);
            place.and_then(|place| self.keys.remove(place)).is_some_and(|key| {
                self.keys.push_back(key);
                true
            })
        }

        fn put(&mut self, key: K) {
            self.keys.retain(|other| *other != key);
            if self.keys.len() == self.most {
                self.keys.pop_front();
            }
            self.keys.push_back(key);
        }

        /// Whether the key was there; it is there now.
        fn touch(&mut self, key: K) -> bool {
            let is_here = self.keys.contains(&key);
            self.put(key);
            is_here
        }
    }

    /// Every other GiB has pages of 2 MiB, so that walks end at level 2 there.
    fn leaf_level(addr: VirtAddr) -> usize {
        if addr.get() >> 30 & 1 == 0 { 1 } else { 2 }
    }

    #[test]
    fn the_whole_way_agrees_with_brute_force() {
        let tlb = TlbStructure {
            level: 1,
            serves: Serves::Both,
            page_bytes: vec![4096, 2 << 20],
            shape: Shape::fully_associative(12),
        };
        let cache = |level: usize, entries| WalkCache {
            level,
            span_bytes: 4096 << (9 * (level - 1)),
            shape: Shape::fully_associative(entries),
        };
        let mut model = TranslationModel {
            tlbs: Tlbs::new(&[tlb]),
            walk_caches: WalkCaches::new(&[cache(2, 4), cache(3, 2)]),
            caches: Caches::new(64, &[CacheLevel::new(Shape::fully_associative(24))]),
        };
        let (mut tlb, mut lines) = (Queue::new(12), Queue::new(24));
        let mut walks = [(2, Queue::new(4)), (3, Queue::new(2))];
        let mut random = Random::new(41);
        let mut depths = [0; 5];
        for step in 0..30_000 {
            let asid = random.below(2) as Asid;
            let gigabytes = random.below(3) << 9 | random.below(4);
            let addr = gigabytes << 30 | random.below(3) << 21 | random.below(5) << 12 | random.below(512);
            let addr = VirtAddr::new(addr);
            let leaf = leaf_level(addr);
            let page_bytes = 4096 << (9 * (leaf - 1));
            let entries: Vec<EntryRead> = walk_of(addr).0.into_iter().filter(|entry| entry.level >= leaf).collect();
            let found = TlbEntry { frame: addr.get() / page_bytes, page_bytes, scope: Scope::Space(asid) };
            let done = model.access(addr, Access::Read, asid, || (entries.clone(), found));

            let part = |level: usize| (addr.get() >> (12 + 9 * (level - 1)), asid);
            let is_hit = tlb.find((found.frame, page_bytes, asid));
            let (mut read, mut from_memory) = (0, 0);
            if !is_hit {
                let start = walks.iter_mut().find_map(|(level, known)| known.find(part(*level)).then_some(*level - 1));
                for entry in entries.iter().filter(|entry| start.is_none_or(|start| entry.level <= start)) {
                    read += 1;
                    from_memory += usize::from(!lines.touch(entry.at.get() / 64));
                    for (level, known) in walks.iter_mut().filter(|(level, _)| *level == entry.level && *level > leaf) {
                        known.put(part(*level));
                    }
                }
                tlb.put((found.frame, page_bytes, asid));
                depths[read] += 1;
            }
            let data = if lines.touch(addr.get() / 64) { Where::Level(1) } else { Where::Memory };
            let tlb_level = is_hit.then_some(1);
            let expected = Translated { tlb_level, entries_read: read, entries_from_memory: from_memory, data };
            assert_eq!(done, expected, "step {step}");
        }
        assert!(depths[1..].iter().all(|&count| count > 20), "walks of every length: {depths:?}");
    }
}
