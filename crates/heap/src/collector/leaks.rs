//! The leak report: every block by how the program can get at it.

use super::map::Bits;
use super::reach::{Graph, Pointers, Root, reachable};
use crate::Arena;
use std::collections::BTreeMap;

/// How a block can be got at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// By a chain of pointers to the starts of blocks.
    StillReachable,
    /// Only by a chain with a pointer into the middle of a block.
    PossiblyLost,
    /// Not at all, but a lost block points to it: freeing that one properly would free this one.
    IndirectlyLost,
    /// Not at all.
    DefinitelyLost,
}

/// How each allocated block can be got at, by the offset of its payload.
pub fn leaks<A: Arena>(graph: Graph<A>, roots: &[Root]) -> BTreeMap<u64, Reach> {
    let units = graph.map.live_blocks().last().map_or(0, |last| last + 1);
    let marked_by = |pointers: Pointers| {
        let mut marks = Bits::default();
        marks.cover(units);
        reachable(&Graph { pointers, ..graph }, roots, &mut marks);
        marks
    };
    let (by_start, by_any) = (marked_by(Pointers::Start), marked_by(Pointers::Interior));
    let mut reaches: BTreeMap<usize, Reach> = BTreeMap::new();
    for block in graph.map.live_blocks() {
        if by_any.get(block) {
            let reach = if by_start.get(block) { Reach::StillReachable } else { Reach::PossiblyLost };
            reaches.insert(block, reach);
        }
    }
    // Each lost block that nothing lost so far points to leads a group. A leader is not marked, so that a later one which
    // points to it takes its place.
    let mut marks = by_any;
    for leader in graph.map.live_blocks() {
        if reaches.contains_key(&leader) {
            continue;
        }
        reaches.insert(leader, Reach::DefinitelyLost);
        let mut stack = vec![leader];
        while let Some(block) = stack.pop() {
            for child in graph.children(block).filter(|&child| child != leader) {
                if !marks.get(child) {
                    marks.set(child);
                    reaches.insert(child, Reach::IndirectlyLost);
                    stack.push(child);
                }
            }
        }
    }
    let payload = |block: usize| graph.map.at(block) + graph.header_bytes;
    reaches.into_iter().map(|(block, reach)| (payload(block), reach)).collect()
}
