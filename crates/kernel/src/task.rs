//! Tasks and processes.
//!
//! A *task* is a thread of a guest and has a thread of the host; a *process* is what its tasks share. Numbers are our
//! own: the first process is [`FIRST_PID`], its parent is [`INIT_PID`], which is pagewalk itself, and no number names
//! a process of the host.

use crate::calls::{CallInProgress, RestartBlock, Scheduling, Wishes};
use crate::common::Common;
use crate::exec::Image;
use crate::mm::SpaceId;
use crate::signal::{Action, Pending, SIG_DFL, SIG_IGN, SigSet};
use crate::timers::CpuAlarms;
use crate::waiting::Waiting;
use host::cpu_time::CpuTime;
use std::cell::Cell;
use std::fmt;
use std::time::Instant;

/// pagewalk itself, as guests see it: the parent of the first process and of orphans.
pub(crate) const INIT_PID: u32 = 1;
/// The first process.
pub(crate) const FIRST_PID: u32 = 2;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// The bare number.
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

number! {
    /// The number of a task. The first task of a process has its process's number.
    Tid
}
number! {
    /// The number of a process.
    Pid
}

/// A thread of a guest.
#[derive(Debug)]
pub(crate) struct Task {
    pub tid: Tid,
    pub pid: Pid,
    /// Its name: comm.
    pub name: Vec<u8>,
    pub blocked: SigSet,
    /// The mask to go back to when the signal that a call waited for was handled.
    pub saved_mask: Option<SigSet>,
    pub pending: Pending,
    pub alt_stack: AltStack,
    pub scheduling: Scheduling,
    /// Its descriptors, as far as the kernel knows: who else has them.
    pub files: Common<()>,
    /// Its working directory, if that is one of ours.
    pub directory: Common<Option<String>>,
    /// Where to write zero and wake a futex when it ends; 0 for nowhere.
    pub clear_tid: u64,
    /// The head of its robust futex list; 0 for none.
    pub robust_list: u64,
    /// The call it is in.
    pub call: Option<CallInProgress>,
    /// What restart_syscall would go on with.
    pub restart: Option<RestartBlock>,
    /// What it sleeps for.
    pub waiting: Option<Waiting>,
    /// Its process is ending, or another task of it executes a new program.
    pub is_killed: bool,
    /// It has been told to look at the kernel again and has not done so yet.
    pub is_notified: bool,
    /// It is in a system call of the host.
    pub is_in_host: bool,
    /// The host's number of its thread, once it runs.
    pub host_tid: i32,
    /// The CPU time that was last told of it.
    told_cpu: Cell<CpuTime>,
    /// How often it left its CPU.
    pub switches: Switches,
    /// The signal it dies of, while the machine looks at it.
    pub dying: Option<(i32, bool)>,
}

/// sigaltstack(2).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct AltStack {
    pub start: u64,
    pub bytes: u64,
    pub flags: u32,
}

/// What the tasks of a program share.
#[derive(Debug)]
pub(crate) struct Process {
    pub pid: Pid,
    pub parent: u32,
    /// Who made it: its first parent.
    pub maker: u32,
    pub group: u32,
    pub session: u32,
    /// Its memory, until it ends.
    pub space: Option<SpaceId>,
    pub tasks: Vec<Tid>,
    pub actions: Common<Box<[Action; 65]>>,
    pub pending: Pending,
    /// The program it runs.
    pub image: Image,
    pub limits: [Limit; 16],
    pub state: State,
    /// What its parent has not been told yet.
    pub news: Option<News>,
    /// The signal its parent gets when it ends.
    pub exit_signal: i32,
    /// The task that waits in vfork until this process executes or ends.
    pub vfork_parent: Option<Tid>,
    /// The status that exit_group or a signal has decided on.
    pub ending: Option<Status>,
    /// The task that executes a new program and waits to be alone.
    pub alone: Option<Tid>,
    pub children_usage: Times,
    /// oom_score_adj: -1000 to 1000.
    pub oom_adjustment: i16,
    pub transfers: Transfers,
    pub has_executed: bool,
    pub started: Instant,
    pub alarm: Alarm,
    pub cpu_alarms: CpuAlarms,
    pub timers: Vec<Option<crate::timers::Timer>>,
    pub dumpable: u64,
    pub wishes: Wishes,
    pub is_subreaper: bool,
    pub death_signal: i32,
    /// Faults of programs that it ran before, and times.
    pub past: Past,
}

/// What a process used before its present program, and by threads that are gone.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Past {
    pub faults: trace::FaultCounts,
    pub peak_resident_pages: u64,
    pub peak_table_frames: u64,
    pub peak_areas: u64,
    /// CPU time of threads that have ended.
    pub cpu: CpuTime,
    /// How often those left their CPUs.
    pub switches: Switches,
}

/// What a process read and wrote by system calls.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Transfers {
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub reads: u64,
    pub writes: u64,
}

/// A resource limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limit {
    pub soft: u64,
    pub hard: u64,
}

