//! The first process, and how tasks and processes end.

use super::clone::Clone;
use super::{Args, Flow};
use crate::Errno;
use crate::common::Common;
use crate::exec::Image;
use crate::kernel::Kernel;
use crate::mm::{Limits, SpaceId};
use crate::outcome::{HostCall, Outcome, Then};
use crate::signal::{Action, Cause, SigInfo, SigSet};
use crate::task::{AltStack, INIT_PID, Limit, News, Pid, Process, State, Status, Task, Tid};
use crate::waiting::Waiting;
use addr::Registers;
use host::call::Call;
use host::cpu_time::CpuTime;

impl Kernel {
    /// Calls that need the caller's registers.
    pub(super) fn process_call(&mut self, args: &Args, registers: &mut Registers) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_fork => self.clone_task(args.tid, registers, &Clone::FORK),
            libc::SYS_vfork => self.clone_task(args.tid, registers, &Clone::VFORK),
            libc::SYS_clone => self.clone(args, registers),
            libc::SYS_clone3 => self.clone3(args, registers),
            libc::SYS_execve | libc::SYS_execveat => self.execve(args),
            libc::SYS_exit => {
                self.exit_task(args.tid, Status::Exited(args.at(0) as u8));
                Ok(Flow::End)
            }
            libc::SYS_exit_group => {
                self.exit_process(args.tid, Status::Exited(args.at(0) as u8));
                Ok(Flow::End)
            }
            libc::SYS_rt_sigreturn => self.sigreturn(args.tid, registers),
            libc::SYS_restart_syscall => self.restart(args, registers),
            libc::SYS_arch_prctl => self.arch_prctl(args, registers),
            libc::SYS_rt_sigsuspend => self.sigsuspend(args),
            libc::SYS_sigaltstack => self.sigaltstack(args, registers),
            _ => return None,
        })
    }

    pub(crate) fn add_first_process(&mut self) -> Tid {
        let pid = Pid(self.next_number);
        self.next_number += 1;
        let limits = std::array::from_fn(|resource| {
            let (soft, hard) = host::files::resource_limit(resource as u32);
            Limit { soft, hard }
        });
        let process = Process::new(pid, Common::new(Box::new([Action::default(); 65])), limits);
        self.processes.insert(pid, process);
        let mut task = Task::new(Tid(pid.0), pid, Vec::new());
        let inherited = host::outer_signals::inherited();
        task.blocked = blockable(inherited.blocked);
        self.tasks.insert(Tid(pid.0), task);
        let ignored = SigSet(inherited.ignored);
        for signal in (1..=crate::signal::MAX).filter(|signal| ignored.has(*signal)) {
            let action = Action { handler: crate::signal::SIG_IGN, ..Action::default() };
            self.process_of(Tid(pid.0)).set_action(signal, action);
        }
        Tid(pid.0)
    }

    /// One task ends; with the last one its process does.
    pub(crate) fn exit_task(&mut self, tid: Tid, status: Status) {
        if self.process_of(tid).tasks.len() == 1 {
            self.process_of(tid).ending.get_or_insert(status);
        }
        self.task(tid).is_killed = true;
    }

    /// All tasks of a process end.
    pub(crate) fn exit_process(&mut self, tid: Tid, status: Status) {
        let process = self.process_of(tid);
        process.ending.get_or_insert(status);
        process.state = State::Running;
        for other in process.tasks.clone() {
            self.task(other).is_killed = true;
            self.notify(other);
        }
    }

    /// A task that was told to end does: what it leaves to others, and with the last task, what its process leaves.
    pub(crate) fn leave(&mut self, tid: Tid) -> Outcome {
        self.advance_load();
        self.leave_futexes(tid);
        self.leave_semop(tid);
        self.drop_new_program(tid);
        self.mm.memory_files().call_done(tid);
        let used = self.task(tid).leave_thread();
        let switches = self.task(tid).switches;
        let past = &mut self.process_of(tid).past;
        past.cpu += used;
        past.switches += switches;
        self.task(tid).call = None;
        self.task(tid).waiting = None;
        let process = self.process_of(tid);
        if process.tasks.len() > 1 {
            process.tasks.retain(|other| *other != tid);
            let alone = process.alone.filter(|_| process.tasks.len() == 1);
            self.tasks.remove(&tid);
            self.leave_owned();
            if let Some(waiter) = alone {
                self.notify(waiter);
            }
            return Outcome::Exit;
        }
        self.release_memory(tid);
        // Descriptors go before the parent hears of the end: whoever reads a pipe then finds its end.
        // Those that another process shares stay: it closes copies.
        let is_shared = self.task(tid).files.is_shared();
        let flags = if is_shared { u64::from(libc::CLOSE_RANGE_UNSHARE) } else { 0 };
        let call = Call::plain(libc::SYS_close_range as u64, [0, u64::from(u32::MAX), flags, 0, 0, 0]);
        Outcome::HostCall(Box::new(HostCall { call, then: Then::Closed }))
    }

    /// The process's share of its memory; a parent in vfork goes on.
    fn release_memory(&mut self, tid: Tid) {
        let space = self.space_of(tid);
        self.keep_usage(tid, space);
        self.process_of(tid).space = None;
        self.mm.release_space(space);
        self.release_vfork_parent(tid);
    }

    /// Adds what a space has counted to its process's past.
    fn keep_usage(&mut self, tid: Tid, space: SpaceId) {
        let usage = self.mm.usage(space);
        let past = &mut self.process_of(tid).past;
        past.faults += usage.faults;
        past.peak_resident_pages = past.peak_resident_pages.max(usage.peak_resident_pages);
        past.peak_table_frames = past.peak_table_frames.max(usage.peak_table_frames);
        past.peak_areas = past.peak_areas.max(usage.peak_areas);
    }

    fn release_vfork_parent(&mut self, tid: Tid) {
        if let Some(parent) = self.process_of(tid).vfork_parent.take() {
            self.notify(parent);
        }
    }

    /// The last task of a process has closed its descriptors: the process is a zombie now.
    pub(super) fn end_process(&mut self, tid: Tid) {
        let pid = self.tasks[&tid].pid;
        let watched = self.groups_to_watch(pid);
        self.tasks.remove(&tid);
        let process = self.processes.get_mut(&pid).expect("a process lives as long as its tasks");
        let status = process.ending.expect("a process ends with a status");
        process.state = State::Zombie(status);
        process.tasks.clear();
        process.leave_shared();
        self.ended_cpu += process.past.cpu;
        let (parent, exit_signal) = (process.parent, process.exit_signal);
        self.leave_terminal(pid);
        self.notice_hangups();
        self.note_ended(pid);
        self.undo_semaphores(pid);
        self.orphan_children(pid);
        self.tell_orphaned_groups(&watched);
        self.settle_pid_files(pid);
        self.leave_owned();
        self.tell_parent(pid, parent, exit_signal, status);
    }

    /// Children of a process that ended are its nearest subreaper's now, or pagewalk's; there, their ends interest
    /// nobody.
    fn orphan_children(&mut self, pid: Pid) {
        let reaper = self.reaper_of(pid);
        for child in self.children_of(pid.0) {
            let process = self.processes.get_mut(&child).expect("listed just now");
            process.parent = reaper;
            process.exit_signal = libc::SIGCHLD;
            let signal = process.death_signal;
            if let State::Zombie(status) = process.state {
                self.tell_parent(child, reaper, libc::SIGCHLD, status);
            } else if signal != 0 {
                let uid = host::files::identity()[0] as u32;
                let cause = Cause::Sent { pid: pid.0, uid, value: 0 };
                self.send_to_process(child, SigInfo { signal, code: crate::signal::SI_USER, cause });
            }
        }
    }

    fn reaper_of(&self, pid: Pid) -> u32 {
        let mut ancestor = self.processes[&pid].parent;
        while let Some(process) = self.processes.get(&Pid(ancestor)) {
            if process.is_subreaper && !process.is_zombie() {
                return ancestor;
            }
            ancestor = process.parent;
        }
        INIT_PID
    }

    fn tell_parent(&mut self, pid: Pid, parent: u32, exit_signal: i32, status: Status) {
        let Some(process) = self.processes.get(&Pid(parent)) else {
            self.processes.remove(&pid);
            return;
        };
        let action = process.action(libc::SIGCHLD);
        let is_unwanted = action.handler == crate::signal::SIG_IGN || action.flags & libc::SA_NOCLDWAIT as u64 != 0;
        // clone takes any number; one that is no signal tells nobody anything, as in Linux.
        if (1..=crate::signal::MAX).contains(&exit_signal) {
            let used = self.processes[&pid].past.cpu;
            self.send_to_process(Pid(parent), child_info(pid, exit_signal, status, used));
        }
        if exit_signal == libc::SIGCHLD && is_unwanted {
            self.processes.remove(&pid);
        }
        self.wake_waiters(Pid(parent));
    }

    /// A child stopped or continued.
    pub(crate) fn tell_parent_news(&mut self, pid: Pid, news: News) {
        let process = self.processes.get_mut(&pid).expect("a process that stops lives");
        process.news = Some(news);
        let parent = Pid(process.parent);
        let Some(parent_process) = self.processes.get(&parent) else { return };
        let no_stops = parent_process.action(libc::SIGCHLD).flags & libc::SA_NOCLDSTOP as u64 != 0;
        let (code, status) = match news {
            News::Stopped(signal) => (libc::CLD_STOPPED, signal),
            News::Continued => (libc::CLD_CONTINUED, libc::SIGCONT),
        };
        if !no_stops {
            let (uid, used) = (host::files::identity()[0] as u32, self.cpu_of(pid));
            let cause = Cause::Child { pid: pid.0, uid, status, used };
            self.send_to_process(parent, SigInfo { signal: libc::SIGCHLD, code, cause });
        }
        self.wake_waiters(parent);
    }

    /// Wakes the tasks of a process that wait for children.
    fn wake_waiters(&mut self, pid: Pid) {
        let Some(process) = self.processes.get(&pid) else { return };
        for tid in process.tasks.clone() {
            if matches!(self.task(tid).waiting, Some(Waiting::Child(_))) {
                self.notify(tid);
            }
        }
    }

    pub(super) fn children_of(&self, parent: u32) -> Vec<Pid> {
        self.processes.values().filter(|process| process.parent == parent).map(|process| process.pid).collect()
    }

    /// The process runs a program of its own now.
    pub(crate) fn become_program(&mut self, tid: Tid, space: SpaceId, image: Image) {
        if let Some(old) = self.process_of(tid).space {
            self.leave_futexes(tid);
            self.keep_usage(tid, old);
            self.process_of(tid).space = Some(space);
            self.mm.release_space(old);
        }
        let task = self.task(tid);
        task.name = image.name.clone();
        task.alt_stack = AltStack::default();
        task.saved_mask = None;
        let process = self.process_of(tid);
        process.space = Some(space);
        process.image = image;
        process.has_executed = true;
        process.timers.clear();
        process.dumpable = 1;
        process.actions.leave();
        clear_handlers(process);
        self.release_vfork_parent(tid);
        host::capabilities::keep_none();
    }

    /// What memory may be used, from the resource limits.
    pub(crate) fn mm_limits(&self, tid: Tid) -> Limits {
        let limits = &self.process_of_ref(tid).limits;
        let soft = |resource: u32| limits[resource as usize].soft;
        let is_root = host::files::identity()[1] == 0;
        Limits {
            address_space: soft(libc::RLIMIT_AS),
            data: soft(libc::RLIMIT_DATA),
            stack: soft(libc::RLIMIT_STACK),
            locked: if is_root { u64::MAX } else { soft(libc::RLIMIT_MEMLOCK) },
            lowest_address: if is_root { 0 } else { Limits::default().lowest_address },
            ..Limits::default()
        }
    }
}

/// Handlers are gone; what is ignored stays so.
pub(super) fn clear_handlers(process: &Process) {
    process.actions.change(|actions| actions.iter_mut().for_each(|action| *action = action.cleared()));
}

/// The signal that tells of a child's end.
fn child_info(pid: Pid, signal: i32, status: Status, used: CpuTime) -> SigInfo {
    let (code, number) = match status {
        Status::Exited(status) => (libc::CLD_EXITED, i32::from(status)),
        Status::Signaled { signal, core: true } => (libc::CLD_DUMPED, signal),
        Status::Signaled { signal, core: false } => (libc::CLD_KILLED, signal),
    };
    let uid = host::files::identity()[0] as u32;
    SigInfo { signal, code, cause: Cause::Child { pid: pid.0, uid, status: number, used } }
}

/// A set that blocks nothing that cannot be blocked.
pub(super) fn blockable(bits: u64) -> SigSet {
    SigSet(bits).without(SigSet::UNBLOCKABLE)
}
