//! The kernel: tasks, processes, memory, and the entry points that the machine calls under the kernel lock.

use crate::calls::{Gate, HostBuffers, LockWaiter, Owners, Peers, PidFile};
use crate::exec::{LoadError, NewProgram, Program};
use crate::ipc::Ipc;
use crate::mm::{Aslr, Mm, MmConfig, SpaceId};
use crate::outcome::{HostCall, Outcome, Trap};
use crate::proc::LoadAverage;
use crate::signal::{SigInfo, SignalFile};
use crate::task::{FIRST_PID, Pid, Process, State, Status, Task, Tid};
use crate::terminal::Terminals;
use crate::waiting::FutexWaiter;
use crate::warning::{Warning, Warnings};
use addr::{Access, Registers, VirtAddr};
use host::cpu_time::CpuTime;
use host::{FileVault, StandIns};
use mmu::{Memory, Refusal, Tables};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Instant;
use trace::{FaultCounts, Kind, Kinds, What};

/// Tasks at most.
pub(crate) const MAX_TASKS: usize = 4096;

/// What a kernel is built with.
#[derive(Clone, Debug, Default)]
pub struct KernelConfig {
    /// How memory is managed.
    pub mm: MmConfig,
    /// Whether addresses are random.
    pub aslr: Aslr,
    /// How many CPUs the guest is told of.
    pub cpus: u32,
    /// What programs are told of the processor.
    pub processor: Processor,
    /// What it can do, in the words of /proc/cpuinfo.
    pub cpu_flags: String,
    /// The seed of AT_RANDOM.
    pub seed: u64,
    /// Which events are kept for [`Kernel::take_events`].
    pub events: Kinds,
}

/// The processor as a kernel tells programs of it; the same as CPUID says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Processor {
    /// `AT_HWCAP`: CPUID.1 EDX.
    pub features: u64,
    /// `AT_HWCAP2`.
    pub more_features: u64,
    /// XCR0, the parts of the extended state in a signal frame; 0 without XSAVE.
    pub state_components: u64,
    /// Bytes of that state.
    pub state_bytes: u64,
}

impl Default for Processor {
    /// x86-64-v2: no XSAVE.
    fn default() -> Self {
        Self { features: 0x078b_fbff, more_features: 0, state_components: 0, state_bytes: 512 }
    }
}

/// An event of a task, without its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskEvent {
    /// Its process.
    pub pid: Pid,
    /// The task.
    pub tid: Tid,
    /// What happened.
    pub what: What,
}

/// Everything Linux does for the guests of one machine.
pub struct Kernel {
    pub(crate) mm: Mm,
    /// What buffers of calls of the host hold.
    pub(crate) host_buffers: HostBuffers,
    pub(crate) vault: FileVault,
    pub(crate) config: KernelConfig,
    pub(crate) tasks: FxHashMap<Tid, Task>,
    pub(crate) processes: BTreeMap<Pid, Process>,
    pub(crate) next_number: u32,
    pub(crate) futexes: Vec<FutexWaiter>,
    pub(crate) lock_waiters: Vec<LockWaiter>,
    pub(crate) ipc: Ipc,
    pub(crate) signal_files: Vec<SignalFile>,
    pub(crate) pid_files: Vec<PidFile>,
    /// Whom descriptors tell by signals.
    pub(crate) owners: Owners,
    /// Who is at the other end of sockets.
    pub(crate) peers: Peers,
    pub(crate) terminals: Terminals,
    /// Descriptors that stand for files and directories of our /proc.
    pub(crate) stand_ins: StandIns,
    /// Whether a guest has ever had one.
    pub(crate) has_stand_ins: bool,
    pub(crate) load: LoadAverage,
    /// CPU time of processes that have ended.
    pub(crate) ended_cpu: CpuTime,
    /// How often a CPU turned to another task.
    pub(crate) switches: u64,
    last_ran: Option<Tid>,
    /// What tasks that have called execve begin with, once they are alone.
    pub(crate) new_program: FxHashMap<Tid, NewProgram>,
    random: u64,
    notices: Vec<Tid>,
    events: Vec<TaskEvent>,
    pub(crate) warnings: Warnings,
    ended: Vec<ProcessSummary>,
}

