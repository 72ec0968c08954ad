//! unshare(2): what a task has in common with others becomes its own.

use super::clone::NAMESPACES;
use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;

const THREAD: u64 = libc::CLONE_THREAD as u64;
const SIGHAND: u64 = libc::CLONE_SIGHAND as u64;
const VM: u64 = libc::CLONE_VM as u64;
const FILES: u64 = libc::CLONE_FILES as u64;
const FS: u64 = libc::CLONE_FS as u64;
const SYSVSEM: u64 = libc::CLONE_SYSVSEM as u64;
const NEWTIME: u64 = 0x80;

impl Kernel {
    pub(super) fn unshare_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_unshare => self.unshare(args.tid, args.at(0)),
            _ => return None,
        })
    }

    fn unshare(&mut self, tid: Tid, flags: u64) -> Result<u64, Errno> {
        let known = THREAD | SIGHAND | VM | FILES | FS | SYSVSEM | NAMESPACES | NEWTIME;
        if flags & !known != 0 || self.has_what_cannot_be_unshared(tid, flags) {
            return Err(Errno::EINVAL);
        }
        if flags & (NAMESPACES | NEWTIME) != 0 {
            return Err(Errno::EPERM);
        }
        // The host thread's tables are the task's.
        if flags & FS != 0 {
            host::guest_thread::own_directory().map_err(|_| Errno::ENOMEM)?;
            self.task(tid).directory.leave();
        }
        if flags & FILES != 0 {
            host::guest_thread::own_descriptors().map_err(|_| Errno::ENOMEM)?;
            self.task(tid).files.leave();
        }
        if flags & SYSVSEM != 0 && self.process_of(tid).tasks.len() == 1 {
            let pid = self.pid_of(tid);
            self.undo_semaphores(pid);
        }
        Ok(0)
    }

    /// Memory, signal actions and the process are never divided: such flags are for those who share none.
    fn has_what_cannot_be_unshared(&self, tid: Tid, flags: u64) -> bool {
        let process = self.process_of_ref(tid);
        flags & (THREAD | SIGHAND | VM) != 0 && process.tasks.len() > 1
            || flags & (SIGHAND | VM) != 0 && process.actions.is_shared()
            || flags & VM != 0 && self.mm.is_shared_space(self.space_of(tid))
    }
}
