//! A guest thread: a host thread that runs generated code and asks the kernel, in turn.
//!
//! ```text
//! before_user -> Cpu::run -> Exit -> kernel -> Outcome --Done--> before_user ...
//!                                        ^         |
//!                                        '-finish--+--HostCall--> the host, without the token
//!                                        '-resume--+--Wait------> asleep, without the token
//! ```
//! Whatever calls the kernel on behalf of a guest thread holds the run token: no other thread executes generated code
//! while page tables change.

use crate::death::{self, LastFault};
use crate::shared::Shared;
use crate::tasks::Sleeper;
use crate::token::Passed;
use addr::Registers;
use engine::{Budget, Cpu, Exception, Exit, Fault};
use kernel::mm::SpaceId;
use kernel::{Gate, HostCall, Kernel, Outcome, Sharing, Spawn, Tid, Trap};
use mmu::Tables;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};
use trace::{Kind, Switch, What};

/// A call of the host that takes as long has waited for something.
const LONG: Duration = Duration::from_micros(50);

/// A guest thread on its host thread.
pub struct GuestThread {
    pub shared: Arc<Shared>,
    pub tid: Tid,
    pub pid: u32,
    /// How others reach it, and its registers.
    pub sleeper: Arc<Sleeper>,
    /// What its last signal may be about.
    pub last_fault: Option<LastFault>,
    /// The space that it ran in last.
    ran: Option<(SpaceId, Arc<Tables>)>,
}

impl GuestThread {
    /// A guest thread on the calling host thread.
    pub fn new(shared: &Arc<Shared>, tid: Tid, registers: Registers) -> Self {
        let sleeper = Sleeper::for_this_thread(registers);
        shared.tasks.enter(tid.get(), &sleeper);
        let pid = shared.with_kernel(|kernel| kernel.pid_of(tid)).get();
        Self { shared: Arc::clone(shared), tid, pid, sleeper, last_fault: None, ran: None }
    }

    /// Runs it to its end.
    pub fn run(mut self) {
        let _end = EndWithPanic;
        self.shared.token.take(self.tid.get());
        self.note_areas();
        let mut outcome = Outcome::Done;
        while let Some(next) = self.go_on(outcome) {
            outcome = next;
        }
        self.shared.token.give(self.tid.get());
        self.shared.tasks.leave(self.tid.get(), &self.sleeper);
    }

    /// Does what the kernel said; `None` when the thread has ended.
    fn go_on(&mut self, outcome: Outcome) -> Option<Outcome> {
        match outcome {
            Outcome::Done => Some(self.run_user()),
            Outcome::Exec(tid) => {
                self.rename(tid);
                self.forget_space();
                self.shared.begin_program(tid);
                self.note_areas();
                Some(Outcome::Done)
            }
            Outcome::HostCall(call) => Some(self.ask_host(call)),
            Outcome::Wait(wait) => {
                self.stop_with_first_process();
                self.shared.token.give(self.tid.get());
                self.sleeper.sleep(wait.until);
                self.shared.token.take(self.tid.get());
                Some(self.resume())
            }
            Outcome::Spawn(spawn) => {
                let (child, pid_file) = (spawn.tid, spawn.pid_file);
                if self.spawn(spawn).is_err() {
                    pid_file.into_iter().for_each(host::files::close);
                    let registers = &mut self.sleeper.registers();
                    self.shared.with_kernel(|kernel| kernel.undo_spawn(self.tid, child, registers));
                }
                Some(self.resume())
            }
            Outcome::Dying(dying) => {
                death::describe(self, dying);
                Some(self.resume())
            }
            Outcome::Exit => {
                self.forget_space();
                None
            }
        }
    }

    /// A thread that executes a new program takes over the number of its process's first thread, which has ended.
    fn rename(&mut self, tid: Tid) {
        if tid != self.tid {
            self.shared.tasks.leave(self.tid.get(), &self.sleeper);
            self.shared.tasks.enter(tid.get(), &self.sleeper);
            self.shared.token.rename(self.tid.get(), tid.get());
            self.tid = tid;
        }
    }

    fn resume(&mut self) -> Outcome {
        let registers = &mut self.sleeper.registers();
        self.shared.with_kernel(|kernel| kernel.resume(self.tid, registers))
    }

