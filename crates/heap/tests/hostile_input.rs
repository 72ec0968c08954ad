//! What the fuzz targets do, on a bounded number of random inputs.

mod hostile;

use proptest::prelude::*;

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(any::<u8>(), 0..400), prop::collection::vec(0_u8..12, 0..400)]
}

/// Lines that are nearly a trace.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![4 => "[afr]", 6 => "[0-9]{1,3}", 1 => "-?[0-9]{1,21}", 1 => "\\PC{0,3}"];
    let line = prop::collection::vec(word, 0..5).prop_map(|words| words.join(" "));
    prop::collection::vec(line, 0..9)
        .prop_map(|lines| format!("9\n3\n{}\n1\n{}", lines.len(), lines.join("\n")).into_bytes())
}

proptest! {
    #[test]
    fn a_trace_is_refused_or_makes_sense(tail in bytes(), text in text()) {
        hostile::traces(&tail);
        hostile::traces(&[b"pagewalk heap trace 1\n", tail.as_slice()].concat());
        hostile::traces(&text);
    }

    #[test]
    fn a_log_of_any_slots_is_a_trace(slots in prop::collection::vec([0_u64..8, 0..6, 0..9, 0..6], 0..60)) {
        let head = [[slots.len() as u64, 0, 0, 0], [0; 4]];
        hostile::logs(&head.iter().chain(&slots).flatten().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>());
    }

    #[test]
    fn hostile_frees_are_refused(bytes in bytes()) {
        hostile::frees(&bytes);
    }

    #[test]
    fn a_smashed_heap_answers(bytes in bytes()) {
        hostile::smashes(&bytes);
    }

    #[test]
    fn numbers_that_look_like_pointers_do_no_harm(bytes in bytes()) {
        hostile::words(&bytes);
    }
}
