//! System calls: each program says the same natively and under pagewalk.

mod common;

use common::{compile, natively, same_transcript, stderr, stdout, under_pagewalk};
use std::process::Command;

#[test]
fn interrupted_calls_go_on_as_linux_says() {
    let story = same_transcript("interrupted");
    assert!(!story.contains("it began anew each time"), "{story}");
    assert!(!story.contains("the handler did not run"), "{story}");
}

/// Alignment and pending x87 errors come before pages, and a jump to no address is refused where it stands.
#[test]
fn faults_come_in_the_order_of_the_hardware() {
    let story = same_transcript("fault_order");
    assert!(
        story.contains("return_ 0x4141414141414141: signal 11 code 128 at 0 trap 13 error 0, rip code+1"),
        "{story}"
    );
}

/// #SS, not #GP, for what the stack pointers lead to.
#[test]
fn an_address_that_is_none_is_told_by_its_segment() {
    let story = same_transcript("stack_segment");
    assert!(story.contains("load_rbp 0x4141414141414140: signal 7 code 128 at (nil) trap 12 error 0"), "{story}");
    assert!(story.contains("load_r12 0x4141414141414140: signal 11 code 128 at (nil) trap 13 error 0"), "{story}");
}

#[test]
fn instructions_of_kernels_are_refused_as_the_hardware_does() {
    let story = same_transcript("privileged");
    assert!(story.contains("rdmsr: signal 11 code 128 trap 13 error 0, code+0 at 0"), "{story}");
    assert!(story.contains("int2e: signal 11 code 128 trap 13 error 0x172, code+0 at 0"), "{story}");
}

