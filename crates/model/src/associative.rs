//! Sets of ways: what TLBs, page-walk caches and caches have in common.

use crate::Random;

/// Which way of a full set is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WayReplacement {
    /// The one not used for the longest time.
    Lru,
    /// The one filled first.
    Fifo,
    /// The one a binary tree of bits points at; each use turns the bits on its path away (Intel SDM vol. 3, 12.11 hints
    /// at it; the tree is in J. Handy, "The Cache Memory Book"). Ways must be a power of two.
    TreePlru,
    /// Any, by a seeded generator.
    Random(u64),
}

/// How many sets of how many ways, and who leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Sets; any number.
    pub sets: usize,
    /// Ways of a set.
    pub ways: usize,
    /// Who leaves a full set.
    pub replacement: WayReplacement,
}

impl Shape {
    /// `entries` in sets of `ways`, least recently used first.
    pub const fn lru(entries: usize, ways: usize) -> Self {
        Self { sets: entries / ways, ways, replacement: WayReplacement::Lru }
    }

    /// One set of `entries` ways.
    pub const fn fully_associative(entries: usize) -> Self {
        Self::lru(entries, entries)
    }

    /// All ways of all sets.
    pub const fn entries(&self) -> usize {
        self.sets * self.ways
    }
}

/// Entries of a key and a value in sets of ways.
#[derive(Clone, Debug)]
pub struct Associative<V, K = u64> {
    shape: Shape,
    ways: Vec<Option<Way<K, V>>>,
    /// The tree of each set, for [`WayReplacement::TreePlru`].
    trees: Vec<u64>,
    now: u64,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
struct Way<K, V> {
    key: K,
    value: V,
    stamp: u64,
}

impl<V: Copy, K: Copy + Eq> Associative<V, K> {
    /// Empty sets. Panics if there are none, or if a tree does not fit the ways.
    pub fn new(shape: Shape) -> Self {
        assert!(shape.sets > 0 && shape.ways > 0, "there is a way");
        let is_tree = shape.replacement == WayReplacement::TreePlru;
        assert!(!is_tree || (shape.ways.is_power_of_two() && shape.ways <= 64), "a tree has 2^n leaves, at most 64");
        let seed = if let WayReplacement::Random(seed) = shape.replacement { seed } else { 0 };
        Self {
            shape,
            ways: vec![None; shape.entries()],
            trees: vec![0; if is_tree { shape.sets } else { 0 }],
            now: 0,
            random: Random::new(seed),
        }
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The set that an index number falls into.
    #[inline]
    pub fn set_of(&self, index: u64) -> usize {
        let sets = self.shape.sets;
        if sets.is_power_of_two() { index as usize & (sets - 1) } else { (index % sets as u64) as usize }
    }

    /// The value of a key in a set, without a use.
    pub fn peek(&self, set: usize, key: K) -> Option<&V> {
        self.find(set, key).and_then(|at| self.ways[at].as_ref()).map(|way| &way.value)
    }

    /// Uses a key of a set.
    #[inline]
    pub fn lookup(&mut self, set: usize, key: K) -> Option<&mut V> {
        let at = self.find(set, key)?;
        self.mark_use(set, at);
        self.ways[at].as_mut().map(|way| &mut way.value)
    }

    /// Puts a key into a set and gives up another one if it is full. A key that is there gets the new value.
    pub fn insert(&mut self, set: usize, key: K, value: V) -> Option<(K, V)> {
        if let Some(old) = self.lookup(set, key) {
            *old = value;
            return None;
        }
        let base = set * self.shape.ways;
        let free = (base..base + self.shape.ways).find(|&at| self.ways[at].is_none());
        let at = free.unwrap_or_else(|| base + self.victim(set));
        self.now += 1;
        let victim = self.ways[at].replace(Way { key, value, stamp: self.now });
        self.turn_tree(set, at - base);
        victim.map(|way| (way.key, way.value))
    }

    /// Fills one way with a key, whatever was there: the given state of a drawn system.
    pub fn place(&mut self, set: usize, way: usize, key: K, value: V) {
        assert!(set < self.shape.sets && way < self.shape.ways, "the way is there");
        self.now += 1;
        self.ways[set * self.shape.ways + way] = Some(Way { key, value, stamp: self.now });
    }

    /// The ways of a set, in place.
    pub fn ways_of(&self, set: usize) -> impl Iterator<Item = Option<(K, &V)>> {
        let base = set * self.shape.ways;
        self.ways[base..base + self.shape.ways].iter().map(|way| way.as_ref().map(|way| (way.key, &way.value)))
    }

    /// Drops a key of a set.
    pub fn remove(&mut self, set: usize, key: K) -> Option<V> {
        let at = self.find(set, key)?;
        self.ways[at].take().map(|way| way.value)
    }

    /// Keeps only what `keep` picks.
    pub fn retain(&mut self, mut keep: impl FnMut(K, &V) -> bool) {
        for way in &mut self.ways {
            if way.as_ref().is_some_and(|way| !keep(way.key, &way.value)) {
                *way = None;
            }
        }
    }

    /// Every key with its value.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.ways.iter().flatten().map(|way| (way.key, &way.value))
    }

