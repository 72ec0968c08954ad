//! Calls that wait for descriptors, some with a signal mask for the meantime.
//!
//! A wait that is interrupted and goes on ends when it would have ended: poll and epoll_wait go on by restart_syscall
//! with the time they were to end at, select and its relatives tell the program what remains and begin again with it.

use super::time::{Unit, after};
use super::{Args, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::SpaceId;
use crate::outcome::{CopyLength, CopyOut, Polled, Then};
use crate::signal::SigSet;
use crate::task::Tid;
use addr::VirtAddr;
use host::call::{Arg, Call, Interrupt, NOT_BEGUN};
use std::time::{Duration, Instant};

/// Descriptors that select can name.
const MAX_SELECT: u64 = 1 << 16;
/// Bytes of struct pollfd and of struct epoll_event.
const POLL_BYTES: usize = 8;
const EPOLL_BYTES: usize = 12;
/// Bytes of a signal set, as the calls want to be told.
const SET_BYTES: u64 = 8;

impl Kernel {
    pub(super) fn poll_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_poll | libc::SYS_ppoll => self.poll(args),
            libc::SYS_select | libc::SYS_pselect6 => self.select(args),
            libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => self.epoll(args),
            _ => return None,
        })
    }

    fn poll(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let is_plain = args.nr as i64 == libc::SYS_poll;
        let words = [args.at(0), args.at(1), 0, 0, SET_BYTES, 0];
        let mut build = Building::new(libc::SYS_ppoll, words, if is_plain { Remains::Kept } else { Remains::Told });
        if args.at(1) > MAX_SELECT {
            return Err(Errno::EINVAL);
        }
        self.in_out(space, &mut build, 0, args.at(0), args.at(1) as usize * POLL_BYTES)?;
        if is_plain {
            let until = self.until_ms(args, args.int(2));
            build.end_at(2, until);
            return self.with_mask(args, build, None);
        }
        self.end_with(args, &mut build, 2, args.at(2), Unit::Nanoseconds)?;
        let mask = self.mask_at(space, args.at(3), args.at(4))?;
        self.with_mask(args, build, mask)
    }

    fn select(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let is_pselect = args.nr as i64 == libc::SYS_pselect6;
        let mut build = Building::new(libc::SYS_pselect6, [args.at(0), 0, 0, 0, 0, 0], Remains::Told);
        if args.at(0) > MAX_SELECT {
            return Err(Errno::EINVAL);
        }
        let set_bytes = args.at(0).div_ceil(64) as usize * 8;
        for index in 1..4 {
            self.in_out(space, &mut build, index, args.at(index), set_bytes)?;
        }
        let unit = if is_pselect { Unit::Nanoseconds } else { Unit::Microseconds };
        self.end_with(args, &mut build, 4, args.at(4), unit)?;
        let mask = match args.at(5) {
            0 => None,
            _ if !is_pselect => None,
            both => {
                let mask_at = self.mm.read_u64(space, VirtAddr::new(both))?;
                let bytes = self.mm.read_u64(space, VirtAddr::new(both).wrapping_add(8))?;
                self.mask_at(space, mask_at, bytes)?
            }
        };
        self.with_mask(args, build, mask)
    }

    fn epoll(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let count = args.int(2);
        if !(1..=1 << 16).contains(&count) {
            return Err(Errno::EINVAL);
        }
        // Events that find no room are there the next time.
        let count = (count as u64).min(self.host_buffers.most() / EPOLL_BYTES as u64);
        let until = match args.nr as i64 {
            libc::SYS_epoll_pwait2 => self.until_timespec(args, args.at(3), Unit::Nanoseconds)?,
            _ => self.until_ms(args, args.int(3)),
        };
        let mut build = Building::new(libc::SYS_epoll_pwait, [args.at(0), 0, count, 0, 0, SET_BYTES], Remains::Kept);
        build.copies.push(CopyOut { buffer: 0, to: args.at(1), length: CopyLength::Elements(EPOLL_BYTES) });
        build.call.args[1] = build.call.buffer(vec![0; count as usize * EPOLL_BYTES]);
        build.until = until;
        build.call.args[3] = Arg::Value(until.map_or(u64::MAX, milliseconds_to));
        let mask = match args.nr as i64 {
            libc::SYS_epoll_wait => None,
            _ => self.mask_at(space, args.at(4), args.at(5))?,
        };
        self.with_mask(args, build, mask)
    }

    /// What a wait for descriptors answers.
    pub(super) fn after_poll(
        &mut self,
        tid: Tid,
        call: &mut Call,
        polled: &Polled,
        mut result: i64,
    ) -> Result<Flow, Errno> {
        if result == NOT_BEGUN {
            result = look(call);
        }
        if let (Some((to, unit)), Some(until)) = (polled.remains_to, polled.until) {
            let left = until.saturating_duration_since(Instant::now()).as_nanos() as u64;
            let space = self.space_of(tid);
            // Memory that cannot be written is not told of, as in Linux.
            let _ = self.mm.write_all(space, VirtAddr::new(to), &unit.bytes(left));
        }
        // What the call's own mask lets through interrupts it, however early it comes.
        if result == -i64::from(libc::EINTR) {
            return Err(self.interrupted_poll(tid, call, polled.until));
        }
        if let Some(mask) = self.task(tid).saved_mask.take() {
            self.task(tid).blocked = mask;
        }
        if result < 0 {
            return Err(Errno::from_code(-result as i32));
        }
        self.copy_out(tid, call, &polled.copies, result)?;
        Ok(Flow::Answer(result as u64))
    }

    /// How an interrupted wait goes on if no handler runs. One for an epoll is never made again once a signal is there;
    /// but a thread may be brought back for nothing.
    fn interrupted_poll(&mut self, tid: Tid, call: &Call, until: Option<Instant>) -> Errno {
        let is_plain_poll = self.task(tid).call.as_ref().is_some_and(|call| call.nr as i64 == libc::SYS_poll);
        match call.nr as i64 {
            libc::SYS_epoll_pwait if self.is_interrupted(tid) => Errno::EINTR,
            libc::SYS_ppoll | libc::SYS_pselect6 if !is_plain_poll => ERESTARTNOHAND,
            _ => {
                self.block_until(tid, until);
                ERESTART_RESTARTBLOCK
            }
        }
    }

    fn with_mask(&mut self, args: &Args, build: Building, mask: Option<SigSet>) -> Result<Flow, Errno> {
        let Building { call, copies, until, remains_to, .. } = build;
        self.host_buffers.check(&call)?;
        let polled = Polled { copies, until, remains_to };
        if let Some(mask) = mask {
            let task = self.task(args.tid);
            let old = std::mem::replace(&mut task.blocked, mask.without(SigSet::UNBLOCKABLE));
            task.saved_mask = Some(old);
            if self.has_deliverable(args.tid) {
                // What is ready comes before what the mask lets through.
                return self.after_poll(args.tid, &mut { call }, &polled, NOT_BEGUN);
            }
        }
        Ok(Flow::host(call, Then::Polled(polled)))
    }

    /// Makes a call end when the time behind one of its arguments says.
    fn end_with(&mut self, args: &Args, build: &mut Building, index: usize, at: u64, unit: Unit) -> Result<(), Errno> {
        let until = self.until_timespec(args, at, unit)?;
        build.end_at(index, until);
        if at != 0 && build.remains == Remains::Told {
            build.remains_to = Some((at, unit));
        }
        Ok(())
    }

    /// When a call ends that was given milliseconds, negative ones for never.
    fn until_ms(&mut self, args: &Args, ms: i32) -> Option<Instant> {
        match self.restarted_until(args.tid) {
            Some(until) => until,
            None => u64::try_from(ms).ok().map(|ms| after(Duration::from_millis(ms))),
        }
    }

    /// When a call ends that was given a duration in memory, or none.
    fn until_timespec(&mut self, args: &Args, at: u64, unit: Unit) -> Result<Option<Instant>, Errno> {
        if let Some(until) = self.restarted_until(args.tid) {
            return Ok(until);
        }
        match at {
            0 => Ok(None),
            at => Ok(Some(after(Duration::from_nanos(self.guest_time(args.tid, at, unit)?)))),
        }
    }

    fn in_out(
        &mut self,
        space: SpaceId,
        build: &mut Building,
        index: usize,
        at: u64,
        bytes: usize,
    ) -> Result<(), Errno> {
        if at == 0 {
            build.call.args[index] = Arg::Value(0);
            return Ok(());
        }
        let buffer = build.call.buffers.len();
        let content = self.bytes_in(space, at, bytes)?;
        build.call.args[index] = build.call.buffer(content);
        build.copies.push(CopyOut { buffer, to: at, length: CopyLength::Whole });
        Ok(())
    }

    fn mask_at(&mut self, space: SpaceId, at: u64, bytes: u64) -> Result<Option<SigSet>, Errno> {
        match at {
            0 => Ok(None),
            _ if bytes != SET_BYTES => Err(Errno::EINVAL),
            at => Ok(Some(SigSet(self.mm.read_u64(space, VirtAddr::new(at))?))),
        }
    }
}

