//! Ten wrong translations, each of which the fuzzer must see.

use engine::{EngineConfig, Sabotage};
use pagewalk_lockstep::Random;
use pagewalk_lockstep::fuzz::{CaseId, Native, Ours, Search, Tally};

/// Rounds of all forms and of sequences after which a mistake counts as missed.
const ROUNDS: usize = 10;
/// Sequences of a round.
const SEQUENCES: usize = 4_000;

#[test]
fn each_wrong_translation_is_seen() {
    let mut host = Native::new().unwrap();
    let missed: Vec<Sabotage> = Sabotage::ALL.into_iter().filter(|sabotage| !is_seen(*sabotage, &mut host)).collect();
    assert!(missed.is_empty(), "not seen: {missed:?}");
}

fn is_seen(sabotage: Sabotage, host: &mut Native) -> bool {
    let mut ours = Ours::new(EngineConfig { sabotage: Some(sabotage), ..EngineConfig::default() }).unwrap();
    let mut search = Search::new(host, &mut ours);
    let (mut random, mut tally) = (Random::new(5), Tally::default());
    if search.self_modifying(&mut tally).unwrap().is_some() {
        return true;
    }
    (0..ROUNDS).any(|_| {
        let mut sees_in_sequence = |seed| search.sequence(CaseId::whole(seed), &mut tally).unwrap().is_some();
        let seeds: Vec<u64> = (0..SEQUENCES).map(|_| random.word()).collect();
        seeds.into_iter().any(&mut sees_in_sequence) || !search.singles(random.word(), &mut tally).unwrap().is_empty()
    })
}
