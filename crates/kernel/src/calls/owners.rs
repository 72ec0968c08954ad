//! Whom a descriptor tells by a signal that it is ready: F_SETOWN, F_SETSIG, O_ASYNC; and SIGURG.
//!
//! The host sends such signals, and keeps with the open file to whom. It knows no guests: each owner, with the signal
//! that he wants, has a host thread that waits for them (`host::io_signals`). The descriptor's owner is that thread, and
//! what comes to it goes to the guest.

use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::signal::{Cause, MAX, SigInfo};
use crate::task::{Pid, Tid};
use addr::VirtAddr;
use host::io_signals::{self, Arrival, Arrivals, IO_SIGNAL, Listener, News};
use std::os::fd::RawFd;

pub(super) const F_SETSIG: i32 = 10;
pub(super) const F_GETSIG: i32 = 11;
pub(super) const F_SETOWN_EX: i32 = 15;
pub(super) const F_GETOWN_EX: i32 = 16;
const F_OWNER_TID: u32 = 0;
const F_OWNER_PID: u32 = 1;
const F_OWNER_PGRP: u32 = 2;
pub(super) const FIOSETOWN: u32 = 0x8901;
pub(super) const SIOCSPGRP: u32 = 0x8902;
pub(super) const FIOGETOWN: u32 = 0x8903;
pub(super) const SIOCGPGRP: u32 = 0x8904;
/// The most owners that are listened for: each costs a thread of the host.
const MAX_LISTENERS: usize = 256;
/// Of those, who has ended.
const MAX_REMEMBERED: usize = 16;

/// Who is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Thread(Tid),
    Process(Pid),
    Group(u32),
}

/// All owners of descriptors.
#[derive(Default)]
pub(crate) struct Owners {
    all: Vec<Listening>,
    arrivals: Option<Arrivals>,
    /// Whether the machine waits for them.
    are_served: bool,
}

struct Listening {
    listener: Listener,
    owner: Owner,
    /// What he is told by; 0 is SIGIO, without more to say.
    signal: i32,
}

impl Drop for Owners {
    fn drop(&mut self) {
        if let Some(arrivals) = &self.arrivals {
            arrivals.end();
        }
    }
}

impl Kernel {
    /// What a descriptor's owners are told, for a thread that waits for it; once, when there is the first owner.
    pub fn take_new_arrivals(&mut self) -> Option<Arrivals> {
        if self.owners.are_served {
            return None;
        }
        let arrivals = self.owners.arrivals.clone()?;
        self.owners.are_served = true;
        Some(arrivals)
    }

    /// Sends guests the signals of their descriptors.
    pub fn tell_owners(&mut self, arrivals: &[Arrival]) {
        for Arrival { listener, news } in arrivals {
            // Whoever has ended meanwhile hears no more.
            let found = self.owners.all.iter().find(|listening| listening.listener.tid() == *listener);
            let Some((owner, signal)) = found.map(|listening| (listening.owner, listening.signal)) else { continue };
            let info = match (*news, signal) {
                (News::Urgent, _) => SigInfo::kernel(libc::SIGURG),
                (News::TooMany, _) | (_, 0) => SigInfo::kernel(libc::SIGIO),
                (News::Ready { code, band, descriptor }, signal) => {
                    SigInfo { signal, code, cause: Cause::Ready { band, descriptor } }
                }
            };
            match owner {
                Owner::Thread(tid) => self.send_to_task(tid, info),
                Owner::Process(pid) => self.send_to_process(pid, info),
                Owner::Group(group) => {
                    self.members_of(group).into_iter().for_each(|pid| self.send_to_process(pid, info));
                }
            }
        }
    }

    /// The requests of fcntl that are about an owner.
    pub(super) fn owner_fcntl(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        let descriptor = args.int(0);
        let done = match args.int(1) {
            libc::F_SETOWN => self.set_owner(descriptor, args.int(2)).map(|()| 0),
            libc::F_GETOWN => self.owner_number(descriptor).map(|number| i64::from(number) as u64),
            F_SETOWN_EX => self.set_owner_of_kind(args),
            F_GETOWN_EX => self.tell_owner_of_kind(args),
            F_SETSIG => self.set_owners_signal(descriptor, args.at(2)).map(|()| 0),
            F_GETSIG => self.owners_signal(descriptor).map(|signal| signal as u64),
            _ => return None,
        };
        Some(done.map(Flow::Answer))
    }

