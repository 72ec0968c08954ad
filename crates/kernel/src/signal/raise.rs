//! Sending signals, and raising those of faults and exceptions.

use super::set::{Cause, DefaultAction, SI_KERNEL, SIG_DFL, SIG_IGN, SigInfo, SigSet, default_of};
use crate::kernel::Kernel;
use crate::mm::FaultError;
use crate::outcome::Trap;
use crate::task::{News, Pid, State, Tid};
use crate::waiting::Waiting;
use addr::{Access, Registers, VirtAddr};
use mmu::Refusal;

const PAGE_FAULT: u64 = 14;
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRERR: i32 = 2;

impl Kernel {
    /// Sends a signal to a process: one of its tasks takes it.
    pub(crate) fn send_to_process(&mut self, pid: Pid, info: SigInfo) {
        let Some(process) = self.processes.get(&pid).filter(|process| !process.is_zombie()) else { return };
        let tasks = process.tasks.clone();
        self.before_sending(pid, info.signal);
        let is_blocked = tasks.iter().all(|tid| self.tasks[tid].blocked.has(info.signal));
        if self.is_ignored(pid, info.signal) && !is_blocked {
            return;
        }
        self.processes.get_mut(&pid).expect("found above").pending.push(info);
        let taker = tasks.iter().find(|tid| !self.tasks[tid].blocked.has(info.signal));
        let waiter = tasks.iter().find(|tid| self.waits_for(**tid, info.signal));
        if let Some(tid) = waiter.or(taker).copied() {
            self.notify(tid);
        }
    }

    /// Sends a signal to one task.
    pub(crate) fn send_to_task(&mut self, tid: Tid, info: SigInfo) {
        let Some(task) = self.tasks.get(&tid) else { return };
        let (pid, is_blocked) = (task.pid, task.blocked.has(info.signal));
        self.before_sending(pid, info.signal);
        if self.is_ignored(pid, info.signal) && !is_blocked {
            return;
        }
        self.task(tid).pending.push(info);
        self.notify(tid);
    }

    /// The signal of a fault that cannot be resolved.
    pub(crate) fn raise_fault(&mut self, tid: Tid, addr: VirtAddr, refusal: Refusal, why: FaultError) {
        let (signal, code) = match why {
            FaultError::MapErr => (libc::SIGSEGV, SEGV_MAPERR),
            FaultError::AccErr => (libc::SIGSEGV, SEGV_ACCERR),
            FaultError::BusAdrErr => (libc::SIGBUS, BUS_ADRERR),
            // What Linux's last resort does to the process that asked.
            FaultError::OutOfMemory => return self.send_to_task(tid, SigInfo::kernel(libc::SIGKILL)),
        };
        let user_half = addr.get() < USER_END;
        let error =
            if user_half { u64::from(refusal.error_code().unwrap_or(4)) } else { kernel_half_error(refusal.access) };
        let cause = Cause::Raised { addr: addr.get(), trap: PAGE_FAULT, error, cr2: Some(addr.get()) };
        self.force(tid, SigInfo { signal, code, cause });
    }

    /// The signal of an exception.
    pub(crate) fn raise_trap(&mut self, tid: Tid, registers: &Registers, trap: Trap) {
        let rip = registers.rip.get();
        let (signal, code, addr, number) = match trap {
            Trap::DivideError => (libc::SIGFPE, 1, rip, 0),
            Trap::Debug => (libc::SIGTRAP, 1, rip, 1),
            Trap::Step => (libc::SIGTRAP, 2, rip, 1),
            Trap::Breakpoint => (libc::SIGTRAP, SI_KERNEL, 0, 3),
            Trap::InvalidOpcode => (libc::SIGILL, 2, rip, 6),
            Trap::StackSegment => (libc::SIGBUS, SI_KERNEL, 0, 12),
            Trap::Overflow => (libc::SIGSEGV, SI_KERNEL, 0, 4),
            Trap::GeneralProtection | Trap::Selector(_) => (libc::SIGSEGV, SI_KERNEL, 0, 13),
            Trap::X87 => (libc::SIGFPE, x87_code(registers), rip, 16),
            Trap::AlignmentCheck => (libc::SIGBUS, 1, 0, 17),
            Trap::Simd => (libc::SIGFPE, simd_code(registers), rip, 19),
        };
        let error = if let Trap::Selector(code) = trap { code.into() } else { 0 };
        let cause = Cause::Raised { addr, trap: number, error, cr2: None };
        self.force(tid, SigInfo { signal, code, cause });
    }

