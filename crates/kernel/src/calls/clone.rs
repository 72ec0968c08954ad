//! Making tasks and processes: clone, and what fork and vfork are of it.

use super::{Args, Flow};
use crate::Errno;
use crate::common::Sharing;
use crate::kernel::{Kernel, MAX_TASKS};
use crate::outcome::Spawn;
use crate::task::{Pid, Process, Task, Tid};
use crate::waiting::Waiting;
use addr::{Gpr, Registers, VirtAddr};
use std::os::fd::RawFd;

const CSIGNAL: u64 = 0xff;
const VM: u64 = libc::CLONE_VM as u64;
const THREAD: u64 = libc::CLONE_THREAD as u64;
const PARENT: u64 = libc::CLONE_PARENT as u64;
const VFORK: u64 = libc::CLONE_VFORK as u64;
const SIGHAND: u64 = libc::CLONE_SIGHAND as u64;
const FILES: u64 = libc::CLONE_FILES as u64;
const FS: u64 = libc::CLONE_FS as u64;
const SETTLS: u64 = libc::CLONE_SETTLS as u64;
const PARENT_SETTID: u64 = libc::CLONE_PARENT_SETTID as u64;
const CHILD_SETTID: u64 = libc::CLONE_CHILD_SETTID as u64;
const CHILD_CLEARTID: u64 = libc::CLONE_CHILD_CLEARTID as u64;
/// Handlers are not inherited (clone3 only).
pub(super) const CLEAR_SIGHAND: u64 = 1 << 32;
const PIDFD: u64 = libc::CLONE_PIDFD as u64;
const DETACHED: u64 = libc::CLONE_DETACHED as u64;
const SYSVSEM: u64 = libc::CLONE_SYSVSEM as u64;
const NEWNS: u64 = libc::CLONE_NEWNS as u64;
const NEWUSER: u64 = libc::CLONE_NEWUSER as u64;
const NEWPID: u64 = libc::CLONE_NEWPID as u64;
const NEWIPC: u64 = libc::CLONE_NEWIPC as u64;
/// Namespaces: not for guests.
pub(super) const NAMESPACES: u64 = 0x7e02_0000;

/// clone's arguments; the lowest byte of `flags` is the signal that tells of the end.
pub(super) struct Clone {
    pub flags: u64,
    pub stack: u64,
    pub parent_tid: u64,
    pub child_tid: u64,
    pub tls: u64,
    /// Where the number of a descriptor of the new process goes.
    pub pid_file: u64,
}

impl Clone {
    pub const FORK: Self = Self::plain(libc::SIGCHLD as u64);
    pub const VFORK: Self = Self::plain(libc::SIGCHLD as u64 | VM | VFORK);

    const fn plain(flags: u64) -> Self {
        Self { flags, stack: 0, parent_tid: 0, child_tid: 0, tls: 0, pid_file: 0 }
    }

    /// Flags that Linux takes no task with.
    fn are_flags_wrong(&self) -> bool {
        let has = |flag| self.flags & flag != 0;
        has(FS) && (has(NEWNS) || has(NEWUSER))
            || has(THREAD) && (has(NEWUSER) || has(NEWPID) || !has(SIGHAND))
            || has(SYSVSEM) && has(NEWIPC)
            || has(SIGHAND) && !has(VM)
            || has(PIDFD) && (has(THREAD) || has(DETACHED))
            || has(PIDFD) && has(PARENT_SETTID) && self.pid_file == self.parent_tid
    }
}

impl Kernel {
    pub(super) fn clone(&mut self, args: &Args, registers: &Registers) -> Result<Flow, Errno> {
        let [flags, stack, parent_tid, child_tid, tls, _] = args.words;
        // One argument serves two purposes.
        let clone = Clone { flags: flags as u32 as u64, stack, parent_tid, child_tid, tls, pid_file: parent_tid };
        self.clone_task(args.tid, registers, &clone)
    }

