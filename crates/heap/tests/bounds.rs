//! Worst cases of the literature, as assertions.

use pagewalk_heap::synth::{self, Robson};
use pagewalk_heap::{ByteArena, Spec};

const GAME: Robson = Robson { units: 1 << 12, rounds: 8, unit_bytes: 32 };

fn units_taken(spec: &str) -> u64 {
    let spec: Spec = spec.parse().expect("the tests know the parameters");
    let mut heap = spec.open(ByteArena::new(1 << 24)).expect("room");
    let taken = synth::robson(heap.as_mut(), GAME, |_| ()).expect("sixteen mebibytes are enough");
    heap.check().expect("sound");
    taken
}

/// Robson 1974: no allocator that cannot move blocks needs less than M (log2(n)/2 + 1) - n + 1.
#[test]
fn nobody_beats_robsons_adversary() {
    for spec in [
        "bump",
        "implicit",
        "implicit:fit=next",
        "implicit-nofooter:fit=best",
        "explicit:order=address",
        "explicit:fit=best,side=by-size",
        "segregated-fits",
        "segregated-fits:fit=best,coalesce=immediate",
        "buddy",
    ] {
        let taken = units_taken(spec);
        assert!(taken >= GAME.lower_bound(), "{spec}: {taken} units, and the bound is {}", GAME.lower_bound());
    }
}

/// Robson 1977: address-ordered first fit needs at most about M log2(n); best fit may need M n.
#[test]
fn first_fit_stays_under_m_log_n() {
    let taken = units_taken("explicit:order=address,fit=first");
    assert!(taken <= GAME.units * u64::from(GAME.rounds), "{taken}");
}

/// Knuth, Robson: a buddy heap of M units live in blocks up to n never needs more than M (log2(n) + 1) units, and the
/// next power of two to lie in.
#[test]
fn buddies_stay_under_m_log_n() {
    let taken = units_taken("buddy");
    assert!(taken <= (GAME.units * u64::from(GAME.rounds + 1)).next_power_of_two(), "{taken}");
}

/// A buddy block is less than twice as large as its payload and its header, and simple cells as their payload.
#[test]
fn powers_of_two_waste_less_than_half() {
    for (spec, tags) in [("buddy", 4), ("segregated-storage", 0)] {
        let spec: Spec = spec.parse().expect("a name");
        let mut heap = spec.open(ByteArena::new(1 << 24)).expect("room");
        for bytes in (16..5000).step_by(7) {
            let at = heap.malloc(bytes).expect("room");
            assert!(heap.block_bytes(at) < 2 * (bytes + tags), "{bytes}");
        }
    }
}
