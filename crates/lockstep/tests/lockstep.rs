//! Programs in lockstep with the host's CPU, right and sabotaged.

use addr::PAGE_BYTES;
use engine::{Count, EngineConfig, Linking, Sabotage};
use kernel::KernelConfig;
use mmu::Memory;
use pagewalk_lockstep::follow::{Program, Verdict, follow};
use std::sync::mpsc::channel;

const RAM_BYTES: u64 = 256 << 20;

fn follow_true(sabotage: Option<Sabotage>) -> Verdict {
    follow_program(&["/bin/true"], sabotage)
}

fn follow_program(words: &[&str], sabotage: Option<Sabotage>) -> Verdict {
    let config = EngineConfig { count: Count::Yes, linking: Linking::Off, sabotage, ..EngineConfig::default() };
    let kernel = KernelConfig { cpus: 1, ..KernelConfig::default() };
    let arguments = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    let program = Program { path: words[0].as_bytes().to_vec(), arguments, environment: Vec::new() };
    let memory = Memory::new((RAM_BYTES / PAGE_BYTES) as u32).unwrap();
    let (send, received) = channel();
    let guest = move || {
        send.send(follow(&program, &memory, config, kernel)).unwrap();
    };
    let thread = host::guest_thread::spawn("guest".to_string(), guest).unwrap();
    let verdict = received.recv().expect("the guest thread answers");
    thread.join().unwrap();
    verdict.expect("the program is there and the host lets us")
}

#[test]
fn a_dynamic_program_does_the_same_on_both_cpus() {
    match follow_true(None) {
        Verdict::Agreed(agreement, status) => {
            assert_eq!(status, Some(kernel::Status::Exited(0)));
            assert!(agreement.instructions > 10_000, "{agreement}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_that_closes_what_it_finds_is_followed_to_the_end() {
    let script = "for n in 3 4 5 6 7 8 9; do eval \"exec $n>&-\"; done; ulimit -n > /dev/null; exit 7";
    match follow_program(&["/bin/dash", "-c", script], None) {
        Verdict::Agreed(_, status) => assert_eq!(status, Some(kernel::Status::Exited(7))),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_translation_is_named() {
    for sabotage in [Sabotage::FlagsNotRestored, Sabotage::RipRelativeOff, Sabotage::ReloadOmitted] {
        let Verdict::Diverged(divergence) = follow_true(Some(sabotage)) else { panic!("{sabotage:?} is not seen") };
        assert!(divergence.suspect.is_some(), "{sabotage:?}: {divergence}");
    }
}
