//! What a task sleeps for.

use crate::Pid;
use crate::signal::SigSet;
use crate::task::Tid;
use std::time::Instant;

/// Why a task sleeps. Looked at again whenever somebody wakes the task: nothing is lost by one call too many.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Waiting {
    /// A child to change (wait4, waitid).
    Child(crate::calls::WaitFor),
    /// The child of vfork to execute or end.
    Vfork(Pid),
    /// A futex to be woken.
    /// Which of its words, once one is.
    Futex { woken: Option<u32>, until: Option<Instant> },
    /// A futex that is a lock.
    Lock { owned: bool, until: Option<Instant> },
    /// Any signal (pause, sigsuspend).
    Signal,
    /// One of these signals (sigtimedwait): where siginfo goes.
    SignalOf { set: SigSet, info_to: u64, until: Option<Instant> },
    /// One of these signals, read from a descriptor: where it goes, and how much may.
    SignalFile { set: SigSet, to: u64, bytes: u64 },
    /// A time (nanosleep): where what remains goes, and whether it is told.
    Time { until: Instant, remains_to: u64 },
    /// Semaphores (semop), which the kernel knows by the task.
    Semaphores { until: Option<Instant> },
    /// Room in a message queue.
    Send(crate::ipc::SendWait),
    /// A message in a queue.
    Receive(crate::ipc::ReceiveWait),
    /// The other tasks of the process to end, before a new program.
    Alone,
    /// SIGCONT.
    Continue,
    /// The machine to look at a dying process.
    Death,
}

impl Waiting {
    /// When it ends by itself.
    pub fn until(&self) -> Option<Instant> {
        match self {
            Self::Futex { until, .. }
            | Self::Lock { until, .. }
            | Self::SignalOf { until, .. }
            | Self::Semaphores { until } => *until,
            Self::Time { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// Who waits for a futex word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FutexWaiter {
    pub key: FutexKey,
    pub tid: Tid,
    pub bits: u32,
    /// Which of the words that the task waits for it is.
    pub index: u32,
}

/// What a futex word is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum FutexKey {
    /// Memory of a space's own, by address.
    Private(crate::mm::SpaceId, u64),
    /// Shared memory, by object and offset.
    Shared(crate::mm::FileId, u64),
}
