//! Programs that change their own code.

mod common;

use common::same_transcript;

#[test]
fn code_that_a_string_instruction_copied_can_be_patched() {
    assert_eq!(same_transcript("patched_code"), "0 stale\n");
}
