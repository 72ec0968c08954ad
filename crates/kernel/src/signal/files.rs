//! signalfd(2): signals that are read from a descriptor.
//!
//! The descriptor is a pipe's reading end, so that the host can wait for it together with others. It holds a byte while
//! a signal of its set waits for the process that made it; reading it takes signals of the process that reads.

use super::set::{Cause, SigInfo, SigSet};
use crate::Errno;
use crate::calls::{Args, Flow};
use crate::kernel::Kernel;
use crate::task::{Pid, Tid};
use crate::waiting::Waiting;
use addr::VirtAddr;
use host::{Ready, ReadyPipe};

/// struct signalfd_siginfo.
const INFO_BYTES: u64 = 128;
const SET_BYTES: u64 = 8;

/// A descriptor of signalfd, as the kernel knows it.
pub(crate) struct SignalFile {
    pipe: ReadyPipe,
    set: SigSet,
    owner: Pid,
    ready: Ready,
}

impl Kernel {
    pub(crate) fn signalfd(&mut self, args: &Args) -> Result<u64, Errno> {
        let flags = if args.nr as i64 == libc::SYS_signalfd4 { args.int(3) } else { 0 };
        if flags & !(libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) != 0 || args.at(2) != SET_BYTES {
            return Err(Errno::EINVAL);
        }
        let space = self.space_of(args.tid);
        let set = SigSet(self.mm.read_u64(space, VirtAddr::new(args.at(1)))?).without(SigSet::UNBLOCKABLE);
        if args.int(0) != -1 {
            host::files::describe(args.int(0)).map_err(|_| Errno::EBADF)?;
            let file = self.signal_files.iter_mut().find(|file| file.pipe.is_at(args.int(0))).ok_or(Errno::EINVAL)?;
            file.set = set;
            return Ok(args.at(0));
        }
        let (descriptor, pipe) = ReadyPipe::open(&self.vault, flags).map_err(|_| Errno::EMFILE)?;
        let owner = self.pid_of(args.tid);
        self.signal_files.push(SignalFile { pipe, set, owner, ready: Ready::No });
        Ok(descriptor as u64)
    }

    /// read(2) of a descriptor of signalfd; `None` for any other.
    pub(crate) fn read_signal_file(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        if args.nr as i64 != libc::SYS_read {
            return None;
        }
        let set = self.signal_files.iter().find(|file| file.pipe.is_at(args.int(0)))?.set;
        let (to, bytes) = (args.at(1), args.at(2));
        if bytes < INFO_BYTES {
            return Some(Err(Errno::EINVAL));
        }
        Some(match self.take_signals_to(args.tid, set, to, bytes) {
            Some(answer) => answer,
            None if host::is_non_blocking(args.int(0)) => Err(Errno::EAGAIN),
            None => Ok(Flow::Sleep(Waiting::SignalFile { set, to, bytes })),
        })
    }

    /// Moves signals that wait into memory; `None` if none does.
    pub(crate) fn take_signals_to(
        &mut self,
        tid: Tid,
        set: SigSet,
        to: u64,
        bytes: u64,
    ) -> Option<Result<Flow, Errno>> {
        let space = self.space_of(tid);
        let mut done = 0;
        while bytes - done >= INFO_BYTES {
            let Some(info) = self.take_pending(tid, set) else { break };
            if let Err(errno) = self.mm.write_all(space, VirtAddr::new(to).wrapping_add(done), &file_bytes(&info)) {
                return Some(Err(errno));
            }
            done += INFO_BYTES;
        }
        (done > 0).then_some(Ok(Flow::Answer(done)))
    }

    /// Makes each descriptor of signalfd ready, or not, as its owner's signals are now.
    pub(crate) fn settle_signal_files(&mut self) {
        if self.signal_files.is_empty() {
            return;
        }
        let mut files = std::mem::take(&mut self.signal_files);
        files.retain_mut(|file| {
            let Some(process) = self.processes.get(&file.owner).filter(|process| !process.is_zombie()) else {
                return false;
            };
            let own = process.tasks.iter().map(|tid| self.tasks[tid].pending.set());
            let pending = own.fold(process.pending.set(), SigSet::with);
            let ready = if (pending.0 & file.set.0) == 0 { Ready::No } else { Ready::Yes };
            let changes = ready != file.ready;
            file.ready = ready;
            // A descriptor that everybody has closed is forgotten.
            !changes || file.pipe.set(ready).is_ok()
        });
        self.signal_files = files;
    }
}

/// struct signalfd_siginfo.
fn file_bytes(info: &SigInfo) -> [u8; INFO_BYTES as usize] {
    let mut bytes = [0; INFO_BYTES as usize];
    let mut int = |at: usize, value: i32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    int(0, info.signal);
    int(8, info.code);
    let mut pointer = 0;
    match info.cause {
        Cause::Sent { pid, uid, value } => {
            int(12, pid as i32);
            int(16, uid as i32);
            int(44, value as i32);
            pointer = value;
        }
        Cause::Raised { addr, .. } => bytes[72..80].copy_from_slice(&addr.to_le_bytes()),
        Cause::Child { pid, uid, status, used } => {
            int(12, pid as i32);
            int(16, uid as i32);
            int(40, status);
            bytes[56..64].copy_from_slice(&used.user_ticks().to_le_bytes());
            bytes[64..72].copy_from_slice(&used.system_ticks().to_le_bytes());
        }
        Cause::Ready { band, descriptor } => {
            int(20, descriptor);
            int(28, band as i32);
        }
        Cause::Timer { id, overrun, value } => {
            int(24, id);
            int(32, overrun);
            int(44, value as i32);
            pointer = value;
        }
    }
    bytes[48..56].copy_from_slice(&pointer.to_le_bytes());
    bytes
}
