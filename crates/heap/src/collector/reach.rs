//! Reachability: which blocks a program can still get at. Written once; the collector sweeps what it does not reach, and
//! the leak report prints it.

use super::map::{Bits, BlockMap};
use crate::Arena;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;

/// Words that the program can reach by itself.
#[derive(Clone, Debug)]
pub enum Root<'a> {
    /// Words outside the heap: registers, stacks, globals.
    Words(&'a [u64]),
    /// Offsets in the arena whose words are roots, such as a guest's data segment.
    Arena(Range<u64>),
}

/// Which words count as pointers to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointers {
    /// The address of its payload's start.
    Start,
    /// Any address in it: what a conservative collector must believe.
    Interior,
}

/// A heap as reachability sees it.
#[derive(Clone, Copy)]
pub struct Graph<'a, A> {
    /// The memory.
    pub arena: &'a A,
    /// The blocks in it.
    pub map: &'a BlockMap,
    /// The address of the arena's first byte, which pointers contain.
    pub base: u64,
    /// The bytes of a block before its payload.
    pub header_bytes: u64,
    /// Which words count.
    pub pointers: Pointers,
    /// How many blocks wait on the mark stack at most.
    pub stack_limit: usize,
}

const WORD: u64 = 8;

/// Sets the mark of every block that is reachable from `roots` and not marked yet.
///
/// The mark stack has a limit. A block that finds it full is marked and not looked into; when the stack is empty, all
/// marked blocks from the lowest such one on are looked into again, until none was lost.
pub fn reachable<A: Arena>(graph: &Graph<A>, roots: &[Root], marks: &mut Bits) {
    let mut marker = Marker { graph, marks, stack: Vec::new(), lost_from: None };
    for root in roots {
        match root {
            Root::Words(words) => words.iter().for_each(|&word| marker.visit(word)),
            Root::Arena(range) => marker.scan(range.start.next_multiple_of(WORD), range.end),
        }
    }
    marker.drain();
}

struct Marker<'a, 'g, A> {
    graph: &'a Graph<'g, A>,
    marks: &'a mut Bits,
    stack: Vec<usize>,
    /// The first block that was marked and not pushed.
    lost_from: Option<usize>,
}

impl<A: Arena> Marker<'_, '_, A> {
    fn drain(&mut self) {
        loop {
            while let Some(block) = self.stack.pop() {
                self.scan_block(block);
            }
            let Some(lost) = self.lost_from.take() else { return };
            let mut next = lost;
            while let Some(block) = self.marks.next_from(next) {
                next = block + 1;
                if !self.graph.map.atomic.get(block) {
                    self.scan_block(block);
                    while let Some(block) = self.stack.pop() {
                        self.scan_block(block);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn scan_block(&mut self, block: usize) {
        let (at, end) = self.graph.map.range(block);
        self.scan(at + self.graph.header_bytes, end);
    }

    #[inline(always)]
    fn scan(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at + WORD <= to {
            self.visit(self.graph.arena.load64(at));
            at += WORD;
        }
    }

    #[inline(always)]
    fn visit(&mut self, word: u64) {
        let Some(block) = self.graph.pointed_to(word) else { return };
        if self.marks.get(block) {
            return;
        }
        self.marks.set(block);
        if self.graph.map.atomic.get(block) {
            return;
        }
        if self.stack.len() < self.graph.stack_limit {
            self.stack.push(block);
        } else {
            self.lost_from = Some(self.lost_from.map_or(block, |lost| lost.min(block)));
        }
    }
}

impl<A: Arena> Graph<'_, A> {
    /// The block that a word points to, if it is a pointer.
    #[inline(always)]
    pub fn pointed_to(&self, word: u64) -> Option<usize> {
        let at = word.wrapping_sub(self.base);
        let block = self.map.find(at)?;
        let counts = self.pointers == Pointers::Interior || at == self.map.at(block) + self.header_bytes;
        counts.then_some(block)
    }

    /// A shortest path of pointers from the roots to a block: the blocks on it, the block itself last.
    pub fn path_to(&self, roots: &[Root], target: usize) -> Option<Vec<usize>> {
        let mut from: HashMap<usize, Option<usize>> = HashMap::new();
        let mut queue = VecDeque::new();
        for root in roots {
            let words: Vec<u64> = match root {
                Root::Words(words) => words.to_vec(),
                Root::Arena(range) => self.words(range.start.next_multiple_of(WORD), range.end).collect(),
            };
            for block in words.into_iter().filter_map(|word| self.pointed_to(word)) {
                from.entry(block).or_insert_with(|| {
                    queue.push_back(block);
                    None
                });
            }
        }
        while let Some(block) = queue.pop_front() {
            if block == target {
                let mut path: Vec<usize> = std::iter::successors(Some(block), |block| from[block]).collect();
                path.reverse();
                return Some(path);
            }
            for next in self.children(block) {
                from.entry(next).or_insert_with(|| {
                    queue.push_back(next);
                    Some(block)
                });
            }
        }
        None
    }

    /// The blocks that a block points to.
    pub(super) fn children(&self, block: usize) -> impl Iterator<Item = usize> {
        let (at, end) = self.map.range(block);
        let end = if self.map.atomic.get(block) { at } else { end };
        self.words(at + self.header_bytes, end).filter_map(|word| self.pointed_to(word))
    }

    fn words(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        (from..to).step_by(WORD as usize).take_while(move |at| at + WORD <= to).map(|at| self.arena.load64(at))
    }
}
