//! Transfers that are longer than one call of the host makes (`buffers`): in parts, which the guest sees as one call.
//!
//! A part follows another where Linux would have gone on: in a file, and in a pipe, a terminal or a connection as long as they
//! take or must give all. It is the same call with what is left, and an end or an error is that of the whole: what is done by
//! then is the answer. Elsewhere one part is all, as when there is no more to be read. Messages are never divided.

use super::buffers::MAX_TRANSFER_BYTES;
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;
use addr::Registers;

/// The most that a call of Linux transfers (MAX_RW_COUNT).
pub(super) const MAX_CALL_BYTES: u64 = 0x7fff_f000;

/// How far a call is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Progress {
    /// What its parts have transferred that the host has answered.
    pub done: u64,
    /// What is left, where parts have been made before.
    pub left: Option<u64>,
    /// The part that the host makes now, if another follows it.
    part: Option<Part>,
}

/// A part that is not the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    bytes: u64,
    left: u64,
    /// What the descriptor refers to: device and number. Another thread may make it refer to something else.
    file: (u64, u64),
}

/// What follows a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Division {
    /// There are no parts.
    Never,
    /// Nothing: the program goes on by itself.
    Short,
    /// The next one, of the same file.
    GoesOn((u64, u64)),
}

impl Kernel {
    /// A call with one buffer, with as many bytes as its next part transfers.
    pub(super) fn next_part(&mut self, args: &Args) -> Args {
        let mut args = *args;
        if has_one_buffer(args.nr) {
            args.words[2] = self.part(&args, args.at(2));
        }
        args
    }

    /// The parts of an iovec of which a call transfers bytes next.
    ///
    /// # Errors
    /// As [`Self::room_in_file`].
    pub(super) fn next_of_vector(&mut self, args: &Args, parts: &[(u64, u64)]) -> Result<Vec<(u64, u64)>, Errno> {
        let Progress { done, left, .. } = self.progress(args.tid);
        let mut wanted = left.unwrap_or_else(|| parts.iter().map(|(_, bytes)| bytes).sum());
        if wanted > 0 {
            wanted = wanted.min(self.room_in_file(args)?);
        }
        Ok(window(parts, done, self.part(args, wanted)))
    }

    /// How far the call of a task is.
    pub(crate) fn progress(&mut self, tid: Tid) -> Progress {
        self.task(tid).call.as_ref().map_or_else(Progress::default, |call| call.progress)
    }

    /// How many of the bytes that a call wants its next part transfers.
    fn part(&mut self, args: &Args, wanted: u64) -> u64 {
        let (wanted, most) = (wanted.min(MAX_CALL_BYTES), self.host_buffers.most());
        if wanted <= most {
            return wanted;
        }
        match division(args) {
            Division::Never => wanted.min(MAX_TRANSFER_BYTES),
            Division::Short => most,
            Division::GoesOn(file) => {
                if let Some(call) = &mut self.task(args.tid).call {
                    call.progress.part = Some(Part { bytes: most, left: wanted - most, file });
                }
                most
            }
        }
    }

    /// After a part of a call: the next one, or the answer of all.
    pub(super) fn after_part(
        &mut self,
        tid: Tid,
        registers: &mut Registers,
        flow: Result<Flow, Errno>,
    ) -> Result<Flow, Errno> {
        let Some(call) = &mut self.task(tid).call else { return flow };
        let part = call.progress.part.take();
        let done = call.progress.done;
        let bytes = match flow {
            Ok(Flow::Answer(bytes)) => bytes,
            Err(_) if done > 0 => return Ok(Flow::Answer(done)),
            other => return other,
        };
        let Some(part) = part.filter(|part| part.bytes == bytes) else { return Ok(Flow::Answer(done + bytes)) };
        let done = done + bytes;
        call.progress = Progress { done, left: Some(part.left), part: None };
        let args = Args { tid, nr: call.nr, words: rest(call.nr, call.words, done, part.left) };
        if file_of(args.int(0)) != Some(part.file) {
            return Ok(Flow::Answer(done));
        }
        match self.dispatch(&args, registers) {
            Ok(Flow::Host(call)) => Ok(Flow::Host(call)),
            Ok(Flow::Answer(bytes)) => Ok(Flow::Answer(done + bytes)),
            _ => Ok(Flow::Answer(done)),
        }
    }
}

