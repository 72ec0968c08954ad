//! Who is at the other end: what the host tells of processes, in guests' numbers.
//!
//! To the host all guests are one process, pagewalk's. So it is noted which guest made, connected or listens at a Unix
//! socket, and by which of the host's threads a guest named itself in a message; and a number that stands for no guest
//! that is known is 0, which is what Linux tells of processes outside of a name space.

use super::sockets::CONTROL_BYTES;
use super::{Args, word_of};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{Received, Then};
use crate::task::{Pid, Tid};
use host::KeptFile;
use host::call::{Arg, Call};
use host::sockets::{End, name_of, number_of, peer_of, unix_number_of};
use std::collections::BTreeMap;

/// Options that hand out descriptors of the host's processes.
/// The header of an ancillary message: its length with the header, its level, its kind.
const CONTROL_HEADER_BYTES: usize = 16;
const CONTROL_KIND: usize = 8;
/// `struct ucred`, which begins with the number of a process.
const CREDENTIALS_BYTES: usize = 12;
/// Where `struct flock` has the number of a process.
const LOCK_OWNER: usize = 24;
/// The most sockets and names that are remembered.
const MAX_REMEMBERED: usize = 1 << 14;

/// What is known of sockets, which are named by the host's number of each.
#[derive(Default)]
pub(crate) struct Peers {
    /// Who is at the other end, as SO_PEERCRED tells it.
    told: BTreeMap<u64, Pid>,
    /// Who connected a socket.
    connected: BTreeMap<u64, Pid>,
    /// Who listens at a name.
    listening: BTreeMap<Vec<u8>, Pid>,
    /// Whom a thread of the host stood for when it was named in a message.
    named: BTreeMap<i32, u32>,
    /// Netlink sockets, by protocol, that keep pagewalk's own number from guests.
    netlink: BTreeMap<i32, Option<KeptFile>>,
    /// Whether there has ever been more than one guest.
    pub has_many: bool,
}

impl Kernel {
    /// Before the host is asked: who connects and who listens. The other end may ask before the host's answer is here.
    pub(super) fn note_socket(&mut self, args: &Args) {
        match args.nr as i64 {
            libc::SYS_connect => {
                let pid = self.pid_of(args.tid);
                if let Some(socket) = unix_number_of(args.int(0)) {
                    remember(&mut self.peers.connected, socket, pid);
                }
            }
            libc::SYS_listen => {
                let pid = self.pid_of(args.tid);
                if let Some(socket) = unix_number_of(args.int(0)) {
                    remember(&mut self.peers.told, socket, pid);
                    remember(&mut self.peers.listening, name_of(args.int(0), End::This), pid);
                }
            }
            _ => {}
        }
    }

    /// After the host has done a call: what it says of processes becomes what a guest may know.
    pub(super) fn tell_guests_numbers(&mut self, tid: Tid, call: &mut Call, then: &Then, result: i64) {
        match (call.nr as i64, then) {
            (libc::SYS_getsockopt, _) => self.tell_peer(call),
            (libc::SYS_fcntl, _) => self.tell_lock_owner(call),
            (libc::SYS_recvmsg, Then::Received(received)) => self.tell_sender(tid, call, received),
            (libc::SYS_recvmmsg, Then::ReceivedMany(all)) => {
                all.iter().take(result as usize).for_each(|received| self.tell_sender(tid, call, received));
            }
            (libc::SYS_socketpair, _) => self.note_pair(tid, call),
            (libc::SYS_connect, _) => self.note_connection(call),
            (libc::SYS_socket, _) => self.keep_our_number(call),
            _ => {}
        }
    }

    fn note_pair(&mut self, tid: Tid, call: &Call) {
        let Some(ends) = call.buffers.first().filter(|ends| ends.len() == 8) else { return };
        let pid = self.pid_of(tid);
        for end in ends.chunks(4) {
            if let Some(socket) = number_of(int_at(end, 0)) {
                remember(&mut self.peers.told, socket, pid);
            }
        }
    }

    /// A socket is connected to whoever listens at a name, if that is the same from every directory.
    fn note_connection(&mut self, call: &Call) {
        let Arg::Value(descriptor) = call.args[0] else { return };
        let Some(socket) = unix_number_of(descriptor as i32) else { return };
        let name = name_of(descriptor as i32, End::Other);
        if let (Some(b'/' | 0), Some(pid)) = (name.get(2), self.peers.listening.get(&name)) {
            remember(&mut self.peers.told, socket, *pid);
        }
    }

    /// SO_PEERCRED.
    fn tell_peer(&mut self, call: &mut Call) {
        let [Arg::Value(descriptor), Arg::Value(level), Arg::Value(option), Arg::Buffer(value), ..] = call.args else {
            return;
        };
        if (level as i32, option as i32) != (libc::SOL_SOCKET, libc::SO_PEERCRED) {
            return;
        }
        let host_pid = int_at(&call.buffers[value], 0);
        let told = if host_pid == our_number() { self.peer_of(descriptor as i32) } else { None };
        put_int(&mut call.buffers[value], 0, told.map_or(0, Pid::get) as i32);
    }

    fn peer_of(&mut self, descriptor: i32) -> Option<Pid> {
        let socket = number_of(descriptor)?;
        if let Some(pid) = self.peers.told.get(&socket) {
            return Some(*pid);
        }
        let pid = *self.peers.connected.get(&peer_of(socket)?)?;
        remember(&mut self.peers.told, socket, pid);
        Some(pid)
    }

