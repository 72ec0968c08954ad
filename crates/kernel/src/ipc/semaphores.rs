//! semget, semop, semtimedop, semctl.

use super::listing::Info;
use super::{IPC_64, PERMS_BYTES, READ, WRITE, now, put_words};
use crate::Errno;
use crate::calls::{Args, Flow};
use crate::kernel::Kernel;
use crate::task::{Pid, Tid};
use crate::waiting::Waiting;
use addr::VirtAddr;
use std::time::Instant;

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;
/// struct semid64_ds.
const STRUCTURE_BYTES: usize = 104;
/// struct sembuf.
const OPERATION_BYTES: usize = 6;
/// Limits of Linux: semaphores of a set, operations of a call, the largest value.
pub(super) const MAX_SEMAPHORES: i32 = 32_000;
/// How many there are at most at a time: they are not in RAM. Linux would have some more, in its own memory.
const MOST_HELD: usize = 16 << 20;
pub(super) const MAX_OPERATIONS: u64 = 500;
pub(super) const MAX_VALUE: i32 = 32_767;

/// A set of semaphores.
pub(super) struct Set {
    semaphores: Vec<Semaphore>,
    operated: u64,
    /// What is to be taken back when a process ends.
    undo: Vec<Undo>,
}

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    pid: u32,
}

struct Undo {
    pid: u32,
    number: u16,
    adjustment: i32,
}

/// struct sembuf.
#[derive(Clone, Copy)]
struct Operation {
    number: u16,
    change: i16,
    flags: i16,
}

/// What a task sleeps for in semop.
pub(super) struct SemaphoreWait {
    id: i32,
    operations: Vec<Operation>,
    until: Option<Instant>,
}

/// Why operations cannot be done now.
enum Refusal {
    Never(Errno),
    /// This operation would have to wait.
    Later(Operation),
}

impl Operation {
    fn is_no_wait(self) -> bool {
        i32::from(self.flags) & libc::IPC_NOWAIT != 0
    }
}

impl Set {
    /// How many semaphores it has.
    pub(super) fn count(&self) -> usize {
        self.semaphores.len()
    }

    /// When it was last operated on.
    pub(super) fn operated_at(&self) -> u64 {
        self.operated
    }

    /// Does all operations, or none.
    fn operate(&mut self, operations: &[Operation], pid: u32) -> Result<(), Refusal> {
        let mut semaphores = self.semaphores.clone();
        for operation in operations {
            let Some(semaphore) = semaphores.get_mut(usize::from(operation.number)) else {
                return Err(Refusal::Never(Errno::EFBIG));
            };
            let after = semaphore.value + i32::from(operation.change);
            match (operation.change, semaphore.value) {
                (0, 0) => {}
                (0, _) => return Err(Refusal::Later(*operation)),
                _ if after < 0 => return Err(Refusal::Later(*operation)),
                _ if after > MAX_VALUE => return Err(Refusal::Never(Errno::ERANGE)),
                _ => *semaphore = Semaphore { value: after, pid },
            }
        }
        for operation in operations.iter().filter(|operation| i32::from(operation.flags) & libc::SEM_UNDO != 0) {
            self.undo.push(Undo { pid, number: operation.number, adjustment: -i32::from(operation.change) });
        }
        self.semaphores = semaphores;
        self.operated = now();
        Ok(())
    }

    fn undo_all(&mut self, pid: u32) -> bool {
        let before = self.undo.len();
        for undo in self.undo.iter().filter(|undo| undo.pid == pid) {
            let semaphore = &mut self.semaphores[usize::from(undo.number)];
            let value = (semaphore.value + undo.adjustment).clamp(0, MAX_VALUE);
            *semaphore = Semaphore { value, pid };
        }
        self.undo.retain(|undo| undo.pid != pid);
        self.undo.len() != before
    }
}

impl Kernel {
    pub(super) fn semget(&mut self, args: &Args) -> Result<u64, Errno> {
        let (key, count, flags) = (args.int(0), args.int(1), args.int(2));
        if !(0..=MAX_SEMAPHORES).contains(&count) {
            return Err(Errno::EINVAL);
        }
        let others: usize = self.ipc.sets.by_id.values().map(|set| set.inner.semaphores.len()).sum();
        let make = || match count {
            0 => Err(Errno::EINVAL),
            _ if others + count as usize > MOST_HELD => Err(Errno::ENOSPC),
            _ => {
                let semaphores = vec![Semaphore::default(); count as usize];
                Ok(Set { semaphores, operated: 0, undo: Vec::new() })
            }
        };
        let fits = |set: &Set| if count as usize > set.semaphores.len() { Err(Errno::EINVAL) } else { Ok(()) };
        self.ipc.sets.get(key, flags, fits, make).map(|id| id as u64)
    }

