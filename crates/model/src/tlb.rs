//! Translation look-aside buffers: several levels of several structures.

use crate::associative::{Associative, Shape};
use addr::{Access, VirtAddr};

/// The number of an address space in a TLB (x86's PCID).
pub type Asid = u16;

/// Which accesses a structure serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serves {
    /// Fetches.
    Instructions,
    /// Loads and stores.
    Data,
    /// All.
    Both,
}

impl Serves {
    fn serves(self, access: Access) -> bool {
        match self {
            Self::Both => true,
            Self::Instructions => access == Access::Execute,
            Self::Data => access != Access::Execute,
        }
    }
}

/// One structure of a level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlbStructure {
    /// The level, from 1.
    pub level: usize,
    /// Which accesses it serves.
    pub serves: Serves,
    /// The page sizes it holds, in bytes; looked up in this order.
    pub page_bytes: Vec<u64>,
    /// Sets and ways.
    pub shape: Shape,
}

/// What a TLB remembers of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlbEntry {
    /// The number of the frame, in units of the page's size.
    pub frame: u64,
    /// Bytes of the page.
    pub page_bytes: u64,
    /// Whether it is valid in every address space.
    pub scope: Scope,
}

/// Where an entry is valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// In one address space.
    Space(Asid),
    /// In all (x86's G bit).
    Global,
}

/// A page's number, its size and where it is valid.
type Key = (u64, u64, Scope);

/// Hits and misses of one level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TlbCounts {
    /// Lookups that found an entry.
    pub hits: u64,
    /// Lookups that did not.
    pub misses: u64,
}

/// A hierarchy of TLBs. A hit at a lower level fills the levels above; a walk fills them all.
#[derive(Clone, Debug)]
pub struct Tlbs {
    structures: Vec<(TlbStructure, Associative<TlbEntry, Key>)>,
    counts: Vec<TlbCounts>,
}

impl Tlbs {
    /// Empty TLBs.
    pub fn new(structures: &[TlbStructure]) -> Self {
        let levels = structures.iter().map(|structure| structure.level).max().unwrap_or(0);
        let structures =
            structures.iter().map(|structure| (structure.clone(), Associative::new(structure.shape))).collect();
        Self { structures, counts: vec![TlbCounts::default(); levels] }
    }

    /// The structures, in the order they were given.
    pub fn structures(&self) -> impl Iterator<Item = &TlbStructure> {
        self.structures.iter().map(|(structure, _)| structure)
    }

    /// The set of a structure that an address with pages of a size falls into, and its ways, in place.
    pub fn set(&self, structure: usize, addr: VirtAddr, page_bytes: u64) -> (usize, Vec<Option<(u64, TlbEntry)>>) {
        let entries = &self.structures[structure].1;
        let set = entries.set_of(addr.get() / page_bytes);
        (set, entries.ways_of(set).map(|way| way.map(|((page, _, _), entry)| (page, *entry))).collect())
    }

    /// Fills one way of a structure: the given state of a drawn system.
    pub fn place(&mut self, structure: usize, way: usize, page: u64, entry: TlbEntry) {
        let entries = &mut self.structures[structure].1;
        entries.place(entries.set_of(page), way, (page, entry.page_bytes, entry.scope), entry);
    }

    /// The counts of each level.
    pub fn counts(&self) -> &[TlbCounts] {
        &self.counts
    }

    /// Looks an address up, level by level; gives the level of the hit with the entry.
    pub fn lookup(&mut self, addr: VirtAddr, access: Access, asid: Asid) -> Option<(usize, TlbEntry)> {
        for level in 1..=self.counts.len() {
            let Some(entry) = self.lookup_level(level, addr, access, asid) else {
                self.counts[level - 1].misses += 1;
                continue;
            };
            self.counts[level - 1].hits += 1;
            self.fill_above(level, addr, access, entry);
            return Some((level, entry));
        }
        None
    }

    /// Remembers what a walk found, at every level.
    pub fn fill(&mut self, addr: VirtAddr, access: Access, entry: TlbEntry) {
        self.fill_above(self.counts.len() + 1, addr, access, entry);
    }

    /// INVLPG: forgets one page of an address space, whatever its size, and global entries for it.
    pub fn invalidate_page(&mut self, addr: VirtAddr, asid: Asid) {
        for (structure, entries) in &mut self.structures {
            for &page_bytes in &structure.page_bytes {
                let page = addr.get() / page_bytes;
                let set = entries.set_of(page);
                entries.remove(set, (page, page_bytes, Scope::Space(asid)));
                entries.remove(set, (page, page_bytes, Scope::Global));
            }
        }
    }