/// A process as the report shows it.
#[derive(Clone, Debug)]
pub struct ProcessSummary {
    /// Its number.
    pub pid: Pid,
    /// The number of the process that made it; 1 is pagewalk.
    pub parent: u32,
    /// The name of its program.
    pub name: String,
    /// How it ended, if it did.
    pub status: Option<Status>,
    /// Its faults.
    pub faults: FaultCounts,
    /// The most pages it had in RAM at once.
    pub peak_resident_pages: u64,
    /// The most frames that held its tables at once.
    pub peak_table_frames: u64,
    /// The most areas it had at once.
    pub peak_areas: u64,
}

impl Kernel {
    /// A kernel without processes. The calling thread's descriptor table becomes the one that mapped files are kept in.
    ///
    /// # Errors
    /// The host's, or RAM too small for the kernel's own tables.
    pub fn new(memory: &Arc<Memory>, config: KernelConfig) -> io::Result<Self> {
        let mut mm = Mm::new(memory, config.mm)
            .ok_or_else(|| io::Error::new(io::ErrorKind::OutOfMemory, "RAM is too small for the kernel's tables"))?;
        let vault = FileVault::start()?;
        let host = vault.host_memory();
        if let Some(host) = host {
            mm.bound_memory_files(&vault, host);
        }
        Ok(Self {
            mm,
            host_buffers: HostBuffers::new(host.map(|host| host.available)),
            vault,
            random: config.seed,
            config,
            tasks: FxHashMap::default(),
            processes: BTreeMap::new(),
            next_number: FIRST_PID,
            futexes: Vec::new(),
            lock_waiters: Vec::new(),
            ipc: Ipc::default(),
            signal_files: Vec::new(),
            pid_files: Vec::new(),
            owners: Owners::default(),
            peers: Peers::default(),
            terminals: Terminals::new(),
            stand_ins: StandIns::new()?,
            has_stand_ins: false,
            load: LoadAverage::new(Instant::now()),
            ended_cpu: CpuTime::default(),
            switches: 0,
            last_ran: None,
            new_program: FxHashMap::default(),
            notices: Vec::new(),
            events: Vec::new(),
            warnings: Warnings::default(),
            ended: Vec::new(),
        })
    }

    /// Makes the first process. The calling thread stands in the descriptor table that the program shall have.
    ///
    /// # Errors
    /// Why the program cannot be run.
    pub fn exec_first(
        &mut self,
        program: &[u8],
        argv: &[Vec<u8>],
        envp: &[Vec<u8>],
    ) -> Result<(Tid, Registers), LoadError> {
        let tid = self.add_first_process();
        let program = Program { path: program.to_vec(), argv: argv.to_vec(), envp: envp.to_vec() };
        let NewProgram { space, registers, image } = self.prepare_program(tid, &program)?;
        self.become_program(tid, space, image);
        Ok((tid, registers))
    }

    /// Executes the system call that a task's registers ask for.
    pub fn syscall(&mut self, tid: Tid, registers: &mut Registers, gate: Gate) -> Outcome {
        self.note_host_thread(tid);
        self.begin_call(tid, registers, gate)
    }

    /// Goes on with a call after the host's part of it; `result` is what the host answered.
    pub fn finish(&mut self, tid: Tid, registers: &mut Registers, call: Box<HostCall>, result: i64) -> Outcome {
        self.finish_host_call(tid, registers, call, result)
    }

    /// Looks again at what a task sleeps for.
    pub fn resume(&mut self, tid: Tid, registers: &mut Registers) -> Outcome {
        self.task(tid).is_notified = false;
        self.resume_waiting(tid, registers)
    }

    /// A task has waited in the host.
    pub fn note_sleep(&mut self, tid: Tid) {
        self.task(tid).switches.voluntary += 1;
    }

    /// A task has made room for others that wait for their turns.
    pub fn note_turn_given(&mut self, tid: Tid) {
        self.task(tid).switches.involuntary += 1;
    }

    /// Resolves a page fault, or queues the signal that it ends in.
    pub fn fault(&mut self, tid: Tid, registers: &Registers, addr: VirtAddr, refusal: Refusal) -> Outcome {
        self.page_fault(tid, registers, addr, refusal);
        Outcome::Done
    }