    fn ask_host(&mut self, mut call: Box<HostCall>) -> Outcome {
        let Self { shared, tid, sleeper, .. } = self;
        if call.ends_process() {
            sleeper.clear();
        }
        let mut has_waited = false;
        let result = if call.keeps_others_out() {
            call.call.perform(sleeper.interrupt())
        } else {
            let begun = Instant::now();
            // Who is about to wait does not let others wait until that is seen.
            let mark = if !shared.tasks.is_one() && call.call.would_wait(sleeper.interrupt()) {
                shared.token.give(tid.get());
                None
            } else {
                Some(shared.token.enter_host(tid.get()))
            };
            let result = call.call.perform(sleeper.interrupt());
            has_waited = begun.elapsed() >= LONG;
            match mark {
                Some(mark) => _ = shared.token.take_back(mark),
                None => shared.token.take(tid.get()),
            }
            result
        };
        let registers = &mut sleeper.registers();
        shared.with_kernel(|kernel| {
            if has_waited {
                kernel.note_sleep(*tid);
            }
            kernel.finish(*tid, registers, call, result)
        })
    }

    /// Lets the kernel prepare the thread, runs it, and tells the kernel why it stopped.
    fn run_user(&mut self) -> Outcome {
        self.sleeper.clear();
        let sleeper = Arc::clone(&self.sleeper);
        let mut registers = sleeper.registers();
        let Self { shared, tid, .. } = self;
        let (outcome, ready) = shared.with_kernel(|kernel| {
            let outcome = kernel.before_user(*tid, &mut registers);
            let runs = matches!(outcome, Outcome::Done);
            (outcome, runs.then(|| (kernel.space_of(*tid), kernel.tables(*tid))))
        });
        let Some((space, tables)) = ready else { return outcome };
        let (mut vcpu, turned) = shared.vcpus.borrow(tables.id(), tid.get());
        if let Some(turned) = turned {
            let switch = Switch { cpu: vcpu.number, from_tid: turned.from_tid };
            shared.voice.event(self.pid, tid.get(), What::Switch(switch));
        }
        let left = loop {
            match vcpu.cpu.run(&mut registers, &tables, Budget::Unlimited) {
                Exit::Fault(fault) => match self.resolve(fault, &mut registers) {
                    Outcome::Done => {}
                    outcome => break Err(outcome),
                },
                exit => break Ok(exit),
            }
        };
        self.shared.vcpus.give_back(vcpu);
        self.ran = Some((space, tables));
        match left {
            Err(outcome) => outcome,
            Ok(exit) => self.tell(exit, space, registers),
        }
    }

    /// Lets the kernel resolve a fault, and prepare the thread again.
    fn resolve(&mut self, fault: Fault, registers: &mut Registers) -> Outcome {
        self.last_fault = Some(LastFault { addr: fault.addr, access: fault.access });
        self.sleeper.clear();
        let Self { shared, tid, .. } = self;
        shared.with_kernel(|kernel| match kernel.fault(*tid, registers, fault.addr, fault.refusal) {
            Outcome::Done => kernel.before_user(*tid, registers),
            outcome => outcome,
        })
    }

    /// Tells the kernel why the thread left its program.
    fn tell(&mut self, exit: Exit, space: SpaceId, mut registers: MutexGuard<'_, Registers>) -> Outcome {
        match exit {
            Exit::Syscall => self.system_call(&mut registers, Gate::Syscall),
            Exit::OldSyscall => self.system_call(&mut registers, Gate::Interrupt),
            Exit::Fault(fault) => self.resolve(fault, &mut registers),
            Exit::Exception(exception) => self.exception(exception, &registers),
            Exit::Kicked | Exit::Budget => {
                drop(registers);
                if self.shared.token.pass(self.tid.get()) == Passed::ToOthers {
                    self.shared.with_kernel(|kernel| kernel.note_turn_given(self.tid));
                }
                Outcome::Done
            }
            Exit::Chaos(page) => {
                self.shared.with_kernel(|kernel| kernel.mm_mut().evict(space, page));
                Outcome::Done
            }
        }
    }

    fn system_call(&mut self, registers: &mut Registers, gate: Gate) -> Outcome {
        let number = gate.asked(registers).map_or(-1, |(number, _)| number as i64);
        if self.ends_first_process(number) {
            self.keep_maps();
        }
        let call = |kernel: &mut Kernel| (kernel.syscall(self.tid, registers, gate), kernel.take_new_arrivals());
        let (outcome, arrivals) = self.shared.with_kernel(call);
        if let Some(arrivals) = arrivals {
            self.shared.serve_owners(arrivals);
        }
        if matches!(outcome, Outcome::Done) && CHANGE_AREAS.contains(&number) {
            self.note_areas();
        }
        outcome
    }

    fn exception(&mut self, exception: Exception, registers: &Registers) -> Outcome {
        let Self { shared, tid, .. } = self;
        if let Exception::InvalidOpcode(engine::Opcode::Avx512(name)) = exception {
            let missing = "an instruction of AVX-512, which the machine's processor does not have";
            shared.voice.warn(format!("the program executed {name}, {missing}"));
        }
        shared.with_kernel(|kernel| kernel.exception(*tid, registers, trap_of(exception)))
    }

