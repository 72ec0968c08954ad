//! Timers of guests: the three of setitimer, timer_create's, and the limit of CPU time.
//!
//! What counts real time is due at an instant. What counts CPU time is looked at when it could be due at the earliest,
//! and again after what is missing then.

use crate::Errno;
use crate::calls::Args;
use crate::kernel::Kernel;
use crate::signal::{Cause, Pending, SigInfo};
use crate::task::{Pid, Process, Tid};
use addr::VirtAddr;
use host::cpu_time::CpuTime;
use std::fmt::Write;
use std::time::{Duration, Instant};

const SI_TIMER: i32 = -2;
const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD_ID: i32 = 4;
/// Timers of a process at most.
const MAX_TIMERS: usize = 256;
const SECOND_NS: u64 = 1_000_000_000;
/// CPU time is not looked at more often.
const LOOK_AGAIN: Duration = Duration::from_micros(100);
/// The bits of a clock that is a process's or a thread's: the number, inverted, is above them.
const OF_THREAD: i32 = 4;
const KIND: i32 = 3;

/// A clock that a guest can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Clock {
    /// One of the host's, by its number.
    Host(i32),
    /// CPU time of a process.
    Process(Pid),
    /// CPU time of a thread.
    Thread(Tid),
}

/// When a timer ends next.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Due {
    #[default]
    Never,
    At(Instant),
    /// When this much CPU time is used.
    Used(u64),
}

/// A timer of setitimer that counts CPU time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct CpuAlarm {
    due: Due,
    interval_ns: u64,
}

/// What a process has that counts CPU time.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct CpuAlarms {
    /// ITIMER_VIRTUAL, ITIMER_PROF.
    alarms: [CpuAlarm; 2],
    /// When something may be due.
    look: Option<Instant>,
    /// Seconds over RLIMIT_CPU that the process was told of.
    told_seconds: u64,
}

/// A timer of timer_create.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    clock: Clock,
    /// The clock as Linux names it.
    clock_number: i32,
    due: Due,
    interval_ns: u64,
    signal: Option<i32>,
    value: u64,
    /// The task that gets the signal, or the process.
    target: Option<Tid>,
    /// How often it ended again before its last signal was taken.
    overrun: i32,
}

impl Kernel {
    /// When the first timer ends.
    pub(crate) fn earliest_timer(&self) -> Option<Instant> {
        let living = self.processes.values().filter(|process| !process.is_zombie());
        let ends = living.flat_map(|process| {
            let timers = process.timers.iter().flatten().filter_map(|timer| match timer.due {
                Due::At(at) => Some(at),
                Due::Never | Due::Used(_) => None,
            });
            timers.chain(process.alarm.at).chain(process.cpu_alarms.look)
        });
        ends.min()
    }

    /// Sends the signals of timers that have ended by `now`.
    pub(crate) fn expire_timers_at(&mut self, now: Instant) {
        let pids: Vec<Pid> =
            self.processes.values().filter(|process| !process.is_zombie()).map(|process| process.pid).collect();
        for pid in pids {
            self.expire_alarm(pid, now);
            for id in 0..self.processes[&pid].timers.len() {
                self.expire_timer(pid, id, now);
            }
            if self.processes[&pid].cpu_alarms.look.is_some_and(|look| look <= now) {
                self.expire_cpu(pid);
                self.plan_look(pid);
            }
        }
    }

    fn expire_alarm(&mut self, pid: Pid, now: Instant) {
        let alarm = &mut self.living(pid).alarm;
        if let Some(at) = alarm.at.filter(|at| *at <= now) {
            alarm.at = next_instant(at, alarm.interval_ns, now).0;
            self.send_to_process(pid, SigInfo::kernel(libc::SIGALRM));
        }
    }

    fn expire_timer(&mut self, pid: Pid, id: usize, now: Instant) {
        let ends = self.ends_of(pid, id, now);
        let Some(timer) = self.processes[&pid].timers[id].filter(|_| ends > 0) else { return };
        let Some(signal) = timer.signal else { return };
        // A signal that still waits is told of the overrun; it does not queue again.
        let target = timer.target.filter(|tid| self.tasks.contains_key(tid));
        if self.pending_at(pid, target).add_overrun(id as i32, ends) {
            return;
        }
        let cause = Cause::Timer { id: id as i32, overrun: ends - 1, value: timer.value };
        let info = SigInfo { signal, code: SI_TIMER, cause };
        match target {
            Some(tid) => self.send_to_task(tid, info),
            None => self.send_to_process(pid, info),
        }
    }

