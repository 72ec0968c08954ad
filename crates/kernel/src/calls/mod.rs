//! System calls: from registers to an answer.
//!
//! A call ends as a [`Flow`]. What only takes the host with copies of buffers is built from the table of calls
//! (`host_call`); everything else is one method of the kernel, in a file for its family.

mod buffers;
mod busy;
mod capabilities;
mod clone;
mod clone3;
mod credentials;
mod cut;
mod descriptors;
mod events;
mod exec;
mod file_limit;
mod files;
mod filled;
mod futex;
mod futex_waitv;
mod gate;
mod host_call;
mod identity;
mod in_parts;
mod ioctl;
mod limits;
mod membarrier;
mod memory;
mod memory_files;
mod opened;
mod owners;
mod pi_futex;
mod pid_files;
mod poll;
mod prctl;
mod priority;
mod proc;
mod process;
mod scheduling;
mod signals;
mod socket_options;
mod sockets;
mod terminal;
#[cfg(test)]
pub(crate) mod tests;
mod threads;
mod time;
mod unborn;
mod unshare;
mod vectors;
mod wait;

pub(crate) use buffers::HostBuffers;
pub(crate) use credentials::Peers;
pub(crate) use owners::Owners;
pub(crate) use pi_futex::LockWaiter;
pub(crate) use pid_files::PidFile;
pub(crate) use prctl::Wishes;
pub(crate) use scheduling::Scheduling;
pub(crate) use time::Unit;
pub(crate) use wait::WaitFor;

use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{HostCall, Outcome, Spawn, Then, Wait};
use crate::table::{self, Class};
use crate::task::Tid;
use crate::waiting::Waiting;
use crate::warning::Warning;
use addr::{Gpr, Registers};
pub use gate::Gate;
use host::call::{Call, NOT_BEGUN};
use std::time::Instant;

/// Restart if the handler's SA_RESTART says so, or if there is no handler (Linux's internal numbers).
pub(crate) const ERESTARTSYS: Errno = Errno::from_code(512);
/// Restart in any case: the signal came before the call began.
pub(crate) const ERESTARTNOINTR: Errno = Errno::from_code(513);
/// Restart unless a handler runs.
pub(crate) const ERESTARTNOHAND: Errno = Errno::from_code(514);
/// Go on by restart_syscall unless a handler runs.
pub(crate) const ERESTART_RESTARTBLOCK: Errno = Errno::from_code(516);

/// A system call between its begin and its answer.
#[derive(Clone, Debug)]
pub(crate) struct CallInProgress {
    pub nr: u64,
    /// Its arguments.
    pub words: [u64; 6],
    /// How it was made, and what RAX was.
    pub made: (Gate, u64),
    /// Where it was made: the stack, and the instruction after it.
    pub at: (u64, u64),
    /// Its arguments as they are printed, if they are.
    pub printed: Option<events::Printed>,
    pub progress: in_parts::Progress,
    /// What a wait that a signal interrupted goes on with.
    pub block: Option<RestartBlock>,
}

/// A call that goes on by restart_syscall: the same call, which still ends when it was to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestartBlock {
    nr: u64,
    until: Option<Instant>,
}

/// How a call goes on.
pub(crate) enum Flow {
    /// The answer.
    Answer(u64),
    /// The host first.
    Host(Box<HostCall>),
    /// Sleep until it is over.
    Sleep(Waiting),
    /// A new task; the answer is its number, after a sleep if there is one.
    Spawn(Spawn, Option<Waiting>),
    /// The registers are those of a new program.
    Exec,
    /// The registers are as they shall be.
    Restored,
    /// The task is ending.
    End,
}

impl Flow {
    /// The host first.
    pub fn host(call: Call, then: Then) -> Self {
        Self::Host(Box::new(HostCall { call, then }))
    }
}