    /// Starts the host thread of a new guest thread. The parent is held still until the child stands in the descriptor
    /// table that it shall have, as fork(2) has it.
    fn spawn(&mut self, spawn: Spawn) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let (own, new) = shared.with_kernel(|kernel| (kernel.tables(self.tid), kernel.tables(spawn.tid)));
        if own.id() != new.id() {
            shared.engine.share_code(&own, &new);
        }
        let (ready, is_ready) = sync_channel(1);
        let tid = spawn.tid;
        let thread = host::guest_thread::spawn(format!("guest {tid}"), move || {
            let own = |sharing, own: fn() -> io::Result<()>| if sharing == Sharing::Copied { own() } else { Ok(()) };
            let own = own(spawn.files, host::guest_thread::own_descriptors)
                .and_then(|()| own(spawn.directory, host::guest_thread::own_directory));
            if spawn.files == Sharing::Copied {
                spawn.pid_file.into_iter().for_each(host::files::close);
            }
            let thread = own.map(|()| GuestThread::new(&shared, spawn.tid, *spawn.registers));
            let (begins, thread) = thread.map_or_else(|error| (Err(error), None), |thread| (Ok(()), Some(thread)));
            // The parent waits for exactly this message.
            ready.send(begins).expect("the parent waits");
            if let Some(thread) = thread {
                thread.run();
            }
        })?;
        self.shared.tasks.keep(thread);
        is_ready.recv().expect("a new thread says whether it begins")
    }

    /// If the first process was stopped, pagewalk stops too, so that the shell gets its terminal back. The shell then
    /// continues pagewalk, and its SIGCONT is forwarded.
    fn stop_with_first_process(&self) {
        let is_watched = self.pid == crate::FIRST_PID && self.shared.forwards_signals();
        if is_watched && self.shared.with_kernel(|kernel| kernel.is_stopped(self.tid)) {
            host::outer_signals::stop_self();
        }
    }

    /// Whether the call of this number, which is about to be made, ends the first process.
    fn ends_first_process(&self, number: i64) -> bool {
        self.shared.keeps_maps()
            && self.pid == crate::FIRST_PID
            && match number {
                libc::SYS_exit_group => true,
                libc::SYS_exit => self.shared.with_kernel(|kernel| kernel.siblings(self.tid).len() == 1),
                _ => false,
            }
    }

    /// Keeps the address space as it is now for the report.
    pub fn keep_maps(&self) {
        let maps = self.shared.with_kernel(|kernel| kernel.mm().maps_text(kernel.space_of(self.tid)));
        self.shared.end().maps = Some(maps);
    }

    /// Makes the CPUs forget the space that the thread has left, if nobody is in it any more.
    fn forget_space(&mut self) {
        if let Some((space, tables)) = self.ran.take()
            && !self.shared.with_kernel(|kernel| kernel.mm().is_live(space))
        {
            self.shared.vcpus.for_each_idle(tables.id(), Cpu::detach);
        }
    }

    /// Says how the address space differs from what it was.
    fn note_areas(&self) {
        if self.shared.voice.wants(Kind::Areas) {
            let changes = self.shared.with_kernel(|kernel| {
                let space = kernel.space_of(self.tid);
                kernel.mm_mut().area_changes(space)
            });
            for change in changes {
                self.shared.voice.event(self.pid, self.tid.get(), What::Area(change));
            }
        }
    }
}

/// The exit status of a machine that broke: that of pagewalk's own errors.
const BROKEN: i32 = 125;

/// Ends the whole process when a guest thread panics: it holds the run token, and nothing else would ever run.
struct EndWithPanic;

impl Drop for EndWithPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::exit(BROKEN);
        }
    }
}

/// Calls that change areas.
const CHANGE_AREAS: [i64; 9] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_munlock,
    libc::SYS_prctl,
];

/// The trap of the kernel's that an exception of the CPU is.
pub fn trap_of(exception: Exception) -> Trap {
    match exception {
        Exception::DivideError => Trap::DivideError,
        Exception::Breakpoint => Trap::Breakpoint,
        Exception::Debug => Trap::Debug,
        Exception::Step => Trap::Step,
        Exception::InvalidOpcode(_) => Trap::InvalidOpcode,
        Exception::GeneralProtection => Trap::GeneralProtection,
        Exception::Selector(code) => Trap::Selector(code),
        Exception::Overflow => Trap::Overflow,
        Exception::StackSegment => Trap::StackSegment,
        Exception::X87(_) => Trap::X87,
        Exception::Simd(_) => Trap::Simd,
        Exception::AlignmentCheck => Trap::AlignmentCheck,
    }
}
