//! Timers of guests: ITIMER_REAL and timer_create's.

use crate::Errno;
use crate::calls::Args;
use crate::kernel::Kernel;
use crate::signal::{Cause, SigInfo};
use crate::task::{Pid, Tid};
use addr::VirtAddr;
use std::time::{Duration, Instant};

const SI_TIMER: i32 = -2;
const SIGEV_SIGNAL: i32 = 0;
const SIGEV_NONE: i32 = 1;
const SIGEV_THREAD_ID: i32 = 4;
/// Timers of a process at most.
const MAX_TIMERS: usize = 256;

/// A timer of timer_create.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timer {
    at: Option<Instant>,
    interval_ns: u64,
    signal: Option<i32>,
    value: u64,
    /// The task that gets the signal, or the process.
    target: Option<Tid>,
    overrun: i32,
}

impl Kernel {
    /// When the first timer ends.
    pub(crate) fn earliest_timer(&self) -> Option<Instant> {
        let ends =
            self.processes.values().filter(|process| !process.is_zombie()).flat_map(|process| {
                process.timers.iter().flatten().filter_map(|timer| timer.at).chain(process.alarm.at)
            });
        ends.min()
    }

    /// Sends the signals of timers that have ended by `now`.
    pub(crate) fn expire_timers_at(&mut self, now: Instant) {
        let pids: Vec<Pid> = self.processes.keys().copied().collect();
        for pid in pids {
            self.expire_alarm(pid, now);
            for id in 0..self.processes[&pid].timers.len() {
                self.expire_timer(pid, id, now);
            }
        }
    }

    fn expire_alarm(&mut self, pid: Pid, now: Instant) {
        let process = self.processes.get_mut(&pid).expect("listed just now");
        let alarm = &mut process.alarm;
        if process.state == crate::task::State::Running && alarm.at.is_some_and(|at| at <= now) {
            alarm.at = next(alarm.at, alarm.interval_ns, now).0;
            self.send_to_process(pid, SigInfo::kernel(libc::SIGALRM));
        }
    }

    fn expire_timer(&mut self, pid: Pid, id: usize, now: Instant) {
        let process = self.processes.get_mut(&pid).expect("listed just now");
        let Some(timer) = &mut process.timers[id] else { return };
        if timer.at.is_none_or(|at| at > now) {
            return;
        }
        (timer.at, timer.overrun) = next(timer.at, timer.interval_ns, now);
        let Timer { signal, value, target, overrun, .. } = *timer;
        let Some(signal) = signal else { return };
        let info = SigInfo { signal, code: SI_TIMER, cause: Cause::Timer { id: id as i32, overrun, value } };
        match target {
            Some(tid) if self.tasks.contains_key(&tid) => self.send_to_task(tid, info),
            _ => self.send_to_process(pid, info),
        }
    }

    pub(crate) fn timer_create(&mut self, args: &Args) -> Result<u64, Errno> {
        host::files::clock_ns(args.int(0)).ok_or(Errno::EINVAL)?;
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
                target = Some(Tid(int(16) as u32));
            }
        }
        let process = self.process_of(args.tid);
        let id = process.timers.iter().position(Option::is_none).unwrap_or(process.timers.len());
        if id >= MAX_TIMERS {
            return Err(Errno::EAGAIN);
        }
        process.timers.resize(process.timers.len().max(id + 1), None);
        let value = value.unwrap_or(id as u64);
        process.timers[id] = Some(Timer { at: None, interval_ns: 0, signal, value, target, overrun: 0 });
        self.mm.write_all(space, VirtAddr::new(args.at(2)), &(id as i32).to_le_bytes())?;
        Ok(0)
    }

    pub(crate) fn timer_settime(&mut self, args: &Args) -> Result<u64, Errno> {
        let interval_ns = self.guest_timespec(args.tid, args.at(2))?;
        let mut value = self.guest_timespec(args.tid, args.at(2).wrapping_add(16))?;
        if args.at(3) != 0 {
            self.write_timer(args, args.at(3))?;
        }
        if args.int(1) & libc::TIMER_ABSTIME != 0 && value > 0 {
            let now = host::files::clock_ns(libc::CLOCK_MONOTONIC).unwrap_or(0);
            value = value.saturating_sub(now).max(1);
        }
        let timer = self.timer(args)?;
        timer.at = (value > 0).then(|| Instant::now() + Duration::from_nanos(value.min(1 << 60)));
        timer.interval_ns = interval_ns;
        Ok(0)
    }

    pub(crate) fn timer_gettime(&mut self, args: &Args) -> Result<u64, Errno> {
        self.write_timer(args, args.at(1))?;
        Ok(0)
    }

    pub(crate) fn timer_overrun(&mut self, args: &Args) -> Result<u64, Errno> {
        Ok(self.timer(args)?.overrun as u64)
    }

    pub(crate) fn timer_delete(&mut self, args: &Args) -> Result<u64, Errno> {
        self.timer(args)?;
        self.process_of(args.tid).timers[args.at(0) as usize] = None;
        Ok(0)
    }

    fn timer(&mut self, args: &Args) -> Result<&mut Timer, Errno> {
        let id = args.int(0) as usize;
        self.process_of(args.tid).timers.get_mut(id).and_then(Option::as_mut).ok_or(Errno::EINVAL)
    }

    fn write_timer(&mut self, args: &Args, to: u64) -> Result<(), Errno> {
        let timer = *self.timer(args)?;
        let left = timer.at.map_or(0, |at| at.saturating_duration_since(Instant::now()).as_nanos() as u64);
        let second = 1_000_000_000;
        let words = [timer.interval_ns / second, timer.interval_ns % second, left / second, left % second];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(to), &bytes)
    }
}

/// When a timer that ended at `at` ends again, and how often it has ended meanwhile.
fn next(at: Option<Instant>, interval_ns: u64, now: Instant) -> (Option<Instant>, i32) {
    let (Some(at), 1..) = (at, interval_ns) else { return (None, 0) };
    let missed = now.saturating_duration_since(at).as_nanos() as u64 / interval_ns;
    let ahead = Duration::from_nanos(interval_ns.saturating_mul(missed + 1));
    (at.checked_add(ahead), missed.min(i32::MAX as u64) as i32)
}