    /// Queues the signal of an exception.
    pub fn exception(&mut self, tid: Tid, registers: &Registers, trap: Trap) -> Outcome {
        self.raise_trap(tid, registers, trap);
        Outcome::Done
    }

    /// What a task has to do before it runs its program: deliver signals, stop, end. [`Outcome::Done`] is: run.
    pub fn before_user(&mut self, tid: Tid, registers: &mut Registers) -> Outcome {
        self.task(tid).is_notified = false;
        self.switches += u64::from(self.last_ran.replace(tid) != Some(tid));
        self.deliver_signals(tid, registers)
    }

    /// The tasks that have to look at the kernel: those that sleep shall wake, those in a host call come back from it,
    /// those that run leave generated code.
    pub fn take_notices(&mut self) -> Vec<Tid> {
        self.settle_signal_files();
        std::mem::take(&mut self.notices)
    }

    /// The tables that a task runs on.
    pub fn tables(&self, tid: Tid) -> Arc<Tables> {
        self.mm.tables(self.space_of(tid))
    }

    /// The space that a task runs in.
    ///
    /// # Panics
    /// When its process has ended.
    pub fn space_of(&self, tid: Tid) -> SpaceId {
        self.process_of_ref(tid).space.expect("a process that runs has a space")
    }

    /// The process of a task.
    pub fn pid_of(&self, tid: Tid) -> Pid {
        self.tasks[&tid].pid
    }

    /// The memory of all processes.
    pub fn mm(&self) -> &Mm {
        &self.mm
    }

    /// The memory of all processes, to be changed: evictions, reads of a dying program's memory.
    pub fn mm_mut(&mut self) -> &mut Mm {
        &mut self.mm
    }

    /// Gives back the memory that no process has: what is cached, and the segments that guests left behind.
    pub fn drop_unowned_memory(&mut self) {
        self.drop_segments();
        self.mm.drop_caches();
    }

    /// How the first process ended, if it has.
    pub fn first_status(&self) -> Option<Status> {
        self.ended.iter().find(|summary| summary.pid.0 == FIRST_PID).and_then(|summary| summary.status)
    }

    /// Whether a task's process is stopped, as by SIGTSTP.
    pub fn is_stopped(&self, tid: Tid) -> bool {
        self.process_of_ref(tid).state == State::Stopped
    }

    /// How many tasks there are.
    pub fn live_tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Every process there was and is, by number.
    pub fn process_summaries(&self) -> Vec<ProcessSummary> {
        let running = self.processes.values().filter(|process| !process.is_zombie());
        let mut all: Vec<_> = self.ended.iter().cloned().chain(running.map(|process| self.summary(process))).collect();
        all.sort_by_key(|summary| summary.pid);
        all
    }

    /// The soft limit of a resource (`RLIMIT_*`) of a task's process.
    pub fn soft_limit(&self, tid: Tid, resource: usize) -> u64 {
        self.process_of_ref(tid).limits[resource].soft
    }

    /// The name of a task's program, its arguments and its auxiliary vector, for core files and crash reports.
    pub fn image_of(&self, tid: Tid) -> &crate::exec::Image {
        &self.process_of_ref(tid).image
    }

    /// The tasks of a task's process, itself first.
    pub fn siblings(&self, tid: Tid) -> Vec<Tid> {
        let mut tasks = self.process_of_ref(tid).tasks.clone();
        tasks.sort_by_key(|other| (*other != tid, *other));
        tasks
    }

    /// What happened since the last call, of the kinds that were asked for.
    pub fn take_events(&mut self) -> Vec<TaskEvent> {
        std::mem::take(&mut self.events)
    }

