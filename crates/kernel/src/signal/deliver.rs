//! Delivering signals: the last thing before a task runs its program.

use super::frame::{self, LEGACY_STATE_BYTES};
use super::set::{Action, Cause, DefaultAction, SIG_DFL, SIG_IGN, SigInfo, SigSet, default_of};
use crate::Errno;
use crate::calls::{ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, Flow};
use crate::kernel::Kernel;
use crate::outcome::{Core, Dying, Outcome, Wait};
use crate::task::{AltStack, News, State, Status, Tid};
use crate::waiting::Waiting;
use addr::{Gpr, Registers, VirtAddr};

const SA_RESTORER: u64 = 0x0400_0000;
const SS_AUTODISARM: u32 = 1 << 31;
const SYSCALL_BYTES: u64 = 2;
/// DF, TF and RF are clear in a handler.
const CLEARED_FLAGS: u64 = 0x400 | 0x100 | 0x1_0000;

impl Kernel {
    /// Delivers what is pending, ends or stops the task. `Done`: it runs.
    pub(crate) fn deliver_signals(&mut self, tid: Tid, registers: &mut Registers) -> Outcome {
        loop {
            if self.task(tid).is_killed {
                return self.leave(tid);
            }
            if self.process_of(tid).state == State::Stopped {
                self.task(tid).waiting = Some(Waiting::Continue);
                return Outcome::Wait(Wait { until: None });
            }
            let blocked = self.task(tid).blocked;
            let Some(info) = self.take_pending(tid, SigSet(u64::MAX).without(blocked)) else {
                self.go_on_without_handler(tid, registers);
                return Outcome::Done;
            };
            let action = self.process_of(tid).action(info.signal);
            match (action.handler, default_of(info.signal)) {
                (SIG_IGN, _) | (SIG_DFL, DefaultAction::Ignore | DefaultAction::Continue) => {}
                (SIG_DFL, DefaultAction::Stop) if self.stays(tid, info.signal) => {}
                (SIG_DFL, DefaultAction::Stop) => self.stop(tid, info.signal),
                (SIG_DFL, DefaultAction::Kill) => return self.begin_dying(tid, info, Core::Unwanted),
                (SIG_DFL, DefaultAction::Core) => return self.begin_dying(tid, info, Core::Wanted),
                _ => self.enter_handler(tid, registers, info, action),
            }
        }
    }

    /// The machine has looked at the dying process: it ends.
    pub(crate) fn die(&mut self, tid: Tid) -> Outcome {
        let (signal, core) = self.task(tid).dying.take().expect("a task dies of a signal");
        self.exit_process(tid, Status::Signaled { signal, core });
        self.leave(tid)
    }

    /// Whether the status of a task that is dying says that a core file was written; the machine calls this when it
    /// has written one or has decided not to.
    pub fn set_core_written(&mut self, tid: Tid, core: Core) {
        if let Some((_, written)) = &mut self.task(tid).dying {
            *written = core == Core::Wanted;
        }
    }

    fn begin_dying(&mut self, tid: Tid, info: SigInfo, core: Core) -> Outcome {
        let may_dump = self.core_limit(tid).is_some();
        let task = self.task(tid);
        task.dying = Some((info.signal, core == Core::Wanted && may_dump));
        task.waiting = Some(Waiting::Death);
        let addr = match info.cause {
            Cause::Raised { addr, .. } => addr,
            _ => 0,
        };
        Outcome::Dying(Dying { signal: info.signal, core, code: info.code, addr })
    }

    /// A terminal's signals do not stop a group that nobody could continue.
    fn stays(&self, tid: Tid, signal: i32) -> bool {
        signal != libc::SIGSTOP && self.is_orphaned(self.process_of_ref(tid).group)
    }

    fn stop(&mut self, tid: Tid, signal: i32) {
        let process = self.process_of(tid);
        process.state = State::Stopped;
        let (pid, tasks) = (process.pid, process.tasks.clone());
        for other in tasks.into_iter().filter(|other| *other != tid) {
            self.notify(other);
        }
        self.tell_parent_news(pid, News::Stopped(signal));
    }

    /// No handler runs: interrupted calls are made again, and a mask that was only for the call goes.
    fn go_on_without_handler(&mut self, tid: Tid, registers: &mut Registers) {
        let task = self.task(tid);
        if let Some(mask) = task.saved_mask.take() {
            task.blocked = mask;
        }
        let Some(call) = task.call.take() else { return };
        match interruption(registers) {
            Some(ERESTART_RESTARTBLOCK) => {
                task.restart = call.block;
                again(registers, call.made.0.restart());
            }
            Some(_) => again(registers, call.made.1),
            None => {}
        }
    }

