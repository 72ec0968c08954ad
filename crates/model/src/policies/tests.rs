use super::*;
use crate::policy::{Outcome, Reference};
use crate::random::Random as Generator;
use std::collections::{HashMap, HashSet};

fn reads(pages: &[u64]) -> Vec<Reference> {
    pages.iter().map(|&page| Reference::read(page)).collect()
}

fn faults(kind: PolicyKind, frames: usize, references: &[Reference]) -> u64 {
    kind.replayed(frames, &Settings::default(), &Future::of(references)).replay(references)
}

const BELADY: &[u64] = &[1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
const SEVEN: &[u64] = &[7, 0, 1, 2, 0, 3, 0, 4, 2, 3, 0, 3, 2, 1, 2, 0, 1, 7, 0, 1];
const OSTEP: &[u64] = &[0, 1, 2, 0, 1, 3, 0, 3, 1, 2, 1];

#[test]
fn faults_are_the_textbooks() {
    use PolicyKind::{Clock, Clock0, Fifo, Lfu, Lru, Opt};
    let cycle: Vec<u64> = (0..50).map(|step| step % 5).collect();
    let kinds = [Fifo, Lru, Opt, Clock, Clock0, Lfu];
    let golden: [(&[u64], [[u64; 7]; 6]); 4] = [
        (
            BELADY,
            [
                [12, 12, 9, 10, 5, 5, 5],
                [12, 12, 10, 8, 5, 5, 5],
                [12, 9, 7, 6, 5, 5, 5],
                [12, 12, 9, 10, 5, 5, 5],
                [12, 12, 10, 8, 5, 5, 5],
                [12, 12, 10, 8, 5, 5, 5],
            ],
        ),
        (
            SEVEN,
            [
                [20, 15, 15, 10, 9, 6, 6],
                [20, 17, 12, 8, 7, 6, 6],
                [20, 13, 9, 8, 7, 6, 6],
                [20, 15, 14, 9, 9, 6, 6],
                [20, 17, 11, 8, 7, 6, 6],
                [20, 15, 11, 9, 7, 6, 6],
            ],
        ),
        (
            OSTEP,
            [
                [11, 9, 7, 4, 4, 4, 4],
                [11, 9, 5, 4, 4, 4, 4],
                [11, 7, 5, 4, 4, 4, 4],
                [11, 9, 7, 4, 4, 4, 4],
                [11, 9, 5, 4, 4, 4, 4],
                [11, 10, 5, 4, 4, 4, 4],
            ],
        ),
        (
            &cycle,
            [
                [50, 50, 50, 50, 5, 5, 5],
                [50, 50, 50, 50, 5, 5, 5],
                [50, 38, 27, 16, 5, 5, 5],
                [50, 50, 50, 50, 5, 5, 5],
                [50, 50, 50, 50, 5, 5, 5],
                [50, 50, 50, 50, 5, 5, 5],
            ],
        ),
    ];
    for (pages, rows) in golden {
        let references = reads(pages);
        for (kind, row) in kinds.into_iter().zip(rows) {
            let counted: Vec<u64> = (1..=7).map(|frames| faults(kind, frames, &references)).collect();
            assert_eq!(counted, row, "{} on {pages:?}", kind.name());
        }
    }
}

/// Strings of several characters: uniform, skewed, loops and scans, with some stores.
fn strings() -> Vec<Vec<Reference>> {
    let mut generator = Generator::new(7);
    let mut strings = Vec::new();
    for seed in 0..24 {
        let pages = 2 + generator.below(40);
        let length = 50 + generator.below(600);
        let mut string = Vec::new();
        for step in 0..length {
            let uniform = generator.below(pages);
            let page = match seed % 4 {
                0 => uniform,
                1 => generator.below(uniform + 1),
                2 => step % pages,
                _ if generator.below(4) == 0 => 100 + step,
                _ => generator.below(uniform + 1),
            };
            let access = if generator.below(3) == 0 { Access::Write } else { Access::Read };
            string.push(Reference::new(page, access));
        }
        strings.push(string);
    }
    strings
}

use addr::Access;

#[test]
fn every_policy_keeps_its_promises() {
    for references in strings() {
        let distinct = references.iter().map(|reference| reference.page()).collect::<HashSet<_>>().len();
        let future = Future::of(&references);
        for frames in [1, 2, 3, 4, 5, 7, 10, 16, 30, distinct, distinct + 3] {
            let best = faults(PolicyKind::Opt, frames, &references);
            for &kind in PolicyKind::ALL {
                let mut policy = kind.replayed(frames, &Settings::default(), &future);
                let mut resident = HashSet::new();
                let mut count = 0;
                for &reference in &references {
                    let was_resident = resident.contains(&reference.page());
                    let outcome = policy.reference(reference);
                    assert_eq!(outcome == Outcome::Hit, was_resident, "{} with {frames}", kind.name());
                    if let Outcome::Replaced(victim) = outcome {
                        assert!(resident.remove(&victim), "{} evicts what is there", kind.name());
                    }
                    resident.insert(reference.page());
                    count += u64::from(!was_resident);
                    assert_eq!(policy.resident(), resident.len(), "{} with {frames}", kind.name());
                    policy.check();
                }
                assert!(count >= best, "{} beats OPT with {frames} frames", kind.name());
                if frames >= distinct {
                    assert_eq!(count, distinct as u64, "{} with room for all", kind.name());
                }
            }
        }
    }
}

#[test]
fn more_frames_never_hurt_a_stack_algorithm() {
    for references in strings() {
        for kind in [PolicyKind::Lru, PolicyKind::Opt] {
            let counts: Vec<u64> = (1..=45).map(|frames| faults(kind, frames, &references)).collect();
            assert!(counts.is_sorted_by(|fewer, more| fewer >= more), "{}", kind.name());
        }
    }
}

#[test]
fn unmapped_pages_are_forgotten() {
    for (seed, references) in strings().into_iter().enumerate() {
        for &kind in PolicyKind::ALL {
            let Some(mut policy) = kind.online(8, &Settings::default()) else { continue };
            let mut generator = Generator::new(seed as u64);
            let mut resident = HashSet::new();
            for &reference in &references {
                match policy.reference(reference) {
                    Outcome::Replaced(victim) => assert!(resident.remove(&victim), "{}", kind.name()),
                    Outcome::Hit => assert!(resident.contains(&reference.page()), "{}", kind.name()),
                    Outcome::Loaded => {}
                }
                resident.insert(reference.page());
                if generator.below(6) == 0 {
                    let page = generator.below(40);
                    policy.remove(page);
                    resident.remove(&page);
                    policy.check();
                }
                if generator.below(9) == 0 {
                    let victim = policy.evict(None, &mut |_| Default::default());
                    assert_eq!(victim.is_some_and(|page| resident.remove(&page)), victim.is_some(), "{}", kind.name());
                }
                assert_eq!(policy.resident(), resident.len(), "{}", kind.name());
            }
        }
    }
}

/// A kernel never touches: it faults pages in and lends its accessed bits.
#[test]
fn accessed_bits_are_enough_for_the_clocks() {
    use PolicyKind::{Car, Clock, Clock0, SecondChance, Sieve};
    for references in strings() {
        for kind in [Clock, Clock0, SecondChance, Sieve, Car] {
            for frames in [3, 8] {
                let mut replay = kind.online(frames, &Settings::default()).expect("an online policy");
                let mut kernel = kind.online(frames, &Settings::default()).expect("an online policy");
                let mut accessed: HashMap<u64, bool> = HashMap::new();
                for &reference in &references {
                    let page = reference.page();
                    let expected = replay.reference(reference);
                    if let Some(bit) = accessed.get_mut(&page) {
                        *bit = true;
                        assert_eq!(expected, Outcome::Hit, "{}", kind.name());
                        continue;
                    }
                    let mut outcome = Outcome::Loaded;
                    if accessed.len() == frames {
                        let mut test_and_clear = |page| crate::policy::Marks {
                            accessed: std::mem::take(accessed.get_mut(&page).expect("it is resident")),
                            dirty: false,
                        };
                        let victim = kernel.evict(Some(page), &mut test_and_clear).expect("memory is full");
                        accessed.remove(&victim);
                        outcome = Outcome::Replaced(victim);
                    }
                    kernel.insert(page, Access::Read);
                    accessed.insert(page, false);
                    assert_eq!(outcome, expected, "{} with {frames}", kind.name());
                }
            }
        }
    }
}

#[test]
fn the_table_names_every_policy_once() {
    let names: HashSet<&str> = PolicyKind::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), PolicyKind::ALL.len());
    assert!(PolicyKind::ALL.iter().all(|&kind| PolicyKind::named(kind.name()) == Some(kind)));
}