    /// The requests of ioctl that are about an owner; those of sockets are only theirs.
    pub(super) fn owner_ioctl(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        let (descriptor, request) = (args.int(0), args.at(1) as u32);
        if !matches!(request, FIOSETOWN | SIOCSPGRP | FIOGETOWN | SIOCGPGRP) {
            return None;
        }
        if host::sockets::number_of(descriptor).is_none() {
            return Some(Err(super::ioctl::no_such_request(descriptor)));
        }
        let (space, at) = (self.space_of(args.tid), VirtAddr::new(args.at(2)));
        Some(match request {
            FIOSETOWN | SIOCSPGRP => {
                let number = self.mm.read_u32(space, at);
                number.and_then(|number| self.set_owner(descriptor, number as i32)).map(|()| Flow::Answer(0))
            }
            _ => self
                .owner_number(descriptor)
                .and_then(|number| self.mm.write_all(space, at, &number.to_le_bytes()).map(|()| Flow::Answer(0))),
        })
    }

    /// Before a descriptor may send signals: a terminal without an owner would take the process that asks, which to the
    /// host is pagewalk.
    pub(super) fn before_async(&mut self, args: &Args) -> Result<(), Errno> {
        let is_terminal = host::files::describe(args.int(0)).is_ok_and(|found| found.kind == libc::S_IFCHR);
        if is_terminal && io_signals::owner(args.int(0)).map_err(|_| Errno::EBADF)?.is_none() {
            let own = Owner::Process(self.pid_of(args.tid));
            return self.change_owner(args.int(0), Some(own));
        }
        Ok(())
    }

    /// Somebody has ended, and owns nothing any more. What his descriptors were to send, the next owner's send: that is
    /// remembered by a listener who has nobody to tell, for the last few.
    pub(super) fn leave_owned(&mut self) {
        let mut all = std::mem::take(&mut self.owners.all);
        let mut remembered = 0;
        for index in (0..all.len()).rev().filter(|index| !self.is_there(all[*index].owner)).collect::<Vec<_>>() {
            remembered += 1;
            if all[index].signal == 0 || remembered > MAX_REMEMBERED {
                all.remove(index);
            }
        }
        self.owners.all = all;
    }

    fn is_there(&self, owner: Owner) -> bool {
        match owner {
            Owner::Thread(tid) => self.tasks.contains_key(&tid),
            Owner::Process(pid) => self.processes.contains_key(&pid),
            Owner::Group(group) => self.processes.values().any(|process| process.group == group),
        }
    }

    /// F_SETOWN: a process, a negative group, or 0 for nobody.
    fn set_owner(&mut self, descriptor: RawFd, number: i32) -> Result<(), Errno> {
        let owner = match number {
            0 => None,
            i32::MIN => return Err(Errno::EINVAL),
            1.. => Some(Owner::Process(Pid(number as u32))),
            _ => Some(Owner::Group(number.unsigned_abs())),
        };
        self.change_owner(descriptor, owner)
    }