    pub(super) fn clone_task(&mut self, tid: Tid, registers: &Registers, clone: &Clone) -> Result<Flow, Errno> {
        let flags = clone.flags;
        let is_thread = flags & THREAD != 0;
        if clone.are_flags_wrong() {
            return Err(Errno::EINVAL);
        }
        if flags & NAMESPACES != 0 {
            return Err(Errno::EPERM);
        }
        let is_root = host::files::identity()[1] == 0;
        let limit = self.soft_limit(tid, libc::RLIMIT_NPROC as usize);
        if self.tasks.len() >= MAX_TASKS || !is_root && self.tasks.len() as u64 >= limit {
            return Err(Errno::EAGAIN);
        }
        self.advance_load();
        let child = Tid(self.next_number);
        let pid_file = if flags & PIDFD != 0 { Some(self.clone_pid_file(tid, child, clone.pid_file)?) } else { None };
        let pid = match self.pid_of_clone(tid, child, flags) {
            Ok(pid) => pid,
            Err(errno) => {
                pid_file.into_iter().for_each(host::files::close);
                return Err(errno);
            }
        };
        self.next_number += 1;
        self.copy_task(tid, child, pid, flags);
        if is_thread {
            self.process_of(tid).tasks.push(child);
        }
        let mut child_registers = Box::new(registers.clone());
        child_registers.set(Gpr::Rax, 0);
        if clone.stack != 0 {
            child_registers.set(Gpr::Rsp, clone.stack);
        }
        if flags & SETTLS != 0 {
            child_registers.fs_base = clone.tls;
        }
        let number = child.get().to_le_bytes();
        // Addresses that cannot be written are ignored here, as in Linux.
        if flags & PARENT_SETTID != 0 {
            let space = self.space_of(tid);
            let _ = self.mm.write_all(space, VirtAddr::new(clone.parent_tid), &number);
        }
        if flags & CHILD_SETTID != 0 {
            let space = self.space_of(child);
            let _ = self.mm.write_all(space, VirtAddr::new(clone.child_tid), &number);
        }
        if flags & CHILD_CLEARTID != 0 {
            self.task(child).clear_tid = clone.child_tid;
        }
        let waiting = (flags & VFORK != 0 && !is_thread).then_some(Waiting::Vfork(pid));
        Ok(Flow::Spawn(
            Spawn {
                tid: child,
                registers: child_registers,
                files: sharing(flags, FILES),
                directory: sharing(flags, FS),
                pid_file,
            },
            waiting,
        ))
    }

    /// A descriptor of the process that is about to be made, whose number the guest is told.
    fn clone_pid_file(&mut self, tid: Tid, child: Tid, told_to: u64) -> Result<RawFd, Errno> {
        let limit = self.soft_limit(tid, libc::RLIMIT_NOFILE as usize).min(i32::MAX as u64) as i32;
        if !host::files::has_room(0, limit, 1) {
            return Err(Errno::EMFILE);
        }
        let descriptor = self.make_pid_file(Pid(child.0), 0)?;
        let space = self.space_of(tid);
        self.mm.write_all(space, VirtAddr::new(told_to), &descriptor.to_le_bytes()).inspect_err(|_| {
            host::files::close(descriptor);
        })?;
        Ok(descriptor)
    }

    fn pid_of_clone(&mut self, tid: Tid, child: Tid, flags: u64) -> Result<Pid, Errno> {
        if flags & THREAD != 0 { Ok(self.pid_of(tid)) } else { self.copy_process(tid, child, flags) }
    }

    fn copy_process(&mut self, tid: Tid, child: Tid, flags: u64) -> Result<Pid, Errno> {
        let space = self.space_of(tid);
        let new_space = match flags & VM != 0 {
            true => {
                self.mm.share_space(space);
                space
            }
            false => self.mm.fork_space(space)?,
        };
        let parent = self.process_of_ref(tid);
        let pid = Pid(child.0);
        let actions = parent.actions.inherited(sharing(flags, SIGHAND));
        let is_sibling = flags & PARENT != 0;
        let process = Process {
            parent: if is_sibling { parent.parent } else { parent.pid.0 },
            maker: parent.pid.0,
            group: parent.group,
            session: parent.session,
            space: Some(new_space),
            image: parent.image.clone(),
            exit_signal: if is_sibling { parent.exit_signal } else { (flags & CSIGNAL) as i32 },
            vfork_parent: (flags & VFORK != 0).then_some(tid),
            oom_adjustment: parent.oom_adjustment,
            dumpable: parent.dumpable,
            wishes: parent.wishes,
            ..Process::new(pid, actions, parent.limits)
        };
        if flags & CLEAR_SIGHAND != 0 {
            super::process::clear_handlers(&process);
        }
        self.processes.insert(pid, process);
        self.peers.has_many = true;
        self.plan_look(pid);
        Ok(pid)
    }

    fn copy_task(&mut self, tid: Tid, child: Tid, pid: Pid, flags: u64) {
        let maker = &self.tasks[&tid];
        let mut task = Task::new(child, pid, maker.name.clone());
        task.blocked = maker.blocked;
        task.scheduling = maker.scheduling.of_child();
        task.files = maker.files.inherited(sharing(flags, FILES));
        task.directory = maker.directory.inherited(sharing(flags, FS));
        if flags & VM == 0 || flags & VFORK != 0 {
            task.alt_stack = maker.alt_stack;
        }
        self.tasks.insert(child, task);
    }
}

/// Whether clone's flags have something shared.
fn sharing(flags: u64, what: u64) -> Sharing {
    if flags & what != 0 { Sharing::Shared } else { Sharing::Copied }
}