/// What is ready now, as the host says; `-EINTR` if nothing is, unless for an epoll
/// that is not waited for.
fn look(call: &mut Call) -> i64 {
    let waits = call.nr as i64 != libc::SYS_epoll_pwait || call.args[3] != Arg::Value(0);
    call.end_at_once();
    match call.perform(&Interrupt::for_this_thread()) {
        0 if waits => -i64::from(libc::EINTR),
        result => result,
    }
}

/// Whether an interrupted call tells the program how much time remains.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remains {
    Told,
    Kept,
}

struct Building {
    call: Call,
    copies: Vec<CopyOut>,
    until: Option<Instant>,
    remains: Remains,
    remains_to: Option<(u64, Unit)>,
}

impl Building {
    fn new(nr: i64, words: [u64; 6], remains: Remains) -> Self {
        Self { call: Call::plain(nr as u64, words), copies: Vec::new(), until: None, remains, remains_to: None }
    }

    /// The host's call ends then: its argument is a duration.
    fn end_at(&mut self, index: usize, until: Option<Instant>) {
        self.until = until;
        if let Some(until) = until {
            let left = until.saturating_duration_since(Instant::now()).as_nanos() as u64;
            self.call.args[index] = self.call.buffer(Unit::Nanoseconds.bytes(left).to_vec());
        }
    }
}

/// Milliseconds from now to then, rounded up.
fn milliseconds_to(until: Instant) -> u64 {
    let ns = until.saturating_duration_since(Instant::now()).as_nanos();
    ns.div_ceil(1_000_000).min(i32::MAX as u128) as u64
}
