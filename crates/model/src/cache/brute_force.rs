//! Several levels against queues of copies that carry data, and the movements against the data themselves.

use super::*;
use crate::{Random, WayReplacement};
use std::collections::{HashMap, VecDeque};

use Inclusion::{Exclusive, Inclusive, NonInclusive};
use WritePolicy::{WriteBack, WriteThrough};

const LINE: u64 = 64;

#[derive(Clone, Copy, PartialEq, Debug)]
struct Copy {
    line: u64,
    is_dirty: bool,
    value: u64,
}

/// Each set is a queue, the next victim in front.
struct NaiveLevel {
    config: CacheLevel,
    sets: Vec<VecDeque<Copy>>,
}

impl NaiveLevel {
    fn set(&mut self, line: u64) -> &mut VecDeque<Copy> {
        let count = self.sets.len() as u64;
        &mut self.sets[(line % count) as usize]
    }

    fn get(&mut self, line: u64) -> Option<&mut Copy> {
        self.set(line).iter_mut().find(|copy| copy.line == line)
    }

    fn take(&mut self, line: u64) -> Option<Copy> {
        let set = self.set(line);
        set.iter().position(|copy| copy.line == line).and_then(|place| set.remove(place))
    }

    fn use_now(&mut self, line: u64) {
        if self.config.shape.replacement == WayReplacement::Lru
            && let Some(copy) = self.take(line)
        {
            self.set(line).push_back(copy);
        }
    }
}

struct Naive {
    levels: Vec<NaiveLevel>,
    memory: HashMap<u64, u64>,
    reads: u64,
    writes: u64,
}

impl Naive {
    fn new(levels: &[CacheLevel]) -> Self {
        let level = |&config: &CacheLevel| NaiveLevel { config, sets: vec![VecDeque::new(); config.shape.sets] };
        Self { levels: levels.iter().map(level).collect(), memory: HashMap::new(), reads: 0, writes: 0 }
    }

    /// A load gives the value; a store of `new` too, after it.
    fn access(&mut self, line: u64, new: Option<u64>) -> (Where, u64) {
        let found = (0..self.levels.len()).find(|&number| self.levels[number].get(line).is_some());
        let place = found.map_or(Where::Memory, |number| Where::Level(number + 1));
        if let Some(number) = found {
            self.levels[number].use_now(line);
        }
        if let (Some(value), WriteThrough) = (new, self.levels[0].config.write) {
            self.store_through(line, value);
            return (place, value);
        }
        if found != Some(0) {
            self.bring_up(line, found);
        }
        let copy = self.levels[0].get(line).expect("it was brought up");
        if let Some(value) = new {
            (copy.is_dirty, copy.value) = (true, value);
        }
        (place, copy.value)
    }

    fn store_through(&mut self, line: u64, value: u64) {
        for level in &mut self.levels {
            let is_last = level.config.write == WriteBack;
            let Some(copy) = level.get(line) else { continue };
            copy.value = value;
            if is_last {
                copy.is_dirty = true;
                return level.use_now(line);
            }
        }
        self.memory.insert(line, value);
        self.writes += 1;
    }

    fn bring_up(&mut self, line: u64, found: Option<usize>) {
        let end = found.unwrap_or(self.levels.len());
        let mut copy = Copy { line, is_dirty: false, value: self.memory.get(&line).copied().unwrap_or(0) };
        match found {
            None => self.reads += 1,
            Some(number) if self.levels[number].config.inclusion == Exclusive => {
                copy = self.levels[number].take(line).expect("it was found there");
            }
            Some(number) => copy.value = self.levels[number].get(line).expect("it was found there").value,
        }
        let stays_dirty = self.levels[0].config.write == WriteBack;
        for number in (0..end).rev() {
            if number == 0 || self.levels[number].config.inclusion != Exclusive {
                self.insert(number, Copy { is_dirty: copy.is_dirty && number == 0 && stays_dirty, ..copy });
            }
        }
        if copy.is_dirty && !stays_dirty {
            self.arrive(end + 1, end, copy);
        }
    }

    fn insert(&mut self, number: usize, copy: Copy) {
        let level = &mut self.levels[number];
        if let Some(old) = level.get(copy.line) {
            *old = Copy { is_dirty: old.is_dirty | copy.is_dirty, ..copy };
            return level.use_now(copy.line);
        }
        let ways = level.config.shape.ways;
        let is_inclusive = level.config.inclusion == Inclusive;
        let set = level.set(copy.line);
        let victim = if set.len() == ways { set.pop_front() } else { None };
        set.push_back(copy);
        let Some(mut victim) = victim else { return };
        if is_inclusive {
            // The copy nearest to the CPU is the newest.
            for above in (0..number).rev() {
                if let Some(newer) = self.levels[above].take(victim.line).filter(|newer| newer.is_dirty) {
                    victim = newer;
                }
            }
        }
        self.arrive(number + 1, number, victim);
    }