    pub(super) fn semop(&mut self, args: &Args) -> Result<Flow, Errno> {
        let (id, count) = (args.int(0), args.at(2) as u32 as u64);
        let until = match args.nr as i64 {
            libc::SYS_semtimedop if args.at(3) != 0 => Some(self.guest_deadline(args.tid, args.at(3))?),
            _ => None,
        };
        match count {
            0 => return Err(Errno::EINVAL),
            1..=MAX_OPERATIONS => {}
            _ => return Err(Errno::E2BIG),
        }
        let space = self.space_of(args.tid);
        let bytes = self.bytes_in(space, args.at(1), count as usize * OPERATION_BYTES)?;
        let half = |part: &[u8], at: usize| i16::from_le_bytes([part[at], part[at + 1]]);
        let operation =
            |part: &[u8]| Operation { number: half(part, 0) as u16, change: half(part, 2), flags: half(part, 4) };
        let operations: Vec<Operation> = bytes.chunks_exact(OPERATION_BYTES).map(operation).collect();
        let set = self.ipc.sets.at(id)?;
        let alters = operations.iter().any(|operation| operation.change != 0);
        set.perms.allow(if alters { WRITE } else { READ })?;
        if operations.iter().any(|operation| usize::from(operation.number) >= set.inner.semaphores.len()) {
            return Err(Errno::EFBIG);
        }
        let wait = SemaphoreWait { id, operations, until };
        match self.try_semaphores(args.tid, &wait) {
            Some(answer) => answer,
            None => {
                self.ipc.semaphore_waits.insert(args.tid, wait);
                Ok(Flow::Sleep(Waiting::Semaphores { until }))
            }
        }
    }

    /// What a task that sleeps in semop does now; `None`: it sleeps on.
    pub(crate) fn wake_in_semop(&mut self, tid: Tid, leaves: bool) -> Option<Result<Flow, Errno>> {
        let wait = self.ipc.semaphore_waits.remove(&tid).expect("a task in semop has said what it wants");
        if !self.ipc.sets.by_id.contains_key(&wait.id) {
            return Some(Err(Errno::EIDRM));
        }
        if let Some(answer) = self.try_semaphores(tid, &wait) {
            return Some(answer);
        }
        if wait.until.is_some_and(|until| until <= Instant::now()) {
            return Some(Err(Errno::EAGAIN));
        }
        if leaves {
            return Some(Err(Errno::EINTR));
        }
        self.ipc.semaphore_waits.insert(tid, wait);
        None
    }

    fn try_semaphores(&mut self, tid: Tid, wait: &SemaphoreWait) -> Option<Result<Flow, Errno>> {
        let pid = self.pid_of(tid).get();
        let set = match self.ipc.sets.at(wait.id) {
            Ok(set) => &mut set.inner,
            Err(errno) => return Some(Err(errno)),
        };
        match set.operate(&wait.operations, pid) {
            Ok(()) => {
                self.notify_set(wait.id);
                Some(Ok(Flow::Answer(0)))
            }
            Err(Refusal::Never(errno)) => Some(Err(errno)),
            Err(Refusal::Later(operation)) if operation.is_no_wait() => Some(Err(Errno::EAGAIN)),
            Err(Refusal::Later(_)) => None,
        }
    }

    /// Wakes all that sleep for a set: each looks again.
    fn notify_set(&mut self, id: i32) {
        let sleepers = self.ipc.semaphore_waits.iter().filter(|(_, wait)| wait.id == id);
        let mut tids: Vec<Tid> = sleepers.map(|(tid, _)| *tid).collect();
        tids.sort_unstable();
        for tid in tids {
            self.notify(tid);
        }
    }

