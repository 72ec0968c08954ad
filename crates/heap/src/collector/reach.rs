//! Reachability: which blocks a program can still get at. Written once; the collector sweeps what it does not reach, and
//! the leak report prints it.

use super::bits::Bits;
use super::map::BlockMap;
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
/// How many blocks are looked into together.
const TOGETHER: usize = 32;

/// Sets the mark of every block that is reachable from `roots` and not marked yet, and gives the bytes of these.
///
/// The mark stack has a limit. A block that finds it full is marked and not looked into; when the stack is empty, all
/// marked blocks from the lowest such one on are looked into again, until none was lost.
pub fn reachable<A: Arena>(graph: &Graph<A>, roots: &[Root], marks: &mut Bits) -> u64 {
    let mut marker = Marker { graph, marks, stack: Vec::new(), lost_from: None, bytes: 0 };
    for root in roots {
        match root {
            Root::Words(words) => words.iter().for_each(|&word| marker.visit(word)),
            Root::Arena(range) => marker.scan(range.start.next_multiple_of(WORD), range.end),
        }
    }
    marker.drain();
    marker.bytes
}

struct Marker<'a, 'g, A> {
    graph: &'a Graph<'g, A>,
    marks: &'a mut Bits,
    /// Where the words of each block that waits begin and end.
    stack: Vec<(u64, u64)>,
    /// The first block that was marked and not pushed.
    lost_from: Option<usize>,
    /// Of the blocks marked so far.
    bytes: u64,
}

impl<A: Arena> Marker<'_, '_, A> {
    fn drain(&mut self) {
        self.drain_stack();
        while let Some(lost) = self.lost_from.take() {
            let mut next = lost;
            while let Some(block) = self.marks.next_from(next) {
                next = block + 1;
                if !self.graph.map.is_atomic(block) {
                    let (at, end) = self.graph.map.range(block);
                    self.scan(at + self.graph.header_bytes, end);
                    self.drain_stack();
                }
            }
        }
    }

    /// Looks into the blocks that wait, a few at a time. The first word of each is loaded before any is looked into, so
    /// that the memory brings them in at the same time: most of marking is waiting for it.
    fn drain_stack(&mut self) {
        let mut waiting = [(0, 0); TOGETHER];
        let mut words = [0; TOGETHER];
        while !self.stack.is_empty() {
            let rest = self.stack.len().saturating_sub(TOGETHER);
            let count = self.stack.len() - rest;
            waiting[..count].copy_from_slice(&self.stack[rest..]);
            self.stack.truncate(rest);
            for (word, (from, _)) in words.iter_mut().zip(&waiting[..count]) {
                *word = self.graph.arena.load64(*from);
            }
            for (&word, &(from, to)) in words.iter().zip(&waiting[..count]) {
                self.visit(word);
                self.scan(from + WORD, to);
            }
        }
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
        if !self.marks.set(block) {
            return;
        }
        let (at, end) = self.graph.map.range(block);
        self.bytes += end - at;
        let from = at + self.graph.header_bytes;
        if self.graph.map.is_atomic(block) || from + WORD > end {
            return;
        }
        if self.stack.len() < self.graph.stack_limit {
            self.stack.push((from, end));
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
        let end = if self.map.is_atomic(block) { at } else { end };
        self.words(at + self.header_bytes, end).filter_map(|word| self.pointed_to(word))
    }

    fn words(&self, from: u64, to: u64) -> impl Iterator<Item = u64> {
        (from..to).step_by(WORD as usize).take_while(move |at| at + WORD <= to).map(|at| self.arena.load64(at))
    }
}
