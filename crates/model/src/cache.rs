//! Data caches: any number of levels over memory.

use crate::associative::{Associative, Shape};
use addr::{Access, PhysAddr, VirtAddr};

/// What a store does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WritePolicy {
    /// It stays in the cache, in a line marked dirty; a miss brings the line in.
    WriteBack,
    /// It goes to the level below as well; a miss brings nothing in.
    WriteThrough,
}

/// How a level's lines relate to those of the levels above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inclusion {
    /// A line above is here too; a line that leaves here leaves there.
    Inclusive,
    /// A line above is not here; what leaves there comes here.
    Exclusive,
    /// Neither is enforced.
    NonInclusive,
}

/// Which address picks something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// The physical one.
    Physical,
    /// The virtual one. Two virtual addresses of one byte, synonyms, may then be in the cache twice.
    Virtual,
}

/// One level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLevel {
    /// Sets and ways.
    pub shape: Shape,
    /// What a store does.
    pub write: WritePolicy,
    /// Its relation to the levels above; without meaning for the first.
    pub inclusion: Inclusion,
    /// Which address picks the set.
    pub indexed: By,
    /// Which address is compared with the tags.
    pub tagged: By,
}

impl CacheLevel {
    /// A physically addressed level that is written back and includes nothing.
    pub const fn new(shape: Shape) -> Self {
        Self {
            shape,
            write: WritePolicy::WriteBack,
            inclusion: Inclusion::NonInclusive,
            indexed: By::Physical,
            tagged: By::Physical,
        }
    }
}

/// What happened at one level.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheCounts {
    /// References that found their line.
    pub hits: u64,
    /// References that did not.
    pub misses: u64,
    /// Dirty lines sent down.
    pub write_backs: u64,
}

/// Levels of caches, the nearest to the CPU first; physical line addresses are looked up in each in turn.
#[derive(Clone, Debug)]
pub struct Caches {
    line_bytes: u64,
    levels: Vec<Level>,
    memory_reads: u64,
    memory_writes: u64,
}

#[derive(Clone, Debug)]
struct Level {
    config: CacheLevel,
    lines: Associative<(LineName, Line)>,
    counts: CacheCounts,
}

/// The state of a line in a cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// As below.
    Clean,
    /// Newer than below.
    Dirty,
}

/// A line by both its addresses, divided by the size of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LineName {
    /// The number of the physical line.
    pub phys: u64,
    /// The number of the virtual line that it was referenced by.
    pub virt: u64,
}

impl LineName {
    const fn by(self, by: By) -> u64 {
        match by {
            By::Physical => self.phys,
            By::Virtual => self.virt,
        }
    }
}

/// Where a reference found its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// In the cache of this level, counted from 1.
    Level(usize),
    /// In memory.
    Memory,
}

impl Caches {
    /// Empty caches with lines of `line_bytes`.
    pub fn new(line_bytes: u64, levels: &[CacheLevel]) -> Self {
        assert!(line_bytes > 0, "a line has bytes");
        let level = |&config: &CacheLevel| Level {
            config,
            lines: Associative::new(config.shape),
            counts: CacheCounts::default(),
        };
        Self { line_bytes, levels: levels.iter().map(level).collect(), memory_reads: 0, memory_writes: 0 }
    }

    /// The counts of each level.
    pub fn counts(&self) -> impl Iterator<Item = CacheCounts> {
        self.levels.iter().map(|level| level.counts)
    }

    /// Lines read from memory.
    pub fn memory_reads(&self) -> u64 {
        self.memory_reads
    }

    /// Lines and stores written to memory.
    pub fn memory_writes(&self) -> u64 {
        self.memory_writes
    }

    /// References one byte by its physical address, as a walk does.
    pub fn access(&mut self, at: PhysAddr, access: Access) -> Found {
        self.access_by_both(VirtAddr::new(at.get()), at, access)
    }

    /// References one byte.
    pub fn access_by_both(&mut self, addr: VirtAddr, at: PhysAddr, access: Access) -> Found {
        let line = self.name(addr, at);
        let found = self.look_up(line);
        let is_write = access == Access::Write;
        let first_below = match found {
            Found::Level(level) => level - 1,
            Found::Memory => self.levels.len(),
        };
        if is_write && self.levels.first().is_none_or(|first| first.config.write == WritePolicy::WriteThrough) {
            // The store passes down; only levels that have the line, or that allocate, keep it.
            self.store_below(0, line);
            return found;
        }
        if first_below > 0 {
            self.bring_up(line, first_below);
        }
        if is_write {
            self.levels[0].put(line, Line::Dirty);
        }
        found
    }

    /// Drops a line everywhere, for instance because its frame was given to another use. Dirty data goes to memory.
    pub fn invalidate(&mut self, at: PhysAddr) {
        let line = self.name(VirtAddr::new(at.get()), at);
        let is_dirty =
            self.levels.iter_mut().fold(false, |dirty, level| dirty | (level.drop_line(line) == Some(Line::Dirty)));
        self.memory_writes += u64::from(is_dirty);
    }

    /// The set of a level that a byte falls into, and its ways, in place.
    pub fn set(&self, level: usize, addr: VirtAddr, at: PhysAddr) -> (usize, Vec<Option<(LineName, Line)>>) {
        let level = &self.levels[level - 1];
        let set = level.set(self.name(addr, at));
        (set, level.lines.ways_of(set).map(|way| way.map(|(_, line)| *line)).collect())
    }