/// ITIMER_REAL.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Alarm {
    pub at: Option<Instant>,
    pub interval_ns: u64,
}

/// What was used: by a process, or by children that were waited for.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Times {
    pub cpu: CpuTime,
    pub minor: u64,
    pub major: u64,
    pub peak_resident_pages: u64,
    pub switches: Switches,
}

/// How often a task left its CPU.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Switches {
    /// It waited for something.
    pub voluntary: u64,
    /// Another's turn had come.
    pub involuntary: u64,
}

impl std::ops::AddAssign for Switches {
    fn add_assign(&mut self, other: Self) {
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
    }
}

impl Times {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.minor += other.minor;
        self.major += other.major;
        self.switches += other.switches;
        self.peak_resident_pages = self.peak_resident_pages.max(other.peak_resident_pages);
    }
}

/// Whether a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Running,
    Stopped,
    Zombie(Status),
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// It exited with this status.
    Exited(u8),
    /// It died of a signal, with a core file or not.
    Signaled {
        /// Which.
        signal: i32,
        /// Whether the status says that a core file was written.
        core: bool,
    },
}

impl Status {
    /// As wait(2) encodes it.
    pub(crate) fn wait_word(self) -> u32 {
        match self {
            Self::Exited(status) => u32::from(status) << 8,
            Self::Signaled { signal, core } => signal as u32 | if core { 0x80 } else { 0 },
        }
    }
}

/// What a parent learns from wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum News {
    Stopped(i32),
    Continued,
}

impl Task {
    pub fn new(tid: Tid, pid: Pid, name: Vec<u8>) -> Self {
        Self {
            tid,
            pid,
            name,
            blocked: SigSet::default(),
            saved_mask: None,
            pending: Pending::default(),
            alt_stack: AltStack::default(),
            scheduling: Scheduling::default(),
            files: Common::new(()),
            directory: Common::new(None),
            clear_tid: 0,
            robust_list: 0,
            call: None,
            restart: None,
            waiting: None,
            is_killed: false,
            is_notified: false,
            is_in_host: false,
            host_tid: 0,
            told_cpu: Cell::default(),
            switches: Switches::default(),
            dying: None,
        }
    }

    /// CPU time that it has used: neither part is ever less than before.
    pub fn cpu(&self) -> CpuTime {
        let cpu = host::cpu_time::of_thread(self.host_tid).going_on_from(self.told_cpu.get());
        self.told_cpu.set(cpu);
        cpu
    }

    /// It leaves its thread: what it has used is its process's from now on, and no longer its own.
    pub fn leave_thread(&mut self) -> CpuTime {
        let cpu = self.cpu();
        self.host_tid = 0;
        self.told_cpu = Cell::default();
        cpu
    }
}

impl Process {
    /// One that has just begun and has nothing from another: the first, or what a copy begins with.
    pub fn new(pid: Pid, actions: Common<Box<[Action; 65]>>, limits: [Limit; 16]) -> Self {
        Self {
            pid,
            parent: INIT_PID,
            maker: INIT_PID,
            group: FIRST_PID,
            session: INIT_PID,
            space: None,
            tasks: vec![Tid(pid.0)],
            actions,
            pending: Pending::default(),
            image: Image::default(),
            limits,
            state: State::Running,
            news: None,
            exit_signal: libc::SIGCHLD,
            vfork_parent: None,
            ending: None,
            alone: None,
            children_usage: Times::default(),
            oom_adjustment: 0,
            transfers: Transfers::default(),
            has_executed: false,
            started: Instant::now(),
            alarm: Alarm::default(),
            cpu_alarms: CpuAlarms::default(),
            timers: Vec::new(),
            dumpable: 1,
            wishes: Wishes::default(),
            is_subreaper: false,
            death_signal: 0,
            past: Past::default(),
        }
    }

    /// What it does about a signal.
    pub fn action(&self, signal: i32) -> Action {
        self.actions.change(|actions| actions[signal as usize])
    }

    /// Sets what it does about a signal, and those do with which it shares that.
    pub fn set_action(&mut self, signal: i32, action: Action) {
        self.actions.change(|actions| actions[signal as usize] = action);
    }

    /// From now on a signal has its default action.
    pub fn set_default(&mut self, signal: i32) {
        self.actions.change(|actions| actions[signal as usize].handler = SIG_DFL);
    }

    /// Whether a signal is ignored by choice.
    pub fn ignores(&self, signal: i32) -> bool {
        self.action(signal).handler == SIG_IGN
    }

    /// It has ended: what it shared is the others'.
    pub fn leave_shared(&mut self) {
        self.actions.leave();
    }

    /// What a process that has ended used, and its children that it waited for.
    pub fn whole_usage(&self) -> Times {
        let Past { cpu, faults, peak_resident_pages, switches, .. } = self.past;
        let mut usage = Times { cpu, minor: faults.minor, major: faults.major, peak_resident_pages, switches };
        usage.add(self.children_usage);
        usage
    }

    /// Whether it has ended.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, State::Zombie(_))
    }
}
