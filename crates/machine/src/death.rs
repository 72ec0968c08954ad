//! A guest process is about to die of a signal and can still be looked at.

use crate::core_file::{self, DeadProcess, DeadThread};
use crate::crash::{Crash, CrashReport, Death, signal_name};
use crate::guest_thread::GuestThread;
use addr::{Access, VirtAddr};
use engine::Protection;
use kernel::mm::AreaInfo;
use kernel::{Core, Dying, Tid};
use std::io;
use std::path::{Path, PathBuf};

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
    let registers = &thread.sleeper.registers();
    thread.shared.with_kernel(|kernel| {
        let space = kernel.space_of(thread.tid);
        let areas: Vec<AreaInfo> = kernel.mm().areas(space).collect();
        let address_bits = 12 + 9 * kernel.tables(thread.tid).levels().count();
        let mut read = |at: VirtAddr, to: &mut [u8]| kernel.mm().peek(space, at, to);
        let is_protection = dying.code == libc::SI_KERNEL && matches!(dying.signal, libc::SIGSEGV | libc::SIGBUS);
        let protection = is_protection.then(|| Protection::of(registers, address_bits, &mut read)).flatten();
        let death = Death {
            signal: dying.signal,
            code: dying.code,
            addr: VirtAddr::new(dying.addr),
            access: thread.last_fault.filter(|fault| fault.addr.get() == dying.addr).map(|fault| fault.access),
            protection,
            registers,
            areas: &areas,
        };
        Crash::describe(&death, &mut read).to_string()
    })
}

/// Writes the core file; where it was written.
fn dump(thread: &GuestThread, dying: Dying) -> Option<PathBuf> {
    let limit_bytes = thread.shared.with_kernel(|kernel| kernel.core_limit(thread.tid))?;
    let path = PathBuf::from(CORE_NAME);
    match write(thread, dying, limit_bytes, &path) {
        Ok(()) => Some(std::fs::canonicalize(&path).unwrap_or(path)),
        Err(error) => {
            thread.shared.with_kernel(|kernel| kernel.set_core_written(thread.tid, Core::Unwanted));
            let signal = signal_name(dying.signal);
            thread.shared.voice.warn(format!("no core file could be written for {signal}: {error}"));
            None
        }
    }
}

fn write(thread: &GuestThread, dying: Dying, limit_bytes: u64, path: &Path) -> io::Result<()> {
    let tids = thread.shared.with_kernel(|kernel| kernel.siblings(thread.tid));
    // The other threads stand still: this one has the run token.
    let threads: Vec<DeadThread> = tids.into_iter().filter_map(|tid| dead_thread(thread, tid)).collect();
    thread.shared.with_kernel(|kernel| {
        let space = kernel.space_of(thread.tid);
        let image = kernel.image_of(thread.tid);
        let (start, end) = image.arguments;
        let mut arguments = vec![0; end.saturating_sub(start).min(MAX_ARGUMENT_BYTES) as usize];
        let copied = kernel.mm().peek(space, VirtAddr::new(start), &mut arguments);
        arguments.truncate(copied);
        let [user, _, group, _] = host::files::identity();
        let dead = DeadProcess {
            pid: thread.pid,
            identity: kernel.identity_of(thread.tid),
            user,
            group,
            signal: dying.signal,
            code: dying.code,
            addr: VirtAddr::new(dying.addr),
            name: &image.name,
            arguments: &arguments,
            auxv: &image.auxiliary,
            threads: &threads,
            areas: &kernel.mm().dumped_areas(space),
        };
        core_file::write(path, limit_bytes, &dead, &mut |pages, show| kernel.mm().peek_pages(space, pages, show))
    })
}

fn dead_thread(thread: &GuestThread, tid: Tid) -> Option<DeadThread> {
    let registers = thread.shared.tasks.registers_of(tid.get())?;
    let call = thread.shared.with_kernel(|kernel| kernel.call_of(tid));
    Some(DeadThread { tid: tid.get(), registers, call })
}

/// The last fault of a thread: what a signal that follows it was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastFault {
    /// Where.
    pub addr: VirtAddr,
    /// What was attempted.
    pub access: Access,
}
