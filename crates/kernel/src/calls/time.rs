//! Sleeping, alarms and timers. Clocks are the host's.

use super::{Args, ERESTART_RESTARTBLOCK, Flow, RestartBlock, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::{Alarm, Tid};
use crate::timers::Clock;
use crate::waiting::Waiting;
use addr::VirtAddr;
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;
/// Longer sleeps than this end then.
const LONGEST: Duration = Duration::from_secs(1 << 32);

/// A time from now on, however large the duration.
pub(super) fn after(duration: Duration) -> Instant {
    Instant::now() + duration.min(LONGEST)
}

impl Kernel {
    pub(super) fn time_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_nanosleep => self.sleep(args, libc::CLOCK_MONOTONIC, 0, args.at(0), args.at(1)),
            libc::SYS_clock_nanosleep => self.sleep(args, args.int(0), args.int(1), args.at(2), args.at(3)),
            libc::SYS_clock_gettime => return answered(self.clock_gettime(args)),
            libc::SYS_gettimeofday => return answered(self.gettimeofday(args)),
            libc::SYS_time => return answered(self.time(args)),
            libc::SYS_clock_getres => return answered(self.clock_getres(args)),
            libc::SYS_alarm => return answered(Ok(self.alarm(args))),
            libc::SYS_getitimer => return answered(self.getitimer(args.tid, args.int(0), args.at(1))),
            libc::SYS_setitimer => return answered(self.setitimer(args)),
            libc::SYS_timer_create => return answered(self.timer_create(args)),
            libc::SYS_timer_settime => return answered(self.timer_settime(args)),
            libc::SYS_timer_gettime => return answered(self.timer_gettime(args)),
            libc::SYS_timer_getoverrun => return answered(self.timer_overrun(args)),
            libc::SYS_timer_delete => return answered(self.timer_delete(args)),
            libc::SYS_times => return answered(self.times(args)),
            _ => return None,
        })
    }

    fn sleep(&mut self, args: &Args, clock: i32, flags: i32, at: u64, remains_to: u64) -> Result<Flow, Errno> {
        let is_absolute = flags & libc::TIMER_ABSTIME != 0;
        let remains_to = if is_absolute { 0 } else { remains_to };
        if let Some(Some(until)) = self.restarted_until(args.tid) {
            return Ok(Flow::Sleep(Waiting::Time { until, remains_to }));
        }
        let ns = self.guest_timespec(args.tid, at)?;
        let now = host::files::clock_ns(clock).ok_or(Errno::EINVAL)?;
        let from_now = if is_absolute { ns.saturating_sub(now) } else { ns };
        Ok(Flow::Sleep(Waiting::Time { until: after(Duration::from_nanos(from_now)), remains_to }))
    }

    /// A sleep that a signal interrupted: what remains is told, and restart_syscall would go on.
    pub(super) fn interrupted_sleep(&mut self, tid: Tid, until: Instant, remains_to: u64) -> Errno {
        if remains_to != 0 {
            let left = until.saturating_duration_since(Instant::now()).as_nanos() as u64;
            let space = self.space_of(tid);
            if self.mm.write_all(space, VirtAddr::new(remains_to), &timespec_bytes(left)).is_err() {
                return Errno::EFAULT;
            }
        }
        self.block_until(tid, Some(until));
        ERESTART_RESTARTBLOCK
    }

    fn clock_gettime(&mut self, args: &Args) -> Result<u64, Errno> {
        let clock = self.clock(args.tid, args.int(0))?;
        let bytes = timespec_bytes(self.used(clock));
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &bytes).map(|()| 0)
    }

    fn gettimeofday(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        if args.at(0) != 0 {
            let now = host::files::clock_ns(libc::CLOCK_REALTIME).ok_or(Errno::EINVAL)?;
            self.mm.write_all(space, VirtAddr::new(args.at(0)), &timeval_bytes(now))?;
        }
        if args.at(1) != 0 {
            self.mm.write_all(space, VirtAddr::new(args.at(1)), &host::files::time_zone())?;
        }
        Ok(0)
    }

    /// The second, by the clock that does not look: it may be the last one for some milliseconds.
    fn time(&mut self, args: &Args) -> Result<u64, Errno> {
        let now = host::files::clock_ns(libc::CLOCK_REALTIME_COARSE).ok_or(Errno::EINVAL)? / SECOND_NS;
        if args.at(0) != 0 {
            let space = self.space_of(args.tid);
            self.mm.write_all(space, VirtAddr::new(args.at(0)), &now.to_le_bytes())?;
        }
        Ok(now)
    }

    fn clock_getres(&mut self, args: &Args) -> Result<u64, Errno> {
        let ns = match self.clock(args.tid, args.int(0))? {
            Clock::Host(number) => host::files::clock_resolution_ns(number),
            Clock::Process(_) | Clock::Thread(_) => 1,
        };
        if args.at(1) == 0 {
            return Ok(0);
        }
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &timespec_bytes(ns)).map(|()| 0)
    }

    fn alarm(&mut self, args: &Args) -> u64 {
        let seconds = args.at(0) as u32;
        let at = (seconds > 0).then(|| after(Duration::from_secs(seconds.into())));
        let old = std::mem::replace(&mut self.process_of(args.tid).alarm, Alarm { at, interval_ns: 0 });
        old.at.map_or(0, |at| at.saturating_duration_since(Instant::now()).as_nanos().div_ceil(1_000_000_000) as u64)
    }

    fn getitimer(&mut self, tid: Tid, which: i32, to: u64) -> Result<u64, Errno> {
        if !(0..=2).contains(&which) {
            return Err(Errno::EINVAL);
        }
        let pid = self.pid_of(tid);
        let (interval_ns, left) = match which {
            0 => {
                let Alarm { at, interval_ns } = self.process_of(tid).alarm;
                let left = at.map_or(0, |at| at.saturating_duration_since(Instant::now()).as_nanos().max(1000) as u64);
                (interval_ns, left)
            }
            _ => self.cpu_alarm(pid, which as usize - 1),
        };
        let space = self.space_of(tid);
        let bytes = [timeval_bytes(interval_ns), timeval_bytes(left)].concat();
        self.mm.write_all(space, VirtAddr::new(to), &bytes)?;
        Ok(0)
    }

    fn setitimer(&mut self, args: &Args) -> Result<u64, Errno> {
        let new = match args.at(1) {
            0 => (0, 0),
            at => (self.timeval(args.tid, at)?, self.timeval(args.tid, at.wrapping_add(16))?),
        };
        if args.at(2) != 0 {
            self.getitimer(args.tid, args.int(0), args.at(2))?;
        }
        match args.int(0) {
            0 => {
                let (interval_ns, value) = new;
                let at = (value > 0).then(|| after(Duration::from_nanos(value)));
                self.process_of(args.tid).alarm = Alarm { at, interval_ns };
                Ok(0)
            }
            which @ (1 | 2) => {
                let (interval_ns, value) = new;
                self.set_cpu_alarm(self.pid_of(args.tid), which as usize - 1, interval_ns, value);
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn times(&mut self, args: &Args) -> Result<u64, Errno> {
        let ticks = |ns: u64| ns / 10_000_000;
        let used = self.cpu_of(self.pid_of(args.tid));
        let children = self.process_of(args.tid).children_usage.cpu;
        let used = [used.user_ns, used.system_ns, children.user_ns, children.system_ns].map(ticks);
        if args.at(0) != 0 {
            let space = self.space_of(args.tid);
            let bytes: Vec<u8> = used.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.mm.write_all(space, VirtAddr::new(args.at(0)), &bytes)?;
        }
        Ok(ticks(host::files::clock_ns(libc::CLOCK_BOOTTIME).unwrap_or(0)))
    }

    /// A timespec of the guest, in nanoseconds.
    pub(crate) fn guest_timespec(&mut self, tid: Tid, at: u64) -> Result<u64, Errno> {
        self.guest_time(tid, at, Unit::Nanoseconds)
    }

    /// A duration of the guest, from now on.
    pub(crate) fn guest_deadline(&mut self, tid: Tid, at: u64) -> Result<Instant, Errno> {
        Ok(after(Duration::from_nanos(self.guest_timespec(tid, at)?)))
    }

    /// A timeval of the guest, in nanoseconds.
    pub(super) fn timeval(&mut self, tid: Tid, at: u64) -> Result<u64, Errno> {
        self.guest_time(tid, at, Unit::Microseconds)
    }

    /// A time of the guest, seconds and a rest in some unit, in nanoseconds.
    pub(super) fn guest_time(&mut self, tid: Tid, at: u64, unit: Unit) -> Result<u64, Errno> {
        let space = self.space_of(tid);
        let seconds = self.mm.read_u64(space, VirtAddr::new(at))?;
        let rest = self.mm.read_u64(space, VirtAddr::new(at).wrapping_add(8))?;
        if (seconds as i64) < 0 || rest >= SECOND_NS / unit.ns() {
            return Err(Errno::EINVAL);
        }
        Ok(seconds.saturating_mul(SECOND_NS).saturating_add(rest * unit.ns()))
    }

    /// When a call that goes on by restart_syscall ends: `Some(None)` for never, `None` for a call that begins.
    pub(super) fn restarted_until(&mut self, tid: Tid) -> Option<Option<Instant>> {
        self.task(tid).call.as_ref()?.block.map(|block| block.until)
    }

    /// A call that was interrupted goes on by restart_syscall, and ends then.
    pub(super) fn block_until(&mut self, tid: Tid, until: Option<Instant>) {
        if let Some(call) = &mut self.task(tid).call {
            call.block = Some(RestartBlock { nr: call.nr, until });
        }
    }
}

/// What the second word of a time counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// As in struct timespec.
    Nanoseconds,
    /// As in struct timeval.
    Microseconds,
}

impl Unit {
    fn ns(self) -> u64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1000,
        }
    }

    /// A time as the program reads it.
    pub(super) fn bytes(self, ns: u64) -> [u8; 16] {
        words(ns / SECOND_NS, ns % SECOND_NS / self.ns())
    }
}

pub(super) fn timespec_bytes(ns: u64) -> [u8; 16] {
    Unit::Nanoseconds.bytes(ns)
}

pub(super) fn timeval_bytes(ns: u64) -> [u8; 16] {
    Unit::Microseconds.bytes(ns)
}

fn words(first: u64, second: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&first.to_le_bytes());
    bytes[8..].copy_from_slice(&second.to_le_bytes());
    bytes
}
