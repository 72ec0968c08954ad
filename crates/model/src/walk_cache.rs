//! Page-walk caches: which table serves which part of the space, so that a walk starts half way down.

use crate::associative::{Associative, Shape};
use crate::tlb::Asid;
use addr::{PhysAddr, VirtAddr};

/// The cache of the entries of one level above 1 (x86's PDE, PDPTE and PML4E caches; SDM vol. 3, 5.10.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WalkCache {
    /// The level whose entries it holds; they name tables of the level below.
    pub level: usize,
    /// Bytes that one entry of the level maps.
    pub span_bytes: u64,
    /// Sets and ways.
    pub shape: Shape,
}

/// Where tables are, by the part of the space that they serve.
type Tables = Associative<PhysAddr, (u64, Asid)>;

/// All of them.
#[derive(Clone, Debug)]
pub struct WalkCaches {
    /// Ordered from level 2 up: the first hit saves most.
    caches: Vec<(WalkCache, Tables)>,
    hits: u64,
    misses: u64,
}

impl WalkCaches {
    /// Empty caches.
    pub fn new(caches: &[WalkCache]) -> Self {
        let mut caches: Vec<_> = caches.iter().map(|&cache| (cache, Associative::new(cache.shape))).collect();
        caches.sort_by_key(|(cache, _)| cache.level);
        Self { caches, hits: 0, misses: 0 }
    }

    /// Walks that could start below the root.
    pub fn hits(&self) -> u64 {
        self.hits
    }

    /// Walks that had to start at the root.
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// The lowest table that is known on the way to an address, with its level.
    pub fn lookup(&mut self, addr: VirtAddr, asid: Asid) -> Option<(usize, PhysAddr)> {
        for (cache, entries) in &mut self.caches {
            let part = addr.get() / cache.span_bytes;
            let set = entries.set_of(part);
            if let Some(table) = entries.lookup(set, (part, asid)) {
                self.hits += 1;
                return Some((cache.level - 1, *table));
            }
        }
        self.misses += 1;
        None
    }

    /// Remembers that an entry of `level` names a table.
    pub fn fill(&mut self, level: usize, addr: VirtAddr, asid: Asid, table: PhysAddr) {
        for (cache, entries) in self.caches.iter_mut().filter(|(cache, _)| cache.level == level) {
            let part = addr.get() / cache.span_bytes;
            entries.insert(entries.set_of(part), (part, asid), table);
        }
    }

    /// INVLPG: forgets every entry on the way to a page.
    pub fn invalidate_page(&mut self, addr: VirtAddr, asid: Asid) {
        for (cache, entries) in &mut self.caches {
            let part = addr.get() / cache.span_bytes;
            entries.remove(entries.set_of(part), (part, asid));
        }
    }

    /// Forgets an address space.
    pub fn invalidate_space(&mut self, asid: Asid) {
        for (_, entries) in &mut self.caches {
            entries.retain(|(_, other), _| other != asid);
        }
    }
}
