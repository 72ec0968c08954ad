//! Signal calls.

use super::process::blockable;
use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::signal::{Action, Cause, MAX, SI_TKILL, SI_USER, SIG_DFL, SIG_IGN, SigInfo, SigSet};
use crate::task::{AltStack, Pid, Tid};
use crate::waiting::Waiting;
use addr::{Gpr, Registers, VirtAddr};
use std::time::Duration;

const SS_AUTODISARM: u32 = 1 << 31;
const MIN_STACK_BYTES: u64 = 2048;

impl Kernel {
    pub(super) fn signal_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_rt_sigaction => self.sigaction(args),
            libc::SYS_rt_sigprocmask => self.sigprocmask(args),
            libc::SYS_rt_sigpending => self.sigpending(args),
            libc::SYS_rt_sigtimedwait => return Some(self.sigtimedwait(args)),
            libc::SYS_signalfd | libc::SYS_signalfd4 => self.signalfd(args),
            libc::SYS_kill => self.kill(args),
            libc::SYS_tkill => self.tgkill(args, None, args.at(0) as u32, args.int(1)),
            libc::SYS_tgkill => self.tgkill(args, Some(args.at(0) as u32), args.at(1) as u32, args.int(2)),
            libc::SYS_rt_sigqueueinfo => self.sigqueue(args, args.at(0) as u32, None, args.int(1), args.at(2)),
            libc::SYS_rt_tgsigqueueinfo => {
                self.sigqueue(args, args.at(0) as u32, Some(args.at(1) as u32), args.int(2), args.at(3))
            }
            _ => return None,
        })
    }

    fn sigaction(&mut self, args: &Args) -> Result<u64, Errno> {
        let signal = args.int(0);
        if !(1..=MAX).contains(&signal) || args.at(3) != 8 {
            return Err(Errno::EINVAL);
        }
        let space = self.space_of(args.tid);
        let new = match args.at(1) {
            0 => None,
            _ if SigSet::UNBLOCKABLE.has(signal) => return Err(Errno::EINVAL),
            at => {
                let word = |index: u64| VirtAddr::new(at).wrapping_add(index * 8);
                let mut words = [0; 4];
                for (index, slot) in words.iter_mut().enumerate() {
                    *slot = self.mm.read_u64(space, word(index as u64))?;
                }
                let [handler, flags, restorer, mask] = words;
                Some(Action { handler, flags, restorer, mask: blockable(mask) })
            }
        };
        let old = self.process_of(args.tid).action(signal);
        if args.at(2) != 0 {
            let words = [old.handler, old.flags, old.restorer, old.mask.0];
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            self.mm.write_all(space, VirtAddr::new(args.at(2)), &bytes)?;
        }
        if let Some(action) = new {
            self.set_action(args.tid, signal, action);
        }
        Ok(0)
    }

    /// Pending instances of a signal that is ignored now are discarded.
    fn set_action(&mut self, tid: Tid, signal: i32, action: Action) {
        let by_default = matches!(signal, libc::SIGCHLD | libc::SIGURG | libc::SIGWINCH | libc::SIGCONT);
        let process = self.process_of(tid);
        process.set_action(signal, action);
        if action.handler == SIG_IGN || action.handler == SIG_DFL && by_default {
            process.pending.discard(SigSet::of(signal));
            for other in process.tasks.clone() {
                self.task(other).pending.discard(SigSet::of(signal));
            }
        }
    }

    fn sigprocmask(&mut self, args: &Args) -> Result<u64, Errno> {
        if args.at(3) != 8 {
            return Err(Errno::EINVAL);
        }
        let space = self.space_of(args.tid);
        let old = self.task(args.tid).blocked;
        if args.at(1) != 0 {
            let set = blockable(self.mm.read_u64(space, VirtAddr::new(args.at(1)))?);
            self.task(args.tid).blocked = match args.int(0) {
                libc::SIG_BLOCK => old.with(set),
                libc::SIG_UNBLOCK => old.without(set),
                libc::SIG_SETMASK => set,
                _ => return Err(Errno::EINVAL),
            };
        }
        if args.at(2) != 0 {
            self.mm.write_all(space, VirtAddr::new(args.at(2)), &old.0.to_le_bytes())?;
        }
        Ok(0)
    }

    fn sigpending(&mut self, args: &Args) -> Result<u64, Errno> {
        let shared = self.process_of(args.tid).pending.set();
        let task = self.task(args.tid);
        let pending = SigSet(task.pending.set().with(shared).0 & task.blocked.0);
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(0)), &pending.0.to_le_bytes())?;
        Ok(0)
    }

    pub(super) fn sigsuspend(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let mask = blockable(self.mm.read_u64(space, VirtAddr::new(args.at(0)))?);
        let task = self.task(args.tid);
        task.saved_mask = Some(std::mem::replace(&mut task.blocked, mask));
        Ok(Flow::Sleep(Waiting::Signal))
    }

    fn sigtimedwait(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let set = blockable(self.mm.read_u64(space, VirtAddr::new(args.at(0)))?);
        let until = match args.at(2) {
            0 => None,
            at => Some(super::time::after(Duration::from_nanos(self.guest_timespec(args.tid, at)?))),
        };
        Ok(Flow::Sleep(Waiting::SignalOf { set, info_to: args.at(1), until }))
    }

    /// The answer of sigtimedwait.
    pub(super) fn report_signal(&mut self, tid: Tid, info: SigInfo, info_to: u64) -> Result<Flow, Errno> {
        if info_to != 0 {
            let space = self.space_of(tid);
            self.mm.write_all(space, VirtAddr::new(info_to), &info.to_bytes())?;
        }
        Ok(Flow::Answer(info.signal as u64))
    }

    fn kill(&mut self, args: &Args) -> Result<u64, Errno> {
        let signal = args.int(1);
        if !(0..=MAX).contains(&signal) {
            return Err(Errno::EINVAL);
        }
        let own = self.process_of_ref(args.tid);
        let (own_pid, own_group) = (own.pid, own.group);
        let targets: Vec<Pid> = match args.int(0) {
            0 => self.members_of(own_group),
            -1 => self.processes.keys().copied().filter(|pid| *pid != own_pid).collect(),
            group @ ..0 => self.members_of(group.unsigned_abs()),
            pid => self.processes.keys().copied().filter(|known| known.0 == pid as u32).collect(),
        };
        if targets.is_empty() {
            return Err(Errno::ESRCH);
        }
        if signal != 0 {
            let info = self.sent_info(args.tid, signal, SI_USER);
            for pid in targets {
                self.send_to_process(pid, info);
            }
        }
        Ok(0)
    }

    fn tgkill(&mut self, args: &Args, group: Option<u32>, tid: u32, signal: i32) -> Result<u64, Errno> {
        if !(0..=MAX).contains(&signal) || tid == 0 || group == Some(0) {
            return Err(Errno::EINVAL);
        }
        let target = self.tasks.get(&Tid(tid)).filter(|task| group.is_none_or(|group| task.pid.0 == group));
        let Some(target) = target.map(|task| task.tid) else { return Err(Errno::ESRCH) };
        if signal != 0 {
            let info = self.sent_info(args.tid, signal, SI_TKILL);
            self.send_to_task(target, info);
        }
        Ok(0)
    }

    pub(super) fn sigqueue(
        &mut self,
        args: &Args,
        pid: u32,
        tid: Option<u32>,
        signal: i32,
        info_at: u64,
    ) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let bytes = self.bytes_in(space, info_at, 32)?;
        let int = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let value = u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes"));
        if tid.is_some_and(|tid| tid as i32 <= 0 || pid as i32 <= 0) {
            return Err(Errno::EINVAL);
        }
        // What only the kernel may say is not said of others.
        let code = int(8) as i32;
        if (code >= 0 || code == SI_TKILL) && Tid(tid.unwrap_or(pid)) != args.tid {
            return Err(Errno::EPERM);
        }
        let is_there = match tid {
            None => self.processes.contains_key(&Pid(pid)),
            Some(tid) => self.tasks.get(&Tid(tid)).is_some_and(|task| task.pid == Pid(pid)),
        };
        if !is_there {
            return Err(Errno::ESRCH);
        }
        if !(0..=MAX).contains(&signal) {
            return Err(Errno::EINVAL);
        }
        let limit = self.soft_limit(args.tid, libc::RLIMIT_SIGPENDING as usize);
        if signal != 0 && self.queued_signals() >= limit {
            return Err(Errno::EAGAIN);
        }
        let info = SigInfo { signal, code, cause: Cause::Sent { pid: int(16), uid: int(20), value } };
        match tid {
            _ if signal == 0 => {}
            None => self.send_to_process(Pid(pid), info),
            Some(tid) => self.send_to_task(Tid(tid), info),
        }
        Ok(0)
    }

    /// How many signals wait, of all guests: they are one user's.
    fn queued_signals(&self) -> u64 {
        let shared = self.processes.values().map(|process| process.pending.len());
        let own = self.tasks.values().map(|task| task.pending.len());
        shared.chain(own).sum::<usize>() as u64
    }

    pub(super) fn sent_info(&self, tid: Tid, signal: i32, code: i32) -> SigInfo {
        let (pid, uid) = (self.tasks[&tid].pid.0, host::files::identity()[0] as u32);
        SigInfo { signal, code, cause: Cause::Sent { pid, uid, value: 0 } }
    }

    pub(super) fn sigaltstack(&mut self, args: &Args, registers: &Registers) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let rsp = registers.get(Gpr::Rsp);
        let old = self.task(args.tid).alt_stack;
        if args.at(0) != 0 {
            let bytes = self.bytes_in(space, args.at(0), 24)?;
            let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
            let (start, flags, size) = (word(0), word(8) as u32, word(16));
            if old.bytes > 0 && old.holds(rsp) {
                return Err(Errno::EPERM);
            }
            self.task(args.tid).alt_stack = match flags & !SS_AUTODISARM {
                disable if disable == libc::SS_DISABLE as u32 => AltStack::default(),
                0 | 1 if size < MIN_STACK_BYTES => return Err(Errno::ENOMEM),
                0 | 1 => AltStack { start, bytes: size, flags: flags & SS_AUTODISARM },
                _ => return Err(Errno::EINVAL),
            };
        }
        if args.at(1) != 0 {
            let words = [old.start, old.flags_at(rsp).into(), old.bytes];
            let bytes: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_le_bytes()).collect();
            self.mm.write_all(space, VirtAddr::new(args.at(1)), &bytes)?;
        }
        Ok(Flow::Answer(0))
    }
}
