//! msgget, msgsnd, msgrcv, msgctl.

use super::listing::Info;
use super::{IPC_64, PERMS_BYTES, READ, WRITE, now, put_words};
use crate::Errno;
use crate::calls::{Args, ERESTARTNOHAND, Flow};
use crate::kernel::Kernel;
use crate::task::Tid;
use crate::waiting::Waiting;
use addr::VirtAddr;
use std::collections::VecDeque;

const MSG_NOERROR: i32 = 0o10_000;
const MSG_EXCEPT: i32 = 0o20_000;
const MSG_COPY: i32 = 0o40_000;
const MSG_STAT: i32 = 11;
const MSG_INFO: i32 = 12;
const MSG_STAT_ANY: i32 = 13;
/// struct msqid64_ds.
const STRUCTURE_BYTES: usize = 120;
/// Where `msg_qbytes` is in it.
const LIMIT_AT: usize = 88;
/// Limits of Linux: bytes of a message, bytes of a queue.
pub(super) const MAX_MESSAGE_BYTES: u64 = 8192;
pub(super) const MAX_QUEUE_BYTES: u64 = 16384;

/// A queue of messages.
#[derive(Default)]
pub(super) struct Queue {
    messages: VecDeque<Message>,
    bytes: u64,
    limit: u64,
    sent: u64,
    received: u64,
    sender: u32,
    receiver: u32,
}

struct Message {
    kind: i64,
    text: Vec<u8>,
}

/// msgsnd, asleep until there is room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SendWait {
    id: i32,
    from: u64,
    bytes: u64,
    flags: i32,
}

/// msgrcv, asleep until there is a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ReceiveWait {
    id: i32,
    to: u64,
    bytes: u64,
    kind: i64,
    flags: i32,
}

impl Queue {
    /// Bytes and messages in it, who sent and received last, and when.
    pub(super) fn summary(&self) -> [u64; 6] {
        let count = self.messages.len() as u64;
        [self.bytes, count, self.sender.into(), self.receiver.into(), self.sent, self.received]
    }

    /// The message that msgrcv would take.
    fn find(&self, kind: i64, flags: i32) -> Option<usize> {
        match kind {
            0 => (!self.messages.is_empty()).then_some(0),
            1.. => {
                let is_except = flags & MSG_EXCEPT != 0;
                self.messages.iter().position(|message| (message.kind == kind) != is_except)
            }
            _ => {
                let limit = kind.checked_neg().unwrap_or(i64::MAX);
                let low_enough = self.messages.iter().enumerate().filter(|(_, message)| message.kind <= limit);
                low_enough.min_by_key(|(index, message)| (message.kind, *index)).map(|(index, _)| index)
            }
        }
    }
}

impl Kernel {
    pub(super) fn msgget(&mut self, args: &Args) -> Result<u64, Errno> {
        let make = || Ok(Queue { limit: MAX_QUEUE_BYTES, ..Queue::default() });
        self.ipc.queues.get(args.int(0), args.int(1), |_| Ok(()), make).map(|id| id as u64)
    }

    pub(super) fn msgsnd(&mut self, args: &Args) -> Result<Flow, Errno> {
        let wait = SendWait { id: args.int(0), from: args.at(1), bytes: args.at(2), flags: args.int(3) };
        if wait.bytes > MAX_MESSAGE_BYTES || wait.id < 0 {
            return Err(Errno::EINVAL);
        }
        match self.try_send(args.tid, &wait)? {
            Some(flow) => Ok(flow),
            None if wait.flags & libc::IPC_NOWAIT != 0 => Err(Errno::EAGAIN),
            None => Ok(Flow::Sleep(Waiting::Send(wait))),
        }
    }

    pub(super) fn msgrcv(&mut self, args: &Args) -> Result<Flow, Errno> {
        let (bytes, kind, flags) = (args.at(2), args.at(3) as i64, args.int(4));
        let wait = ReceiveWait { id: args.int(0), to: args.at(1), bytes, kind, flags };
        if wait.bytes > i64::MAX as u64 || wait.id < 0 {
            return Err(Errno::EINVAL);
        }
        if flags & MSG_COPY != 0 {
            // As of a kernel without checkpointing.
            return Err(Errno::ENOSYS);
        }
        match self.try_receive(args.tid, &wait)? {
            Some(flow) => Ok(flow),
            None if flags & libc::IPC_NOWAIT != 0 => Err(Errno::ENOMSG),
            None => Ok(Flow::Sleep(Waiting::Receive(wait))),
        }
    }

    /// What a task that sleeps in msgsnd does now; `None`: it sleeps on.
    pub(crate) fn wake_in_msgsnd(&mut self, tid: Tid, wait: &SendWait, leaves: bool) -> Option<Result<Flow, Errno>> {
        let attempt = self.try_send(tid, wait);
        self.after_attempt(attempt, leaves)
    }

    /// What a task that sleeps in msgrcv does now; `None`: it sleeps on.
    pub(crate) fn wake_in_msgrcv(&mut self, tid: Tid, wait: &ReceiveWait, leaves: bool) -> Option<Result<Flow, Errno>> {
        let attempt = self.try_receive(tid, wait);
        self.after_attempt(attempt, leaves)
    }

