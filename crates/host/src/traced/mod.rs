//! An empty traced process: the host's own CPU as the oracle of what instructions do.
//!
//! The process is made from a one-page program in memory. Once it has started, everything but that page is unmapped, so
//! that its address space is the caller's to fill:
//! ```text
//! 0 ............................. STUB ............................. 0x7ffffffff000
//!    the caller's maps             one page: syscall; int3            the caller's maps
//! ```
//! System calls are made *in* the process by stepping over the page's `syscall` instruction; a system call that the
//! stepped program attempts is reported and never executed. The process dies with its [`Traced`], and with the thread
//! that made it, because Linux ties tracing to a thread (ptrace(2)); hence the value cannot be sent to another one.

mod image;
mod memory;
mod ptrace;
mod state;

use addr::{PAGE_BYTES, Perms, Registers, VirtAddr, VirtRange};
use std::io;
use std::marker::PhantomData;

/// The page that stays mapped: far from where programs, heaps, libraries and stacks go.
pub const STUB: VirtAddr = VirtAddr::new(0x6f00_0000_0000);
/// The first byte past what a program can map with four levels of tables.
pub const USER_END: VirtAddr = VirtAddr::new(0x7fff_ffff_f000);

/// ID: a program may set it, to see whether there is CPUID.
const ID_FLAG: u64 = 1 << 21;

/// A stopped process that does single instructions.
pub struct Traced {
    process: ptrace::Process,
    xstate: state::Xstate,
    /// Tracing belongs to the thread that started it.
    not_send: PhantomData<*mut ()>,
}

/// How a step or a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// One instruction, or one iteration of a repeated string instruction, is done.
    Stepped,
    /// `int3` was executed; rip is past it.
    Breakpoint,
    /// A system call was attempted and not executed; rip is past the instruction.
    Syscall,
    /// The instruction was not completed, or trapped.
    Signal(SignalInfo),
}

/// What Linux would have told the program's signal handler.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalInfo {
    /// The signal's number.
    pub signal: i32,
    /// si_code: for SIGSEGV 1 is no mapping, 2 is refused by permissions, 128 has no address.
    pub code: i32,
    /// si_addr, or zero where the signal has none.
    pub addr: VirtAddr,
}

/// How far the process may go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// One instruction.
    Step,
    /// Until something stops it: a breakpoint, a system call or a signal.
    Run,
}

impl Traced {
    /// Starts the process and empties its address space.
    ///
    /// # Errors
    /// The host's, where it refuses processes or tracing; the message says which.
    pub fn spawn() -> io::Result<Self> {
        let process = ptrace::Process::spawn(&image::of_one_page(STUB))?;
        let xstate = state::Xstate::of(&process)?;
        let mut traced = Self { process, xstate, not_send: PhantomData };
        traced.unmap(VirtRange::new(VirtAddr::new(0), STUB))?;
        traced.unmap(VirtRange::new(STUB + PAGE_BYTES, USER_END))?;
        Ok(traced)
    }

    /// Every register that a program can see.
    ///
    /// # Errors
    /// The host's; the process is gone then.
    pub fn registers(&self) -> io::Result<Registers> {
        let general = self.process.general()?;
        let vectors = self.process.xstate(self.xstate.bytes())?;
        Ok(state::decode(&general, &vectors))
    }

    /// Sets every register; of the flags those that a program may change.
    ///
    /// # Errors
    /// The host's, where a base or an MXCSR is one that no program can have.
    pub fn set_registers(&mut self, registers: &Registers) -> io::Result<()> {
        self.process.set_xstate(self.xstate.encode(registers))?;
        let general = state::encode_general(registers);
        self.process.set_general(&general)?;
        if (self.process.general()?.eflags ^ general.eflags) & ID_FLAG == 0 {
            return Ok(());
        }
        self.pop_flags(general.eflags)?;
        self.process.set_general(&general)
    }

    /// Lets the process go on until it stops again. A pending signal is dropped.
    ///
    /// # Errors
    /// The host's; the process is gone then.
    pub fn resume(&mut self, pace: Pace) -> io::Result<Stop> {
        self.process.resume(match pace {
            Pace::Step => ptrace::SYSEMU_SINGLESTEP,
            Pace::Run => ptrace::SYSEMU,
        })
    }