/// A host may be without 32-bit calls; a guest has them.
#[test]
fn calls_of_32_bit_programs_do_what_theirs_do() {
    let directory = tempfile::tempdir().expect("there is room");
    let program = compile("old_calls", directory.path());
    let guest = under_pagewalk(&["--events", "calls"], &program, &[]);
    let (said, told) = (stdout(&guest), stderr(&guest));
    for line in ["write: 20 ", "seek back: 7 ", "waitpid: 1, status 42", "restarted read: 4 ", "no such call: -38 "] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(told.contains(r#"write(1, "written by number 4\n", 20) = 20"#), "{told}");
    assert!(
        told.contains("the system call 9999 of 32-bit programs (int 0x80) is missing and answers ENOSYS"),
        "{told}"
    );
    let native = natively(&program, &[]);
    if native.status.success() {
        assert_eq!(said, stdout(&native));
    }
}

/// A death by #GP has one cause, which is told.
#[test]
fn a_death_by_an_instruction_of_kernels_names_it() {
    let directory = tempfile::tempdir().expect("there is room");
    let program = compile("privileged", directory.path());
    let said = stderr(&under_pagewalk(&[], &program, &["halt"]));
    assert!(said.contains("SIGSEGV: hlt, an instruction that only a kernel may execute, by main at "), "{said}");
}

/// Linux answers them where the processor does not let programs look.
#[test]
fn registers_of_the_kernel_are_told_as_linux_does() {
    let directory = tempfile::tempdir().expect("there is room");
    let program = compile("privileged", directory.path());
    let guest = under_pagewalk(&["--quiet"], &program, &["tell"]);
    assert!(stdout(&guest).starts_with("00000000feffffffffffcccccccccccc"), "{}", stdout(&guest));
    let processor = std::fs::read_to_string("/proc/cpuinfo").expect("the host has a processor");
    if processor.split_whitespace().any(|flag| flag == "umip") {
        assert_eq!(stdout(&guest), stdout(&natively(&program, &["tell"])));
    }
}

/// Content of which a part cannot be read, and a heap that meets the next map.
#[test]
fn edges_are_where_linux_has_them() {
    let story = same_transcript("edges");
    assert!(story.contains("pipe 10 of 4096: -1 EFAULT, arrived 0\n"), "{story}");
    assert!(story.contains("file 10 of 4096: 10 , arrived 0\n") && story.contains("data, -4095: not"), "{story}");
}

#[test]
fn futexes_that_are_locks_are_handed_on() {
    let story = same_transcript("lock_futexes");
    assert!(story.contains("counted: 16000") && story.contains("it was number 1"), "{story}");
}

#[test]
fn processes_have_descriptors() {
    let story = same_transcript("pid_files");
    assert!(story.contains("killed by 9"), "{story}");
}

#[test]
fn clone_shares_what_it_is_asked_to() {
    let story = same_transcript("sharing");
    assert!(story.contains("closed by the child: yes") && story.contains("a sharer's handler: yes"), "{story}");
}

#[test]
fn a_forked_child_faults_on_its_text() {
    let story = same_transcript("fork_text");
    assert!(story.contains("child: faults"), "{story}");
}

#[test]
fn a_program_steps_itself() {
    let story = same_transcript("single_step");
    assert!(story.contains("51 traps"), "{story}");
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

/// The host knows one process only, pagewalk.
#[test]
fn guests_are_told_who_is_at_the_other_end() {
    let story = same_transcript("credentials");
    assert!(!story.contains(", not "), "{story}");
}

#[test]
fn capabilities_are_those_of_the_guest() {
    let story = same_transcript("capabilities");
    assert!(story.contains("by number: 0"), "{story}");
    assert!(story.contains("of the child: 0"), "{story}");
}

#[test]
fn descriptors_tell_their_owners() {
    let story = same_transcript("descriptor_signals");
    assert!(story.contains("told: signal 23") && story.contains("typed: signal 29"), "{story}");
}

#[test]
fn requests_are_those_of_linux() {
    same_transcript("requests");
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

#[test]
fn children_are_waited_for_inherited_and_replaced() {
    same_transcript("children");
}

#[test]
fn descriptors_are_shared_with_children() {
    let story = same_transcript("shared_descriptors");
    assert!(story.contains("the parent is told of the child's: 1 2:1"), "{story}");
    assert!(story.contains("one shot: 4 woken"), "{story}");
}

#[test]
fn who_is_told_of_a_typed_character_may_answer_at_once() {
    let story = same_transcript("typed");
    assert!(story.contains("answers: 200"), "{story}");
}

#[test]
fn timers_of_real_and_of_cpu_time_end() {
    same_transcript("timers");
}

#[test]
fn barriers_are_registered_keys_are_none_and_offsets_end() {
    let story = same_transcript("barriers");
    assert!(story.contains("core alone\nprivate: -1 EPERM\ncore: 0 \n"), "{story}");
}

#[test]
fn limits_are_kept() {
    same_transcript("limits");
}

/// What the caller ignores, the guest ignores: nohup has no other way to say it.
#[test]
fn ignored_signals_are_inherited() {
    let shown = "trap - INT; grep SigIgn /proc/self/status";
    let ask = |ignored: &str| {
        let line = format!("trap '' {ignored}; exec \"$0\" run --quiet /bin/sh -c '{shown}'");
        let output = Command::new("sh").args(["-c", &line, env!("CARGO_BIN_EXE_pagewalk")]).output();
        let text = stdout(&output.expect("there is a shell"));
        let digits = text.split_whitespace().last().expect("a set of signals").to_owned();
        u64::from_str_radix(&digits, 16).expect("a number")
    };
    let bit = |signal: i32| 1 << (signal - 1);
    let all = bit(libc::SIGHUP) | bit(libc::SIGPIPE) | bit(libc::SIGINT);
    assert_eq!(ask("HUP PIPE INT") & all, all);
    assert_eq!(ask("HUP") & all, bit(libc::SIGHUP));
}

#[test]
fn signals_say_what_they_are_about() {
    let story = same_transcript("signals");
    assert!(story.contains("stored 43 after 2 faults"), "{story}");
}

#[test]
fn a_terminal_stops_and_signals_the_jobs_of_its_session() {
    same_transcript("jobs");
}

#[test]
fn hundreds_of_threads_wait_for_one_another() {
    same_transcript("threads");
}

/// Quiet, and under a timer signal of 5 kHz in each process, with and without SA_RESTART.
#[test]
fn a_ring_of_fifty_processes_never_hangs() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("ring", directory.path());
    for how in ["quiet", "restart", "again"] {
        let guest = under_pagewalk(&["--quiet", "--ram", "512M"], &program, &[how]);
        assert_eq!(stdout(&guest), stdout(&natively(&program, &[how])), "{how}: {}", stderr(&guest));
        assert!(guest.status.success());
    }
}