    /// Forgets an address space; global entries stay.
    pub fn invalidate_space(&mut self, asid: Asid) {
        self.retain(|entry| entry.scope != Scope::Space(asid));
    }

    /// Forgets all entries, or all that are not global.
    pub fn flush(&mut self, keep: Keep) {
        self.retain(|entry| keep == Keep::Global && entry.scope == Scope::Global);
    }

    fn retain(&mut self, keep: impl Fn(&TlbEntry) -> bool) {
        for (_, entries) in &mut self.structures {
            entries.retain(|_, entry| keep(entry));
        }
    }

    fn lookup_level(&mut self, level: usize, addr: VirtAddr, access: Access, asid: Asid) -> Option<TlbEntry> {
        let here = |structure: &TlbStructure| structure.level == level && structure.serves.serves(access);
        for (structure, entries) in self.structures.iter_mut().filter(|(structure, _)| here(structure)) {
            for &page_bytes in &structure.page_bytes {
                let page = addr.get() / page_bytes;
                let set = entries.set_of(page);
                for scope in [Scope::Space(asid), Scope::Global] {
                    if let Some(entry) = entries.lookup(set, (page, page_bytes, scope)) {
                        return Some(*entry);
                    }
                }
            }
        }
        None
    }

    fn fill_above(&mut self, level: usize, addr: VirtAddr, access: Access, entry: TlbEntry) {
        for (structure, entries) in &mut self.structures {
            let holds = structure.page_bytes.contains(&entry.page_bytes) && structure.serves.serves(access);
            if structure.level < level && holds {
                let page = addr.get() / entry.page_bytes;
                entries.insert(entries.set_of(page), (page, entry.page_bytes, entry.scope), entry);
            }
        }
    }
}

