//! A case on the host's CPU, in the traced process.

use super::arena::{self, ArenaPage, CODE, CODE_PAGES};
use super::case::Case;
use super::outcome::{Ending, Exception, Outcome};
use super::world::World;
use addr::{PAGE_BYTES, Perms, VirtAddr, VirtRange};
use host::traced::{Pace, SignalInfo, Stop, Traced};
use std::io;

/// si_code of an exception that has no address.
const SI_KERNEL: i32 = 0x80;
/// si_code of a division by zero, or whose quotient is too large.
const FPE_INTDIV: i32 = 1;

/// The traced process with the arena mapped in it.
pub struct Native {
    traced: Traced,
    /// What each window holds now.
    shadow: Vec<u8>,
    background: Vec<u8>,
}

impl Native {
    /// Starts the process and maps the arena.
    ///
    /// # Errors
    /// The host's.
    pub fn new() -> io::Result<Self> {
        let mut traced = Traced::spawn()?;
        traced.map(VirtRange::new(CODE, CODE + CODE_PAGES * PAGE_BYTES), Perms::ALL)?;
        let mut background = Vec::new();
        for page in arena::data_pages() {
            traced.map(range_of(page.start), page.perms)?;
            let bytes = arena::background(page);
            traced.write(page.start, &bytes)?;
            background.extend_from_slice(&bytes);
        }
        Ok(Self { traced, shadow: background.clone(), background })
    }

    fn restore_memory(&mut self) -> io::Result<()> {
        for (index, page) in arena::data_pages().enumerate() {
            let bytes = index * PAGE_BYTES as usize..(index + 1) * PAGE_BYTES as usize;
            if self.shadow[bytes.clone()] != self.background[bytes.clone()] {
                self.traced.write(page.start, &self.background[bytes])?;
            }
        }
        self.shadow.copy_from_slice(&self.background);
        Ok(())
    }

    fn outcome(&mut self, stop: Stop) -> io::Result<Outcome> {
        let pages = arena::WINDOWS.iter().zip(self.shadow.chunks_mut(2 * PAGE_BYTES as usize));
        for ((start, _), bytes) in pages {
            self.traced.read(*start, bytes)?;
        }
        let registers = self.traced.registers()?;
        Ok(Outcome { ending: ending(stop), registers, memory: self.shadow.clone() })
    }
}

impl World for Native {
    fn start(&mut self, case: &Case) -> io::Result<Outcome> {
        self.restore_memory()?;
        self.traced.write(CODE, &case.code_bytes())?;
        self.traced.set_registers(&case.registers)?;
        self.resume()
    }

    fn resume(&mut self) -> io::Result<Outcome> {
        let stop = self.traced.resume(Pace::Run)?;
        self.outcome(stop)
    }

    fn repair(&mut self, page: ArenaPage) -> io::Result<()> {
        self.traced.protect(range_of(page.start), Perms::READ_WRITE)
    }

    fn damage(&mut self, page: ArenaPage) -> io::Result<()> {
        self.traced.protect(range_of(page.start), page.perms)
    }
}

fn range_of(start: VirtAddr) -> VirtRange {
    VirtRange::new(start, start + PAGE_BYTES)
}

fn ending(stop: Stop) -> Ending {
    match stop {
        Stop::Breakpoint => Ending::Trap,
        Stop::Syscall => Ending::Syscall,
        Stop::Stepped => Ending::Exception(Exception::Debug),
        Stop::Signal(SignalInfo { signal, code, addr }) => match (signal, code) {
            (libc::SIGSEGV, SI_KERNEL) => Ending::Exception(Exception::GeneralProtection),
            (libc::SIGSEGV, _) => Ending::Fault { addr, access: None },
            (libc::SIGBUS, libc::BUS_ADRALN) => Ending::Exception(Exception::Alignment),
            (libc::SIGBUS, _) => Ending::Exception(Exception::StackSegment),
            (libc::SIGFPE, FPE_INTDIV) => Ending::Exception(Exception::Divide),
            (libc::SIGFPE, _) => Ending::Exception(Exception::FloatingPoint),
            (libc::SIGILL, _) => Ending::Exception(Exception::InvalidOpcode),
            _ => Ending::Exception(Exception::Debug),
        },
    }
}
