//! The collector against a model graph: what the roots reach stays, word for word, and the rest is found.

use pagewalk_heap::collector::{Collector, Contents, Policy, Reach, Root};
use pagewalk_heap::{Arena, ByteArena, Ptr, Refusal};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const BASE: u64 = 0x5555_0000_0000;

fn collector(stack_limit: usize, min_bytes: u64) -> Collector<ByteArena> {
    let policy = Policy { base: BASE, min_bytes, stack_limit, chunk: 4096 };
    Collector::new(ByteArena::new(1 << 22), policy).expect("room")
}

fn link(heap: &mut Collector<ByteArena>, from: Ptr, slot: u64, to: Ptr, offset: u64) {
    let word = if to.is_null() { 0 } else { BASE + to.get() + offset };
    heap.arena_mut().store64(from.get() + slot * 8, word);
}

fn node(heap: &mut Collector<ByteArena>, bytes: u64, roots: &[u64]) -> Ptr {
    heap.malloc(bytes, Contents::Pointers, || [Root::Words(roots)]).expect("room")
}

#[test]
fn leaks_are_named_as_valgrind_names_them() {
    let mut heap = collector(100, 1 << 30);
    let [kept, next, middle, leader, follower, one, other] = [0; 7].map(|_| node(&mut heap, 24, &[]));
    link(&mut heap, kept, 0, next, 0);
    link(&mut heap, next, 1, middle, 8);
    link(&mut heap, leader, 0, follower, 0);
    link(&mut heap, one, 0, other, 0);
    link(&mut heap, other, 0, one, 0);
    let roots = [BASE + kept.get()];
    let reach = heap.leaks(&[Root::Words(&roots)]);
    let named = [kept, next, middle, leader, follower, one, other].map(|at| reach[&at.get()]);
    let (still, possibly) = (Reach::StillReachable, Reach::PossiblyLost);
    let (definitely, indirectly) = (Reach::DefinitelyLost, Reach::IndirectlyLost);
    assert_eq!(named, [still, still, possibly, definitely, indirectly, definitely, indirectly]);
    assert_eq!(heap.why_alive(middle, &[Root::Words(&roots)]), Some(vec![kept, next, middle]));
    assert_eq!(heap.why_alive(leader, &[Root::Words(&roots)]), None);
}

#[test]
fn atomic_blocks_are_not_looked_into_and_roots_may_lie_in_the_arena() {
    let mut heap = collector(100, 1 << 30);
    let [root, child] = [0; 2].map(|_| node(&mut heap, 16, &[]));
    let text = heap.malloc(16, Contents::Atomic, || []).expect("room");
    let hidden = node(&mut heap, 16, &[]);
    link(&mut heap, root, 0, child, 0);
    link(&mut heap, root, 1, text, 0);
    link(&mut heap, text, 0, hidden, 0);
    let reach = heap.leaks(&[Root::Arena(root.get()..root.get() + 16)]);
    assert_eq!((reach[&child.get()], reach[&text.get()]), (Reach::StillReachable, Reach::StillReachable));
    assert_eq!(reach[&hidden.get()], Reach::DefinitelyLost);
}

#[test]
fn a_mark_stack_of_one_block_marks_everything() {
    let mut heap = collector(1, 1 << 30);
    let root = node(&mut heap, 8 * 300, &[]);
    let roots = [BASE + root.get()];
    for slot in 0..300 {
        let list = node(&mut heap, 16, &[]);
        link(&mut heap, root, slot, list, 0);
        let tail = node(&mut heap, 16, &[]);
        link(&mut heap, list, 1, tail, 0);
    }
    let live = heap.leaks(&[Root::Words(&roots)]);
    assert!(live.values().all(|reach| *reach == Reach::StillReachable));
    heap.collect(&[Root::Words(&roots)]);
    let least = 600 * 32 + 2416;
    assert!((least..least + 64).contains(&heap.collections().live_bytes), "and a rest too small for a block");
}

#[test]
fn a_full_arena_is_collected_before_it_is_refused() {
    let mut heap = collector(100, 1 << 30);
    for _ in 0..1000 {
        node(&mut heap, 10_000, &[]);
    }
    assert!(heap.collections().count > 0);
    assert_eq!(heap.malloc(1 << 23, Contents::Atomic, || []), Err(Refusal::NoMemory));
    heap.check().expect("sound");
}

#[derive(Clone, Debug)]
enum Step {
    Allocate(u64),
    Link(usize, usize, u64),
    Root(usize),
    Unroot(usize),
    Collect,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop_oneof![9 => 1_u64..6, 1 => 6_u64..600].prop_map(Step::Allocate),
        6 => (any::<usize>(), any::<usize>(), 0_u64..8).prop_map(|(from, to, offset)| Step::Link(from, to, offset)),
        2 => any::<usize>().prop_map(Step::Root),
        2 => any::<usize>().prop_map(Step::Unroot),
        1 => Just(Step::Collect),
    ];
    prop::collection::vec(step, 1..200)
}

/// What the model knows of a block: its words, as the blocks they point to.
type Model = BTreeMap<u64, Vec<u64>>;

fn live(model: &Model, roots: &[u64]) -> BTreeSet<u64> {
    let (mut seen, mut stack) = (BTreeSet::new(), roots.to_vec());
    while let Some(at) = stack.pop() {
        if at != 0 && seen.insert(at) {
            stack.extend(&model[&at]);
        }
    }
    seen
}

proptest! {
    #[test]
    fn what_the_roots_reach_stays(steps in steps(), stack_limit in 1_usize..9, min_bytes in 200_u64..4000) {
        let mut heap = collector(stack_limit, min_bytes);
        let (mut model, mut roots): (Model, Vec<u64>) = (Model::new(), Vec::new());
        for step in steps {
            let reached: Vec<u64> = live(&model, &roots).into_iter().collect();
            let words: Vec<u64> = roots.iter().map(|at| BASE + at).collect();
            match step {
                Step::Allocate(count) => {
                    let at = heap.malloc(count * 8, Contents::Pointers, || [Root::Words(&words)]).expect("room").get();
                    for other in live(&model, &roots) {
                        let end = other + model[&other].len() as u64 * 8;
                        prop_assert!(end <= at || at + count * 8 <= other, "{at:#x} overlaps {other:#x}");
                    }
                    model.insert(at, vec![0; count as usize]);
                    roots.push(at);
                }
                Step::Link(from, to, offset) if !reached.is_empty() => {
                    let (from, to) = (reached[from % reached.len()], reached[to % reached.len()]);
                    let slot = to as usize % model[&from].len();
                    link(&mut heap, Ptr::new(from), slot as u64, Ptr::new(to), offset.min(7));
                    model.get_mut(&from).expect("reached")[slot] = to;
                }
                Step::Root(which) if !reached.is_empty() => roots.push(reached[which % reached.len()]),
                Step::Unroot(which) if !roots.is_empty() => drop(roots.swap_remove(which % roots.len())),
                Step::Collect => heap.collect(&[Root::Words(&words)]),
                _ => {}
            }
            prop_assert_eq!(heap.check(), Ok(()));
            for at in live(&model, &roots) {
                for (slot, &to) in (0_u64..).zip(&model[&at]) {
                    let word = heap.arena().load64(at + slot * 8);
                    let sound = if to == 0 { word == 0 } else { (BASE + to..BASE + to + 8).contains(&word) };
                    prop_assert!(sound, "block {at:#x} lost a word");
                }
            }
        }
    }
}
