//! A machine, from the options to the report.

use crate::accounts::Accounts;
use crate::code_archive::CodeArchive;
use crate::config::{Count, FileCache, Isa, Levels, Placement, VerifyCode};
use crate::control::Control;
use crate::crash::CrashReport;
use crate::guest_thread::GuestThread;
use crate::shared::Shared;
use crate::voice::{EventLog, Voice, Warnings};
use crate::{MachineConfig, Program, Report};
use addr::PAGE_BYTES;
use engine::{Archive, Engine, EngineConfig, Verify};
use host::outer_signals::{self, HeldSignals};
use kernel::mm::{Aslr, MmConfig};
use kernel::{Kernel, KernelConfig, LoadError, Processor};
use mmu::Memory;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};
use trace::{Kind, Kinds};

/// How often the thread that waits for outer signals looks whether the machine is still there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A machine that has run nothing yet.
pub struct Machine {
    config: MachineConfig,
    memory: Arc<Memory>,
    engine: Arc<Engine>,
}

/// What is watched during a run.
#[derive(Default)]
pub struct Watch {
    /// Events and where they go.
    pub events: Option<EventLog>,
    /// Whether warnings are printed on stderr.
    pub warnings: Warnings,
    /// Whether the first process's address space is kept at its end.
    pub maps: Maps,
    /// What becomes of signals that pagewalk itself gets.
    pub outer_signals: OuterSignals,
}

/// Whether the first process's address space is kept at its end.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Maps {
    /// No.
    #[default]
    Dropped,
    /// As /proc/PID/maps prints it.
    Kept,
}

/// What becomes of signals that pagewalk itself gets, from the terminal for example.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OuterSignals {
    /// Nothing: they do to this process what they always do.
    #[default]
    Left,
    /// The guest gets them.
    Forwarded,
}

/// A run that is over.
#[derive(Debug)]
pub struct Ended {
    /// The numbers.
    pub report: Report,
    /// How the first process died, if an instruction of its own killed it.
    pub crash: Option<CrashReport>,
    /// The first process's address space at its end, if it was to be kept.
    pub maps: Option<String>,
    /// What pagewalk itself did wrong: each is a bug to be reported.
    pub bugs: Vec<String>,
}

/// Why there was no run.
#[derive(Debug)]
pub enum CannotRun {
    /// The host refused something.
    Host(io::Error),
    /// The guest kernel refused the program.
    Program(LoadError),
}

impl From<io::Error> for CannotRun {
    fn from(error: io::Error) -> Self {
        Self::Host(error)
    }
}

impl Machine {
    /// Builds a machine.
    ///
    /// # Errors
    /// The host's, when it has not enough memory for it, or a processor that cannot stand for the machine's.
    pub fn new(config: MachineConfig) -> io::Result<Self> {
        if config.isa == Isa::V3 && engine::Isa::of_host() == engine::Isa::V2 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the host's processor is no x86-64-v3"));
        }
        let memory = Memory::new((config.ram_bytes / PAGE_BYTES) as u32)?;
        let engine = Engine::new(Arc::clone(&memory), engine_config(&config))?;
        Ok(Self { config, memory, engine: Arc::new(engine) })
    }

    /// The same; translations serve every process of the run that has the same code at the same addresses, and later
    /// runs too if there is an archive for them.
    ///
    /// # Errors
    /// As [`Machine::new`].
    pub fn keeping_translations(config: MachineConfig, archive: Option<CodeArchive>) -> io::Result<Self> {
        let machine = Self::new(config)?;
        // Where addresses are drawn, no program finds its code where another had it.
        if machine.config.placement == Placement::Fixed {
            machine.engine.keep_translations(archive.map(|archive| Box::new(archive) as Box<dyn Archive>));
        }
        Ok(machine)
    }

    /// Runs a program, and what it starts, to the end.
    ///
    /// # Errors
    /// When the program cannot be loaded or the host refuses what a machine needs.
    pub fn run(self, program: &Program, watch: Watch) -> Result<Ended, CannotRun> {
        self.run_controlled(program, watch, |_| {})
    }

    /// The same; when the program runs, `begun` gets a hold on the machine. Threads that it starts hold back the
    /// signals that are forwarded to the guest.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run_controlled(
        self,
        program: &Program,
        watch: Watch,
        begun: impl FnOnce(Control),
    ) -> Result<Ended, CannotRun> {
        let held = (watch.outer_signals == OuterSignals::Forwarded).then(HeldSignals::hold);
        outer_signals::ignore_file_size_signal();
        let wanted = watch.events.as_ref().map_or(Kinds::NONE, |log| log.kinds);
        let voice = Voice::start(watch.events, watch.warnings)?;
        let kernel = Kernel::new(&self.memory, kernel_config(&self.config, told_by_kernel(wanted)))?;
        let frames_before = kernel.mm().frames_in_use();
        let shared = Arc::new(Shared::new(Arc::clone(&self.engine), kernel, voice, watch.maps, watch.outer_signals));
        if held.is_some() {
            forward_signals(&Arc::downgrade(&shared))?;
        }
        let timers = Arc::clone(&shared);
        let timers = thread::Builder::new().name("timers".to_owned()).spawn(move || timers.serve_timers())?;
        let started = Instant::now();
        let opened = begin(&shared, program).and_then(|()| {
            let accounts = Arc::new(Accounts::open(&self.config, program, &self.engine, started)?);
            begun(Control::new(&shared, &accounts));
            Ok(accounts)
        });
        shared.tasks.join_all();
        let wall = started.elapsed();
        shared.note_end();
        // A panic of the thread has been printed already; the guest has ended.
        let _ = timers.join();
        shared.voice.finish();
        Ok(account(&shared, &*opened?, wall, frames_before))
    }
}