    fn enter_handler(&mut self, tid: Tid, registers: &mut Registers, info: SigInfo, action: Action) {
        let task = self.task(tid);
        if let Some(call) = task.call.take() {
            match interruption(registers) {
                Some(ERESTARTSYS) if action.flags & libc::SA_RESTART as u64 != 0 => again(registers, call.made.1),
                Some(ERESTARTNOINTR) => again(registers, call.made.1),
                Some(_) => registers.set(Gpr::Rax, Errno::EINTR.as_result()),
                None => {}
            }
        }
        let mask = task.saved_mask.take().unwrap_or(task.blocked);
        let alternate = task.alt_stack;
        let stack = (action.flags & libc::SA_ONSTACK as u64 != 0 && alternate.is_usable(registers.get(Gpr::Rsp)))
            .then(|| alternate.start + alternate.bytes);
        let described = AltStack { flags: alternate.flags_at(registers.get(Gpr::Rsp)), ..alternate };
        let frame = frame::build(registers, &info, mask, described, stack, action.restorer, self.config.processor);
        let space = self.space_of(tid);
        let frame = frame.filter(|frame| {
            action.flags & SA_RESTORER != 0 && self.mm.write(space, frame.at, &frame.bytes) == frame.bytes.len()
        });
        let Some(frame) = frame else { return self.no_room(tid, info.signal) };
        registers.set(Gpr::Rdi, info.signal as u64);
        registers.set(Gpr::Rsi, frame.info_at());
        registers.set(Gpr::Rdx, frame.context_at());
        registers.set(Gpr::Rax, 0);
        registers.set(Gpr::Rsp, frame.at.get());
        registers.rip = VirtAddr::new(action.handler);
        registers.rflags &= !CLEARED_FLAGS;
        registers.reset_extended_state();
        let task = self.task(tid);
        task.blocked = task.blocked.with(action.mask).without(SigSet::UNBLOCKABLE);
        if action.flags & libc::SA_NODEFER as u64 == 0 {
            task.blocked = task.blocked.with(SigSet::of(info.signal));
        }
        if stack.is_some() && alternate.flags & SS_AUTODISARM != 0 {
            task.alt_stack = AltStack::default();
        }
        if action.flags & libc::SA_RESETHAND as u64 != 0 {
            self.process_of(tid).set_default(info.signal);
        }
    }

    /// A frame that cannot be written is a fault of the program's stack.
    fn no_room(&mut self, tid: Tid, signal: i32) {
        if signal == libc::SIGSEGV {
            self.process_of(tid).set_default(signal);
        }
        self.force(tid, SigInfo::kernel(libc::SIGSEGV));
    }

    /// rt_sigreturn: the registers are those of the frame.
    pub(crate) fn sigreturn(&mut self, tid: Tid, registers: &mut Registers) -> Result<Flow, Errno> {
        let space = self.space_of(tid);
        let at = VirtAddr::new(registers.get(Gpr::Rsp));
        let Ok(context) = self.mm.read_array::<304>(space, at) else {
            self.force(tid, SigInfo::kernel(libc::SIGSEGV));
            return Ok(Flow::Restored);
        };
        let restored = frame::restore(&context, registers);
        let state = match restored.state_at {
            0 => {
                registers.reset_extended_state();
                Ok(())
            }
            at => self.state_at(tid, at).and_then(|state| frame::restore_state(&state, registers)),
        };
        if state.is_err() {
            self.force(tid, SigInfo::kernel(libc::SIGSEGV));
        }
        let task = self.task(tid);
        task.restart = None;
        task.blocked = restored.mask.without(SigSet::UNBLOCKABLE);
        let disabled = restored.alternate.flags & libc::SS_DISABLE as u32 != 0;
        let flags = restored.alternate.flags & SS_AUTODISARM;
        task.alt_stack = if disabled { AltStack::default() } else { AltStack { flags, ..restored.alternate } };
        Ok(Flow::Restored)
    }

    fn state_at(&mut self, tid: Tid, at: u64) -> Result<Vec<u8>, Errno> {
        let space = self.space_of(tid);
        let legacy = self.mm.read_array::<LEGACY_STATE_BYTES>(space, VirtAddr::new(at))?;
        let bytes = frame::whole_state_bytes(&legacy);
        let alignment = if bytes > LEGACY_STATE_BYTES { 64 } else { 16 };
        if !at.is_multiple_of(alignment) {
            return Err(Errno::EFAULT);
        }
        self.bytes_in(space, at, bytes)
    }
}

impl AltStack {
    /// Whether a handler may begin on it: it is there, and the program is not on it already.
    fn is_usable(&self, rsp: u64) -> bool {
        self.bytes > 0 && !self.holds(rsp)
    }

    /// Whether a program with this stack pointer is on it.
    pub(crate) fn holds(&self, rsp: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && rsp > self.start && rsp - self.start <= self.bytes
    }

    /// `ss_flags` as a program sees them.
    pub(crate) fn flags_at(&self, rsp: u64) -> u32 {
        match (self.bytes, self.holds(rsp)) {
            (0, _) => libc::SS_DISABLE as u32,
            (_, true) => self.flags | libc::SS_ONSTACK as u32,
            (_, false) => self.flags,
        }
    }
}

/// Whether a call in progress was interrupted, and how it goes on.
fn interruption(registers: &Registers) -> Option<Errno> {
    let code = (registers.get(Gpr::Rax) as i64).checked_neg().and_then(|code| i32::try_from(code).ok())?;
    let errno = Errno::from_code(code);
    [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK].contains(&errno).then_some(errno)
}

/// Makes a call again, or another one in its place.
fn again(registers: &mut Registers, rax: u64) {
    registers.set(Gpr::Rax, rax);
    registers.rip = VirtAddr::new(registers.rip.get().wrapping_sub(SYSCALL_BYTES));
}