/// What a call is given.
#[derive(Clone, Copy)]
pub(crate) struct Args {
    pub tid: Tid,
    pub nr: u64,
    pub words: [u64; 6],
}

impl Args {
    pub fn at(&self, index: usize) -> u64 {
        self.words[index]
    }

    /// An argument that the C prototype has as an int.
    pub fn int(&self, index: usize) -> i32 {
        self.words[index] as i32
    }
}

impl Kernel {
    /// Begins the call that the registers ask for.
    pub(crate) fn begin_call(&mut self, tid: Tid, registers: &mut Registers, gate: Gate) -> Outcome {
        let rax = registers.get(Gpr::Rax);
        let Some((nr, words)) = gate.asked(registers) else {
            self.warnings.add(Warning::MissingOldCall(rax as u32));
            registers.set(Gpr::Rax, Errno::ENOSYS.as_result());
            return Outcome::Done;
        };
        let args = Args { tid, nr, words };
        let (made, at) = ((gate, rax), (registers.get(Gpr::Rsp), registers.rip.get()));
        let printed = self.print_arguments(&args);
        self.task(tid).call =
            Some(CallInProgress { nr, words, made, at, printed, progress: in_parts::Progress::default(), block: None });
        let flow = self.dispatch(&args, registers);
        self.settle(tid, registers, flow)
    }

    /// Goes on after the host's part.
    pub(crate) fn finish_host_call(
        &mut self,
        tid: Tid,
        registers: &mut Registers,
        call: Box<HostCall>,
        result: i64,
    ) -> Outcome {
        if call.ends_process() {
            if result == NOT_BEGUN {
                return Outcome::HostCall(call);
            }
            self.end_process(tid);
            return Outcome::Exit;
        }
        self.task(tid).is_in_host = false;
        self.host_buffers.give_back(&call.call);
        let flow = self.after_host(tid, *call, result);
        self.host_buffers.settle();
        let flow = self.after_part(tid, registers, flow);
        self.settle(tid, registers, flow)
    }

    /// Looks again at what a task sleeps for.
    pub(crate) fn resume_waiting(&mut self, tid: Tid, registers: &mut Registers) -> Outcome {
        let Some(waiting) = self.task(tid).waiting else { return Outcome::Done };
        if waiting == Waiting::Death {
            self.task(tid).waiting = None;
            return self.die(tid);
        }
        if waiting == Waiting::Continue && !self.is_stopped(tid) {
            // The call that the stop interrupted, if there was one, goes on as after any signal without a handler.
            self.task(tid).waiting = None;
            return Outcome::Done;
        }
        match self.wake_up(tid, waiting) {
            None => Outcome::Wait(Wait { until: waiting.until() }),
            Some(flow) => {
                self.task(tid).waiting = None;
                self.settle(tid, registers, flow)
            }
        }
    }

    fn settle(&mut self, tid: Tid, registers: &mut Registers, flow: Result<Flow, Errno>) -> Outcome {
        match flow {
            Ok(Flow::Answer(value)) => self.answer(tid, registers, Ok(value)),
            Err(errno) => self.answer(tid, registers, Err(errno)),
            Ok(Flow::Host(asked)) => match self.host_buffers.take(&asked.call) {
                Ok(()) => {
                    self.task(tid).is_in_host = true;
                    Outcome::HostCall(asked)
                }
                Err(errno) => {
                    self.mm.memory_files().call_done(tid);
                    self.answer(tid, registers, Err(errno))
                }
            },
            Ok(Flow::Sleep(waiting)) => {
                self.task(tid).waiting = Some(waiting);
                let outcome = self.resume_waiting(tid, registers);
                if matches!(outcome, Outcome::Wait(_)) {
                    self.note_sleep(tid);
                }
                outcome
            }
            Ok(Flow::Spawn(spawn, waiting)) => {
                let child = u64::from(spawn.tid.get());
                self.task(tid).waiting = waiting;
                self.answer(tid, registers, Ok(child));
                Outcome::Spawn(spawn)
            }
            Ok(Flow::Exec) => {
                self.note_answer(tid, Some(Ok(0)));
                self.task(tid).call = None;
                let (tid, new) = self.begin_program(tid);
                *registers = new;
                Outcome::Exec(tid)
            }
            Ok(Flow::Restored) => {
                self.task(tid).call = None;
                Outcome::Done
            }
            Ok(Flow::End) => {
                self.note_answer(tid, None);
                Outcome::Done
            }
        }
    }

