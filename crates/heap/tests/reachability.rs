//! Random graphs of blocks against a brute-force search of the edges that made them.

use pagewalk_heap::collector::{Collector, Contents, Pointers, Policy, Reach, Root};
use pagewalk_heap::{Arena, ByteArena, Ptr};
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};

const BASE: u64 = 0x7fff_0000_0000;

/// A block: words in its payload, and whether it is atomic.
type Shape = (u64, bool);
/// A pointer: from which block, at which word, to which block, how many bytes into it.
type Edge = (usize, u64, usize, u64);

#[derive(Clone, Debug)]
struct Plan {
    blocks: Vec<Shape>,
    edges: Vec<Edge>,
    /// To which block, how many bytes into it.
    roots: Vec<(usize, u64)>,
    stack_limit: usize,
}

fn plans() -> impl Strategy<Value = Plan> {
    let words = prop_oneof![20 => 1_u64..8, 2 => 100_u64..600, 1 => 2000_u64..5000];
    let offset = || prop_oneof![3 => Just(0_u64), 1 => any::<u64>()];
    (
        prop::collection::vec((words, prop::bool::weighted(0.2)), 1..40),
        prop::collection::vec((any::<usize>(), any::<u64>(), any::<usize>(), offset()), 0..80),
        prop::collection::vec((any::<usize>(), offset()), 0..5),
        1_usize..6,
    )
        .prop_map(|(blocks, edges, roots, stack_limit)| {
            let (count, bytes) = (blocks.len(), |block: usize| blocks[block].0 * 8);
            let mut slots = BTreeMap::new();
            for (from, slot, to, offset) in edges {
                let (from, to) = (from % count, to % count);
                slots.insert((from, slot % blocks[from].0), (to, offset % bytes(to)));
            }
            let edges = slots.into_iter().map(|((from, slot), (to, offset))| (from, slot, to, offset)).collect();
            let roots = roots.into_iter().map(|(to, offset)| (to % count, offset % bytes(to % count))).collect();
            Plan { edges, roots, stack_limit, blocks: blocks.clone() }
        })
}

/// The plan as blocks on a heap: the payloads, and the words of the roots.
fn build(plan: &Plan) -> (Collector<ByteArena>, Vec<Ptr>, Vec<u64>) {
    let policy = Policy { base: BASE, min_bytes: 1 << 40, stack_limit: plan.stack_limit, chunk: 4096 };
    let mut heap = Collector::new(ByteArena::new(1 << 23), policy).expect("room");
    let blocks: Vec<Ptr> = plan
        .blocks
        .iter()
        .map(|&(words, atomic)| {
            let contents = if atomic { Contents::Atomic } else { Contents::Pointers };
            heap.malloc(words * 8, contents, || []).expect("room")
        })
        .collect();
    for &(from, slot, to, offset) in &plan.edges {
        heap.arena_mut().store64(blocks[from].get() + slot * 8, BASE + blocks[to].get() + offset);
    }
    let roots = plan.roots.iter().map(|&(to, offset)| BASE + blocks[to].get() + offset).collect();
    (heap, blocks, roots)
}

impl Plan {
    fn targets(&self, block: usize, pointers: Pointers) -> impl Iterator<Item = usize> {
        let edges = self.edges.iter().filter(move |edge| edge.0 == block && !self.blocks[block].1);
        edges.filter(move |edge| pointers == Pointers::Interior || edge.3 == 0).map(|edge| edge.2)
    }

    /// How many pointers a shortest path from these blocks to each one has.
    fn distances(&self, from: impl Iterator<Item = usize>, pointers: Pointers) -> BTreeMap<usize, usize> {
        let mut distances: BTreeMap<usize, usize> = from.map(|block| (block, 0)).collect();
        let mut queue: VecDeque<usize> = distances.keys().copied().collect();
        while let Some(block) = queue.pop_front() {
            let next = distances[&block] + 1;
            for target in self.targets(block, pointers) {
                distances.entry(target).or_insert_with(|| {
                    queue.push_back(target);
                    next
                });
            }
        }
        distances
    }