/// What a flush spares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nothing.
    Nothing,
    /// Global entries.
    Global,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use std::collections::VecDeque;

    const SMALL: u64 = 4096;
    const LARGE: u64 = 2 << 20;

    fn entry(frame: u64, page_bytes: u64, asid: Asid) -> TlbEntry {
        TlbEntry { frame, page_bytes, scope: Scope::Space(asid) }
    }

    fn structure(level: usize, serves: Serves, page_bytes: &[u64], shape: Shape) -> TlbStructure {
        TlbStructure { level, serves, page_bytes: page_bytes.to_vec(), shape }
    }

    fn two_levels() -> Tlbs {
        Tlbs::new(&[
            structure(1, Serves::Data, &[SMALL], Shape::lru(8, 4)),
            structure(1, Serves::Data, &[LARGE], Shape::lru(4, 4)),
            structure(1, Serves::Instructions, &[SMALL, LARGE], Shape::fully_associative(8)),
            structure(2, Serves::Both, &[SMALL, LARGE], Shape::lru(32, 8)),
        ])
    }

    #[test]
    fn a_hit_below_fills_above() {
        let (mut tlbs, at) = (two_levels(), VirtAddr::new(0x7fff_f7fc_3010));
        assert_eq!(tlbs.lookup(at, Access::Read, 1), None);
        tlbs.fill(at, Access::Read, entry(5, SMALL, 1));
        assert_eq!(tlbs.lookup(at, Access::Write, 1), Some((1, entry(5, SMALL, 1))));
        assert_eq!(tlbs.lookup(at, Access::Execute, 1), Some((2, entry(5, SMALL, 1))));
        assert_eq!(tlbs.lookup(at, Access::Execute, 1), Some((1, entry(5, SMALL, 1))));
        assert_eq!(tlbs.counts(), [TlbCounts { hits: 2, misses: 2 }, TlbCounts { hits: 1, misses: 1 }]);
    }

    #[test]
    fn spaces_sizes_and_globals_are_told_apart() {
        let (mut tlbs, at) = (two_levels(), VirtAddr::new(0x40_0000));
        tlbs.fill(at, Access::Read, entry(5, LARGE, 1));
        assert_eq!(tlbs.lookup(at + 0x1f_ffff, Access::Read, 1).map(|(level, _)| level), Some(1));
        assert_eq!(tlbs.lookup(at, Access::Read, 2), None);
        let global = TlbEntry { frame: 9, page_bytes: SMALL, scope: Scope::Global };
        tlbs.fill(VirtAddr::new(0), Access::Read, global);
        assert!(tlbs.lookup(VirtAddr::new(8), Access::Read, 2).is_some());
        tlbs.flush(Keep::Global);
        assert!(tlbs.lookup(VirtAddr::new(8), Access::Read, 2).is_some());
        assert_eq!(tlbs.lookup(at, Access::Read, 1), None);
        tlbs.invalidate_page(VirtAddr::new(8), 7);
        assert_eq!(tlbs.lookup(VirtAddr::new(8), Access::Read, 2), None);
    }

    /// One fully associative level against a queue of what it holds.
    #[test]
    fn one_level_agrees_with_brute_force() {
        let mut tlbs = Tlbs::new(&[structure(1, Serves::Both, &[SMALL, LARGE], Shape::fully_associative(16))]);
        let mut queue: VecDeque<(u64, u64, Asid)> = VecDeque::new();
        let mut random = Random::new(17);
        for _ in 0..30_000 {
            let asid = random.below(3) as Asid;
            let at = random.below(8 * LARGE);
            // The upper half of the space has large pages.
            let page_bytes = if at >= 4 * LARGE { LARGE } else { SMALL };
            let at = if page_bytes == SMALL { at % (20 * SMALL) } else { at };
            let name = (at / page_bytes, page_bytes, asid);
            match random.below(40) {
                0 => {
                    tlbs.invalidate_space(asid);
                    queue.retain(|&(_, _, other)| other != asid);
                }
                1 => {
                    tlbs.invalidate_page(VirtAddr::new(at), asid);
                    queue.retain(|&other| other != name);
                }
                _ => {
                    let place = queue.iter().position(|&other| other == name);
                    let found = tlbs.lookup(VirtAddr::new(at), Access::Read, asid);
                    assert_eq!(found.is_some(), place.is_some());
                    if let Some(place) = place {
                        queue.remove(place);
                    } else {
                        tlbs.fill(VirtAddr::new(at), Access::Read, entry(0, page_bytes, asid));
                        queue.truncate(16);
                        if queue.len() == 16 {
                            queue.pop_front();
                        }
                    }
                    queue.push_back(name);
                }
            }
        }
    }

    /// A structure as queues of (page, size, space), the next victim in front.
    struct Naive {
        structure: TlbStructure,
        sets: Vec<VecDeque<(u64, u64, Asid)>>,
    }

    impl Naive {
        fn holds(&self, access: Access, page_bytes: u64) -> bool {
            self.structure.serves.serves(access) && self.structure.page_bytes.contains(&page_bytes)
        }

        fn take(&mut self, name: (u64, u64, Asid)) -> bool {
            let count = self.sets.len() as u64;
            let set = &mut self.sets[(name.0 % count) as usize];
            set.iter().position(|&other| other == name).and_then(|place| set.remove(place)).is_some()
        }

        fn push(&mut self, name: (u64, u64, Asid)) {
            self.take(name);
            let count = self.sets.len() as u64;
            let set = &mut self.sets[(name.0 % count) as usize];
            if set.len() == self.structure.shape.ways {
                set.pop_front();
            }
            set.push_back(name);
        }
    }

    #[test]
    fn two_levels_of_two_sizes_agree_with_brute_force() {
        let mut tlbs = two_levels();
        let naive = |structure: &TlbStructure| Naive {
            structure: structure.clone(),
            sets: vec![VecDeque::new(); structure.shape.sets],
        };
        let mut structures: Vec<Naive> = tlbs.structures().map(naive).collect();
        let mut random = Random::new(29);
        for step in 0..60_000 {
            let asid = random.below(2) as Asid;
            let access = [Access::Read, Access::Write, Access::Execute][random.below(3) as usize];
            // The upper half of the space has large pages.
            let (page_bytes, at) = match random.below(2) {
                0 => (SMALL, random.below(60 * SMALL)),
                _ => (LARGE, 4 * LARGE + random.below(12 * LARGE)),
            };
            let (name, at) = ((at / page_bytes, page_bytes, asid), VirtAddr::new(at));
            if random.below(50) == 0 {
                tlbs.invalidate_page(at, asid);
                for structure in &mut structures {
                    structure.take(name);
                }
                continue;
            }
            let level = structures.iter_mut().find_map(|structure| {
                let is_hit = structure.holds(access, page_bytes) && structure.take(name);
                is_hit.then(|| structure.push(name)).map(|()| structure.structure.level)
            });
            assert_eq!(tlbs.lookup(at, access, asid).map(|(level, _)| level), level, "step {step}");
            if level.is_none() {
                tlbs.fill(at, access, entry(1, page_bytes, asid));
            }
            let above = level.unwrap_or(3);
            for structure in &mut structures {
                if structure.structure.level < above && structure.holds(access, page_bytes) {
                    structure.push(name);
                }
            }
        }
        assert!(tlbs.counts().iter().all(|counts| counts.hits > 1000 && counts.misses > 1000));
    }
}
