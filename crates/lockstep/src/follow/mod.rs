//! A program on our engine, with the host's CPU doing the same instructions beside it.
//!
//! ```text
//! ours   one block ──────────────┐                 kernel: system call, fault, signal
//! host        the same instructions, one by one ─ compare ┘            └ adopt: registers, pages
//! ```
//! Our engine runs one block; the traced process does the same instructions in single steps; registers, flags and the
//! bytes that were stored to must be equal. Before the kernel is asked for anything all pages that changed are compared,
//! and afterwards the traced process adopts what the kernel did. System calls are ours: the traced process makes none.
//!
//! It follows one thread. A program that makes another, or another process, is followed until then.

mod mirror;
mod report;
mod steps;

pub use report::{Agreement, Divergence};

use crate::{flags, registers};
use addr::{Gpr, Registers, VirtAddr};
use engine::{Budget, Cpu, Engine, EngineConfig, Exit};
use host::call::Interrupt;
use host::guest_thread;
use host::traced::Stop;
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic};
use kernel::{Gate, Kernel, KernelConfig, LoadError, Outcome, Status, Tid};
use mirror::Mirror;
use mmu::{Memory, Tables};
use std::collections::HashMap;
use std::io;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use steps::Done;

/// Iterations of one repeated instruction after which the host is taken to have lost its way.
const MOST_ITERATIONS: u64 = 1 << 24;

/// A program to follow.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its path.
    pub path: Vec<u8>,
    /// Its arguments, the name it is called by first.
    pub arguments: Vec<Vec<u8>>,
    /// Its environment.
    pub environment: Vec<Vec<u8>>,
}

/// How it went.
#[derive(Debug)]
pub enum Verdict {
    /// The two did the same to the end.
    Agreed(Agreement, Option<Status>),
    /// The two did the same until the program made a thread or a process.
    Left(Agreement),
    /// The two parted.
    Diverged(Box<Divergence>),
}

/// Why a program was not followed.
#[derive(Debug)]
pub enum CannotFollow {
    /// The host refused something.
    Host(io::Error),
    /// The guest's kernel refused the program.
    Program(LoadError),
}

impl From<io::Error> for CannotFollow {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

/// Runs the program on both CPUs, on the calling thread, which is one made by [`host::guest_thread::spawn`].
///
/// # Errors
/// When the host refuses what is needed, or the program cannot be loaded.
pub fn follow(
    program: &Program,
    memory: &Arc<Memory>,
    config: EngineConfig,
    kernel: KernelConfig,
) -> Result<Verdict, CannotFollow> {
    let mut kernel = Kernel::new(memory, kernel)?;
    // What the program closes is closed in a table of its own, after the kernel has opened what it keeps.
    guest_thread::own_files()?;
    guest_thread::close_private_files()?;
    let engine = Arc::new(Engine::new(Arc::clone(memory), config)?);
    let loaded = kernel.exec_first(&program.path, &program.arguments, &program.environment);
    let (tid, registers) = loaded.map_err(CannotFollow::Program)?;
    // Never dropped: the descriptors of the kernel are not in the program's table, where the same numbers may be
    // others' or nobody's. The traced process dies with its tracing thread.
    let mut follower = ManuallyDrop::new(Follower {
        cpu: Cpu::new(&engine),
        mirror: Mirror::new(memory)?,
        interrupt: Interrupt::for_this_thread(),
        factory: InstructionInfoFactory::new(),
        decoded: HashMap::new(),
        undefined: 0,
        agreement: Agreement::default(),
        kernel,
        tid,
        registers,
    });
    Ok(follower.run()?)
}

struct Follower {
    kernel: Kernel,
    cpu: Cpu,
    mirror: Mirror,
    interrupt: Interrupt,
    factory: InstructionInfoFactory,
    /// Instructions by address; emptied whenever the kernel may have changed code.
    decoded: HashMap<VirtAddr, Instruction>,
    /// Flags that the last instructions left undefined.
    undefined: u64,
    agreement: Agreement,
    tid: Tid,
    registers: Registers,
}

/// What follows from what the kernel said.
enum Next {
    Run,
    End(Option<Status>),
    Leave,
}

impl Follower {
    fn run(&mut self) -> io::Result<Verdict> {
        let mut outcome = Outcome::Done;
        loop {
            match self.see_to(outcome) {
                Next::Run => {}
                Next::Leave => return Ok(Verdict::Left(self.agreement)),
                Next::End(status) => return Ok(Verdict::Agreed(self.agreement, status)),
            }
            let tables = self.kernel.tables(self.tid);
            self.adopt(&tables)?;
            let exit = loop {
                let exit = match self.block(&tables)? {
                    Ok(exit) => exit,
                    Err(divergence) => return Ok(Verdict::Diverged(divergence)),
                };
                if exit != Exit::Budget {
                    break exit;
                }
            };
            if let Some(byte) = self.mirror.compare_pages()? {
                let divergence = Divergence::new(self.agreement, &[], &[], Some(byte));
                return Ok(Verdict::Diverged(Box::new(divergence)));
            }
            self.agreement.kernel_entries += 1;
            outcome = self.tell(exit);
        }
    }