    /// A signal that an instruction raised cannot be put off: if it is blocked or ignored it kills.
    pub(crate) fn force(&mut self, tid: Tid, info: SigInfo) {
        let is_blocked = self.task(tid).blocked.has(info.signal);
        let process = self.process_of(tid);
        if is_blocked || process.ignores(info.signal) {
            process.set_default(info.signal);
        }
        let task = self.task(tid);
        task.blocked = task.blocked.without(SigSet::of(info.signal));
        task.pending.push(info);
    }

    /// Whether a signal waits that a task would take now.
    pub(crate) fn has_deliverable(&self, tid: Tid) -> bool {
        let task = &self.tasks[&tid];
        let pending = task.pending.set().with(self.processes[&task.pid].pending.set());
        !pending.without(task.blocked).is_empty()
    }

    /// Takes a pending signal of a set, the task's own first.
    pub(crate) fn take_pending(&mut self, tid: Tid, set: SigSet) -> Option<SigInfo> {
        let own = self.task(tid).pending.take(set);
        let mut info = own.or_else(|| self.process_of(tid).pending.take(set))?;
        self.note_overrun(self.pid_of(tid), &mut info);
        Some(info)
    }

    /// SIGCONT and the stop signals cancel one another, blocked or not.
    fn before_sending(&mut self, pid: Pid, signal: i32) {
        let cancelled = match signal {
            libc::SIGCONT => SigSet::STOPPING,
            _ if SigSet::STOPPING.has(signal) => SigSet::of(libc::SIGCONT),
            _ => SigSet::default(),
        };
        let process = self.processes.get_mut(&pid).expect("the caller found it");
        process.pending.discard(cancelled);
        let tasks = process.tasks.clone();
        let continues = process.state == State::Stopped && matches!(signal, libc::SIGCONT | libc::SIGKILL);
        if continues {
            process.state = State::Running;
        }
        for tid in tasks {
            self.task(tid).pending.discard(cancelled);
            if continues {
                self.notify(tid);
            }
        }
        if continues && signal == libc::SIGCONT {
            self.tell_parent_news(pid, News::Continued);
        }
    }

    fn is_ignored(&self, pid: Pid, signal: i32) -> bool {
        let handler = self.processes[&pid].action(signal).handler;
        let by_default = matches!(default_of(signal), DefaultAction::Ignore | DefaultAction::Continue);
        handler == SIG_IGN || handler == SIG_DFL && by_default
    }

    fn waits_for(&self, tid: Tid, signal: i32) -> bool {
        let waiting = self.tasks[&tid].waiting;
        let (Some(Waiting::SignalOf { set, .. }) | Some(Waiting::SignalFile { set, .. })) = waiting else {
            return false;
        };
        set.has(signal)
    }
}

/// Where Linux's user addresses end: the last page below the hole is not mapped.
const USER_END: u64 = (1 << 47) - 0x1000;

/// The error code for an address of the kernel's half: present there, as far as a program can tell.
fn kernel_half_error(access: Access) -> u64 {
    match access {
        Access::Read => 5,
        Access::Write => 7,
        Access::Execute => 0x15,
    }
}

/// The most urgent unmasked x87 exception, as `si_code`.
fn x87_code(registers: &Registers) -> i32 {
    let control = u16::from_le_bytes([registers.x87[0], registers.x87[1]]);
    let status = u16::from_le_bytes([registers.x87[2], registers.x87[3]]);
    float_code(u32::from(status & !control))
}

fn simd_code(registers: &Registers) -> i32 {
    float_code(registers.mxcsr & !(registers.mxcsr >> 7))
}

/// FPE_FLTINV, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES.
fn float_code(raised: u32) -> i32 {
    match raised {
        _ if raised & 1 != 0 => 7,
        _ if raised & 4 != 0 => 3,
        _ if raised & 8 != 0 => 4,
        _ if raised & 0x12 != 0 => 5,
        _ if raised & 0x20 != 0 => 6,
        _ => 0,
    }
}