    /// How often a timer has ended by `now` since it was last asked; it is due again at the next end.
    fn ends_of(&mut self, pid: Pid, id: usize, now: Instant) -> i32 {
        let Some(Some(timer)) = self.processes[&pid].timers.get(id).copied() else { return 0 };
        let (due, missed) = match timer.due {
            Due::At(at) if at <= now => {
                let (at, missed) = next_instant(at, timer.interval_ns, now);
                (at.map_or(Due::Never, Due::At), missed)
            }
            Due::Used(at) => match self.used(timer.clock) {
                used if used >= at => next_used(at, timer.interval_ns, used),
                _ => return 0,
            },
            Due::At(_) | Due::Never => return 0,
        };
        if let Some(timer) = &mut self.living(pid).timers[id] {
            timer.due = due;
        }
        missed.saturating_add(1)
    }

    fn expire_cpu(&mut self, pid: Pid) {
        let cpu = self.cpu_of(pid);
        for (index, signal) in [(0, libc::SIGVTALRM), (1, libc::SIGPROF)] {
            let used = counted(cpu, index);
            let alarm = &mut self.living(pid).cpu_alarms.alarms[index];
            if let Due::Used(at) = alarm.due
                && at <= used
            {
                alarm.due = next_used(at, alarm.interval_ns, used).0;
                self.send_to_process(pid, SigInfo::kernel(signal));
            }
        }
        self.enforce_cpu_limit(pid, cpu.total_ns() / SECOND_NS);
    }

    /// RLIMIT_CPU: SIGXCPU at the soft limit and each second after it, SIGKILL at the hard one.
    fn enforce_cpu_limit(&mut self, pid: Pid, seconds: u64) {
        let process = self.living(pid);
        let limit = process.limits[libc::RLIMIT_CPU as usize];
        if seconds >= limit.hard {
            self.send_to_process(pid, SigInfo::kernel(libc::SIGKILL));
        } else if seconds >= limit.soft.saturating_add(process.cpu_alarms.told_seconds) {
            process.cpu_alarms.told_seconds = seconds + 1 - limit.soft;
            self.send_to_process(pid, SigInfo::kernel(libc::SIGXCPU));
        }
    }

    /// Plans when CPU time is looked at next: a process cannot use it faster than time goes by.
    pub(crate) fn plan_look(&mut self, pid: Pid) {
        let process = &self.processes[&pid];
        let alarms = process.cpu_alarms.alarms.iter().enumerate();
        let mut dues: Vec<(Due, Option<Clock>, usize)> =
            alarms.map(|(index, alarm)| (alarm.due, None, index)).collect();
        dues.extend(process.timers.iter().flatten().map(|timer| (timer.due, Some(timer.clock), 0)));
        let limit = process.limits[libc::RLIMIT_CPU as usize];
        let next = limit.soft.saturating_add(process.cpu_alarms.told_seconds).min(limit.hard);
        if limit.soft != libc::RLIM_INFINITY || limit.hard != libc::RLIM_INFINITY {
            dues.push((Due::Used(next.saturating_mul(SECOND_NS)), Some(Clock::Process(pid)), 0));
        }
        let missing = dues.iter().filter_map(|(due, clock, index)| match (due, clock) {
            (Due::Used(at), Some(clock)) => Some(at.saturating_sub(self.used(*clock))),
            (Due::Used(at), None) => Some(at.saturating_sub(counted(self.cpu_of(pid), *index))),
            _ => None,
        });
        let look = missing.min().map(|ns| Instant::now() + Duration::from_nanos(ns.min(1 << 40)).max(LOOK_AGAIN));
        self.living(pid).cpu_alarms.look = look;
    }

    /// setitimer of ITIMER_VIRTUAL (0) or ITIMER_PROF (1).
    pub(crate) fn set_cpu_alarm(&mut self, pid: Pid, index: usize, interval_ns: u64, value: u64) {
        let now = counted(self.cpu_of(pid), index);
        let due = if value > 0 { Due::Used(now.saturating_add(value)) } else { Due::Never };
        self.living(pid).cpu_alarms.alarms[index] = CpuAlarm { due, interval_ns };
        self.plan_look(pid);
    }

    /// Interval and rest of the same.
    pub(crate) fn cpu_alarm(&self, pid: Pid, index: usize) -> (u64, u64) {
        let alarm = self.processes[&pid].cpu_alarms.alarms[index];
        match alarm.due {
            Due::Used(at) => (alarm.interval_ns, at.saturating_sub(counted(self.cpu_of(pid), index)).max(1000)),
            _ => (alarm.interval_ns, 0),
        }
    }

