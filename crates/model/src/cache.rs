//! Data caches: any number of levels over memory.

use crate::associative::{Associative, Shape};
use addr::{Access, PhysAddr, VirtAddr};

/// What a store does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WritePolicy {
    /// It stays in the cache, in a line marked dirty; a miss brings the line in.
    WriteBack,
    /// It goes to the level below as well; a store that misses brings nothing in.
    WriteThrough,
}

/// How a level's lines relate to those of the levels above it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inclusion {
    /// A line above is here too; a line that leaves here leaves there.
    Inclusive,
    /// A line above is not here; what leaves the level right above comes here, unless another one above still has it.
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

/// Where a line is or goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Where {
    /// The cache of this level, counted from 1.
    Level(usize),
    /// Memory.
    Memory,
}

/// What happened to a copy of a line, in an order in which the data can follow: a copy leaves after it was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Movement {
    /// A level got a copy.
    Filled {
        /// The level, from 1.
        level: usize,
        /// Who had it.
        from: Where,
        /// The line.
        line: LineName,
    },
    /// A level's data, newer than below, went down; the receiver has a copy then.
    WrittenBack {
        /// The level, from 1.
        level: usize,
        /// Who got it.
        to: Where,
        /// The line.
        line: LineName,
    },
    /// A store changed a copy.
    Stored {
        /// Whose copy.
        at: Where,
        /// The line.
        line: LineName,
    },
    /// A level's copy is gone.
    Left {
        /// The level, from 1.
        level: usize,
        /// The line.
        line: LineName,
    },
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
    pub fn access(&mut self, at: PhysAddr, access: Access) -> Where {
        self.access_by_both(VirtAddr::new(at.get()), at, access)
    }

    /// References one byte.
    pub fn access_by_both(&mut self, addr: VirtAddr, at: PhysAddr, access: Access) -> Where {
        self.access_observed(addr, at, access, |_| {})
    }

    /// References one byte and shows every movement of a line to `observe`.
    pub fn access_observed(
        &mut self,
        addr: VirtAddr,
        at: PhysAddr,
        access: Access,
        mut observe: impl FnMut(Movement),
    ) -> Where {
        let line = self.name(addr, at);
        let found = self.look_up(line);
        let is_write = access == Access::Write;
        if is_write && self.levels.first().is_none_or(|first| first.config.write == WritePolicy::WriteThrough) {
            self.store_through(line, &mut observe);
            return found;
        }
        if found == Where::Memory {
            self.memory_reads += 1;
        }
        self.bring_up(line, found, &mut observe);
        if is_write {
            self.levels[0].put(line, Line::Dirty);
            observe(Movement::Stored { at: Where::Level(1), line });
        }
        found
    }

    /// Drops a line everywhere, for instance because its frame was given to another use. Dirty data goes to memory.
    pub fn invalidate(&mut self, at: PhysAddr, mut observe: impl FnMut(Movement)) {
        let line = self.name(VirtAddr::new(at.get()), at);
        // The copy nearest to the CPU is the newest.
        let mut is_written = false;
        for (number, level) in self.levels.iter_mut().enumerate() {
            let Some(state) = level.drop_line(line) else { continue };
            if state == Line::Dirty && !is_written {
                is_written = true;
                self.memory_writes += 1;
                observe(Movement::WrittenBack { level: number + 1, to: Where::Memory, line });
            }
            observe(Movement::Left { level: number + 1, line });
        }
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

    fn look_up(&mut self, line: LineName) -> Where {
        for (number, level) in self.levels.iter_mut().enumerate() {
            if level.lookup(line) {
                level.counts.hits += 1;
                return Where::Level(number + 1);
            }
            level.counts.misses += 1;
        }
        Where::Memory
    }

    /// Fills the levels above the one (or memory) in which a line was found, the lowest first.
    fn bring_up(&mut self, line: LineName, found: Where, observe: &mut impl FnMut(Movement)) {
        let below = match found {
            Where::Level(1) => return,
            Where::Level(level) => level - 1,
            Where::Memory => self.levels.len(),
        };
        let is_moved = self.inclusion(below) == Some(Inclusion::Exclusive);
        let moved = is_moved.then(|| self.levels[below].drop_line(line).expect("the line was found there"));
        let state = moved.unwrap_or(Line::Clean);
        let is_passed_on = state == Line::Dirty && self.levels[0].config.write == WritePolicy::WriteThrough;
        let mut from = found;
        for number in (0..below).rev() {
            // An exclusive level gets lines from above only.
            if number == 0 || self.inclusion(number) != Some(Inclusion::Exclusive) {
                let here = if number == 0 && !is_passed_on { state } else { Line::Clean };
                self.put(number, line, here, Movement::Filled { level: number + 1, from, line }, observe);
                from = Where::Level(number + 1);
            }
        }
        if is_passed_on {
            self.levels[below].counts.write_backs += 1;
            self.send_down(below, line, state, observe);
        }
        if is_moved {
            observe(Movement::Left { level: below + 1, line });
        }
    }

    /// Puts a line into a level; the one that has to leave goes after that, as from a victim buffer.
    fn put(
        &mut self,
        number: usize,
        line: LineName,
        state: Line,
        arrival: Movement,
        observe: &mut impl FnMut(Movement),
    ) {
        let victim = self.levels[number].put(line, state);
        observe(arrival);
        if let Some((old, old_state)) = victim {
            self.let_go(number, old, old_state, observe);
        }
    }

    /// What follows when a level has given up a line.
    fn let_go(&mut self, number: usize, line: LineName, mut state: Line, observe: &mut impl FnMut(Movement)) {
        if number > 0 && self.inclusion(number) == Some(Inclusion::Inclusive) {
            // The copy nearest to the CPU is the newest, so it comes last.
            for above in (0..number).rev() {
                let Some(copy) = self.levels[above].drop_line(line) else { continue };
                if copy == Line::Dirty {
                    state = Line::Dirty;
                    observe(Movement::WrittenBack { level: above + 1, to: Where::Level(number + 1), line });
                }
                observe(Movement::Left { level: above + 1, line });
            }
        }
        self.levels[number].counts.write_backs += u64::from(state == Line::Dirty);
        self.send_down(number, line, state, observe);
        observe(Movement::Left { level: number + 1, line });
    }

    /// Brings a line that leaves `from` to the exclusive level right below, and dirty data as far down as it has to go.
    fn send_down(&mut self, from: usize, line: LineName, state: Line, observe: &mut impl FnMut(Movement)) {
        for number in from + 1..self.levels.len() {
            let CacheLevel { write, inclusion, .. } = self.levels[number].config;
            let to = Where::Level(number + 1);
            let written = Movement::WrittenBack { level: from + 1, to, line };
            match (inclusion, state, write) {
                (Inclusion::Exclusive, ..) if self.levels[..number].iter().any(|above| above.peek(line)) => {}
                (Inclusion::Exclusive, Line::Clean, _) if number == from + 1 => {
                    let filled = Movement::Filled { level: number + 1, from: Where::Level(from + 1), line };
                    return self.put(number, line, Line::Clean, filled, observe);
                }
                (_, Line::Clean, _) => return,
                (_, Line::Dirty, WritePolicy::WriteBack) => return self.put(number, line, state, written, observe),
                (Inclusion::Exclusive, Line::Dirty, WritePolicy::WriteThrough) => {
                    self.put(number, line, Line::Clean, written, observe);
                }
                (_, Line::Dirty, WritePolicy::WriteThrough) if self.levels[number].peek(line) => observe(written),
                (_, Line::Dirty, WritePolicy::WriteThrough) => {}
            }
        }
        if state == Line::Dirty {
            self.memory_writes += 1;
            observe(Movement::WrittenBack { level: from + 1, to: Where::Memory, line });
        }
    }

    /// A store goes down to the first level that writes back and has the line; it changes every copy on its way.
    fn store_through(&mut self, line: LineName, observe: &mut impl FnMut(Movement)) {
        for (number, level) in self.levels.iter_mut().enumerate().filter(|(_, level)| level.peek(line)) {
            observe(Movement::Stored { at: Where::Level(number + 1), line });
            if level.config.write == WritePolicy::WriteBack {
                level.put(line, Line::Dirty);
                return;
            }
        }
        self.memory_writes += 1;
        observe(Movement::Stored { at: Where::Memory, line });
    }

    fn inclusion(&self, number: usize) -> Option<Inclusion> {
        self.levels.get(number).map(|level| level.config.inclusion)
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
mod brute_force;
#[cfg(test)]
mod tests;