    fn answer(&mut self, tid: Tid, registers: &mut Registers, answer: Result<u64, Errno>) -> Outcome {
        self.note_answer(tid, Some(answer));
        registers.set(Gpr::Rax, answer.unwrap_or_else(Errno::as_result));
        Outcome::Done
    }

    fn dispatch(&mut self, args: &Args, registers: &mut Registers) -> Result<Flow, Errno> {
        let Some(row) = table::find(args.nr) else {
            self.warnings.add(Warning::MissingCall(table::name_of(args.nr)));
            return Err(Errno::ENOSYS);
        };
        self.may_make_descriptors(args)?;
        let typed = self.before_terminal_transfer(args)?;
        if let Some(flow) = self.read_signal_file(args) {
            return flow;
        }
        self.refuse_pid_file(args)?;
        let args = &self.within_file_limit(args)?;
        let flow = match row.class {
            Class::Ours => self.own_call(args, registers),
            Class::Host => self.host_row(args, row),
            Class::Refused(errno, why) => {
                if errno == Errno::ENOSYS {
                    self.warnings.add(Warning::RefusedCall(table::name_of(args.nr), why));
                }
                Err(errno)
            }
            Class::Absent(_) => Err(Errno::ENOSYS),
            Class::Missing(_) | Class::Unassigned => {
                self.warnings.add(Warning::MissingCall(table::name_of(args.nr)));
                Err(Errno::ENOSYS)
            }
        };
        match (flow, typed) {
            // A write to a terminal leaves nothing else to be done.
            (Ok(Flow::Host(asked)), Some(typed)) => Ok(Flow::host(asked.call, Then::Typed(typed))),
            (flow, _) => flow,
        }
    }

    /// restart_syscall: the interrupted call again, with the arguments that are still in the registers.
    fn restart(&mut self, args: &Args, registers: &mut Registers) -> Result<Flow, Errno> {
        let task = self.task(args.tid);
        let Some(block) = task.restart.take() else { return Err(Errno::EINTR) };
        if let Some(call) = &mut task.call {
            (call.nr, call.block) = (block.nr, Some(block));
        }
        self.dispatch(&Args { nr: block.nr, ..*args }, registers)
    }

    fn own_call(&mut self, args: &Args, registers: &mut Registers) -> Result<Flow, Errno> {
        let families = [
            Self::memory_call,
            Self::vector_call,
            Self::file_call,
            Self::socket_call,
            Self::poll_call,
            Self::signal_call,
            Self::wait_call,
            Self::identity_call,
            Self::time_call,
            Self::limit_call,
            Self::thread_call,
            Self::priority_call,
            Self::scheduling_call,
            Self::capability_call,
            Self::ipc_call,
            Self::pid_file_call,
            Self::unshare_call,
        ];
        if let Some(flow) = self.process_call(args, registers) {
            return flow;
        }
        families.iter().find_map(|family| family(self, args)).expect("every call of ours has a family")
    }

    /// Sends the signal that comes with an error of a write to a pipe without readers.
    pub(crate) fn broken_pipe(&mut self, tid: Tid) {
        self.signal_self(tid, libc::SIGPIPE);
    }
}

/// A word of a structure.
fn word_of(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// An answer that is a number of ours.
pub(crate) fn answered(result: Result<u64, Errno>) -> Option<Result<Flow, Errno>> {
    Some(result.map(Flow::Answer))
}