/// Counts what the run was, and proves that nothing is left of it.
fn account(shared: &Shared, accounts: &Accounts, wall: Duration, frames_before: u32) -> Ended {
    let instructions = shared.instructions();
    let mut kernel = shared.take_kernel().expect("the kernel is taken once");
    drop(shared.vcpus.take_all());
    let report = accounts.report(&kernel, instructions, wall);
    assert!(report.exit.is_some(), "a machine ends when its first process has ended");
    // While the files' pages are still there that the code was made of.
    shared.engine.save_translations();
    kernel.drop_unowned_memory();
    let left = kernel.mm().frames_in_use().saturating_sub(frames_before);
    let mut bugs = Vec::new();
    if left > 0 {
        bugs.push(format!("{left} frames of simulated RAM were not returned"));
    }
    if !report.faults.reconcile() {
        bugs.push("the kinds of faults do not add up to minor and major".to_owned());
    }
    let mut end = shared.end();
    Ended { report, crash: end.crash.take(), maps: end.maps.take(), bugs }
}

/// The kinds of events that the kernel is to keep; areas and switches are seen from here.
pub(crate) fn told_by_kernel(wanted: Kinds) -> Kinds {
    [Kind::Faults, Kind::Calls].into_iter().filter(|kind| wanted.contains(*kind)).fold(Kinds::NONE, Kinds::with)
}

/// Starts the first process; returns when it runs, or cannot.
fn begin(shared: &Arc<Shared>, program: &Program) -> Result<(), CannotRun> {
    let (answer, begun) = sync_channel(1);
    let (guest, program) = (Arc::clone(shared), program.clone());
    let thread = host::guest_thread::spawn("guest".to_owned(), move || {
        let files = host::guest_thread::own_files().and_then(|()| host::guest_thread::close_private_files());
        let loaded = files.map_err(CannotRun::Host).and_then(|()| {
            let path = program.path.as_os_str().as_bytes();
            let load = |kernel: &mut Kernel| kernel.exec_first(path, &program.arguments, &program.environment);
            guest.with_kernel(load).map_err(CannotRun::Program)
        });
        // The machine waits for exactly this message.
        match loaded {
            Ok((tid, registers)) => {
                guest.begin_program(tid);
                answer.send(Ok(())).expect("the machine waits");
                GuestThread::new(&guest, tid, registers).run();
            }
            Err(error) => answer.send(Err(error)).expect("the machine waits"),
        }
    })?;
    let begun = begun.recv().expect("a first thread says whether it begins");
    shared.tasks.keep(thread);
    begun
}

/// Hands signals that pagewalk gets to the guest, as long as the machine is there.
fn forward_signals(shared: &Weak<Shared>) -> io::Result<()> {
    let shared = Weak::clone(shared);
    let forward = move || {
        while shared.strong_count() > 0 {
            let signal = outer_signals::next_forwarded(LOOK_AGAIN);
            if let (Some(signal), Some(shared)) = (signal, shared.upgrade()) {
                shared.outer_signal(signal);
            }
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(forward)?;
    Ok(())
}

fn engine_config(config: &MachineConfig) -> EngineConfig {
    EngineConfig {
        isa: match config.isa {
            Isa::V2 => engine::Isa::V2,
            Isa::V3 => engine::Isa::V3,
        },
        count: match config.count {
            Count::No => engine::Count::No,
            Count::Yes => engine::Count::Yes,
        },
        chaos: config.chaos.map(|every| every.max(EngineConfig::LEAST_CHAOS)),
        verify: match config.verify_code {
            VerifyCode::No => Verify::No,
            VerifyCode::Yes => Verify::Yes,
        },
        ..EngineConfig::default()
    }
}

fn kernel_config(config: &MachineConfig, events: Kinds) -> KernelConfig {
    let mm = MmConfig {
        levels: match config.levels {
            Levels::Four => mmu::Levels::Four,
            Levels::Five => mmu::Levels::Five,
        },
        file_cache: match config.file_cache {
            FileCache::Warm => kernel::mm::FileCache::Warm,
            FileCache::Cold => kernel::mm::FileCache::Cold,
        },
        ..MmConfig::default()
    };
    KernelConfig {
        mm,
        aslr: match config.placement {
            Placement::Fixed => Aslr::Off,
            Placement::Random => Aslr::Seeded(config.seed),
        },
        cpus: config.cpus,
        processor: processor(config),
        cpu_flags: engine::cpu_flags(engine_config(config).isa),
        seed: config.seed,
        events,
    }
}

/// What the kernel tells programs of the processor is what CPUID tells them.
fn processor(config: &MachineConfig) -> Processor {
    const BASE_INSTRUCTIONS: u64 = 2;
    let announced = engine_config(config).isa.announced();
    Processor {
        features: announced.features.into(),
        more_features: if announced.has_base_instructions { BASE_INSTRUCTIONS } else { 0 },
        state_components: announced.state_components,
        state_bytes: announced.state_bytes.into(),
    }
}