    /// Goes on with the kernel until the program can run.
    fn see_to(&mut self, mut outcome: Outcome) -> Next {
        let Self { kernel, tid, registers, interrupt, .. } = self;
        let mut is_ready = false;
        loop {
            outcome = match outcome {
                Outcome::Done if is_ready => return Next::Run,
                Outcome::Done | Outcome::Exec(_) => {
                    is_ready = true;
                    kernel.before_user(*tid, registers)
                }
                Outcome::HostCall(mut call) => {
                    is_ready = false;
                    interrupt.clear();
                    let result = call.call.perform(interrupt);
                    kernel.finish(*tid, registers, call, result)
                }
                Outcome::Wait(_) | Outcome::Spawn(_) => return Next::Leave,
                Outcome::Dying(_) => kernel.resume(*tid, registers),
                Outcome::Exit => return Next::End(kernel.first_status()),
            };
        }
    }

    fn tell(&mut self, exit: Exit) -> Outcome {
        let Self { kernel, tid, registers, .. } = self;
        match exit {
            Exit::Syscall => kernel.syscall(*tid, registers, Gate::Syscall),
            Exit::OldSyscall => kernel.syscall(*tid, registers, Gate::Interrupt),
            Exit::Fault(fault) => kernel.fault(*tid, registers, fault.addr, fault.refusal),
            Exit::Exception(exception) => kernel.exception(*tid, registers, machine::trap_of(exception)),
            Exit::Kicked | Exit::Budget | Exit::Chaos(_) => Outcome::Done,
        }
    }

    fn adopt(&mut self, tables: &Tables) -> io::Result<()> {
        self.decoded.clear();
        self.undefined = 0;
        self.mirror.adopt(tables, &self.registers)
    }

    /// One block on both CPUs.
    fn block(&mut self, tables: &Arc<Tables>) -> io::Result<Result<Exit, Box<Divergence>>> {
        let counted = engine::instructions(self.cpu.view());
        let exit = self.cpu.run(&mut self.registers, tables, Budget::Blocks(1));
        let count = engine::instructions(self.cpu.view()).wrapping_sub(counted);
        self.agreement.blocks += 1;
        self.agreement.instructions += count;
        let mut done = Vec::new();
        for _ in 0..count {
            match self.step(&mut done)? {
                Stepped::On => {}
                Stepped::Ours if matches!(exit, Exit::Syscall | Exit::OldSyscall) => break,
                Stepped::Ours => {
                    self.agreement.told += 1;
                    return self.take_ours(exit, tables, &done);
                }
                Stepped::Refused(stop) => {
                    let sentence = format!("the host does not complete the last instruction: {stop:?}");
                    return Ok(Err(Box::new(Divergence::because(self.agreement, &done, sentence))));
                }
            }
        }
        self.finish_iterations()?;
        self.compare(exit, tables, &done)
    }

    /// One instruction on the host.
    fn step(&mut self, done: &mut Vec<Done>) -> io::Result<Stepped> {
        let before = self.mirror.registers()?;
        let instruction = self.instruction(before.rip);
        if steps::is_ours_to_tell(&instruction) {
            return Ok(Stepped::Ours);
        }
        let doing = Done::of(instruction, &before, &mut self.factory);
        self.undefined = self.undefined & !flags::kills(&instruction) | flags::undefined(&instruction);
        let changes_code = instruction.is_string_instruction() || !doing.stores.is_empty();
        done.push(doing);
        let stop = self.iterate(&instruction)?;
        if changes_code && self.decoded.len() > 1 {
            self.forget_changed_code(done);
        }
        match stop {
            Stop::Stepped => {}
            Stop::Breakpoint if instruction.mnemonic() == Mnemonic::Int3 => {}
            stop => return Ok(Stepped::Refused(stop)),
        }
        if matches!(instruction.mnemonic(), Mnemonic::Pushf | Mnemonic::Pushfq) {
            let top = VirtAddr::new(self.mirror.registers()?.get(Gpr::Rsp));
            self.mirror.clear_pushed_trap_flag(top)?;
        }
        Ok(Stepped::On)
    }