    fn after_attempt(&self, attempt: Result<Option<Flow>, Errno>, leaves: bool) -> Option<Result<Flow, Errno>> {
        match attempt {
            // The queue was there when the task went to sleep.
            Err(Errno::EINVAL) => Some(Err(Errno::EIDRM)),
            Err(errno) => Some(Err(errno)),
            Ok(Some(flow)) => Some(Ok(flow)),
            Ok(None) if leaves => Some(Err(ERESTARTNOHAND)),
            Ok(None) => None,
        }
    }

    fn try_send(&mut self, tid: Tid, wait: &SendWait) -> Result<Option<Flow>, Errno> {
        let (space, pid) = (self.space_of(tid), self.pid_of(tid).get());
        let kind = self.mm.read_u64(space, VirtAddr::new(wait.from))? as i64;
        if kind < 1 {
            return Err(Errno::EINVAL);
        }
        let text = self.bytes_in(space, wait.from.wrapping_add(8), wait.bytes as usize)?;
        let object = self.ipc.queues.at(wait.id)?;
        object.perms.allow(WRITE)?;
        let queue = &mut object.inner;
        if queue.bytes + wait.bytes > queue.limit || queue.messages.len() as u64 >= queue.limit {
            return Ok(None);
        }
        queue.messages.push_back(Message { kind, text });
        queue.bytes += wait.bytes;
        (queue.sent, queue.sender) = (now(), pid);
        self.notify_queue(wait.id);
        Ok(Some(Flow::Answer(0)))
    }

    fn try_receive(&mut self, tid: Tid, wait: &ReceiveWait) -> Result<Option<Flow>, Errno> {
        let (space, pid) = (self.space_of(tid), self.pid_of(tid).get());
        let object = self.ipc.queues.at(wait.id)?;
        object.perms.allow(READ)?;
        let queue = &mut object.inner;
        let Some(index) = queue.find(wait.kind, wait.flags) else { return Ok(None) };
        if queue.messages[index].text.len() as u64 > wait.bytes && wait.flags & MSG_NOERROR == 0 {
            return Err(Errno::E2BIG);
        }
        let message = queue.messages.remove(index).expect("it was found just now");
        queue.bytes -= message.text.len() as u64;
        (queue.received, queue.receiver) = (now(), pid);
        let text = &message.text[..message.text.len().min(wait.bytes as usize)];
        let bytes = [&message.kind.to_le_bytes(), text].concat();
        self.notify_queue(wait.id);
        self.mm.write_all(space, VirtAddr::new(wait.to), &bytes)?;
        Ok(Some(Flow::Answer(text.len() as u64)))
    }

    /// Wakes all that sleep for a queue: each looks again.
    fn notify_queue(&mut self, id: i32) {
        let sleeps = |waiting: &Option<Waiting>| match waiting {
            Some(Waiting::Send(wait)) => wait.id == id,
            Some(Waiting::Receive(wait)) => wait.id == id,
            _ => false,
        };
        let mut tids: Vec<Tid> =
            self.tasks.values().filter(|task| sleeps(&task.waiting)).map(|task| task.tid).collect();
        tids.sort_unstable();
        for tid in tids {
            self.notify(tid);
        }
    }

    pub(super) fn msgctl(&mut self, args: &Args) -> Result<u64, Errno> {
        let (id, command, to) = (args.int(0), args.int(1) & !IPC_64, args.at(2));
        let space = self.space_of(args.tid);
        if matches!(command, libc::IPC_INFO | MSG_INFO) {
            return self.queue_info(space, if command == MSG_INFO { Info::Sums } else { Info::Limits }, to);
        }
        let object = self.ipc.queues.at(id)?;
        match command {
            libc::IPC_RMID => {
                object.perms.is_owner()?;
                self.ipc.queues.by_id.remove(&id);
                self.notify_queue(id);
            }
            libc::IPC_SET => {
                let bytes = self.bytes_in(space, to, STRUCTURE_BYTES)?;
                let limit = u64::from_le_bytes(bytes[LIMIT_AT..LIMIT_AT + 8].try_into().expect("eight bytes"));
                if limit > MAX_QUEUE_BYTES && host::files::identity()[1] != 0 {
                    return Err(Errno::EPERM);
                }
                let object = self.ipc.queues.at(id)?;
                object.set_perms(&bytes)?;
                object.inner.limit = limit;
                self.notify_queue(id);
            }
            libc::IPC_STAT | MSG_STAT | MSG_STAT_ANY => {
                if command != MSG_STAT_ANY {
                    object.perms.allow(READ)?;
                }
                let queue = &object.inner;
                let mut bytes = [0; STRUCTURE_BYTES];
                bytes[..PERMS_BYTES].copy_from_slice(&object.perms_bytes());
                let pids = u64::from(queue.sender) | u64::from(queue.receiver) << 32;
                let times = [(48, queue.sent), (56, queue.received), (64, object.changed)];
                let counts =
                    [(72, queue.bytes), (80, queue.messages.len() as u64), (LIMIT_AT, queue.limit), (96, pids)];
                put_words(&mut bytes, &times);
                put_words(&mut bytes, &counts);
                self.mm.write_all(space, VirtAddr::new(to), &bytes)?;
                return Ok(if command == libc::IPC_STAT { 0 } else { id as u64 });
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }
}