    /// How many ways are filled.
    pub fn count(&self) -> usize {
        self.ways.iter().flatten().count()
    }

    #[inline]
    fn find(&self, set: usize, key: K) -> Option<usize> {
        let base = set * self.shape.ways;
        let ways = &self.ways[base..base + self.shape.ways];
        ways.iter().position(|way| way.as_ref().is_some_and(|way| way.key == key)).map(|way| base + way)
    }

    #[inline]
    fn mark_use(&mut self, set: usize, at: usize) {
        if self.shape.replacement == WayReplacement::Lru {
            self.now += 1;
            if let Some(way) = &mut self.ways[at] {
                way.stamp = self.now;
            }
        }
        self.turn_tree(set, at - set * self.shape.ways);
    }

    /// Turns every bit on the way's path to the other side. Node n has the children 2n and 2n + 1; the root is 1.
    #[inline]
    fn turn_tree(&mut self, set: usize, way: usize) {
        if self.trees.is_empty() || self.shape.ways == 1 {
            return;
        }
        let mut node = self.shape.ways + way;
        while node > 1 {
            let is_right = node & 1 == 1;
            node /= 2;
            let tree = self.trees[set] & !(1 << node);
            self.trees[set] = if is_right { tree } else { tree | 1 << node };
        }
    }

    fn victim(&mut self, set: usize) -> usize {
        let ways = self.shape.ways;
        match self.shape.replacement {
            WayReplacement::Lru | WayReplacement::Fifo => {
                let base = set * ways;
                let stamps = self.ways[base..base + ways].iter().map(|way| way.as_ref().map_or(0, |way| way.stamp));
                stamps.enumerate().min_by_key(|&(_, stamp)| stamp).map_or(0, |(way, _)| way)
            }
            WayReplacement::TreePlru => {
                let mut node = 1;
                while node < ways {
                    node = 2 * node + (self.trees[set] >> node & 1) as usize;
                }
                node - ways
            }
            WayReplacement::Random(_) => self.random.below(ways as u64) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// One queue a set, the next victim in front.
    fn agrees_with_queues(replacement: WayReplacement) {
        for (sets, ways) in [(1, 1), (1, 4), (4, 2), (3, 5), (16, 8)] {
            let mut model = Associative::new(Shape { sets, ways, replacement });
            let mut queues = vec![VecDeque::new(); sets];
            let mut random = Random::new(5);
            for _ in 0..20_000 {
                let key = random.below(3 * (sets * ways) as u64);
                let set = model.set_of(key);
                let queue = &mut queues[set];
                let place = queue.iter().position(|&other| other == key);
                match (random.below(12), place) {
                    (0, _) => {
                        assert_eq!(model.remove(set, key).is_some(), place.is_some());
                        queue.retain(|&other| other != key);
                    }
                    (_, Some(place)) => {
                        assert!(model.lookup(set, key).is_some());
                        if replacement == WayReplacement::Lru {
                            queue.remove(place);
                            queue.push_back(key);
                        }
                    }
                    (_, None) => {
                        assert!(model.lookup(set, key).is_none());
                        let victim = if queue.len() == ways { queue.pop_front() } else { None };
                        assert_eq!(model.insert(set, key, ()).map(|(key, ())| key), victim);
                        queue.push_back(key);
                    }
                }
            }
        }
    }

    #[test]
    fn lru_and_fifo_are_queues() {
        agrees_with_queues(WayReplacement::Lru);
        agrees_with_queues(WayReplacement::Fifo);
    }

    #[test]
    fn the_tree_points_away_from_what_was_used() {
        let mut model = Associative::new(Shape { sets: 1, ways: 4, replacement: WayReplacement::TreePlru });
        for key in 0..4 {
            model.insert(0, key, ());
        }
        // The last use was way 3: the root points left, and the left half was used last at way 1.
        assert_eq!(model.insert(0, 4, ()), Some((0, ())));
        assert_eq!(model.insert(0, 5, ()), Some((2, ())));
        model.lookup(0, 1);
        assert_eq!(model.insert(0, 6, ()), Some((3, ())));
    }

    #[test]
    fn two_ways_of_a_tree_are_lru() {
        let tree = Shape { sets: 4, ways: 2, replacement: WayReplacement::TreePlru };
        let (mut tree, mut lru) = (Associative::new(tree), Associative::new(Shape::lru(8, 2)));
        let mut random = Random::new(6);
        for _ in 0..10_000 {
            let key = random.below(20);
            let set = lru.set_of(key);
            let is_hit = lru.lookup(set, key).is_some();
            assert_eq!(tree.lookup(set, key).is_some(), is_hit);
            if !is_hit {
                assert_eq!(tree.insert(set, key, ()), lru.insert(set, key, ()));
            }
        }
    }
}
