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
    use crate::{CacheLevel, Inclusion, Scope, Serves, Shape, TlbStructure, WalkCache};

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
}
