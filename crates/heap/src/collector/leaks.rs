//! The leak report: every block by how the program can get at it.

use super::bits::Bits;
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
    /// Not at all, but from a definitely lost block: freeing that one properly would free this one.
    IndirectlyLost,
    /// Not at all, and from no other lost block; of blocks that only point to each other in a circle, the first.
    DefinitelyLost,
}

/// How each allocated block can be got at, by the offset of its payload.
pub fn leaks<A: Arena>(graph: Graph<A>, roots: &[Root]) -> BTreeMap<u64, Reach> {
    let marked_by = |pointers: Pointers| {
        let mut marks = Bits::default();
        marks.cover(graph.map.units());
        reachable(&Graph { pointers, ..graph }, roots, &mut marks);
        marks
    };
    let (by_start, mut marks) = (marked_by(Pointers::Start), marked_by(Pointers::Interior));
    let payload = |block: usize| graph.map.at(block) + graph.header_bytes;
    let mut reaches = BTreeMap::new();
    for block in graph.map.live_blocks().filter(|&block| marks.get(block)) {
        let reach = if by_start.get(block) { Reach::StillReachable } else { Reach::PossiblyLost };
        reaches.insert(payload(block), reach);
    }
    for leader in last_left_first(&graph, marks.clone()) {
        if !marks.set(leader) {
            continue;
        }
        reaches.insert(payload(leader), Reach::DefinitelyLost);
        let mut stack = vec![leader];
        while let Some(block) = stack.pop() {
            for child in graph.children(block) {
                if marks.set(child) {
                    reaches.insert(payload(child), Reach::IndirectlyLost);
                    stack.push(child);
                }
            }
        }
    }
    reaches
}

/// The blocks that are not marked, in the order opposite to that in which a depth-first search leaves them. A block that
/// reaches another one comes before it, unless that one reaches it too: so the first block that none before it reaches
/// is reached from nowhere but its own circle.
fn last_left_first<A: Arena>(graph: &Graph<A>, mut marks: Bits) -> Vec<usize> {
    enum Step {
        Enter(usize),
        Leave(usize),
    }
    let (mut left, mut stack) = (Vec::new(), Vec::new());
    for block in graph.map.live_blocks() {
        stack.push(Step::Enter(block));
        while let Some(step) = stack.pop() {
            match step {
                Step::Leave(block) => left.push(block),
                Step::Enter(block) if marks.set(block) => {
                    stack.push(Step::Leave(block));
                    stack.extend(graph.children(block).filter(|&child| !marks.get(child)).map(Step::Enter));
                }
                Step::Enter(_) => {}
            }
        }
    }
    left.reverse();
    left
}
