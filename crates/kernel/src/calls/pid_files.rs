//! Descriptors of processes: pidfd_open, clone's CLONE_PIDFD, pidfd_send_signal, and waitid by descriptor.
//!
//! Numbers are ours, so the host cannot make such a descriptor. It is the reading end of a pipe, as for signalfd, which
//! holds a byte once the process has ended.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::proc::{Directory, What};
use crate::signal::{MAX, SI_USER};
use crate::task::{Pid, Tid};
use addr::VirtAddr;
use host::{Ready, ReadyPipe};
use std::os::fd::RawFd;

/// PIDFD_NONBLOCK, the only flag that means something here.
const NONBLOCK: i32 = libc::O_NONBLOCK;

/// A descriptor of a process, as the kernel knows it.
pub(crate) struct PidFile {
    pipe: ReadyPipe,
    pid: Pid,
}

impl Kernel {
    pub(super) fn pid_file_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_pidfd_open => self.pidfd_open(args),
            libc::SYS_pidfd_send_signal => self.pidfd_send_signal(args),
            _ => return None,
        })
    }

    fn pidfd_open(&mut self, args: &Args) -> Result<u64, Errno> {
        let (number, flags) = (args.int(0), args.int(1));
        if flags & !NONBLOCK != 0 || number <= 0 {
            return Err(Errno::EINVAL);
        }
        let pid = Pid(number as u32);
        if !self.processes.contains_key(&pid) {
            // A thread that is not its process's first.
            let is_task = self.tasks.contains_key(&Tid(pid.0));
            return Err(if is_task { Errno::EINVAL } else { Errno::ESRCH });
        }
        let has_ended = self.processes[&pid].is_zombie();
        let descriptor = self.make_pid_file(pid, flags)?;
        if has_ended {
            self.settle_pid_files(pid);
        }
        Ok(descriptor as u64)
    }

    /// A new descriptor of a process that has not ended.
    pub(super) fn make_pid_file(&mut self, pid: Pid, flags: i32) -> Result<RawFd, Errno> {
        self.forget_closed_pid_files();
        let opened = ReadyPipe::open(&self.vault, flags | libc::O_CLOEXEC);
        let (descriptor, pipe) = opened.map_err(|_| Errno::EMFILE)?;
        self.pid_files.push(PidFile { pipe, pid });
        Ok(descriptor)
    }

    /// The process whose directory in /proc a descriptor is open on: Linux takes it for the process.
    fn pid_of_directory(&mut self, tid: Tid, descriptor: i32) -> Option<Pid> {
        let node = self.stood_for(tid, descriptor).ok()??;
        match (node.what, node.whose) {
            (What::Directory(Directory::Process), Some(whose)) => Some(whose.pid),
            _ => None,
        }
    }

    fn pidfd_send_signal(&mut self, args: &Args) -> Result<u64, Errno> {
        let (descriptor, signal, info_at, flags) = (args.int(0), args.int(1), args.at(2), args.at(3) as u32);
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let pid =
            self.pid_of_file(descriptor).or_else(|errno| self.pid_of_directory(args.tid, descriptor).ok_or(errno))?;
        if !(0..=MAX).contains(&signal) {
            return Err(Errno::EINVAL);
        }
        if info_at != 0 {
            let space = self.space_of(args.tid);
            if self.mm.read_u32(space, VirtAddr::new(info_at))? != signal as u32 {
                return Err(Errno::EINVAL);
            }
            return self.sigqueue(args, pid.0, None, signal, info_at);
        }
        if !self.processes.contains_key(&pid) {
            return Err(Errno::ESRCH);
        }
        if signal != 0 {
            let info = self.sent_info(args.tid, signal, SI_USER);
            self.send_to_process(pid, info);
        }
        Ok(0)
    }

    /// The process that a descriptor of the calling thread's table is for.
    ///
    /// # Errors
    /// `EBADF` when it is for none.
    pub(super) fn pid_of_file(&self, descriptor: i32) -> Result<Pid, Errno> {
        let file = self.pid_files.iter().find(|file| file.pipe.is_at(descriptor));
        file.map(|file| file.pid).ok_or(Errno::EBADF)
    }

    /// A process has ended: whoever waits for its descriptors learns of it.
    pub(super) fn settle_pid_files(&mut self, pid: Pid) {
        // A descriptor that everybody has closed is forgotten.
        self.pid_files.retain(|file| file.pid != pid || file.pipe.set(Ready::Yes).is_ok());
    }

    /// Nothing can be read from such a descriptor.
    pub(super) fn refuse_pid_file(&self, args: &Args) -> Result<(), Errno> {
        let reads = matches!(args.nr as i64, libc::SYS_read | libc::SYS_readv);
        if reads && !self.pid_files.is_empty() && self.pid_of_file(args.int(0)).is_ok() {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn forget_closed_pid_files(&mut self) {
        self.pid_files.retain(|file| !file.pipe.is_abandoned());
    }
}