    /// What is to be said of the guests since the last call.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        self.warnings.take()
    }

    /// When a timer of a guest ends next; [`Kernel::expire_timers`] is to be called then.
    pub fn next_timer(&self) -> Option<Instant> {
        self.earliest_timer()
    }

    /// Sends the signals of timers that have ended.
    pub fn expire_timers(&mut self) {
        self.expire_timers_at(Instant::now());
    }

    /// A signal that pagewalk itself got and that is meant for the guest: the foreground processes get it.
    pub fn host_signal(&mut self, signal: i32) {
        let group = self.terminals.own_foreground();
        let members: Vec<Pid> = self.members_of(group);
        for pid in members {
            self.send_to_process(pid, SigInfo::kernel(signal));
        }
    }

    pub(crate) fn task(&mut self, tid: Tid) -> &mut Task {
        self.tasks.get_mut(&tid).expect("a task lives until its thread has left the kernel")
    }

    pub(crate) fn process_of(&mut self, tid: Tid) -> &mut Process {
        let pid = self.tasks[&tid].pid;
        self.processes.get_mut(&pid).expect("a process lives as long as its tasks")
    }

    pub(crate) fn process_of_ref(&self, tid: Tid) -> &Process {
        &self.processes[&self.tasks[&tid].pid]
    }

    /// Tells a task to look at the kernel.
    pub(crate) fn notify(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(&tid)
            && !task.is_notified
        {
            task.is_notified = true;
            self.notices.push(tid);
        }
    }

    /// Keeps an event if its kind was asked for.
    pub(crate) fn note(&mut self, tid: Tid, kind: Kind, what: impl FnOnce(&mut Self) -> What) {
        if self.config.events.contains(kind) {
            let pid = self.tasks[&tid].pid;
            let what = what(self);
            self.events.push(TaskEvent { pid, tid, what });
        }
    }

    /// The next random number of the machine's seed (SplitMix64).
    pub(crate) fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Whether and how the next program's addresses are random.
    pub(crate) fn next_aslr(&mut self) -> Aslr {
        match self.config.aslr {
            Aslr::Off => Aslr::Off,
            Aslr::Seeded(seed) => Aslr::Seeded(seed ^ self.next_random()),
        }
    }

    pub(crate) fn note_ended(&mut self, pid: Pid) {
        let summary = self.summary(&self.processes[&pid]);
        self.ended.push(summary);
    }

    /// The processes of a group that run.
    pub(crate) fn members_of(&self, group: u32) -> Vec<Pid> {
        let members = self.processes.values().filter(|process| process.group == group && !process.is_zombie());
        members.map(|process| process.pid).collect()
    }

    /// The faults of all processes there are and were.
    pub(crate) fn all_faults(&self) -> FaultCounts {
        let mut all = FaultCounts::default();
        self.process_summaries().iter().for_each(|process| all += process.faults);
        all
    }

    fn summary(&self, process: &Process) -> ProcessSummary {
        let usage = process.space.map(|space| self.mm.usage(space)).unwrap_or_default();
        let past = process.past;
        let mut faults = past.faults;
        faults += usage.faults;
        ProcessSummary {
            pid: process.pid,
            parent: process.maker,
            name: String::from_utf8_lossy(&process.image.name).into_owned(),
            status: match process.state {
                State::Zombie(status) => Some(status),
                State::Running | State::Stopped => None,
            },
            faults,
            peak_resident_pages: past.peak_resident_pages.max(usage.peak_resident_pages),
            peak_table_frames: past.peak_table_frames.max(usage.peak_table_frames),
            peak_areas: past.peak_areas.max(usage.peak_areas),
        }
    }

    fn note_host_thread(&mut self, tid: Tid) {
        let task = self.task(tid);
        if task.host_tid == 0 {
            task.host_tid = host::guest_thread::host_tid();
        }
    }

    fn page_fault(&mut self, tid: Tid, registers: &Registers, addr: VirtAddr, refusal: Refusal) {
        let space = self.space_of(tid);
        let access: Access = refusal.access;
        let resolved = self.mm.fault(space, addr, access);
        let (kind, cost) = match resolved {
            Ok(resolved) => (resolved.kind, resolved.cost),
            Err(_) => (trace::FaultKind::Protection, trace::Cost::Minor),
        };
        let rip = registers.rip;
        self.note(tid, Kind::Faults, |_| What::Fault(trace::Fault { addr, access, kind, cost, rip }));
        if let Err(error) = resolved {
            self.raise_fault(tid, addr, refusal, error);
        }
    }
}