    /// Fills one way of a level with a clean line: the given state of a drawn system.
    pub fn place(&mut self, level: usize, way: usize, addr: VirtAddr, at: PhysAddr) {
        let line = self.name(addr, at);
        let level = &mut self.levels[level - 1];
        level.lines.place(level.set(line), way, level.key(line), (line, Line::Clean));
    }

    /// Every line of a level.
    pub fn lines(&self, level: usize) -> impl Iterator<Item = (LineName, Line)> {
        self.levels[level - 1].lines.iter().map(|(_, line)| *line)
    }

    fn name(&self, addr: VirtAddr, at: PhysAddr) -> LineName {
        LineName { phys: at.get() / self.line_bytes, virt: addr.get() / self.line_bytes }
    }

    /// Panics unless inclusive levels include and exclusive levels exclude.
    pub fn check(&self) {
        for (below, level) in self.levels.iter().enumerate().skip(1) {
            for above in &self.levels[..below] {
                for (_, &(name, _)) in above.lines.iter() {
                    let (is_here, line) = (level.peek(name), name.phys);
                    match level.config.inclusion {
                        Inclusion::Inclusive => {
                            assert!(is_here, "line {line:#x} is in the inclusive level {}", below + 1)
                        }
                        Inclusion::Exclusive => assert!(!is_here, "line {line:#x} is once above level {}", below + 1),
                        Inclusion::NonInclusive => {}
                    }
                }
            }
        }
    }

    fn look_up(&mut self, line: LineName) -> Found {
        for (number, level) in self.levels.iter_mut().enumerate() {
            if level.lookup(line) {
                level.counts.hits += 1;
                return Found::Level(number + 1);
            }
            level.counts.misses += 1;
        }
        self.memory_reads += 1;
        Found::Memory
    }

    /// Fills the levels above the one (or memory) in which a line was found.
    fn bring_up(&mut self, line: LineName, found_in: usize) {
        let mut state = Line::Clean;
        if let Some(level) = self.levels.get_mut(found_in)
            && level.config.inclusion == Inclusion::Exclusive
        {
            state = level.drop_line(line).expect("the line was found there");
        }
        for number in (0..found_in).rev() {
            // An exclusive level gets lines from above only.
            if number == 0 || self.levels[number].config.inclusion != Inclusion::Exclusive {
                let here = if number == 0 { state } else { Line::Clean };
                self.fill(number, line, here);
            }
        }
    }

    /// Puts a line into a level and deals with the one that leaves.
    fn fill(&mut self, number: usize, line: LineName, state: Line) {
        let Some((old, old_state)) = self.levels[number].put(line, state) else { return };
        let mut is_dirty = old_state == Line::Dirty;
        if number > 0 && self.levels[number].config.inclusion == Inclusion::Inclusive {
            for above in &mut self.levels[..number] {
                is_dirty |= above.drop_line(old) == Some(Line::Dirty);
            }
        }
        self.levels[number].counts.write_backs += u64::from(is_dirty);
        let below = self.levels.get(number + 1).map(|below| below.config.inclusion);
        match (below, is_dirty) {
            (Some(Inclusion::Exclusive), _) => {
                self.fill(number + 1, old, if is_dirty { Line::Dirty } else { Line::Clean });
            }
            (_, true) => self.write_back(number + 1, old),
            (_, false) => {}
        }
    }

    /// A dirty line arrives at a level from above.
    fn write_back(&mut self, number: usize, line: LineName) {
        match self.levels.get(number).map(|level| level.config.write) {
            None => self.memory_writes += 1,
            Some(WritePolicy::WriteBack) => self.fill(number, line, Line::Dirty),
            Some(WritePolicy::WriteThrough) => self.write_back(number + 1, line),
        }
    }

    /// A store passes a write-through level.
    fn store_below(&mut self, number: usize, line: LineName) {
        match self.levels.get(number) {
            None => self.memory_writes += 1,
            Some(level) if level.config.write == WritePolicy::WriteBack && level.peek(line) => {
                self.levels[number].put(line, Line::Dirty);
            }
            Some(_) => self.store_below(number + 1, line),
        }
    }
}

impl Level {
    #[inline]
    fn set(&self, line: LineName) -> usize {
        self.lines.set_of(line.by(self.config.indexed))
    }

    #[inline]
    fn key(&self, line: LineName) -> u64 {
        line.by(self.config.tagged)
    }

    #[inline]
    fn lookup(&mut self, line: LineName) -> bool {
        self.lines.lookup(self.set(line), self.key(line)).is_some()
    }

    fn peek(&self, line: LineName) -> bool {
        self.lines.peek(self.set(line), self.key(line)).is_some()
    }

    /// Puts a line; one that is there and dirty stays dirty.
    fn put(&mut self, line: LineName, state: Line) -> Option<(LineName, Line)> {
        let (set, key) = (self.set(line), self.key(line));
        let was_dirty = self.lines.peek(set, key).is_some_and(|&(_, state)| state == Line::Dirty);
        let state = if was_dirty { Line::Dirty } else { state };
        self.lines.insert(set, key, (line, state)).map(|(_, old)| old)
    }

    fn drop_line(&mut self, line: LineName) -> Option<Line> {
        self.lines.remove(self.set(line), self.key(line)).map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests;