    /// Steps until the instruction is done.
    fn iterate(&mut self, instruction: &Instruction) -> io::Result<Stop> {
        for _ in 0..MOST_ITERATIONS {
            let stop = self.mirror.step()?;
            let again = stop == Stop::Stepped && steps::is_repeated(instruction);
            if !again || self.mirror.registers()?.rip.get() != instruction.ip() {
                return Ok(stop);
            }
        }
        Ok(Stop::Stepped)
    }

    /// A repeated instruction that our engine left in the middle is brought as far on the host.
    fn finish_iterations(&mut self) -> io::Result<()> {
        let mut host = self.mirror.registers()?;
        let instruction = self.instruction(host.rip);
        if host.rip != self.registers.rip || !steps::is_repeated(&instruction) {
            return Ok(());
        }
        while host.get(Gpr::Rcx) > self.registers.get(Gpr::Rcx) && self.mirror.step()? == Stop::Stepped {
            host = self.mirror.registers()?;
        }
        Ok(())
    }

    /// Compares registers, live flags and the bytes stored to.
    fn compare(
        &mut self,
        exit: Exit,
        tables: &Arc<Tables>,
        done: &[Done],
    ) -> io::Result<Result<Exit, Box<Divergence>>> {
        let mut host = self.mirror.registers()?;
        if self.left_inside(&host) {
            return self.take_ours(exit, tables, done);
        }
        if matches!(exit, Exit::Syscall | Exit::OldSyscall) {
            host.rip = VirtAddr::new(self.instruction(host.rip).next_ip());
        }
        if exit == Exit::Syscall {
            host.set(Gpr::Rcx, host.rip.get());
            host.set(Gpr::R11, self.registers.get(Gpr::R11));
        }
        let live = flags::live(&|rip| Some(steps::decode(&self.mirror.code(rip), rip)), host.rip);
        let compared = (!flags::ARITHMETIC | live) & !self.undefined;
        let registers = registers::differences(&host, &self.registers, compared);
        for (at, length) in done.iter().flat_map(|done| done.stores.iter().copied()) {
            if let Some(byte) = self.mirror.compare_bytes(at, length)? {
                return Ok(Err(Box::new(Divergence::new(self.agreement, done, &registers, Some(byte)))));
            }
        }
        if registers.is_empty() {
            return Ok(Ok(exit));
        }
        Ok(Err(Box::new(Divergence::new(self.agreement, done, &registers, None))))
    }

    /// Whether a gather was left in the middle, whose registers the architecture leaves open then.
    fn left_inside(&mut self, host: &Registers) -> bool {
        host.rip == self.registers.rip && self.instruction(host.rip).is_vsib()
    }

    /// The host goes on from our state: the last instruction is one whose results are ours to tell.
    fn take_ours(
        &mut self,
        exit: Exit,
        tables: &Arc<Tables>,
        done: &[Done],
    ) -> io::Result<Result<Exit, Box<Divergence>>> {
        for (at, length) in done.iter().flat_map(|done| done.stores.iter().copied()) {
            if let Some(byte) = self.mirror.compare_bytes(at, length)? {
                return Ok(Err(Box::new(Divergence::new(self.agreement, done, &[], Some(byte)))));
            }
        }
        self.adopt(tables)?;
        Ok(Ok(exit))
    }

    fn instruction(&mut self, at: VirtAddr) -> Instruction {
        *self.decoded.entry(at).or_insert_with(|| steps::decode(&self.mirror.code(at), at))
    }

    /// Forgets decoded instructions in pages that were stored to.
    fn forget_changed_code(&mut self, done: &[Done]) {
        let stores = done.last().map_or(&[][..], |done| done.stores.as_slice());
        self.decoded.retain(|at, _| !stores.iter().any(|(store, _)| store.page() == at.page()));
    }
}

/// How one instruction went on the host.
enum Stepped {
    /// It is done.
    On,
    /// It is one whose results are taken from our run.
    Ours,
    /// It is not done.
    Refused(Stop),
}
