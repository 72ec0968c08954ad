//! Signals: numbers, sets, actions, and what is pending.

use host::cpu_time::CpuTime;
use std::collections::VecDeque;

/// The largest signal number.
pub(crate) const MAX: i32 = 64;
/// The first signal that queues.
const FIRST_QUEUED: i32 = 32;

pub(crate) const SIG_DFL: u64 = 0;
pub(crate) const SIG_IGN: u64 = 1;

/// `si_code` of a signal that the kernel itself sends.
pub(crate) const SI_KERNEL: i32 = 0x80;
/// `si_code` of kill(2).
pub(crate) const SI_USER: i32 = 0;
/// `si_code` of tgkill(2).
pub(crate) const SI_TKILL: i32 = -6;

/// A set of signals; signal n is bit n - 1, as in sigset_t.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SigSet(pub u64);

impl SigSet {
    /// Those that nobody can block.
    pub const UNBLOCKABLE: Self = Self(1 << (libc::SIGKILL - 1) | 1 << (libc::SIGSTOP - 1));
    /// Those that an instruction raises: they are taken first.
    pub const SYNCHRONOUS: Self = Self(
        1 << (libc::SIGSEGV - 1)
            | 1 << (libc::SIGBUS - 1)
            | 1 << (libc::SIGILL - 1)
            | 1 << (libc::SIGTRAP - 1)
            | 1 << (libc::SIGFPE - 1)
            | 1 << (libc::SIGSYS - 1),
    );
    /// Those that stop a process by default.
    pub const STOPPING: Self =
        Self(1 << (libc::SIGSTOP - 1) | 1 << (libc::SIGTSTP - 1) | 1 << (libc::SIGTTIN - 1) | 1 << (libc::SIGTTOU - 1));

    pub fn of(signal: i32) -> Self {
        Self(1 << (signal - 1))
    }

    pub fn has(self, signal: i32) -> bool {
        self.0 & Self::of(signal).0 != 0
    }

    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn lowest(self) -> Option<i32> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as i32 + 1)
    }
}

/// What sigaction set.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Action {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: SigSet,
}

impl Action {
    /// What a new program begins with: what is ignored stays so, handlers are gone.
    pub fn cleared(self) -> Self {
        Self { handler: if self.handler == SIG_IGN { SIG_IGN } else { SIG_DFL }, ..Self::default() }
    }
}

/// What siginfo_t says beyond the signal's number and code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Sent by a process: `si_pid`, `si_uid`, `si_value`.
    Sent { pid: u32, uid: u32, value: u64 },
    /// Raised by an instruction: `si_addr`, and the trap number, error code and CR2 of the context.
    Raised { addr: u64, trap: u64, error: u64, cr2: Option<u64> },
    /// A child changed: `si_pid`, `si_uid`, `si_status`, `si_utime` and `si_stime`.
    Child { pid: u32, uid: u32, status: i32, used: CpuTime },
    /// A descriptor is ready: `si_band`, `si_fd`.
    Ready { band: i64, descriptor: i32 },
    /// A timer: `si_timerid`, `si_overrun`, `si_value`.
    Timer { id: i32, overrun: i32, value: u64 },
}

/// One instance of a signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SigInfo {
    pub signal: i32,
    pub code: i32,
    pub cause: Cause,
}

impl SigInfo {
    /// A signal from the kernel itself, without more to say.
    pub fn kernel(signal: i32) -> Self {
        Self { signal, code: SI_KERNEL, cause: Cause::Sent { pid: 0, uid: 0, value: 0 } }
    }
}

/// Signals that wait to be delivered.
#[derive(Clone, Default, Debug)]
pub(crate) struct Pending {
    queue: VecDeque<SigInfo>,
}

impl Pending {
    pub fn set(&self) -> SigSet {
        self.queue.iter().fold(SigSet::default(), |set, info| set.with(SigSet::of(info.signal)))
    }

    /// Adds one; a second instance of a signal that does not queue is lost.
    pub fn push(&mut self, info: SigInfo) {
        if info.signal >= FIRST_QUEUED || !self.set().has(info.signal) {
            self.queue.push_back(info);
        }
    }

    /// Takes the next one of a set: synchronous ones first, then by number.
    pub fn take(&mut self, of: SigSet) -> Option<SigInfo> {
        let present = SigSet(self.set().0 & of.0);
        let synchronous = SigSet(present.0 & SigSet::SYNCHRONOUS.0);
        let signal = synchronous.lowest().or(present.lowest())?;
        let index = self.queue.iter().position(|info| info.signal == signal)?;
        self.queue.remove(index)
    }

    /// Counts a timer's ends that nobody was told of, if its signal still waits.
    pub fn add_overrun(&mut self, timer: i32, ends: i32) -> bool {
        let waiting = self.queue.iter_mut().find_map(|info| match &mut info.cause {
            Cause::Timer { id, overrun, .. } if *id == timer => Some(overrun),
            _ => None,
        });
        let is_waiting = waiting.is_some();
        if let Some(overrun) = waiting {
            *overrun = overrun.saturating_add(ends);
        }
        is_waiting
    }

    /// Forgets the signal of a timer that is no more.
    pub fn discard_timer(&mut self, timer: i32) {
        self.queue.retain(|info| !matches!(info.cause, Cause::Timer { id, .. } if id == timer));
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn discard(&mut self, set: SigSet) {
        self.queue.retain(|info| !set.has(info.signal));
    }
}

/// What a signal does when nobody handles it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DefaultAction {
    Ignore,
    Continue,
    Stop,
    Kill,
    Core,
}

/// The default action (signal(7)).
pub(crate) fn default_of(signal: i32) -> DefaultAction {
    match signal {
        libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH => DefaultAction::Ignore,
        libc::SIGCONT => DefaultAction::Continue,
        libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => DefaultAction::Stop,
        libc::SIGQUIT
        | libc::SIGILL
        | libc::SIGTRAP
        | libc::SIGABRT
        | libc::SIGBUS
        | libc::SIGFPE
        | libc::SIGSEGV
        | libc::SIGXCPU
        | libc::SIGXFSZ
        | libc::SIGSYS => DefaultAction::Core,
        _ => DefaultAction::Kill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_signals_merge_and_real_time_signals_queue() {
        let mut pending = Pending::default();
        for signal in [libc::SIGUSR1, libc::SIGUSR1, 40, 40, libc::SIGSEGV] {
            pending.push(SigInfo::kernel(signal));
        }
        let order: Vec<_> = std::iter::from_fn(|| pending.take(SigSet(u64::MAX))).map(|info| info.signal).collect();
        assert_eq!(order, [libc::SIGSEGV, libc::SIGUSR1, 40, 40]);
    }

    #[test]
    fn a_timer_that_is_no_more_sends_nothing() {
        let mut pending = Pending::default();
        for id in [1, 2] {
            let cause = Cause::Timer { id, overrun: 0, value: 0 };
            pending.push(SigInfo { signal: 40, code: -2, cause });
        }
        pending.discard_timer(1);
        assert!(matches!(pending.take(SigSet(u64::MAX)).unwrap().cause, Cause::Timer { id: 2, .. }));
        assert_eq!(pending.take(SigSet(u64::MAX)), None);
    }

    #[test]
    fn blocked_signals_stay() {
        let mut pending = Pending::default();
        pending.push(SigInfo::kernel(libc::SIGTERM));
        assert_eq!(pending.take(SigSet(u64::MAX).without(SigSet::of(libc::SIGTERM))), None);
        assert!(pending.set().has(libc::SIGTERM));
    }
}
