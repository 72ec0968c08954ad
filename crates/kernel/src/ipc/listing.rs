//! All objects of a kind: /proc/sysvipc, a line each, and the *_INFO commands, their limits and sums.

use super::messages::{MAX_MESSAGE_BYTES, MAX_QUEUE_BYTES};
use super::semaphores::{MAX_OPERATIONS, MAX_SEMAPHORES, MAX_VALUE};
use super::{MAX_OBJECTS, Object};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::SpaceId;
use addr::{PAGE_BYTES, VirtAddr};
use std::fmt::Write;

const SEGMENTS: &str = concat!(
    "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid",
    "      atime      dtime      ctime                   rss                  swap\n",
);
const SETS: &str = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const QUEUES: &str = concat!(
    "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid",
    "      stime      rtime      ctime\n",
);

impl Kernel {
    /// /proc/sysvipc/shm.
    pub(crate) fn segments_text(&mut self) -> String {
        self.drop_removed_segments();
        let mut text = SEGMENTS.to_owned();
        for (id, object) in &self.ipc.segments.by_id {
            let segment = &object.inner;
            let attaches = self.mm.areas_of(segment.object.id());
            let (resident, swapped) = self.mm.pages_of(segment.object.id());
            let (resident, swapped) = (resident * PAGE_BYTES, swapped * PAGE_BYTES);
            line(&mut text, *id, object, |text| {
                write!(text, "{:>21} {:>5} {:>5}  {attaches:>5}", segment.bytes, segment.creator, segment.last)
            });
            let times = (segment.attached, segment.detached, object.changed);
            end(
                &mut text,
                format_args!("{:>10} {:>10} {:>10} {resident:>21} {swapped:>21}", times.0, times.1, times.2),
            );
        }
        text
    }

    /// /proc/sysvipc/sem.
    pub(crate) fn semaphores_text(&mut self) -> String {
        let mut text = SETS.to_owned();
        for (id, object) in &self.ipc.sets.by_id {
            line(&mut text, *id, object, |text| write!(text, "{:>10}", object.inner.count()));
            end(&mut text, format_args!("{:>10} {:>10}", object.inner.operated_at(), object.changed));
        }
        text
    }

    /// /proc/sysvipc/msg.
    pub(crate) fn queues_text(&mut self) -> String {
        let mut text = QUEUES.to_owned();
        for (id, object) in &self.ipc.queues.by_id {
            let summary = object.inner.summary();
            line(&mut text, *id, object, |text| {
                let [bytes, count, sender, receiver, ..] = summary;
                write!(text, " {bytes:>10} {count:>10} {sender:>5} {receiver:>5}")
            });
            let [_, _, _, _, sent, received] = summary;
            end(&mut text, format_args!("{sent:>10} {received:>10} {:>10}", object.changed));
        }
        text
    }

    /// `IPC_INFO` and `SEM_INFO` of semctl: struct seminfo; the highest identifier.
    pub(super) fn semaphore_info(&mut self, space: SpaceId, what: Info, to: u64) -> Result<u64, Errno> {
        let all = MAX_OBJECTS as i32 * MAX_SEMAPHORES;
        let sets = &self.ipc.sets.by_id;
        let (used, semaphores) = match what {
            Info::Limits => (20, MAX_VALUE),
            Info::Sums => (sets.len() as i32, sets.values().map(|set| set.inner.count() as i32).sum()),
        };
        let operations = MAX_OPERATIONS as i32;
        let limits = [all, MAX_OBJECTS as i32, all, all, MAX_SEMAPHORES, operations, operations];
        let words: Vec<i32> = limits.into_iter().chain([used, MAX_VALUE, semaphores]).collect();
        let highest = sets.keys().next_back().map_or(0, |id| *id as u64);
        self.write_words(space, to, &words).map(|()| highest)
    }

    /// `IPC_INFO` and `MSG_INFO` of msgctl: struct msginfo; the highest identifier.
    pub(super) fn queue_info(&mut self, space: SpaceId, what: Info, to: u64) -> Result<u64, Errno> {
        let queues = &self.ipc.queues.by_id;
        let limit = MAX_QUEUE_BYTES as i32;
        let [pool, map, total] = match what {
            Info::Limits => [MAX_OBJECTS as i32 * (limit / 1024), limit, limit],
            Info::Sums => queues.values().fold([queues.len() as i32, 0, 0], |[count, messages, bytes], queue| {
                let [more_bytes, more, ..] = queue.inner.summary();
                [count, messages + more as i32, bytes + more_bytes as i32]
            }),
        };
        // Segments of sixteen bytes, as many as sixteen bits can say.
        let words = [pool, map, MAX_MESSAGE_BYTES as i32, limit, MAX_OBJECTS as i32, 16, total, 0xffff];
        let highest = queues.keys().next_back().map_or(0, |id| *id as u64);
        self.write_words(space, to, &words).map(|()| highest)
    }

    fn write_words(&mut self, space: SpaceId, to: u64, words: &[i32]) -> Result<(), Errno> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.mm.write_all(space, VirtAddr::new(to), &bytes)
    }
}

/// What an *_INFO command tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Info {
    /// What there may be.
    Limits,
    /// What there is.
    Sums,
}

/// What all lines begin with and, after what their kind has, go on with.
fn line<T>(text: &mut String, id: i32, object: &Object<T>, own: impl FnOnce(&mut String) -> std::fmt::Result) {
    let perms = object.perms;
    write!(text, "{:>10} {id:>10}  {:>4o} ", object.key, perms.mode).expect("a string takes all text");
    own(text).expect("a string takes all text");
    let (uid, gid, creator, creator_group) = (perms.uid, perms.gid, perms.creator_uid, perms.creator_gid);
    write!(text, " {uid:>5} {gid:>5} {creator:>5} {creator_group:>5} ").expect("a string takes all text");
}

fn end(text: &mut String, rest: std::fmt::Arguments<'_>) {
    writeln!(text, "{rest}").expect("a string takes all text");
}