    /// The clock of a number, if a guest may name it.
    pub(crate) fn clock(&self, tid: Tid, number: i32) -> Result<Clock, Errno> {
        let own = self.pid_of(tid);
        match number {
            libc::CLOCK_PROCESS_CPUTIME_ID => Ok(Clock::Process(own)),
            libc::CLOCK_THREAD_CPUTIME_ID => Ok(Clock::Thread(tid)),
            0.. => host::files::clock_ns(number).map(|_| Clock::Host(number)).ok_or(Errno::EINVAL),
            _ if number & KIND == KIND => Err(Errno::EINVAL),
            _ => {
                let named = !(number >> 3) as u32;
                match number & OF_THREAD {
                    0 if named == 0 => Ok(Clock::Process(own)),
                    0 if self.processes.contains_key(&Pid(named)) => Ok(Clock::Process(Pid(named))),
                    OF_THREAD if named == 0 => Ok(Clock::Thread(tid)),
                    OF_THREAD if self.tasks.get(&Tid(named)).is_some_and(|task| task.pid == own) => {
                        Ok(Clock::Thread(Tid(named)))
                    }
                    _ => Err(Errno::EINVAL),
                }
            }
        }
    }

    /// What a clock shows now, in nanoseconds.
    pub(crate) fn used(&self, clock: Clock) -> u64 {
        match clock {
            Clock::Host(number) => host::files::clock_ns(number).unwrap_or(0),
            Clock::Process(pid) if self.processes.contains_key(&pid) => self.cpu_of(pid).total_ns(),
            Clock::Process(_) => 0,
            Clock::Thread(tid) => self.tasks.get(&tid).map_or(0, |task| task.cpu().total_ns()),
        }
    }

    /// The timers of a process as /proc/PID/timers lists them.
    pub(crate) fn timers_text(&self, pid: Pid) -> String {
        let timers = self.processes.get(&pid).map_or(&[][..], |process| &process.timers);
        let mut text = String::new();
        // The newest first.
        for (id, timer) in timers.iter().enumerate().rev().filter_map(|(id, timer)| Some((id, timer.as_ref()?))) {
            let kind = if timer.signal.is_some() { "signal" } else { "none" };
            let whom = timer.target.map_or_else(|| format!("pid.{pid}"), |tid| format!("tid.{tid}"));
            let (signal, value, clock) = (timer.signal.unwrap_or(0), timer.value, timer.clock_number);
            let lines = format!("signal: {signal}/{value:016x}\nnotify: {kind}/{whom}\nClockID: {clock}");
            writeln!(text, "ID: {id}\n{lines}").expect("a string takes all text");
        }
        text
    }

    pub(crate) fn timer_create(&mut self, args: &Args) -> Result<u64, Errno> {
        let clock = self.clock(args.tid, args.int(0))?;
        let space = self.space_of(args.tid);
        let (mut signal, mut value, mut target) = (Some(libc::SIGALRM), None, None);
        if args.at(1) != 0 {
            let event = self.bytes_in(space, args.at(1), 24)?;
            let int = |at: usize| i32::from_le_bytes(event[at..at + 4].try_into().expect("four bytes"));
            value = Some(u64::from_le_bytes(event[..8].try_into().expect("eight bytes")));
            match int(12) {
                SIGEV_NONE => signal = None,
                SIGEV_SIGNAL | SIGEV_THREAD_ID if (1..=64).contains(&int(8)) => signal = Some(int(8)),
                _ => return Err(Errno::EINVAL),
            }
            if int(12) == SIGEV_THREAD_ID {
                let tid = Tid(int(16) as u32);
                if !self.process_of(args.tid).tasks.contains(&tid) {
                    return Err(Errno::EINVAL);
                }
                target = Some(tid);
            }
        }
        let process = self.process_of(args.tid);
        let id = process.timers.iter().position(Option::is_none).unwrap_or(process.timers.len());
        if id >= MAX_TIMERS {
            return Err(Errno::EAGAIN);
        }
        process.timers.resize(process.timers.len().max(id + 1), None);
        let value = value.unwrap_or(id as u64);
        let (due, clock_number) = (Due::Never, number_of_clock(args.int(0)));
        let timer = Timer { clock, clock_number, due, interval_ns: 0, signal, value, target, overrun: 0 };
        process.timers[id] = Some(timer);
        let told = self.mm.write_all(space, VirtAddr::new(args.at(2)), &(id as i32).to_le_bytes());
        if told.is_err() {
            self.process_of(args.tid).timers[id] = None;
        }
        told.map(|()| 0)
    }