    pub(super) fn semctl(&mut self, args: &Args) -> Result<u64, Errno> {
        let (id, number, command, value) = (args.int(0), args.int(1), args.int(2) & !IPC_64, args.at(3));
        let pid = self.pid_of(args.tid).get();
        let space = self.space_of(args.tid);
        if matches!(command, libc::IPC_INFO | SEM_INFO) {
            return self.semaphore_info(space, if command == SEM_INFO { Info::Sums } else { Info::Limits }, value);
        }
        let set = self.ipc.sets.at(id)?;
        let count = set.inner.semaphores.len();
        match command {
            libc::IPC_RMID => {
                set.perms.is_owner()?;
                self.ipc.sets.by_id.remove(&id);
                self.notify_set(id);
            }
            libc::IPC_SET => {
                let bytes = self.bytes_in(space, value, PERMS_BYTES)?;
                self.ipc.sets.at(id)?.set_perms(&bytes)?;
            }
            libc::IPC_STAT | SEM_STAT | SEM_STAT_ANY => {
                if command != SEM_STAT_ANY {
                    set.perms.allow(READ)?;
                }
                let mut bytes = [0; STRUCTURE_BYTES];
                bytes[..PERMS_BYTES].copy_from_slice(&set.perms_bytes());
                put_words(&mut bytes, &[(48, set.inner.operated), (64, set.changed), (80, count as u64)]);
                self.mm.write_all(space, VirtAddr::new(value), &bytes)?;
                return Ok(if command == libc::IPC_STAT { 0 } else { id as u64 });
            }
            GETALL => {
                set.perms.allow(READ)?;
                let values = set.inner.semaphores.iter().flat_map(|semaphore| (semaphore.value as u16).to_le_bytes());
                let bytes: Vec<u8> = values.collect();
                self.mm.write_all(space, VirtAddr::new(value), &bytes)?;
            }
            SETALL => {
                set.perms.allow(WRITE)?;
                let bytes = self.bytes_in(space, value, count * 2)?;
                let values: Vec<i32> =
                    bytes.chunks_exact(2).map(|two| i32::from(two[0]) | i32::from(two[1]) << 8).collect();
                self.set_values(id, 0, &values, pid)?;
            }
            GETVAL | GETPID | GETNCNT | GETZCNT | SETVAL if number < 0 || number as usize >= count => {
                return Err(Errno::EINVAL);
            }
            SETVAL => {
                set.perms.allow(WRITE)?;
                self.set_values(id, number as usize, &[value as i32], pid)?;
            }
            GETVAL | GETPID | GETNCNT | GETZCNT => {
                set.perms.allow(READ)?;
                let semaphore = set.inner.semaphores[number as usize];
                return Ok(match command {
                    GETVAL => semaphore.value as u64,
                    GETPID => semaphore.pid.into(),
                    GETNCNT => self.waiters(id, number as u16, |change| change < 0),
                    _ => self.waiters(id, number as u16, |change| change == 0),
                });
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// SETVAL and SETALL; what processes would take back of these semaphores is forgotten.
    fn set_values(&mut self, id: i32, first: usize, values: &[i32], pid: u32) -> Result<(), Errno> {
        if values.iter().any(|value| !(0..=MAX_VALUE).contains(value)) {
            return Err(Errno::ERANGE);
        }
        let object = self.ipc.sets.at(id)?;
        object.changed = now();
        let set = &mut object.inner;
        for (semaphore, value) in set.semaphores[first..].iter_mut().zip(values) {
            *semaphore = Semaphore { value: *value, pid };
        }
        set.undo.retain(|undo| !(first..first + values.len()).contains(&usize::from(undo.number)));
        self.notify_set(id);
        Ok(())
    }

    /// How many tasks sleep because of a semaphore: for each, the first operation that cannot be done counts.
    fn waiters(&mut self, id: i32, number: u16, counts: impl Fn(i16) -> bool) -> u64 {
        let Ok(set) = self.ipc.sets.at(id) else { return 0 };
        let semaphores = set.inner.semaphores.clone();
        let blocked = self.ipc.semaphore_waits.values().filter(|wait| wait.id == id).filter(|wait| {
            let mut copy = Set { semaphores: semaphores.clone(), operated: 0, undo: Vec::new() };
            let refused = copy.operate(&wait.operations, 0);
            matches!(refused, Err(Refusal::Later(by)) if by.number == number && counts(by.change))
        });
        blocked.count() as u64
    }

    /// A process has ended: what it did with SEM_UNDO is taken back.
    pub(crate) fn undo_semaphores(&mut self, pid: Pid) {
        let mut changed = Vec::new();
        for (id, set) in &mut self.ipc.sets.by_id {
            if set.inner.undo_all(pid.get()) {
                changed.push(*id);
            }
        }
        for id in changed {
            self.notify_set(id);
        }
    }

    /// A task ends in the middle of semop.
    pub(crate) fn leave_semop(&mut self, tid: Tid) {
        self.ipc.semaphore_waits.remove(&tid);
    }
}
