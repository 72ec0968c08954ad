//! Futexes that are locks: the word is its owner's number, and the kernel hands it on (FUTEX_LOCK_PI and relatives).
//!
//! The owner inherits no priority, because priorities decide nothing here: threads run in turns. Waiters get the lock in
//! the order of their real-time priorities, and of their coming.

use super::futex::{OWNER_DIED, TID_MASK, WAITERS};
use super::{Args, ERESTARTNOINTR, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use crate::waiting::{FutexKey, Waiting};
use addr::VirtAddr;
use std::time::Instant;

/// A task that waits for a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LockWaiter {
    pub key: FutexKey,
    pub tid: Tid,
    /// Who has the lock.
    pub owner: Tid,
    /// Where the waiter sees the word.
    pub at: u64,
}

/// Why a lock changes hands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HandOver {
    Unlocked,
    OwnerDied,
}

impl Kernel {
    pub(super) fn futex_lock(&mut self, args: &Args) -> Result<Flow, Errno> {
        match self.try_lock(args)? {
            None => Ok(Flow::Answer(0)),
            Some(owner) => {
                let until = match args.at(3) {
                    0 => None,
                    at => Some(self.futex_deadline(args, at)?),
                };
                let key = self.futex_key(args.tid, args.at(0))?;
                self.check_no_cycle(args.tid, owner)?;
                self.set_lock_word(args.tid, args.at(0), |word| word | WAITERS)?;
                self.lock_waiters.push(LockWaiter { key, tid: args.tid, owner, at: args.at(0) });
                Ok(Flow::Sleep(Waiting::Lock { owned: false, until }))
            }
        }
    }

    pub(super) fn futex_try_lock(&mut self, args: &Args) -> Result<Flow, Errno> {
        match self.try_lock(args)? {
            None => Ok(Flow::Answer(0)),
            Some(_) => Err(Errno::EAGAIN),
        }
    }

    /// Takes the lock, or says who has it.
    fn try_lock(&mut self, args: &Args) -> Result<Option<Tid>, Errno> {
        let key = self.futex_key(args.tid, args.at(0))?;
        let space = self.space_of(args.tid);
        let word = self.mm.read_u32(space, VirtAddr::new(args.at(0)))?;
        match word & TID_MASK {
            owner if owner == args.tid.get() => Err(Errno::EDEADLK),
            0 => {
                let waiters = if self.lock_waiters.iter().any(|waiter| waiter.key == key) { WAITERS } else { 0 };
                self.set_lock_word(args.tid, args.at(0), |word| word & OWNER_DIED | args.tid.get() | waiters)?;
                Ok(None)
            }
            owner if self.tasks.contains_key(&Tid(owner)) => Ok(Some(Tid(owner))),
            _ => Err(Errno::ESRCH),
        }
    }

    pub(super) fn futex_unlock(&mut self, args: &Args) -> Result<Flow, Errno> {
        let key = self.futex_key(args.tid, args.at(0))?;
        let space = self.space_of(args.tid);
        let word = self.mm.read_u32(space, VirtAddr::new(args.at(0)))?;
        if word & TID_MASK != args.tid.get() {
            return Err(Errno::EPERM);
        }
        if !self.hand_over(key, HandOver::Unlocked) {
            self.set_lock_word(args.tid, args.at(0), |_| 0)?;
        }
        Ok(Flow::Answer(0))
    }

    /// Gives a lock to the first that waits for it, if somebody does.
    fn hand_over(&mut self, key: FutexKey, why: HandOver) -> bool {
        let waiting = self.lock_waiters.iter().enumerate().filter(|(_, waiter)| waiter.key == key);
        // Of equals the first comes first.
        let next = waiting.min_by_key(|(index, waiter)| {
            let priority = self.tasks[&waiter.tid].scheduling.real_time_priority();
            (std::cmp::Reverse(priority), *index)
        });
        let Some((index, _)) = next else { return false };
        let next = self.lock_waiters.remove(index);
        for waiter in self.lock_waiters.iter_mut().filter(|waiter| waiter.key == key) {
            waiter.owner = next.tid;
        }
        let died = if why == HandOver::OwnerDied { OWNER_DIED } else { 0 };
        // A waiter whose word is gone finds out when it touches it.
        let _ = self.set_lock_word(next.tid, next.at, |_| next.tid.get() | WAITERS | died);
        if let Some(Waiting::Lock { owned, .. }) = &mut self.task(next.tid).waiting {
            *owned = true;
        }
        self.notify(next.tid);
        true
    }

    /// The locks that a task has and others wait for go to the next, and it waits for none itself.
    pub(super) fn leave_locks(&mut self, tid: Tid) {
        self.lock_waiters.retain(|waiter| waiter.tid != tid);
        while let Some(waiter) = self.lock_waiters.iter().find(|waiter| waiter.owner == tid) {
            self.hand_over(waiter.key, HandOver::OwnerDied);
        }
    }

    /// What a task that waits for a lock does now; `None`: it waits on.
    pub(super) fn wake_in_lock(
        &mut self,
        tid: Tid,
        owned: bool,
        until: Option<Instant>,
    ) -> Option<Result<Flow, Errno>> {
        if owned {
            return Some(Ok(Flow::Answer(0)));
        }
        let is_over = until.is_some_and(|until| until <= Instant::now());
        if !is_over && !self.is_interrupted(tid) {
            return None;
        }
        self.lock_waiters.retain(|waiter| waiter.tid != tid);
        Some(Err(if is_over { Errno::ETIMEDOUT } else { ERESTARTNOINTR }))
    }

    /// Refuses a wait that could never end: the owner waits, perhaps through others, for the caller.
    fn check_no_cycle(&self, tid: Tid, mut owner: Tid) -> Result<(), Errno> {
        while let Some(waiter) = self.lock_waiters.iter().find(|waiter| waiter.tid == owner) {
            if waiter.owner == tid {
                return Err(Errno::EDEADLK);
            }
            owner = waiter.owner;
        }
        Ok(())
    }

    fn set_lock_word(&mut self, tid: Tid, at: u64, change: impl FnOnce(u32) -> u32) -> Result<(), Errno> {
        let space = self.space_of(tid);
        let word = self.mm.read_u32(space, VirtAddr::new(at))?;
        self.mm.write_all(space, VirtAddr::new(at), &change(word).to_le_bytes())
    }
}