    pub(crate) fn timer_settime(&mut self, args: &Args) -> Result<u64, Errno> {
        let clock = self.timer(args)?.clock;
        let interval_ns = self.guest_timespec(args.tid, args.at(2))?;
        let value = self.guest_timespec(args.tid, args.at(2).wrapping_add(16))?;
        if args.at(3) != 0 {
            self.write_timer(args, args.at(3))?;
        }
        let is_absolute = args.int(1) & libc::TIMER_ABSTIME != 0;
        let now = self.used(clock);
        let due = match clock {
            _ if value == 0 => Due::Never,
            Clock::Host(_) => {
                let from_now = if is_absolute { value.saturating_sub(now) } else { value };
                Due::At(Instant::now() + Duration::from_nanos(from_now.min(1 << 60)))
            }
            Clock::Process(_) | Clock::Thread(_) => {
                Due::Used(if is_absolute { value } else { now.saturating_add(value) })
            }
        };
        let timer = self.timer(args)?;
        (timer.due, timer.interval_ns, timer.overrun) = (due, interval_ns, 0);
        self.plan_look(self.pid_of(args.tid));
        Ok(0)
    }

    pub(crate) fn timer_gettime(&mut self, args: &Args) -> Result<u64, Errno> {
        self.write_timer(args, args.at(1))?;
        Ok(0)
    }

    pub(crate) fn timer_overrun(&mut self, args: &Args) -> Result<u64, Errno> {
        Ok(self.timer(args)?.overrun as u64)
    }

    /// The signal of a timer is being taken: it tells of all ends until now, and timer_getoverrun does from now on.
    pub(crate) fn note_overrun(&mut self, pid: Pid, info: &mut SigInfo) {
        if let Cause::Timer { id, overrun, .. } = &mut info.cause {
            let unseen = self.ends_of(pid, *id as usize, Instant::now());
            *overrun = overrun.saturating_add(unseen);
            if let Some(Some(timer)) = self.living(pid).timers.get_mut(*id as usize) {
                timer.overrun = *overrun;
            }
        }
    }

    /// Ends a timer; a signal of it that still waits is not delivered any more, as Linux has it since 6.13.
    pub(crate) fn timer_delete(&mut self, args: &Args) -> Result<u64, Errno> {
        let target = self.timer(args)?.target.filter(|tid| self.tasks.contains_key(tid));
        self.process_of(args.tid).timers[args.at(0) as usize] = None;
        let pid = self.pid_of(args.tid);
        self.pending_at(pid, target).discard_timer(args.int(0));
        Ok(0)
    }

    /// Where the signals of a timer wait: at a thread of the process, or at the process.
    fn pending_at(&mut self, pid: Pid, target: Option<Tid>) -> &mut Pending {
        match target {
            Some(tid) => &mut self.task(tid).pending,
            None => &mut self.living(pid).pending,
        }
    }

    fn timer(&mut self, args: &Args) -> Result<&mut Timer, Errno> {
        let id = args.int(0) as usize;
        self.process_of(args.tid).timers.get_mut(id).and_then(Option::as_mut).ok_or(Errno::EINVAL)
    }

    fn write_timer(&mut self, args: &Args, to: u64) -> Result<(), Errno> {
        let timer = *self.timer(args)?;
        let left = match timer.due {
            Due::Never => 0,
            Due::At(at) => (at.saturating_duration_since(Instant::now()).as_nanos() as u64).max(1),
            Due::Used(at) => at.saturating_sub(self.used(timer.clock)).max(1),
        };
        let words = [timer.interval_ns / SECOND_NS, timer.interval_ns % SECOND_NS, left / SECOND_NS, left % SECOND_NS];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(to), &bytes)
    }

    fn living(&mut self, pid: Pid) -> &mut Process {
        self.processes.get_mut(&pid).expect("the caller found it")
    }
}

/// What ITIMER_VIRTUAL (0) and ITIMER_PROF (1) count.
fn counted(cpu: CpuTime, index: usize) -> u64 {
    if index == 0 { cpu.user_ns } else { cpu.total_ns() }
}

/// When a timer that ended at `at` ends again, and how often it has ended meanwhile.
fn next_instant(at: Instant, interval_ns: u64, now: Instant) -> (Option<Instant>, i32) {
    if interval_ns == 0 {
        return (None, 0);
    }
    let missed = now.saturating_duration_since(at).as_nanos() as u64 / interval_ns;
    let ahead = Duration::from_nanos(interval_ns.saturating_mul(missed + 1));
    (at.checked_add(ahead), missed.min(i32::MAX as u64) as i32)
}

/// The same for CPU time.
fn next_used(at: u64, interval_ns: u64, used: u64) -> (Due, i32) {
    if interval_ns == 0 {
        return (Due::Never, 0);
    }
    let missed = used.saturating_sub(at) / interval_ns;
    (Due::Used(at.saturating_add(interval_ns.saturating_mul(missed + 1))), missed.min(i32::MAX as u64) as i32)
}

/// The two clocks of the caller's own CPU time are named like those of others, with no number.
fn number_of_clock(named: i32) -> i32 {
    match named {
        libc::CLOCK_PROCESS_CPUTIME_ID => -6,
        libc::CLOCK_THREAD_CPUTIME_ID => -2,
        named => named,
    }
}
