//! futex(2): sleeping until a word of memory is said to have changed.

use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use crate::waiting::{FutexKey, FutexWaiter, Waiting};
use addr::VirtAddr;
use std::time::{Duration, Instant};

const WAIT: i32 = libc::FUTEX_WAIT;
const WAKE: i32 = libc::FUTEX_WAKE;
const REQUEUE: i32 = libc::FUTEX_REQUEUE;
const CMP_REQUEUE: i32 = libc::FUTEX_CMP_REQUEUE;
const WAKE_OP: i32 = libc::FUTEX_WAKE_OP;
const WAIT_BITSET: i32 = libc::FUTEX_WAIT_BITSET;
const WAKE_BITSET: i32 = libc::FUTEX_WAKE_BITSET;
const LOCK_PI: i32 = libc::FUTEX_LOCK_PI;
const LOCK_PI2: i32 = libc::FUTEX_LOCK_PI2;
const TRYLOCK_PI: i32 = libc::FUTEX_TRYLOCK_PI;
const UNLOCK_PI: i32 = libc::FUTEX_UNLOCK_PI;
/// In an entry of a robust list: the lock is one of FUTEX_LOCK_PI.
const HANDED_ON: u64 = 1;
/// Locks of robust lists that are looked at.
const MAX_ROBUST: usize = 2048;
pub(super) const OWNER_DIED: u32 = 0x4000_0000;
pub(super) const TID_MASK: u32 = 0x3fff_ffff;
pub(super) const WAITERS: u32 = 0x8000_0000;

impl Kernel {
    pub(super) fn futex(&mut self, args: &Args) -> Result<Flow, Errno> {
        let operation = args.int(1) & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
        let count = args.int(2).max(0) as usize;
        match operation {
            WAIT => self.futex_wait(args, u32::MAX),
            WAIT_BITSET => self.futex_wait(args, args.at(5) as u32),
            WAKE => Ok(Flow::Answer(self.futex_wake(args.tid, args.at(0), count.max(1), u32::MAX)?)),
            WAKE_BITSET if args.at(5) as u32 == 0 => Err(Errno::EINVAL),
            WAKE_BITSET => Ok(Flow::Answer(self.futex_wake(args.tid, args.at(0), count.max(1), args.at(5) as u32)?)),
            REQUEUE => self.futex_requeue(args, None),
            CMP_REQUEUE => self.futex_requeue(args, Some(args.at(5) as u32)),
            WAKE_OP => self.futex_wake_op(args),
            LOCK_PI | LOCK_PI2 => self.futex_lock(args),
            TRYLOCK_PI => self.futex_try_lock(args),
            UNLOCK_PI => self.futex_unlock(args),
            _ => Err(Errno::ENOSYS),
        }
    }

    fn futex_wait(&mut self, args: &Args, bits: u32) -> Result<Flow, Errno> {
        if bits == 0 {
            return Err(Errno::EINVAL);
        }
        let key = self.futex_key(args.tid, args.at(0))?;
        let space = self.space_of(args.tid);
        if self.mm.read_u32(space, VirtAddr::new(args.at(0)))? != args.at(2) as u32 {
            return Err(Errno::EAGAIN);
        }
        let until = match (self.restarted_until(args.tid), args.at(3)) {
            (Some(until), _) => until,
            (None, 0) => None,
            (None, at) => Some(self.futex_deadline(args, at)?),
        };
        self.futexes.push(FutexWaiter { key, tid: args.tid, bits, index: 0 });
        Ok(Flow::Sleep(Waiting::Futex { woken: None, until }))
    }