/// The arguments of a call for what is left of it. Those of a vector are the same.
fn rest(nr: u64, mut words: [u64; 6], done: u64, left: u64) -> [u64; 6] {
    if has_one_buffer(nr) {
        words[1] = words[1].wrapping_add(done);
        words[2] = left;
    }
    if matches!(nr as i64, libc::SYS_pread64 | libc::SYS_pwrite64) {
        words[3] = words[3].wrapping_add(done);
    }
    words
}

/// Bytes of an iovec: so many from this one on.
pub(super) fn window(parts: &[(u64, u64)], mut skipped: u64, mut bytes: u64) -> Vec<(u64, u64)> {
    let mut window = Vec::new();
    for (at, length) in parts {
        let before = skipped.min(*length);
        skipped -= before;
        let taken = (length - before).min(bytes);
        bytes -= taken;
        if taken > 0 {
            window.push((at.wrapping_add(before), taken));
        }
    }
    window
}

/// Whether a call transfers between its first argument, a descriptor, and its second, a buffer, as many bytes as its third says.
fn has_one_buffer(nr: u64) -> bool {
    matches!(
        nr as i64,
        libc::SYS_read
            | libc::SYS_write
            | libc::SYS_pread64
            | libc::SYS_pwrite64
            | libc::SYS_sendto
            | libc::SYS_recvfrom
            | libc::SYS_getdents
            | libc::SYS_getdents64
    )
}

fn division(args: &Args) -> Division {
    let nr = args.nr as i64;
    let flags = match nr {
        libc::SYS_sendto | libc::SYS_recvfrom | libc::SYS_sendmmsg | libc::SYS_recvmmsg => args.int(3),
        libc::SYS_sendmsg | libc::SYS_recvmsg => args.int(2),
        _ => 0,
    };
    let Ok(file) = host::files::describe(args.int(0)) else { return Division::Never };
    let reads = match nr {
        libc::SYS_read | libc::SYS_pread64 | libc::SYS_recvfrom => true,
        libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => true,
        libc::SYS_vmsplice => file.flags & libc::O_ACCMODE == libc::O_RDONLY,
        _ => false,
    };
    let transfers_all = match file.kind {
        libc::S_IFREG | libc::S_IFBLK => true,
        libc::S_IFDIR => false,
        libc::S_IFIFO => !reads,
        libc::S_IFCHR if host::files::is_terminal(args.int(0)) => !reads,
        // The last byte of urgent data is the urgent one, and what is only looked at is there again the next time.
        libc::S_IFSOCK if flags & (libc::MSG_OOB | libc::MSG_PEEK) != 0 => return Division::Never,
        libc::S_IFSOCK if host::sockets::is_stream(args.int(0)) => !reads || flags & libc::MSG_WAITALL != 0,
        _ => return Division::Never,
    };
    // What comes with a message comes once; and of many messages the next one must not overtake what is left of one.
    let has_one_answer = matches!(nr, libc::SYS_recvmsg | libc::SYS_sendmmsg | libc::SYS_recvmmsg);
    match transfers_all && !has_one_answer {
        true => Division::GoesOn((file.identity.dev, file.identity.ino)),
        false => Division::Short,
    }
}

fn file_of(descriptor: i32) -> Option<(u64, u64)> {
    host::files::describe(descriptor).ok().map(|file| (file.identity.dev, file.identity.ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_an_iovec_begins_and_ends_anywhere() {
        let parts = [(100, 10), (300, 0), (200, 20)];
        assert_eq!(window(&parts, 0, 30), [(100, 10), (200, 20)]);
        assert_eq!(window(&parts, 4, 8), [(104, 6), (200, 2)]);
        assert_eq!(window(&parts, 12, 100), [(202, 18)]);
        assert_eq!([window(&parts, 30, 5), window(&parts, 3, 0), window(&[], 0, 5)], [const { Vec::new() }; 3]);
    }

    #[test]
    fn what_is_left_of_a_call_is_a_call() {
        let words = [3, 1000, 100, 50, 6, 7];
        let after = |nr: i64| rest(nr as u64, words, 40, 60);
        assert_eq!(after(libc::SYS_write), [3, 1040, 60, 50, 6, 7]);
        assert_eq!(after(libc::SYS_pwrite64), [3, 1040, 60, 90, 6, 7]);
        assert_eq!(after(libc::SYS_sendto), [3, 1040, 60, 50, 6, 7]);
        assert_eq!(after(libc::SYS_pwritev), words);
    }
}
