//! nice values and I/O priorities. A guest thread is a host thread, which is scheduled with the guest's nice value.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;

const IOPRIO_WHO_PROCESS: i32 = 1;
const IOPRIO_WHO_PGRP: i32 = 2;
const IOPRIO_WHO_USER: i32 = 3;
const IOPRIO_CLASS_SHIFT: i32 = 13;
const IOPRIO_CLASS_NONE: i32 = 0;
const IOPRIO_CLASS_RT: i32 = 1;
const IOPRIO_CLASS_IDLE: i32 = 3;
const IOPRIO_LEVEL: i32 = 7;

impl Kernel {
    pub(super) fn priority_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_getpriority => self.getpriority(args),
            libc::SYS_setpriority => self.setpriority(args),
            libc::SYS_ioprio_get => self.get_io_priority(args),
            libc::SYS_ioprio_set => self.set_io_priority(args),
            _ => return None,
        })
    }

    /// The most urgent of those that are named, as the raw call answers: 20 minus the nice value.
    fn getpriority(&mut self, args: &Args) -> Result<u64, Errno> {
        let hosts = self.host_threads(args)?;
        let values = hosts.into_iter().filter_map(|tid| host::priority::nice_of(tid).ok());
        values.min().map(|nice| (20 - nice) as u64).ok_or(Errno::ESRCH)
    }

    fn setpriority(&mut self, args: &Args) -> Result<u64, Errno> {
        for tid in self.host_threads(args)? {
            let answer = host::priority::set_nice(tid, args.int(2));
            answer.map_err(|error| Errno::of_host(&error))?;
        }
        Ok(0)
    }

    /// The most urgent of those that are named.
    fn get_io_priority(&self, args: &Args) -> Result<u64, Errno> {
        let targets = self.io_targets(args)?;
        let best = targets.iter().map(|tid| self.tasks[tid].scheduling.io_priority).min();
        best.map(u64::from).ok_or(Errno::ESRCH)
    }

    /// It is kept and told; the host's disks serve all guests alike.
    fn set_io_priority(&mut self, args: &Args) -> Result<u64, Errno> {
        let priority = args.int(2);
        match priority >> IOPRIO_CLASS_SHIFT & 7 {
            IOPRIO_CLASS_NONE if priority & IOPRIO_LEVEL != 0 => return Err(Errno::EINVAL),
            IOPRIO_CLASS_RT if host::files::identity()[1] != 0 => return Err(Errno::EPERM),
            IOPRIO_CLASS_NONE..=IOPRIO_CLASS_IDLE => {}
            _ => return Err(Errno::EINVAL),
        }
        for tid in self.io_targets(args)? {
            self.task(tid).scheduling.io_priority = priority as u16;
        }
        Ok(0)
    }

    /// The host's threads of the tasks that `which` and `who` name.
    fn host_threads(&self, args: &Args) -> Result<Vec<i32>, Errno> {
        let tasks = match args.int(0) as u32 {
            libc::PRIO_PROCESS => vec![self.task_named(args)?],
            libc::PRIO_PGRP => self.tasks_of_group(args)?,
            libc::PRIO_USER => self.tasks_of_user(args)?,
            _ => return Err(Errno::EINVAL),
        };
        // A task that has not run yet has no number in the host; it gets its maker's priority.
        Ok(tasks.iter().map(|tid| self.tasks[tid].host_tid).filter(|tid| *tid != 0).collect())
    }

    fn io_targets(&self, args: &Args) -> Result<Vec<Tid>, Errno> {
        match args.int(0) {
            IOPRIO_WHO_PROCESS => Ok(vec![self.task_named(args)?]),
            IOPRIO_WHO_PGRP => self.tasks_of_group(args),
            IOPRIO_WHO_USER => self.tasks_of_user(args),
            _ => Err(Errno::EINVAL),
        }
    }

    fn task_named(&self, args: &Args) -> Result<Tid, Errno> {
        match args.at(1) as u32 {
            0 => Ok(args.tid),
            tid => self.tasks.contains_key(&Tid(tid)).then_some(Tid(tid)).ok_or(Errno::ESRCH),
        }
    }

    fn tasks_of_group(&self, args: &Args) -> Result<Vec<Tid>, Errno> {
        let group = match args.at(1) as u32 {
            0 => self.process_of_ref(args.tid).group,
            group => group,
        };
        let members = self.members_of(group).into_iter().flat_map(|pid| self.processes[&pid].tasks.clone());
        let members: Vec<Tid> = members.collect();
        if members.is_empty() { Err(Errno::ESRCH) } else { Ok(members) }
    }

    /// All guests run as one user, the caller's.
    fn tasks_of_user(&self, args: &Args) -> Result<Vec<Tid>, Errno> {
        let user = host::files::identity()[0];
        if args.at(1) as u32 != 0 && u64::from(args.at(1) as u32) != user {
            return Err(Errno::ESRCH);
        }
        Ok(self.tasks.keys().copied().collect())
    }
}