    /// F_GETLK and F_OFD_GETLK: -1 stands for an open file.
    fn tell_lock_owner(&mut self, call: &mut Call) {
        let [Arg::Value(descriptor), Arg::Value(command), Arg::Buffer(lock), ..] = call.args else { return };
        if !matches!(command as i32, libc::F_GETLK | libc::F_OFD_GETLK) {
            return;
        }
        let lock = &mut call.buffers[lock];
        let owner = int_at(lock, LOCK_OWNER);
        if i32::from(lock[0]) == libc::F_UNLCK || owner == -1 {
            return;
        }
        let holder = if owner == our_number() { self.holder_of(descriptor as i32, lock) } else { None };
        put_int(lock, LOCK_OWNER, holder.map_or(0, Pid::get) as i32);
    }

    /// The credentials among what came with a message.
    fn tell_sender(&mut self, tid: Tid, call: &mut Call, received: &Received) {
        let Some((buffer, ..)) = received.fields.iter().find(|(_, length, _)| *length == CONTROL_BYTES) else { return };
        let control = &mut call.buffers[*buffer];
        for at in credentials_in(control) {
            let sender = self.sender_of(tid, int_at(control, at));
            put_int(control, at, sender as i32);
        }
    }

    /// The guest that a number of the host's stands for in a message.
    fn sender_of(&self, tid: Tid, number: i32) -> u32 {
        if number == our_number() {
            return if self.peers.has_many { 0 } else { self.pid_of(tid).get() };
        }
        let is_others = || {
            let exists = |path: String| std::fs::exists(path).unwrap_or(false);
            exists(format!("/proc/{number}")) && !exists(format!("/proc/self/task/{number}"))
        };
        self.peers.named.get(&number).copied().filter(|_| !is_others()).unwrap_or(0)
    }

    /// The credentials in what a guest sends along with a message, as the host takes them: whoever may name others is
    /// known by a thread, all others are pagewalk.
    pub(super) fn name_senders(&mut self, tid: Tid, control: &mut [u8]) -> Result<(), Errno> {
        for at in credentials_in(control) {
            let number = int_at(control, at) as u32;
            let may_name_others = host::sockets::may_name_others();
            if !may_name_others && number != self.pid_of(tid).get() {
                return Err(Errno::EPERM);
            }
            let host_tid = match (self.tasks.get(&Tid(number)), self.processes.contains_key(&Pid(number))) {
                (Some(task), _) if may_name_others && task.host_tid != 0 => task.host_tid,
                (None, false) => return Err(Errno::ESRCH),
                _ => our_number(),
            };
            if host_tid != our_number() {
                remember(&mut self.peers.named, host_tid, number);
            }
            put_int(control, at, host_tid);
        }
        Ok(())
    }

    /// The host would give pagewalk's number to the first netlink socket that asks for none: it is taken already.
    fn keep_our_number(&mut self, call: &Call) {
        let [Arg::Value(domain), _, Arg::Value(protocol), ..] = call.args else { return };
        let protocol = protocol as i32;
        if domain as i32 != libc::AF_NETLINK || self.peers.netlink.contains_key(&protocol) {
            return;
        }
        // Where a socket has the number already, nobody else gets it either.
        let socket = host::sockets::with_our_number(protocol).ok();
        let kept = socket.and_then(|socket| self.vault.keep(std::os::fd::AsFd::as_fd(&socket)).ok());
        self.peers.netlink.insert(protocol, kept);
    }
}

/// pagewalk's own number in the host.
fn our_number() -> i32 {
    std::process::id() as i32
}

/// Notes something. The lowest number is mostly the oldest one, and is forgotten first.
fn remember<K: Ord, V>(known: &mut BTreeMap<K, V>, key: K, value: V) {
    known.insert(key, value);
    if known.len() > MAX_REMEMBERED {
        known.pop_first();
    }
}

/// Where the credentials in ancillary data are.
fn credentials_in(control: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + CONTROL_HEADER_BYTES <= control.len() {
        let bytes = usize::try_from(word_of(control, at)).unwrap_or(usize::MAX);
        let Some(end) = at.checked_add(bytes).filter(|end| bytes >= CONTROL_HEADER_BYTES && *end <= control.len())
        else {
            break;
        };
        let kind = [int_at(control, at + CONTROL_KIND), int_at(control, at + CONTROL_KIND + 4)];
        if kind == [libc::SOL_SOCKET, libc::SCM_CREDENTIALS] && bytes >= CONTROL_HEADER_BYTES + CREDENTIALS_BYTES {
            found.push(at + CONTROL_HEADER_BYTES);
        }
        at = end.next_multiple_of(8);
    }
    found
}

fn int_at(bytes: &[u8], at: usize) -> i32 {
    i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn put_int(bytes: &mut [u8], at: usize, value: i32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_among_other_messages() {
        let message = |kind: i32, bytes: u64, content: usize| {
            let mut text = bytes.to_le_bytes().to_vec();
            text.extend(libc::SOL_SOCKET.to_le_bytes());
            text.extend(kind.to_le_bytes());
            text.resize((16 + content).next_multiple_of(8), 7);
            text
        };
        let (rights, credentials) = (message(libc::SCM_RIGHTS, 20, 4), message(libc::SCM_CREDENTIALS, 28, 12));
        assert_eq!(credentials_in(&[rights.clone(), credentials.clone()].concat()), [40]);
        assert_eq!(credentials_in(&[credentials.clone(), rights].concat()), [16]);
        assert!(credentials_in(&credentials[..27]).is_empty());
        assert!(credentials_in(&message(libc::SCM_CREDENTIALS, u64::MAX, 12)).is_empty());
        assert!(credentials_in(&message(libc::SCM_CREDENTIALS, 0, 12)).is_empty());
        assert!(credentials_in(&message(libc::SCM_CREDENTIALS, 20, 4)).is_empty());
    }
}