    /// FUTEX_WAIT takes a duration, FUTEX_LOCK_PI a time of the real clock, the others a time of one of two clocks.
    pub(super) fn futex_deadline(&mut self, args: &Args, at: u64) -> Result<Instant, Errno> {
        let is_real = args.int(1) & libc::FUTEX_CLOCK_REALTIME != 0;
        match args.int(1) & 0x7f {
            WAIT => {
                let ns = self.guest_timespec(args.tid, at)?;
                Ok(super::time::after(Duration::from_nanos(ns)))
            }
            LOCK_PI => self.clock_deadline(args.tid, libc::CLOCK_REALTIME, at),
            _ => self.clock_deadline(args.tid, if is_real { libc::CLOCK_REALTIME } else { libc::CLOCK_MONOTONIC }, at),
        }
    }

    /// A time of a clock, at an address.
    pub(super) fn clock_deadline(&mut self, tid: Tid, clock: i32, at: u64) -> Result<Instant, Errno> {
        if !matches!(clock, libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC) {
            return Err(Errno::EINVAL);
        }
        let ns = self.guest_timespec(tid, at)?;
        let from_now = ns.saturating_sub(host::files::clock_ns(clock).unwrap_or(0));
        Ok(super::time::after(Duration::from_nanos(from_now)))
    }

    /// Wakes at most `count` tasks that wait for a word; returns how many.
    pub(crate) fn futex_wake(&mut self, tid: Tid, at: u64, count: usize, bits: u32) -> Result<u64, Errno> {
        let key = self.futex_key(tid, at)?;
        let mut woken: Vec<(Tid, u32)> = Vec::new();
        let is_among = |woken: &[(Tid, u32)], tid: Tid| woken.iter().any(|(other, _)| *other == tid);
        for waiter in self.futexes.iter().filter(|waiter| waiter.key == key && waiter.bits & bits != 0) {
            if woken.len() < count && !is_among(&woken, waiter.tid) {
                woken.push((waiter.tid, waiter.index));
            }
        }
        // A task that waits for several words waits for none of them any more.
        self.futexes.retain(|waiter| !is_among(&woken, waiter.tid));
        let total = woken.len() as u64;
        for (tid, index) in woken {
            if let Some(Waiting::Futex { woken, .. }) = &mut self.task(tid).waiting {
                *woken = Some(index);
            }
            self.notify(tid);
        }
        Ok(total)
    }

