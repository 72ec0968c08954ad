//! The description of a guest's death by one of its own instructions.
//!
//! ```text
//! SIGSEGV: a write at 0x0, where nothing is mapped, by main at segv.c:14 (in /tmp/segv, 0x55555555513d)
//! nearest: 85 TiB before 555555554000-555555555000 r-- /tmp/segv
//! ```

mod neighbours;
mod object_file;

use addr::{Access, Gpr, Perms, Registers, VirtAddr};
use engine::Protection;
use kernel::mm::AreaInfo;
use object_file::{FrameRegisters, ObjectFile, RETURN_ADDRESS, RSP, Source};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// Callers that a backtrace names at most.
const MAX_CALLERS: usize = 32;

/// What is known of a death.
pub struct Death<'a> {
    /// The signal.
    pub signal: i32,
    /// Its si_code.
    pub code: i32,
    /// Its si_addr.
    pub addr: VirtAddr,
    /// What was attempted, if it was an access.
    pub access: Option<Access>,
    /// What was refused, if there was no page to refuse it.
    pub protection: Option<Protection>,
    /// The registers, exact at the start of the instruction.
    pub registers: &'a Registers,
    /// The address space, in address order.
    pub areas: &'a [AreaInfo],
}

/// A point in the code of the dead process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The address.
    pub addr: VirtAddr,
    /// What is mapped there: a path or a name in brackets; empty if nothing with a name.
    pub object: String,
    /// What the source calls it.
    source: Source,
}

/// A death as the report has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CrashReport {
    /// The description, several lines.
    pub text: String,
    /// The core file, if one was written.
    pub core: Option<PathBuf>,
}

/// A death, described.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Crash {
    /// The signal.
    pub signal: i32,
    attempt: String,
    place: Place,
    nearest: Option<String>,
    callers: Vec<Place>,
}

impl Crash {
    /// Describes a death. `read` copies bytes of the dead process and says how many it could.
    pub fn describe(death: &Death<'_>, read: &mut dyn FnMut(VirtAddr, &mut [u8]) -> usize) -> Self {
        let mut places = Places { areas: death.areas, files: HashMap::new() };
        let rip = death.registers.rip;
        Self {
            signal: death.signal,
            attempt: attempt(death),
            place: places.at(rip, rip),
            nearest: is_about_memory(death).then(|| neighbours::describe(death.addr, death.areas)).flatten(),
            callers: places.callers(death.registers, read),
        }
    }
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, by {}", signal_name(self.signal), self.attempt, self.place)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "\nnearest: {nearest}")?;
        }
        for caller in &self.callers {
            write!(f, "\ncalled from {caller}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source.function, self.source.offset) {
            (Some(function), 0) => f.write_str(function)?,
            (Some(function), offset) => write!(f, "{function}+{offset:#x}")?,
            (None, _) => f.write_str("code without a symbol")?,
        }
        if let Some((file, line)) = &self.source.line {
            write!(f, " at {file}:{line}")?;
        }
        match self.object.is_empty() {
            true => write!(f, " ({})", self.addr),
            false => write!(f, " (in {}, {})", self.object, self.addr),
        }
    }
}

/// The name of a signal that a fault or an exception can raise, or its number.
pub fn signal_name(signal: i32) -> String {
    let names = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGTRAP, "SIGTRAP"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGUSR1, "SIGUSR1"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGUSR2, "SIGUSR2"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGALRM, "SIGALRM"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGXCPU, "SIGXCPU"),
        (libc::SIGXFSZ, "SIGXFSZ"),
        (libc::SIGSYS, "SIGSYS"),
    ];
    let known = names.iter().find(|(number, _)| *number == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}

fn is_about_memory(death: &Death<'_>) -> bool {
    matches!(death.signal, libc::SIGSEGV | libc::SIGBUS) && death.code != libc::SI_KERNEL && death.code > 0
}

/// What the instruction attempted, in words.
fn attempt(death: &Death<'_>) -> String {
    if let Some(protection) = death.protection {
        return protected_attempt(protection);
    }
    if !is_about_memory(death) {
        return other_attempt(death.signal, death.code);
    }
    let access = death.access.map_or("an access", access_name);
    let area = death.areas.iter().find(|area| area.range.contains(death.addr));
    let why = match (death.signal, area) {
        (libc::SIGBUS, _) => "past the end of the file that is mapped there".to_owned(),
        (_, Some(area)) => format!("where only {} is allowed", allowed(area.perms)),
        (_, None) if death.addr.get() >= 0x7fff_ffff_f000 => "outside of what a program can have".to_owned(),
        (_, None) => "where nothing is mapped".to_owned(),
    };
    let preposition = if death.access == Some(Access::Execute) { "to" } else { "at" };
    format!("{access} {preposition} {}, {why}", death.addr)
}

fn access_name(access: Access) -> &'static str {
    match access {
        Access::Read => "a read",
        Access::Write => "a write",
        Access::Execute => "a jump",
    }
}

