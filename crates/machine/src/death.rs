//! A guest process is about to die of a signal and can still be looked at.

use crate::core_file::{self, DeadProcess};
use crate::crash::{Crash, CrashReport, Death, signal_name};
use crate::guest_thread::GuestThread;
use addr::{Access, VirtAddr};
use kernel::mm::AreaInfo;
use kernel::{Core, Dying, Kernel};
use std::path::PathBuf;

/// Deaths by an instruction of the program itself.
const BY_OWN_HAND: [i32; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
/// Where core files go: into the working directory, as `core_pattern` has it by default.
const CORE_NAME: &str = "core";

/// Bytes of the arguments that a core file has room for.
const MAX_ARGUMENT_BYTES: u64 = 80;

/// Describes the death and writes the core file that the limits allow.
pub fn describe(thread: &GuestThread, dying: Dying) {
    let is_first = thread.pid == crate::FIRST_PID;
    if is_first && thread.shared.keeps_maps() {
        thread.keep_maps();
    }
    let text = BY_OWN_HAND.contains(&dying.signal).then(|| text(thread, dying));
    let core = (dying.core == Core::Wanted).then(|| dump(thread, dying)).flatten();
    let Some(text) = text else { return };
    if is_first {
        thread.shared.end().crash = Some(CrashReport { text, core });
    } else {
        thread.shared.voice.warn(format!("process {} died: {text}", thread.pid));
    }
}

fn text(thread: &GuestThread, dying: Dying) -> String {
    thread.shared.with_kernel(|kernel| {
        let space = kernel.space_of(thread.tid);
        let areas: Vec<AreaInfo> = kernel.mm().areas(space).collect();
        let death = Death {
            signal: dying.signal,
            code: dying.code,
            addr: VirtAddr::new(dying.addr),
            access: thread.last_fault.filter(|fault| fault.addr.get() == dying.addr).map(|fault| fault.access),
            registers: &thread.registers,
            areas: &areas,
        };
        Crash::describe(&death, &mut |at, to| kernel.mm_mut().read(space, at, to)).to_string()
    })
}

/// Writes the core file; where it was written.
fn dump(thread: &GuestThread, dying: Dying) -> Option<PathBuf> {
    let path = PathBuf::from(CORE_NAME);
    let written = thread.shared.with_kernel(|kernel| {
        let limit_bytes = kernel.soft_limit(thread.tid, libc::RLIMIT_CORE as usize);
        (limit_bytes > 0).then(|| write(thread, dying, kernel, limit_bytes, &path))
    })?;
    match written {
        Ok(()) => Some(std::fs::canonicalize(&path).unwrap_or(path)),
        Err(error) => {
            let signal = signal_name(dying.signal);
            thread.shared.voice.warn(format!("no core file could be written for {signal}: {error}"));
            None
        }
    }
}

fn write(
    thread: &GuestThread,
    dying: Dying,
    kernel: &mut Kernel,
    limit_bytes: u64,
    path: &std::path::Path,
) -> std::io::Result<()> {
    let space = kernel.space_of(thread.tid);
    let areas: Vec<AreaInfo> = kernel.mm().areas(space).collect();
    let image = kernel.image_of(thread.tid).clone();
    let (start, end) = image.arguments;
    let mut arguments = vec![0; (end - start).min(MAX_ARGUMENT_BYTES) as usize];
    let copied = kernel.mm_mut().read(space, VirtAddr::new(start), &mut arguments);
    arguments.truncate(copied);
    let dead = DeadProcess {
        pid: thread.pid,
        signal: dying.signal,
        code: dying.code,
        addr: VirtAddr::new(dying.addr),
        name: &image.name,
        arguments: &arguments,
        auxv: &image.auxiliary,
        threads: &[(thread.tid.get(), thread.registers.clone())],
        areas: &areas,
    };
    core_file::write(path, limit_bytes, &dead, &mut |at, to| kernel.mm_mut().read(space, at, to))
}

/// The last fault of a thread: what a signal that follows it was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastFault {
    /// Where.
    pub addr: VirtAddr,
    /// What was attempted.
    pub access: Access,
}
