//! What the threads of one machine share, and the one door to the kernel.
//!
//! Locks, in the order in which they are taken: the run token, the kernel, then each of the others alone.

use crate::crash::CrashReport;
use crate::memory_watch::MemoryWatch;
use crate::tasks::Tasks;
use crate::token::RunToken;
use crate::vcpus::Vcpus;
use crate::voice::Voice;
use crate::{Maps, OuterSignals};
use engine::{Cpu, Engine};
use host::io_signals::Arrivals;
use kernel::{Kernel, Tid};
use mmu::CpuView;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Virtual CPUs of a machine. One thread runs at a time; the others keep what they know of other spaces.
const VCPUS: usize = 4;

/// Everything that the threads of a machine share.
pub struct Shared {
    pub engine: Arc<Engine>,
    pub token: RunToken,
    pub vcpus: Vcpus<Cpu>,
    pub tasks: Tasks,
    pub voice: Voice,
    views: Vec<Arc<CpuView>>,
    end: Mutex<End>,
    maps: Maps,
    outer_signals: OuterSignals,
    kernel: Mutex<Option<Kernel>>,
    next_timer: Mutex<Timer>,
    timer_changed: Condvar,
}

/// What is kept of the first process's end for the report.
#[derive(Default)]
pub struct End {
    /// The death, described, if it was one.
    pub crash: Option<CrashReport>,
    /// Its address space, if it is wanted.
    pub maps: Option<String>,
}

/// When the next guest timer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timer {
    None,
    At(Instant),
    /// The machine has ended.
    Over,
}

impl Shared {
    /// A machine that has not begun.
    pub fn new(engine: Arc<Engine>, kernel: Kernel, voice: Voice, maps: Maps, outer_signals: OuterSignals) -> Self {
        let cpus: Vec<Cpu> = (0..VCPUS).map(|_| Cpu::new(&engine)).collect();
        let views: Vec<Arc<CpuView>> = cpus.iter().map(|cpu| Arc::clone(cpu.view())).collect();
        Self {
            token: RunToken::new(views.clone()),
            views,
            vcpus: Vcpus::new(cpus),
            engine,
            tasks: Tasks::default(),
            voice,
            end: Mutex::default(),
            maps,
            outer_signals,
            kernel: Mutex::new(Some(kernel)),
            next_timer: Mutex::new(Timer::None),
            timer_changed: Condvar::new(),
        }
    }

    /// Does something in the kernel, and then what the kernel asks of the machine: wakes, events, warnings, timers.
    pub fn with_kernel<R>(&self, act: impl FnOnce(&mut Kernel) -> R) -> R {
        self.with_kernel_if_running(act).expect("the kernel lives as long as the machine runs")
    }

    /// The same for those who may come after the machine has ended: `None`.
    pub fn with_kernel_if_running<R>(&self, act: impl FnOnce(&mut Kernel) -> R) -> Option<R> {
        let mut guard = self.kernel_lock();
        let kernel = guard.as_mut()?;
        let answer = act(kernel);
        let notices = kernel.take_notices();
        let events = if self.voice.wants_any() { kernel.take_events() } else { Vec::new() };
        let warnings = kernel.take_warnings();
        let timer = kernel.next_timer();
        drop(guard);
        self.set_timer(timer.map_or(Timer::None, Timer::At));
        for tid in notices {
            self.notice(tid);
        }
        for event in events {
            self.voice.event(event.pid.get(), event.tid.get(), event.what);
        }
        for warning in warnings {
            self.voice.warn(warning.to_string());
        }
        Some(answer)
    }

    /// Tells the engine which program a thread is about to begin.
    pub fn begin_program(&self, tid: Tid) {
        let (tables, path) = self.with_kernel(|kernel| (kernel.tables(tid), kernel.image_of(tid).path.clone()));
        self.engine.begin_program(&tables, &path);
    }

    /// Guest instructions that were executed, if they are counted.
    pub fn instructions(&self) -> u64 {
        self.views.iter().map(|view| engine::instructions(view)).sum()
    }

    /// Brings a guest thread to the kernel.
    fn notice(&self, tid: Tid) {
        self.tasks.notice(tid.get());
        self.token.kick(tid.get());
    }

    /// Takes the kernel out when the machine has ended.
    pub fn take_kernel(&self) -> Option<Kernel> {
        self.kernel_lock().take()
    }

    /// Sends the signals of guest timers when they end, and looks after the host's memory; returns when the machine has
    /// ended.
    pub fn serve_timers(&self) {
        let mut memory = MemoryWatch::new();
        loop {
            let mut timer = self.timer();
            let due = match *timer {
                Timer::Over => return,
                Timer::None => None,
                Timer::At(at) => Some(at),
            };
            let now = Instant::now();
            if due.is_some_and(|due| due <= now) {
                *timer = Timer::None;
                drop(timer);
                self.with_kernel_if_running(Kernel::expire_timers);
            } else if memory.next_look().is_some_and(|look| look <= now) {
                drop(timer);
                memory.look(self);
            } else if let Some(next) = due.into_iter().chain(memory.next_look()).min() {
                drop(self.timer_changed.wait_timeout(timer, next - now).unwrap_or_else(PoisonError::into_inner));
            } else {
                drop(self.timer_changed.wait(timer).unwrap_or_else(PoisonError::into_inner));
            }
        }
    }

    /// Starts the thread that tells guests of their descriptors.
    pub fn serve_owners(self: &Arc<Self>, arrivals: Arrivals) {
        let shared = Arc::downgrade(self);
        let serve = move || {
            // It was started in a guest's descriptor table, which would live as long.
            if host::guest_thread::own_files().is_ok() {
                host::guest_thread::close_all_files();
            }
            loop {
                let news = arrivals.wait();
                let Some(shared) = shared.upgrade().filter(|_| !news.is_empty()) else { return };
                shared.with_kernel_if_running(|kernel| kernel.tell_owners(&news));
            }
        };
        let thread = std::thread::Builder::new().name("owners".to_owned()).spawn(serve);
        if thread.is_err() {
            self.voice.warn("the host has no thread for the signals of descriptors".to_owned());
        }
    }

    /// The last process has ended: [`Shared::serve_timers`] returns, and so does [`Shared::wait_for_end`].
    pub fn note_end(&self) {
        *self.timer() = Timer::Over;
        self.timer_changed.notify_all();
    }

    /// Waits until the machine has ended or it is so late; whether it has ended.
    pub fn wait_for_end(&self, until: Instant) -> bool {
        let mut timer = self.timer();
        while *timer != Timer::Over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            timer = self.timer_changed.wait_timeout(timer, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Whether the first process's address space is kept at its end.
    pub fn keeps_maps(&self) -> bool {
        self.maps == Maps::Kept
    }

    /// Whether the guest gets the signals that pagewalk gets.
    pub fn forwards_signals(&self) -> bool {
        self.outer_signals == OuterSignals::Forwarded
    }

    /// A signal that pagewalk got and that is meant for the guest.
    pub fn outer_signal(&self, signal: i32) {
        self.with_kernel_if_running(|kernel| kernel.host_signal(signal));
    }

    /// What is known of the end.
    pub fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_timer(&self, next: Timer) {
        let mut timer = self.timer();
        if *timer != next && *timer != Timer::Over {
            *timer = next;
            self.timer_changed.notify_all();
        }
    }

    fn timer(&self) -> MutexGuard<'_, Timer> {
        self.next_timer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kernel_lock(&self) -> MutexGuard<'_, Option<Kernel>> {
        self.kernel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
