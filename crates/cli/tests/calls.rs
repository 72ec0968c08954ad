//! System calls: each program says the same natively and under pagewalk.

mod common;

use common::same_transcript;

#[test]
fn interrupted_calls_go_on_as_linux_says() {
    let story = same_transcript("interrupted");
    assert!(!story.contains("it began anew each time"), "{story}");
    assert!(!story.contains("the handler did not run"), "{story}");
}

#[test]
fn system_v_objects_are_shared_waited_for_and_removed() {
    let story = same_transcript("system_v_ipc");
    assert!(story.contains("read there: written here"), "{story}");
    assert!(story.contains("undone: 1"), "{story}");
}

#[test]
fn many_messages_pass_in_one_call() {
    let story = same_transcript("messages");
    assert!(story.contains("received: 3"), "{story}");
}

#[test]
fn what_was_asked_of_the_scheduler_is_told_back() {
    same_transcript("scheduling");
}

#[test]
fn calls_that_never_block_are_never_interrupted() {
    let story = same_transcript("interrupted_calls");
    assert_eq!(story, "0 failures, signals arrived\n");
}