    /// A line that left `from` comes to a level below it.
    fn arrive(&mut self, number: usize, from: usize, copy: Copy) {
        let Some(level) = self.levels.get(number) else {
            if copy.is_dirty {
                self.memory.insert(copy.line, copy.value);
                self.writes += 1;
            }
            return;
        };
        let CacheLevel { write, inclusion, .. } = level.config;
        let is_above = (0..number).any(|above| self.levels[above].get(copy.line).is_some());
        let takes = match inclusion {
            Exclusive => !is_above && (copy.is_dirty || number == from + 1),
            _ if write == WriteThrough => copy.is_dirty && self.levels[number].get(copy.line).is_some(),
            _ => copy.is_dirty,
        };
        if takes && inclusion != Exclusive && write == WriteThrough {
            self.levels[number].get(copy.line).expect("it is there").value = copy.value;
        } else if takes {
            self.insert(number, Copy { is_dirty: copy.is_dirty && write == WriteBack, ..copy });
        }
        if !takes || (copy.is_dirty && write == WriteThrough) {
            self.arrive(number + 1, from, copy);
        }
    }

    fn copies(&self, number: usize) -> Vec<(u64, bool)> {
        let mut all: Vec<_> =
            self.levels[number].sets.iter().flatten().map(|copy| (copy.line, copy.is_dirty)).collect();
        all.sort_unstable();
        all
    }
}

/// The values of every copy, moved as the model says.
#[derive(Default)]
struct Moved {
    copies: HashMap<(usize, u64), u64>,
    memory: HashMap<u64, u64>,
}

impl Moved {
    fn value(&self, at: Where, line: LineName) -> u64 {
        match at {
            Where::Level(level) => self.copies[&(level, line.phys)],
            Where::Memory => self.memory.get(&line.phys).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, at: Where, line: LineName, value: u64) {
        match at {
            Where::Level(level) => self.copies.insert((level, line.phys), value),
            Where::Memory => self.memory.insert(line.phys, value),
        };
    }

    fn apply(&mut self, movement: Movement, stored: u64) {
        match movement {
            Movement::Filled { level, from, line } => self.set(Where::Level(level), line, self.value(from, line)),
            Movement::WrittenBack { level, to, line } => self.set(to, line, self.value(Where::Level(level), line)),
            Movement::Stored { at, line } => self.set(at, line, stored),
            Movement::Left { level, line } => {
                self.copies.remove(&(level, line.phys)).expect("what leaves was there");
            }
        }
    }
}

fn compare(levels: &[CacheLevel], seed: u64) {
    let (mut caches, mut naive, mut moved) = (Caches::new(LINE, levels), Naive::new(levels), Moved::default());
    let mut newest: HashMap<u64, u64> = HashMap::new();
    let mut random = Random::new(seed);
    for step in 1..4000 {
        let line = random.below(60);
        let new = (random.below(3) == 0).then_some(step);
        let access = if new.is_some() { Access::Write } else { Access::Read };
        let at = PhysAddr::new(line * LINE + random.below(LINE));
        let found = caches.access_observed(VirtAddr::new(at.get()), at, access, |movement| moved.apply(movement, step));
        newest.extend(new.map(|value| (line, value)));
        let expected = newest.get(&line).copied().unwrap_or(0);
        assert_eq!(naive.access(line, new), (found, expected), "step {step} of {levels:?}");
        if new.is_none() {
            assert_eq!(moved.copies[&(1, line)], expected, "step {step} of {levels:?}");
        }
        caches.check();
        assert_eq!((caches.memory_reads(), caches.memory_writes()), (naive.reads, naive.writes), "{levels:?}");
        for number in 0..levels.len() {
            let lines = caches.lines(number + 1);
            let mut lines: Vec<_> = lines.map(|(name, state)| (name.phys, state == Line::Dirty)).collect();
            lines.sort_unstable();
            assert_eq!(lines, naive.copies(number), "level {}, step {step} of {levels:?}", number + 1);
        }
    }
}

#[test]
fn levels_of_every_kind_agree_with_brute_force_and_lose_no_store() {
    let shape = |entries, ways, replacement| Shape { replacement, ..Shape::lru(entries, ways) };
    let mut seed = 0;
    for replacement in [WayReplacement::Lru, WayReplacement::Fifo] {
        for first in [WriteBack, WriteThrough] {
            let top = CacheLevel { write: first, ..CacheLevel::new(shape(4, 2, replacement)) };
            for (second, third) in [NonInclusive, Inclusive, Exclusive]
                .into_iter()
                .flat_map(|second| [NonInclusive, Inclusive, Exclusive].map(|third| (second, third)))
            {
                for (write, last_write) in [
                    (WriteBack, WriteBack),
                    (WriteBack, WriteThrough),
                    (WriteThrough, WriteBack),
                    (WriteThrough, WriteThrough),
                ] {
                    seed += 1;
                    let middle = CacheLevel { write, inclusion: second, ..CacheLevel::new(shape(9, 3, replacement)) };
                    let last = CacheLevel {
                        write: last_write,
                        inclusion: third,
                        ..CacheLevel::new(shape(24, 4, replacement))
                    };
                    compare(&[top, middle], seed);
                    compare(&[top, middle, last], seed);
                }
            }
        }
    }
}
