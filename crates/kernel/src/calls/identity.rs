//! Numbers of processes, groups and sessions. All are our own.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::{Pid, Process};

impl Kernel {
    pub(super) fn identity_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        let own = self.process_of_ref(args.tid);
        answered(match args.nr as i64 {
            libc::SYS_getpid => Ok(own.pid.0.into()),
            libc::SYS_gettid => Ok(args.tid.0.into()),
            libc::SYS_getppid => Ok(own.parent.into()),
            libc::SYS_getpgrp => Ok(own.group.into()),
            libc::SYS_getpgid => self.named(args, args.at(0)).map(|process| process.group.into()),
            libc::SYS_getsid => self.named(args, args.at(0)).map(|process| process.session.into()),
            libc::SYS_setpgid => self.setpgid(args),
            libc::SYS_setsid => self.setsid(args),
            _ => return None,
        })
    }

    /// The process of a number; 0 is the caller's.
    pub(super) fn named(&self, args: &Args, number: u64) -> Result<&Process, Errno> {
        match number as u32 {
            0 => Ok(self.process_of_ref(args.tid)),
            pid => self.processes.get(&Pid(pid)).ok_or(Errno::ESRCH),
        }
    }

    fn setpgid(&mut self, args: &Args) -> Result<u64, Errno> {
        let own = self.process_of_ref(args.tid);
        let (own_pid, own_session) = (own.pid, own.session);
        let target = self.named(args, args.at(0))?;
        let (pid, session) = (target.pid, target.session);
        let group = if args.at(1) as u32 == 0 { pid.0 } else { args.at(1) as u32 };
        if args.int(1) < 0 {
            return Err(Errno::EINVAL);
        }
        let is_child = target.parent == own_pid.0;
        if pid != own_pid && !is_child {
            return Err(Errno::ESRCH);
        }
        if is_child && target.has_executed {
            return Err(Errno::EACCES);
        }
        if session != own_session || session == pid.0 {
            return Err(Errno::EPERM);
        }
        let exists = self.processes.values().any(|process| process.group == group && process.session == session);
        if group != pid.0 && !exists {
            return Err(Errno::EPERM);
        }
        self.processes.get_mut(&pid).expect("found above").group = group;
        Ok(0)
    }

    fn setsid(&mut self, args: &Args) -> Result<u64, Errno> {
        let pid = self.process_of_ref(args.tid).pid.0;
        if self.processes.values().any(|process| process.group == pid) {
            return Err(Errno::EPERM);
        }
        let process = self.process_of(args.tid);
        (process.group, process.session) = (pid, pid);
        Ok(pid.into())
    }
}
