//! wait4, waitid, and everything else that a task sleeps for.

use super::{Args, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTSYS, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::{News, Pid, State, Status, Tid};
use crate::waiting::Waiting;
use addr::VirtAddr;
use std::time::Instant;

const WNOHANG: i32 = libc::WNOHANG;
const P_ALL: i32 = 0;
const P_PID: i32 = 1;
const P_PGID: i32 = 2;
const P_PIDFD: i32 = 3;
const KNOWN: i32 = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::WEXITED | libc::WNOWAIT | !0x0fff_ffff;

/// What wait4 or waitid was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaitFor {
    who: Who,
    /// `W*` as waitid has them: what changes count.
    options: i32,
    status_to: u64,
    usage_to: u64,
    info_to: u64,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Who {
    Any,
    Process(u32),
    Group(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Wait4,
    Waitid,
}

/// `si_signo`, `si_code`, `si_pid`, `si_uid`, `si_status`: all 0 for nobody.
#[derive(Clone, Copy, Default)]
struct Told {
    signal: i32,
    code: i32,
    pid: i32,
    uid: i32,
    status: i32,
}

/// What has become of a child.
#[derive(Clone, Copy)]
enum Change {
    Ended(Status),
    News(News),
}

impl Kernel {
    pub(super) fn wait_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        let wait = match args.nr as i64 {
            libc::SYS_wait4 => self.wait4(args),
            libc::SYS_waitid => self.waitid(args),
            libc::SYS_pause => return Some(Ok(Flow::Sleep(Waiting::Signal))),
            _ => return None,
        };
        let by_descriptor = args.nr as i64 == libc::SYS_waitid && args.int(0) == P_PIDFD;
        let answer = wait.and_then(|wait| match self.wait_once(args.tid, &wait) {
            Some(answer) => answer,
            None if wait.options & WNOHANG != 0 => self.nothing_yet(args.tid, &wait),
            None if by_descriptor && host::is_non_blocking(args.int(1)) => Err(Errno::EAGAIN),
            None => Ok(Flow::Sleep(Waiting::Child(wait))),
        });
        match answer {
            // Whatever is wrong, it tells of nobody.
            Err(errno) if args.nr as i64 == libc::SYS_waitid && errno != Errno::EFAULT => {
                Some(self.tell_of_child(args.tid, args.at(2), Told::default()).and(Err(errno)))
            }
            answer => Some(answer),
        }
    }

    fn wait4(&mut self, args: &Args) -> Result<WaitFor, Errno> {
        let options = args.int(2);
        if options & !(WNOHANG | libc::WUNTRACED | libc::WCONTINUED | !0x0fff_ffff) != 0 {
            return Err(Errno::EINVAL);
        }
        let who = match args.int(0) {
            -1 => Who::Any,
            0 => Who::Group(self.process_of_ref(args.tid).group),
            i32::MIN => return Err(Errno::ESRCH),
            group @ ..0 => Who::Group(-group as u32),
            pid => Who::Process(pid as u32),
        };
        let (status_to, usage_to) = (args.at(1), args.at(3));
        Ok(WaitFor { who, options: options | libc::WEXITED, status_to, usage_to, info_to: 0, form: Form::Wait4 })
    }

    fn waitid(&mut self, args: &Args) -> Result<WaitFor, Errno> {
        let options = args.int(3);
        let changes = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
        if options & !KNOWN != 0 || options & changes == 0 {
            return Err(Errno::EINVAL);
        }
        let who = match (args.int(0), args.int(1)) {
            (P_ALL, _) => Who::Any,
            (P_PID, pid @ 1..) => Who::Process(pid as u32),
            (P_PIDFD, descriptor @ 0..) => Who::Process(self.pid_of_file(descriptor)?.0),
            (P_PGID, 0) => Who::Group(self.process_of_ref(args.tid).group),
            (P_PGID, group @ 1..) => Who::Group(group as u32),
            _ => return Err(Errno::EINVAL),
        };
        let (info_to, usage_to) = (args.at(2), args.at(4));
        Ok(WaitFor { who, options, status_to: 0, usage_to, info_to, form: Form::Waitid })
    }

    /// The answer, if there is one now.
    fn wait_once(&mut self, tid: Tid, wait: &WaitFor) -> Option<Result<Flow, Errno>> {
        let parent = self.tasks[&tid].pid.0;
        let children = self.children_of(parent).into_iter().filter(|child| {
            let process = &self.processes[child];
            // Children that do not end with SIGCHLD are waited for by those who ask for them.
            let is_clone = process.exit_signal != libc::SIGCHLD;
            if wait.options & libc::__WALL == 0 && is_clone != (wait.options & libc::__WCLONE != 0) {
                return false;
            }
            match wait.who {
                Who::Any => true,
                Who::Process(pid) => child.0 == pid,
                Who::Group(group) => process.group == group,
            }
        });
        let children: Vec<Pid> = children.collect();
        if children.is_empty() {
            return Some(Err(Errno::ECHILD));
        }
        let changed = children.iter().find_map(|child| Some((*child, self.change_of(*child, wait.options)?)));
        changed.map(|(child, change)| self.report_change(tid, wait, child, change))
    }

    fn change_of(&self, child: Pid, options: i32) -> Option<Change> {
        let process = &self.processes[&child];
        match (process.state, process.news) {
            (State::Zombie(status), _) if options & libc::WEXITED != 0 => Some(Change::Ended(status)),
            (State::Zombie(_), _) => None,
            (_, Some(news @ News::Stopped(_))) if options & libc::WSTOPPED != 0 => Some(Change::News(news)),
            (_, Some(news @ News::Continued)) if options & libc::WCONTINUED != 0 => Some(Change::News(news)),
            _ => None,
        }
    }

    fn report_change(&mut self, tid: Tid, wait: &WaitFor, child: Pid, change: Change) -> Result<Flow, Errno> {
        let space = self.space_of(tid);
        let (word, code, number) = match change {
            Change::Ended(status @ Status::Exited(number)) => (status.wait_word(), libc::CLD_EXITED, i32::from(number)),
            Change::Ended(status @ Status::Signaled { signal, core }) => {
                (status.wait_word(), if core { libc::CLD_DUMPED } else { libc::CLD_KILLED }, signal)
            }
            Change::News(News::Stopped(signal)) => ((signal as u32) << 8 | 0x7f, libc::CLD_STOPPED, signal),
            Change::News(News::Continued) => (0xffff, libc::CLD_CONTINUED, libc::SIGCONT),
        };
        let usage = if wait.usage_to == 0 { Vec::new() } else { self.usage_bytes_of_child(child) };
        // The caller hears of it once, and be it by no more than an error.
        if wait.options & libc::WNOWAIT == 0 {
            self.forget_change(tid, child, change);
        }
        if wait.status_to != 0 {
            self.mm.write_all(space, VirtAddr::new(wait.status_to), &word.to_le_bytes())?;
        }
        self.mm.write_all(space, VirtAddr::new(wait.usage_to), &usage)?;
        let uid = host::files::identity()[0] as i32;
        let told = Told { signal: libc::SIGCHLD, code, pid: child.0 as i32, uid, status: number };
        self.tell_of_child(tid, wait.info_to, told)?;
        Ok(Flow::Answer(if wait.form == Form::Waitid { 0 } else { u64::from(child.0) }))
    }

    /// The child's change is known now; one that ended is gone, and what it used is its parent's children's.
    fn forget_change(&mut self, tid: Tid, child: Pid, change: Change) {
        match change {
            Change::News(_) => self.processes.get_mut(&child).expect("it changed just now").news = None,
            Change::Ended(_) => {
                let process = self.processes.remove(&child).expect("it ended just now");
                let usage = process.whole_usage();
                self.process_of(tid).children_usage.add(usage);
                self.leave_owned();
            }
        }
    }

    fn nothing_yet(&mut self, tid: Tid, wait: &WaitFor) -> Result<Flow, Errno> {
        self.tell_of_child(tid, wait.info_to, Told::default())?;
        Ok(Flow::Answer(0))
    }

    /// Writes what waitid tells of: those fields of siginfo_t, and no others.
    fn tell_of_child(&mut self, tid: Tid, to: u64, told: Told) -> Result<(), Errno> {
        if to == 0 {
            return Ok(());
        }
        let space = self.space_of(tid);
        let Told { signal, code, pid, uid, status } = told;
        for (at, fields) in [(0, [signal, 0, code]), (16, [pid, uid, status])] {
            let bytes = fields.map(i32::to_le_bytes).concat();
            self.mm.write_all(space, VirtAddr::new(to).wrapping_add(at), &bytes)?;
        }
        Ok(())
    }

    /// Whether a task has to leave its call for a signal, a stop or its end.
    pub(super) fn is_interrupted(&mut self, tid: Tid) -> bool {
        self.task(tid).is_killed || self.has_deliverable(tid) || self.process_of(tid).state == State::Stopped
    }

    /// What a task that sleeps does now; `None`: it sleeps on.
    pub(super) fn wake_up(&mut self, tid: Tid, waiting: Waiting) -> Option<Result<Flow, Errno>> {
        let is_over = waiting.until().is_some_and(|until| until <= Instant::now());
        let is_killed = self.task(tid).is_killed;
        let is_interrupted = self.is_interrupted(tid);
        match waiting {
            Waiting::Child(wait) => match self.wait_once(tid, &wait) {
                None if is_interrupted => Some(Err(ERESTARTSYS)),
                answer => answer,
            },
            // The answer, the child's number, is in the registers already.
            Waiting::Vfork(pid) => {
                let is_done = self.processes.get(&pid).is_none_or(|child| child.vfork_parent.is_none());
                (is_done || is_killed).then_some(Ok(Flow::Restored))
            }
            Waiting::Futex { woken: Some(index), .. } => Some(Ok(Flow::Answer(index.into()))),
            Waiting::Lock { owned, until } => self.wake_in_lock(tid, owned, until),
            Waiting::Futex { until, .. } if is_over || is_interrupted => {
                self.futexes.retain(|waiter| waiter.tid != tid);
                if is_over {
                    return Some(Err(Errno::ETIMEDOUT));
                }
                if until.is_none() {
                    return Some(Err(ERESTARTSYS));
                }
                self.block_until(tid, until);
                Some(Err(ERESTART_RESTARTBLOCK))
            }
            Waiting::Signal if is_interrupted => Some(Err(ERESTARTNOHAND)),
            Waiting::SignalOf { set, info_to, .. } => match self.take_pending(tid, set) {
                Some(info) => Some(self.report_signal(tid, info, info_to)),
                None if is_over => Some(Err(Errno::EAGAIN)),
                None if is_interrupted => Some(Err(Errno::EINTR)),
                None => None,
            },
            Waiting::SignalFile { set, to, bytes } => match self.take_signals_to(tid, set, to, bytes) {
                None if is_interrupted => Some(Err(ERESTARTSYS)),
                answer => answer,
            },
            Waiting::Time { .. } if is_over => Some(Ok(Flow::Answer(0))),
            Waiting::Time { until, remains_to } if is_interrupted => {
                Some(Err(self.interrupted_sleep(tid, until, remains_to)))
            }
            Waiting::Semaphores { .. } => self.wake_in_semop(tid, is_interrupted),
            Waiting::Send(wait) => self.wake_in_msgsnd(tid, &wait, is_interrupted),
            Waiting::Receive(wait) => self.wake_in_msgrcv(tid, &wait, is_interrupted),
            Waiting::Alone => {
                let is_alone = self.process_of(tid).tasks.len() == 1;
                match (is_killed, is_alone) {
                    (true, _) => {
                        self.drop_new_program(tid);
                        Some(Ok(Flow::Restored))
                    }
                    (false, true) => Some(Ok(Flow::Exec)),
                    (false, false) => None,
                }
            }
            Waiting::Continue => is_killed.then_some(Ok(Flow::Restored)),
            Waiting::Futex { .. } | Waiting::Signal | Waiting::Time { .. } | Waiting::Death => None,
        }
    }
}