    fn futex_requeue(&mut self, args: &Args, expected: Option<u32>) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        if let Some(expected) = expected
            && self.mm.read_u32(space, VirtAddr::new(args.at(0)))? != expected
        {
            return Err(Errno::EAGAIN);
        }
        let woken = self.futex_wake(args.tid, args.at(0), args.int(2).max(0) as usize, u32::MAX)?;
        let (from, to) = (self.futex_key(args.tid, args.at(0))?, self.futex_key(args.tid, args.at(4))?);
        let limit = args.int(3).max(0) as usize;
        let movers = self.futexes.iter_mut().filter(|waiter| waiter.key == from).take(limit);
        let moved = movers.map(|waiter| waiter.key = to).count() as u64;
        Ok(Flow::Answer(woken + if expected.is_some() { moved } else { 0 }))
    }

    fn futex_wake_op(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let second = VirtAddr::new(args.at(4));
        let old = self.mm.read_u32(space, second)?;
        let code = args.at(5) as u32;
        let (operation, comparison) = (code >> 28 & 7, code >> 24 & 0xf);
        let sign_extended = |bits: u32| ((bits << 20) as i32 >> 20) as u32;
        let (mut operand, against) = (sign_extended(code >> 12 & 0xfff), sign_extended(code & 0xfff));
        if code >> 31 != 0 {
            operand = 1u32.wrapping_shl(operand);
        }
        let new = match operation {
            0 => operand,
            1 => old.wrapping_add(operand),
            2 => old | operand,
            3 => old & !operand,
            4 => old ^ operand,
            _ => return Err(Errno::ENOSYS),
        };
        self.mm.write_all(space, second, &new.to_le_bytes())?;
        let (left, right) = (old as i32, against as i32);
        let holds = match comparison {
            0 => left == right,
            1 => left != right,
            2 => left < right,
            3 => left <= right,
            4 => left > right,
            5 => left >= right,
            _ => return Err(Errno::ENOSYS),
        };
        let mut woken = self.futex_wake(args.tid, args.at(0), args.int(2).max(0) as usize, u32::MAX)?;
        if holds {
            woken += self.futex_wake(args.tid, args.at(4), args.int(3).max(0) as usize, u32::MAX)?;
        }
        Ok(Flow::Answer(woken))
    }

    /// What a word is known by: shared memory by object and offset, other memory by space and address.
    pub(super) fn futex_key(&mut self, tid: Tid, at: u64) -> Result<FutexKey, Errno> {
        if !at.is_multiple_of(4) {
            return Err(Errno::EINVAL);
        }
        let space = self.space_of(tid);
        let word = VirtAddr::new(at);
        self.mm.read_u32(space, word)?;
        Ok(match self.mm.shared_place(space, word.page()) {
            Some((file, page)) => FutexKey::Shared(file, page * 4096 + word.page_offset()),
            None => FutexKey::Private(space, at),
        })
    }

    /// What a task leaves behind when it ends or executes a new program: locks it held are marked, and whoever joins
    /// it is woken.
    pub(crate) fn leave_futexes(&mut self, tid: Tid) {
        self.futexes.retain(|waiter| waiter.tid != tid);
        let space = self.space_of(tid);
        let robust = std::mem::take(&mut self.task(tid).robust_list);
        if robust != 0 {
            // A list that cannot be read ends there, as in Linux.
            let _ = self.walk_robust_list(tid, robust);
        }
        self.leave_locks(tid);
        let clear_tid = std::mem::take(&mut self.task(tid).clear_tid);
        // Where nobody is left in the memory, nobody is told, not even by a shared map of it.
        let is_told = self.process_of(tid).tasks.len() > 1 || self.mm.is_shared_space(space);
        if clear_tid != 0 && is_told && self.mm.write_all(space, VirtAddr::new(clear_tid), &0u32.to_le_bytes()).is_ok()
        {
            let _ = self.futex_wake(tid, clear_tid, 1, u32::MAX);
        }
    }

    fn walk_robust_list(&mut self, tid: Tid, head: u64) -> Result<(), Errno> {
        let space = self.space_of(tid);
        let offset = self.mm.read_u64(space, VirtAddr::new(head).wrapping_add(8))?;
        let pending = self.mm.read_u64(space, VirtAddr::new(head).wrapping_add(16))?;
        let mut entry = self.mm.read_u64(space, VirtAddr::new(head))?;
        for _ in 0..MAX_ROBUST {
            if entry & !HANDED_ON == head {
                break;
            }
            let next = self.mm.read_u64(space, VirtAddr::new(entry & !HANDED_ON));
            if entry & !HANDED_ON != pending & !HANDED_ON {
                self.orphan_lock(tid, entry, offset)?;
            }
            entry = next?;
        }
        if pending & !HANDED_ON != 0 {
            self.orphan_lock(tid, pending, offset)?;
        }
        Ok(())
    }

    /// Marks the word of an entry of a robust list; one that the kernel hands on is not to be woken for.
    fn orphan_lock(&mut self, tid: Tid, entry: u64, offset: u64) -> Result<(), Errno> {
        let at = (entry & !HANDED_ON).wrapping_add(offset);
        let space = self.space_of(tid);
        let word = self.mm.read_u32(space, VirtAddr::new(at))?;
        if word & TID_MASK == tid.get() {
            let orphaned = word & WAITERS | OWNER_DIED;
            self.mm.write_all(space, VirtAddr::new(at), &orphaned.to_le_bytes())?;
            if word & WAITERS != 0 && entry & HANDED_ON == 0 {
                self.futex_wake(tid, at, 1, u32::MAX)?;
            }
        }
        Ok(())
    }
}
