//! The table of calls and the code agree.

use crate::table::{self, Class};
use crate::terminal::Terminal;
use crate::warning::Warning;
use crate::{Errno, Gate, Kernel, KernelConfig, Outcome};
use addr::{Gpr, Registers, VirtAddr};
use mmu::Memory;
use std::fs::File;
use std::os::fd::AsRawFd;
use trace::Kinds;

/// What the numbers of x86-64 end with.
const NUMBERS: u64 = 470;

pub(crate) fn with_program<R: Send + 'static>(
    act: impl FnOnce(&mut Kernel, crate::Tid, &mut Registers) -> R + Send + 'static,
) -> R {
    // A thread with descriptors of its own: the calls of a guest act on those of the calling thread.
    std::thread::spawn(move || {
        host::guest_thread::own_files().unwrap();
        let memory = Memory::new(4096).unwrap();
        let config = KernelConfig { cpus: 1, events: Kinds::NONE, ..KernelConfig::default() };
        let mut kernel = Kernel::new(&memory, config).unwrap();
        let (tid, mut registers) = kernel.exec_first(b"/bin/true", &[b"true".to_vec()], &[]).unwrap();
        act(&mut kernel, tid, &mut registers)
    })
    .join()
    .unwrap()
}

pub(crate) fn call(nr: u64, kernel: &mut Kernel, tid: crate::Tid, registers: &mut Registers) -> Outcome {
    for register in [Gpr::Rdi, Gpr::Rsi, Gpr::Rdx, Gpr::R10, Gpr::R8, Gpr::R9] {
        registers.set(register, 0);
    }
    registers.set(Gpr::Rax, nr);
    kernel.syscall(tid, registers, Gate::Syscall)
}

/// A call that the table gives to the kernel, and that no family knows, would panic here.
#[test]
fn every_call_of_ours_is_executed_by_a_family() {
    for nr in (0..NUMBERS).filter(|nr| table::find(*nr).is_some_and(|row| row.class == Class::Ours)) {
        with_program(move |kernel, tid, registers| {
            call(nr, kernel, tid, registers);
        });
    }
}

/// A call that the table gives to the host is asked of the host, or is refused for its arguments.
#[test]
fn every_call_of_the_hosts_reaches_it() {
    with_program(|kernel, tid, registers| {
        for row in (0..NUMBERS).filter_map(table::find).filter(|row| row.class == Class::Host) {
            match call(row.nr, kernel, tid, registers) {
                Outcome::HostCall(asked) => assert_eq!(asked.call.nr, row.nr),
                Outcome::Done => {
                    let answer = registers.get(Gpr::Rax);
                    let refused = [Errno::EFAULT, Errno::EINVAL, Errno::EBADF, Errno::ENOENT].map(Errno::as_result);
                    assert!(refused.contains(&answer), "{}: {answer:#x}", row.name);
                }
                other => panic!("{}: {other:?}", row.name),
            }
        }
    });
}

/// What nobody executes is answered as the table says, and what is missing is told once.
#[test]
fn every_refused_call_answers_its_error() {
    with_program(|kernel, tid, registers| {
        let mut told = Vec::new();
        for nr in (0..NUMBERS).chain([NUMBERS, 1 << 20, u64::MAX]) {
            let name = table::name_of(nr);
            let (errno, warning) = match table::find(nr).map(|row| row.class) {
                Some(Class::Refused(Errno::ENOSYS, why)) => (Errno::ENOSYS, Some(Warning::RefusedCall(name, why))),
                Some(Class::Refused(errno, _)) => (errno, None),
                Some(Class::Absent(_)) => (Errno::ENOSYS, None),
                Some(Class::Missing(_)) | None => (Errno::ENOSYS, Some(Warning::MissingCall(name))),
                Some(_) => continue,
            };
            for _ in 0..2 {
                assert!(matches!(call(nr, kernel, tid, registers), Outcome::Done));
                assert_eq!(registers.get(Gpr::Rax), errno.as_result(), "{}", table::name_of(nr));
            }
            told.extend(warning);
        }
        assert_eq!(kernel.take_warnings(), told);
        assert_eq!(told.iter().filter(|warning| warning.to_string().contains("io_uring_setup is refused")).count(), 1);
    });
}

/// The host's driver empties its queues when such a character comes: who is told earlier could lose its answer.
#[test]
fn a_typed_character_is_told_after_the_host_has_it() {
    with_program(|kernel, tid, registers| {
        let master = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        let (device, _) = host::tty::of_descriptor(master.as_raw_fd()).unwrap();
        let pid = kernel.pid_of(tid);
        kernel.terminals.give(device, Terminal { session: pid.get(), foreground: kernel.processes[&pid].group });
        let (space, typed) = (kernel.space_of(tid), VirtAddr::new(registers.get(Gpr::Rsp) - 4096));
        kernel.mm_mut().write_all(space, typed, b"\x03").unwrap();
        let words = [libc::SYS_write as u64, master.as_raw_fd() as u64, typed.get(), 1];
        for (register, word) in [Gpr::Rax, Gpr::Rdi, Gpr::Rsi, Gpr::Rdx].into_iter().zip(words) {
            registers.set(register, word);
        }
        let is_told = |kernel: &Kernel| kernel.processes[&pid].pending.set().has(libc::SIGINT);
        let Outcome::HostCall(asked) = kernel.syscall(tid, registers, Gate::Syscall) else { panic!("the host writes") };
        assert!(!is_told(kernel));
        kernel.finish(tid, registers, asked, 1);
        assert!(is_told(kernel));
    });
}