    /// Maps fresh zeroed pages, in place of what was there.
    ///
    /// # Errors
    /// The host's errno for the mmap.
    pub fn map(&mut self, range: VirtRange, perms: Perms) -> io::Result<()> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let args = [range.start.get(), range.count(), protection(perms), flags as u64, u64::MAX, 0];
        self.syscall(libc::SYS_mmap, args).map(drop)
    }

    /// Unmaps whatever is there.
    ///
    /// # Errors
    /// The host's errno for the munmap.
    pub fn unmap(&mut self, range: VirtRange) -> io::Result<()> {
        self.syscall(libc::SYS_munmap, [range.start.get(), range.count(), 0, 0, 0, 0]).map(drop)
    }

    /// Changes what is allowed.
    ///
    /// # Errors
    /// The host's errno for the mprotect.
    pub fn protect(&mut self, range: VirtRange, perms: Perms) -> io::Result<()> {
        self.syscall(libc::SYS_mprotect, [range.start.get(), range.count(), protection(perms), 0, 0, 0]).map(drop)
    }

    /// Copies bytes out, whatever the permissions.
    ///
    /// # Errors
    /// Where a byte is not mapped.
    pub fn read(&self, at: VirtAddr, to: &mut [u8]) -> io::Result<()> {
        memory::read(&self.process, at, to)
    }

    /// Copies bytes in, whatever the permissions.
    ///
    /// # Errors
    /// Where a byte is not mapped.
    pub fn write(&mut self, at: VirtAddr, from: &[u8]) -> io::Result<()> {
        memory::write(&self.process, at, from)
    }

    /// Lets the process pop its flags, for the one that Linux lets a program change and not a tracer.
    fn pop_flags(&mut self, flags: u64) -> io::Result<()> {
        self.write(STUB + image::FLAGS_OFFSET, &flags.to_le_bytes())?;
        let mut pop = self.process.general()?;
        pop.rip = STUB.get() + image::POP_FLAGS_OFFSET;
        pop.rsp = STUB.get() + image::FLAGS_OFFSET;
        pop.orig_rax = u64::MAX;
        self.process.set_integers(&pop)?;
        self.process.resume(ptrace::SINGLESTEP).map(drop)
    }

    /// What /proc/PID/maps says of the process, the page that stays mapped included.
    ///
    /// # Errors
    /// The host's; the process is gone then.
    pub fn maps(&self) -> io::Result<String> {
        std::fs::read_to_string(format!("/proc/{}/maps", self.process.pid()))
    }

    /// Makes one system call in the process. The registers are as before afterwards.
    ///
    /// # Errors
    /// The errno that the call answered.
    pub fn syscall(&mut self, number: libc::c_long, args: [u64; 6]) -> io::Result<u64> {
        let saved = self.process.general()?;
        let mut call = saved;
        call.rip = STUB.get() + image::CODE_OFFSET;
        call.rax = number as u64;
        call.orig_rax = u64::MAX;
        [call.rdi, call.rsi, call.rdx, call.r10, call.r8, call.r9] = args;
        self.process.set_integers(&call)?;
        // A stop at an attempted system call leaves the process inside the kernel: the next resume only returns to the
        // registers just set, so a second one may be needed to get over the instruction.
        for _ in 0..2 {
            self.process.resume(ptrace::SINGLESTEP)?;
            if self.process.general()?.rip != call.rip {
                break;
            }
        }
        let result = self.process.general()?.rax;
        self.process.set_integers(&saved)?;
        match result as i64 {
            error @ -4095..=-1 => Err(io::Error::from_raw_os_error(-error as i32)),
            _ => Ok(result),
        }
    }
}

fn protection(perms: Perms) -> u64 {
    [(Perms::READ, libc::PROT_READ), (Perms::WRITE, libc::PROT_WRITE), (Perms::EXECUTE, libc::PROT_EXEC)]
        .into_iter()
        .filter(|(perm, _)| perms.contains(*perm))
        .fold(0, |bits, (_, bit)| bits | bit as u64)
}

#[cfg(test)]
mod tests;
