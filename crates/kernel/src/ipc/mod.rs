//! System V IPC: shared memory, semaphores and message queues, in a namespace of the guests' own.
//!
//! Identifiers and keys are the machine's: no guest sees the host's objects, and what guests leave behind ends with the
//! machine.

mod listing;
mod messages;
mod semaphores;
mod shared_memory;

pub(crate) use messages::{ReceiveWait, SendWait};

use crate::Errno;
use crate::calls::{Args, Flow, answered};
use crate::kernel::Kernel;
use messages::Queue;
use rustc_hash::FxHashMap;
use semaphores::{SemaphoreWait, Set};
use shared_memory::Segment;
use std::collections::BTreeMap;

/// Bytes of struct ipc64_perm.
const PERMS_BYTES: usize = 48;
/// Objects of one kind at most.
const MAX_OBJECTS: usize = 32_000;
/// `IPC_64`, which callers of old kernels add to commands.
const IPC_64: i32 = 0x100;
const READ: u32 = 0o4;
const WRITE: u32 = 0o2;

/// All objects of a machine.
#[derive(Default)]
pub(crate) struct Ipc {
    segments: Objects<Segment>,
    sets: Objects<Set>,
    queues: Objects<Queue>,
    /// What tasks that sleep in semop want.
    semaphore_waits: FxHashMap<crate::Tid, SemaphoreWait>,
}

/// Objects of one kind, by identifier.
struct Objects<T> {
    by_id: BTreeMap<i32, Object<T>>,
    next: i32,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), next: 0 }
    }
}

/// An object with what all kinds have.
struct Object<T> {
    key: i32,
    perms: Perms,
    changed: u64,
    inner: T,
}

/// struct ipc_perm: who may do what.
#[derive(Clone, Copy)]
struct Perms {
    uid: u32,
    gid: u32,
    creator_uid: u32,
    creator_gid: u32,
    mode: u32,
}

impl Perms {
    fn of_caller(flags: i32) -> Self {
        let [_, uid, _, gid] = host::files::identity().map(|number| number as u32);
        Self { uid, gid, creator_uid: uid, creator_gid: gid, mode: flags as u32 & 0o777 }
    }

    /// Whether the caller has these rights, as bits of one octal digit.
    fn allow(&self, rights: u32) -> Result<(), Errno> {
        let [_, uid, _, gid] = host::files::identity().map(|number| number as u32);
        let granted = match () {
            () if uid == 0 => return Ok(()),
            () if uid == self.uid || uid == self.creator_uid => self.mode >> 6,
            () if gid == self.gid || gid == self.creator_gid => self.mode >> 3,
            () => self.mode,
        };
        if rights & !granted == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether the caller may change or remove the object.
    fn is_owner(&self) -> Result<(), Errno> {
        let uid = host::files::identity()[1] as u32;
        if uid == 0 || uid == self.uid || uid == self.creator_uid { Ok(()) } else { Err(Errno::EPERM) }
    }
}

impl<T> Objects<T> {
    /// `*get`: the object of a key, made if that is asked for and it is not there.
    fn get(
        &mut self,
        key: i32,
        flags: i32,
        fits: impl FnOnce(&T) -> Result<(), Errno>,
        make: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<i32, Errno> {
        let found = self.by_id.iter().find(|(_, object)| key != libc::IPC_PRIVATE && object.key == key);
        if let Some((id, object)) = found {
            if flags & libc::IPC_CREAT != 0 && flags & libc::IPC_EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            fits(&object.inner)?;
            object.perms.allow(asked_rights(flags))?;
            return Ok(*id);
        }
        if key != libc::IPC_PRIVATE && flags & libc::IPC_CREAT == 0 {
            return Err(Errno::ENOENT);
        }
        if self.by_id.len() >= MAX_OBJECTS {
            return Err(Errno::ENOSPC);
        }
        let object = Object { key, perms: Perms::of_caller(flags), changed: now(), inner: make()? };
        let id = self.next;
        self.next = self.next.wrapping_add(1).max(0);
        self.by_id.insert(id, object);
        Ok(id)
    }

    fn at(&mut self, id: i32) -> Result<&mut Object<T>, Errno> {
        self.by_id.get_mut(&id).ok_or(Errno::EINVAL)
    }
}

impl<T> Object<T> {
    fn perms_bytes(&self) -> [u8; PERMS_BYTES] {
        let Perms { uid, gid, creator_uid, creator_gid, mode } = self.perms;
        let mut bytes = [0; PERMS_BYTES];
        for (word, value) in bytes.chunks_exact_mut(4).zip([self.key as u32, uid, gid, creator_uid, creator_gid, mode])
        {
            word.copy_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    /// `IPC_SET`: owner, group and mode from the guest's structure.
    fn set_perms(&mut self, bytes: &[u8]) -> Result<(), Errno> {
        self.perms.is_owner()?;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        (self.perms.uid, self.perms.gid) = (word(4), word(8));
        self.perms.mode = self.perms.mode & !0o777 | word(20) & 0o777;
        self.changed = now();
        Ok(())
    }
}

impl Kernel {
    pub(crate) fn ipc_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_shmget => self.shmget(args),
            libc::SYS_shmat => self.shmat(args),
            libc::SYS_shmdt => self.shmdt(args),
            libc::SYS_shmctl => self.shmctl(args),
            libc::SYS_semget => self.semget(args),
            libc::SYS_semop | libc::SYS_semtimedop => return Some(self.semop(args)),
            libc::SYS_semctl => self.semctl(args),
            libc::SYS_msgget => self.msgget(args),
            libc::SYS_msgsnd => return Some(self.msgsnd(args)),
            libc::SYS_msgrcv => return Some(self.msgrcv(args)),
            libc::SYS_msgctl => self.msgctl(args),
            _ => return None,
        })
    }
}

/// The rights that `*get`'s flags ask for, as bits of one octal digit.
fn asked_rights(flags: i32) -> u32 {
    let mode = flags as u32;
    (mode >> 6 | mode >> 3 | mode) & 0o7
}

/// The time that the structures hold: seconds of CLOCK_REALTIME.
fn now() -> u64 {
    host::files::clock_ns(libc::CLOCK_REALTIME).unwrap_or(0) / 1_000_000_000
}

/// Puts words into a structure.
fn put_words(bytes: &mut [u8], words: &[(usize, u64)]) {
    for (at, word) in words {
        bytes[*at..*at + 8].copy_from_slice(&word.to_le_bytes());
    }
}