    fn set_owner_of_kind(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let bytes = self.mm.read_array::<8>(space, VirtAddr::new(args.at(2)))?;
        let word = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().expect("two words"));
        let owner = match (word(0), word(4)) {
            (F_OWNER_TID, tid) => Owner::Thread(Tid(tid)),
            (F_OWNER_PID, pid) => Owner::Process(Pid(pid)),
            (F_OWNER_PGRP, group) => Owner::Group(group),
            _ => return Err(Errno::EINVAL),
        };
        self.change_owner(args.int(0), (word(4) != 0).then_some(owner)).map(|()| 0)
    }

    fn tell_owner_of_kind(&mut self, args: &Args) -> Result<u64, Errno> {
        let (kind, number) = match self.owner_of(args.int(0))? {
            None => (F_OWNER_TID, 0),
            Some(Owner::Thread(tid)) => (F_OWNER_TID, tid.0),
            Some(Owner::Process(pid)) => (F_OWNER_PID, pid.0),
            Some(Owner::Group(group)) => (F_OWNER_PGRP, group),
        };
        let space = self.space_of(args.tid);
        let bytes = [kind.to_le_bytes(), number.to_le_bytes()].concat();
        self.mm.write_all(space, VirtAddr::new(args.at(2)), &bytes).map(|()| 0)
    }

    /// The owner as F_GETOWN tells him.
    fn owner_number(&self, descriptor: RawFd) -> Result<i32, Errno> {
        Ok(match self.owner_of(descriptor)? {
            None => 0,
            Some(Owner::Thread(Tid(number)) | Owner::Process(Pid(number))) => number as i32,
            Some(Owner::Group(group)) => -(group as i32),
        })
    }

    fn set_owners_signal(&mut self, descriptor: RawFd, signal: u64) -> Result<(), Errno> {
        let signal = i32::try_from(signal).ok().filter(|signal| (0..=MAX).contains(signal)).ok_or(Errno::EINVAL)?;
        let owner = self.owner_of(descriptor)?;
        self.tell_host(descriptor, owner, signal)
    }

    fn change_owner(&mut self, descriptor: RawFd, owner: Option<Owner>) -> Result<(), Errno> {
        if owner.is_some_and(|owner| !self.is_there(owner)) {
            return Err(Errno::ESRCH);
        }
        let signal = self.owners_signal(descriptor)?;
        self.tell_host(descriptor, owner, signal)
    }

    /// As long as a descriptor has an owner, the host sends its listener always the same signal; otherwise the host
    /// keeps the guest's, and sends none.
    fn tell_host(&mut self, descriptor: RawFd, owner: Option<Owner>, signal: i32) -> Result<(), Errno> {
        let done = match owner {
            None => io_signals::set_owner(descriptor, None).and_then(|()| io_signals::set_signal(descriptor, signal)),
            Some(owner) => {
                let listener = self.listener_of(owner, signal)?;
                let done = io_signals::set_signal(descriptor, IO_SIGNAL);
                done.and_then(|()| io_signals::set_owner(descriptor, Some(listener)))
            }
        };
        done.map_err(|error| Errno::of_host(&error))
    }

    /// The thread that listens for an owner.
    fn listener_of(&mut self, owner: Owner, signal: i32) -> Result<i32, Errno> {
        let owners = &mut self.owners;
        let known = owners.all.iter().find(|listening| listening.owner == owner && listening.signal == signal);
        if let Some(listening) = known {
            return Ok(listening.listener.tid());
        }
        if owners.all.len() >= MAX_LISTENERS {
            return Err(Errno::ENOMEM);
        }
        let listener = Listener::start(owners.arrivals.get_or_insert_default()).map_err(|_| Errno::ENOMEM)?;
        let tid = listener.tid();
        owners.all.push(Listening { listener, owner, signal });
        Ok(tid)
    }

    fn listening_for(&self, descriptor: RawFd) -> Result<Option<&Listening>, Errno> {
        let tid = io_signals::owner(descriptor).map_err(|error| Errno::of_host(&error))?;
        Ok(self.owners.all.iter().find(|listening| Some(listening.listener.tid()) == tid))
    }

    fn owner_of(&self, descriptor: RawFd) -> Result<Option<Owner>, Errno> {
        let owner = self.listening_for(descriptor)?.map(|listening| listening.owner);
        Ok(owner.filter(|owner| self.is_there(*owner)))
    }

    fn owners_signal(&self, descriptor: RawFd) -> Result<i32, Errno> {
        match self.listening_for(descriptor)? {
            Some(listening) => Ok(listening.signal),
            // What is left of an owner who has ended is not told.
            None => io_signals::signal(descriptor)
                .map(|signal| if signal == IO_SIGNAL { 0 } else { signal })
                .map_err(|error| Errno::of_host(&error)),
        }
    }
}