fn protected_attempt(protection: Protection) -> String {
    match protection {
        Protection::NoAddress { addr, access } => {
            format!("{} at {addr}, which is no canonical address", access_name(access))
        }
        Protection::NoTarget(addr) => format!("a jump to {addr}, which is no canonical address"),
        Protection::Misaligned { name, addr, alignment } => {
            format!("{name} with an operand at {addr}, which is no multiple of {alignment}")
        }
        Protection::Privileged(name) => format!("{name}, an instruction that only a kernel may execute"),
        Protection::Operand(name) => format!("{name} with an operand that the processor refuses"),
    }
}

fn allowed(perms: Perms) -> &'static str {
    match (perms.contains(Perms::READ), perms.contains(Perms::WRITE), perms.contains(Perms::EXECUTE)) {
        (_, false, false) if perms.is_none() => "nothing",
        (_, false, false) => "reading",
        (_, true, false) => "reading and writing",
        (_, false, true) => "reading and executing",
        (_, true, true) => "everything",
    }
}

fn other_attempt(signal: i32, code: i32) -> String {
    let words = match (signal, code) {
        _ if code <= 0 => "sent by a process",
        // Linux's FPE_* codes: 1 is integer division, 2 integer overflow, the others floating-point.
        (libc::SIGFPE, 1) => "an integer division by zero, or a quotient that does not fit",
        (libc::SIGFPE, _) => "a floating-point exception that the program had unmasked",
        (libc::SIGILL, _) => "an instruction that this processor does not have",
        (libc::SIGSEGV, _) => "an instruction that the processor refuses",
        (libc::SIGBUS, _) => "a misaligned access",
        (libc::SIGTRAP, _) => "a breakpoint",
        _ => "raised by the kernel",
    };
    words.to_owned()
}

/// Names places, reading each file once.
struct Places<'a> {
    areas: &'a [AreaInfo],
    files: HashMap<&'a str, Option<ObjectFile>>,
}

impl<'a> Places<'a> {
    /// Names `addr`; the source is looked up for `probe`, which lies inside the instruction that is meant.
    fn at(&mut self, addr: VirtAddr, probe: VirtAddr) -> Place {
        let area = self.areas.iter().find(|area| area.range.contains(probe));
        let object = area.map_or_else(String::new, |area| area.name.clone());
        let source = self.in_file(probe).map_or_else(Source::default, |(file, own)| file.source(own));
        let offset = if addr == probe { source.offset } else { source.offset + (addr - probe) };
        let offset = if source.line.is_some() { 0 } else { offset };
        Place { addr, object, source: Source { offset, ..source } }
    }

    fn in_file(&mut self, addr: VirtAddr) -> Option<(&ObjectFile, u64)> {
        let area = self.areas.iter().find(|area| area.range.contains(addr) && area.name.starts_with('/'))?;
        let file = self.files.entry(&area.name).or_insert_with(|| ObjectFile::open(&area.name)).as_ref()?;
        let own = file.own_address(area.offset.checked_add(addr - area.range.start)?)?;
        Some((file, own))
    }

    /// Who called, innermost first.
    fn callers(&mut self, registers: &Registers, read: &mut dyn FnMut(VirtAddr, &mut [u8]) -> usize) -> Vec<Place> {
        let mut load = |at: u64| {
            let mut word = [0; 8];
            (read(VirtAddr::new(at), &mut word) == 8).then(|| u64::from_le_bytes(word))
        };
        let mut frame = frame_registers(registers);
        let mut callers = Vec::new();
        while callers.len() < MAX_CALLERS {
            // A return address follows its call, which may be the last instruction of a function.
            let into_call = u64::from(!callers.is_empty());
            let Some(probe) = VirtAddr::new(frame[RETURN_ADDRESS]).checked_sub(into_call) else { break };
            let caller = match self.in_file(probe) {
                Some((file, own)) => file.caller(own, &frame, &mut load),
                // A jump to nowhere has just pushed its return address.
                None if callers.is_empty() => jumped(&frame, &mut load),
                None => None,
            };
            let Some(caller) = caller else { break };
            if caller[RSP] <= frame[RSP] {
                break;
            }
            frame = caller;
            let back = VirtAddr::new(frame[RETURN_ADDRESS]);
            callers.push(self.at(back, back - 1));
        }
        callers
    }
}

fn frame_registers(registers: &Registers) -> FrameRegisters {
    use Gpr::*;
    let order = [Rax, Rdx, Rcx, Rbx, Rsi, Rdi, Rbp, Rsp, R8, R9, R10, R11, R12, R13, R14, R15];
    let mut frame = [0; 17];
    for (slot, register) in frame.iter_mut().zip(order) {
        *slot = registers.get(register);
    }
    frame[RETURN_ADDRESS] = registers.rip.get();
    frame
}

fn jumped(frame: &FrameRegisters, load: &mut dyn FnMut(u64) -> Option<u64>) -> Option<FrameRegisters> {
    let mut caller = *frame;
    caller[RETURN_ADDRESS] = load(frame[RSP]).filter(|address| *address != 0)?;
    caller[RSP] = frame[RSP].checked_add(8)?;
    Some(caller)
}

#[cfg(test)]
mod tests;
