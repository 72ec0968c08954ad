//! The engine against the host: every form, and sequences. The same seeds every time; `cargo xtask fuzz` tries others.

use engine::{Count, EngineConfig, Extent, Linking};
use pagewalk_lockstep::Random;
use pagewalk_lockstep::fuzz::{CaseId, Native, Ours, Search, Tally};

/// Runs so many rounds of all forms, and so many sequences, and fails with what differed.
fn compare(config: EngineConfig, seed: u64, rounds: u64, sequences: u64) {
    let (mut host, mut ours) = (Native::new().unwrap(), Ours::new(config).unwrap());
    let mut search = Search::new(&mut host, &mut ours);
    let (mut random, mut tally) = (Random::new(seed), Tally::default());
    let mut failures = Vec::from_iter(search.self_modifying(&mut tally).unwrap());
    for _ in 0..rounds {
        failures.extend(search.singles(random.word(), &mut tally).unwrap());
    }
    for _ in 0..sequences {
        failures.extend(search.sequence(CaseId::whole(random.word()), &mut tally).unwrap());
    }
    let texts: Vec<String> = failures.iter().take(5).map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} of {} cases differ:\n{}", failures.len(), tally.cases, texts.join("\n\n"));
}

#[test]
fn every_form_and_sequences_in_superblocks() {
    compare(EngineConfig::default(), 1, 20, 30_000);
}

/// Nothing of AVX-512 is executed, whatever the host has.
#[test]
fn hidden_forms_are_illegal_and_change_nothing() {
    let (mut host, mut ours) = (Native::new().unwrap(), Ours::new(EngineConfig::default()).unwrap());
    let mut search = Search::new(&mut host, &mut ours);
    let (mut random, mut tally) = (Random::new(5), Tally::default());
    let failures: Vec<_> = (0..3).flat_map(|_| search.hidden(random.word(), &mut tally).unwrap()).collect();
    let texts: Vec<String> = failures.iter().take(5).map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), tally.cases, texts.join("\n\n"));
    assert!(tally.cases > 3 * 1500, "{} cases; not encodable: {:?}", tally.cases, tally.unencodable);
}

#[test]
fn every_form_and_sequences_one_instruction_a_block() {
    compare(EngineConfig { extent: Extent::Instruction, ..EngineConfig::default() }, 2, 5, 5_000);
}

#[test]
fn every_form_and_sequences_counted_and_unlinked() {
    compare(EngineConfig { count: Count::Yes, linking: Linking::Off, ..EngineConfig::default() }, 3, 5, 5_000);
}

#[test]
fn every_form_and_sequences_while_lookups_fail_by_order() {
    compare(EngineConfig { chaos: Some(97), ..EngineConfig::default() }, 4, 5, 5_000);
}

/// One jumps to the flags it has pushed, one fills its own code; what they come to refuses at once and kills the flags.
#[test]
fn code_that_is_not_the_cases_leaves_dead_flags_uncompared() {
    let (mut host, mut ours) = (Native::new().unwrap(), Ours::new(EngineConfig::default()).unwrap());
    let mut search = Search::new(&mut host, &mut ours);
    for id in ["90175b7a6ed955b5-ffffffffffffe006", "38665866986ee63e-fffffffffffffc81"] {
        let id = CaseId::parse(id).expect("an id");
        let failure = search.sequence(id, &mut Tally::default()).unwrap();
        assert!(failure.is_none(), "{}", failure.expect("there is one"));
    }
}