    fn reached_by(&self, pointers: Pointers) -> BTreeMap<usize, usize> {
        let roots = self.roots.iter().filter(|root| pointers == Pointers::Interior || root.1 == 0);
        self.distances(roots.map(|root| root.0), pointers)
    }

    /// What the report must say, from the definitions.
    fn expected(&self) -> Vec<Reach> {
        let (by_start, by_any) = (self.reached_by(Pointers::Start), self.reached_by(Pointers::Interior));
        let all = 0..self.blocks.len();
        let reached: Vec<_> =
            all.clone().map(|block| self.distances([block].into_iter(), Pointers::Interior)).collect();
        let is_lost = |block: usize| !by_any.contains_key(&block);
        // Another lost block owns it: one that it does not reach in turn, or one before it in its own circle.
        let is_owned = |block: usize| {
            let mut owners = all.clone().filter(|&owner| owner != block && is_lost(owner));
            owners.any(|owner| {
                reached[owner].contains_key(&block) && (!reached[block].contains_key(&owner) || owner < block)
            })
        };
        all.clone()
            .map(|block| match () {
                () if by_start.contains_key(&block) => Reach::StillReachable,
                () if !is_lost(block) => Reach::PossiblyLost,
                () if is_owned(block) => Reach::IndirectlyLost,
                () => Reach::DefinitelyLost,
            })
            .collect()
    }
}

proptest! {
    #[test]
    fn leaks_are_what_the_definitions_say(plan in plans()) {
        let (mut heap, blocks, roots) = build(&plan);
        let reaches = heap.leaks(&[Root::Words(&roots)]);
        prop_assert_eq!(reaches.len(), blocks.len());
        let named: Vec<Reach> = blocks.iter().map(|at| reaches[&at.get()]).collect();
        prop_assert_eq!(named, plan.expected());
    }

    #[test]
    fn why_alive_is_a_shortest_path_of_pointers(plan in plans()) {
        let (mut heap, blocks, roots) = build(&plan);
        let distances = plan.reached_by(Pointers::Interior);
        for (block, &at) in blocks.iter().enumerate() {
            let path = heap.why_alive(at, &[Root::Words(&roots)]);
            prop_assert_eq!(path.as_ref().map(|path| path.len() - 1), distances.get(&block).copied());
            let Some(path) = path else { continue };
            let path: Vec<usize> = path.iter().map(|at| blocks.iter().position(|block| block == at).expect("a block")).collect();
            prop_assert!(plan.roots.iter().any(|root| root.0 == path[0]));
            prop_assert_eq!(path.last(), Some(&block));
            for pair in path.windows(2) {
                prop_assert!(plan.targets(pair[0], Pointers::Interior).any(|target| target == pair[1]));
            }
        }
    }

    #[test]
    fn a_collection_keeps_what_is_reached_and_nothing_else(plan in plans()) {
        let (mut heap, blocks, roots) = build(&plan);
        let distances = plan.reached_by(Pointers::Interior);
        heap.collect(&[Root::Words(&roots)]);
        let kept: Vec<u64> = heap.leaks(&[Root::Words(&roots)]).into_keys().collect();
        let mut expected: Vec<u64> = distances.keys().map(|&block| blocks[block].get()).collect();
        expected.sort_unstable();
        prop_assert_eq!(kept, expected);
        let payload: u64 = distances.keys().map(|&block| plan.blocks[block].0 * 8).sum();
        let (live, most) = (heap.collections().live_bytes, payload + 56 * distances.len() as u64);
        prop_assert!((payload..=most).contains(&live), "{} bytes live of {}..={}", live, payload, most);
        prop_assert_eq!(heap.check(), Ok(()));
    }
}
