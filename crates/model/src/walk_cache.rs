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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Random, WayReplacement};
    use std::collections::VecDeque;

    const SPANS: [u64; 3] = [1 << 21, 1 << 30, 1 << 39];

    /// What one level remembers: a queue a set of (part, space, table), the next victim in front.
    struct Naive {
        ways: usize,
        sets: Vec<VecDeque<(u64, Asid, u64)>>,
    }

    impl Naive {
        fn set(&mut self, part: u64) -> &mut VecDeque<(u64, Asid, u64)> {
            let count = self.sets.len() as u64;
            &mut self.sets[(part % count) as usize]
        }

        fn take(&mut self, part: u64, asid: Asid) -> Option<(u64, Asid, u64)> {
            let set = self.set(part);
            set.iter().position(|&(other, space, _)| (other, space) == (part, asid)).and_then(|place| set.remove(place))
        }

        fn push(&mut self, entry: (u64, Asid, u64)) {
            self.take(entry.0, entry.1);
            let ways = self.ways;
            let set = self.set(entry.0);
            if set.len() == ways {
                set.pop_front();
            }
            set.push_back(entry);
        }
    }

    #[test]
    fn three_levels_agree_with_brute_force() {
        let shapes = [Shape::lru(8, 4), Shape::lru(3, 1), Shape { sets: 1, ways: 2, replacement: WayReplacement::Lru }];
        let caches: Vec<WalkCache> = (0..3)
            .rev()
            .map(|place| WalkCache { level: place + 2, span_bytes: SPANS[place], shape: shapes[place] })
            .collect();
        let mut model = WalkCaches::new(&caches);
        let mut naive = shapes.map(|shape| Naive { ways: shape.ways, sets: vec![VecDeque::new(); shape.sets] });
        let mut random = Random::new(23);
        let (mut hits, mut misses) = (0, 0);
        for step in 0..40_000 {
            let asid = random.below(2) as Asid;
            let addr =
                VirtAddr::new(random.below(4) * SPANS[2] + random.below(3) * SPANS[1] + random.below(6) * SPANS[0]);
            match random.below(30) {
                0 => {
                    model.invalidate_page(addr, asid);
                    for (level, &span) in naive.iter_mut().zip(&SPANS) {
                        level.take(addr.get() / span, asid);
                    }
                    continue;
                }
                1 => {
                    model.invalidate_space(asid);
                    for set in naive.iter_mut().flat_map(|level| &mut level.sets) {
                        set.retain(|&(_, space, _)| space != asid);
                    }
                    continue;
                }
                _ => {}
            }
            let known = (0..3).find_map(|place| {
                let entry = naive[place].take(addr.get() / SPANS[place], asid)?;
                naive[place].push(entry);
                Some((place + 1, PhysAddr::new(entry.2)))
            });
            assert_eq!(model.lookup(addr, asid), known, "step {step}");
            *(if known.is_some() { &mut hits } else { &mut misses }) += 1;
            // The walk reads the entries from there down, and each but the leaf names a table.
            for place in (0..known.map_or(3, |(level, _)| level - 1)).rev() {
                let table = random.below(1 << 20) << 12;
                model.fill(place + 2, addr, asid, PhysAddr::new(table));
                naive[place].push((addr.get() / SPANS[place], asid, table));
            }
        }
        assert_eq!((model.hits(), model.misses()), (hits, misses));
        assert!(hits > 1000 && misses > 1000);
    }
}
