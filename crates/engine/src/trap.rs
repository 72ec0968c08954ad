//! Host signals that generated code raises.
//!
//! An instruction that the guest's own CPU would trap on (a division by zero, a misaligned `movaps`, an undefined
//! opcode) traps the host's. The handler notes where and why in the save area and sends the thread to the exit stub
//! with every register as it was; the engine finds the guest instruction by the host address. A signal anywhere else
//! is pagewalk's own bug and takes its default course, but for a file of the archive that somebody has shortened.

use crate::block::Reason;
use crate::context::Slot;
use mmu::CpuView;
use std::cell::Cell;
use std::ptr;
use std::sync::Once;

/// What the handler needs to know of the code that this thread runs.
#[derive(Clone, Copy)]
struct Running {
    view: *const CpuView,
    code_start: u64,
    code_end: u64,
    exit: u64,
}

thread_local! {
    static RUNNING: Cell<Running> =
        const { Cell::new(Running { view: ptr::null(), code_start: 0, code_end: 0, exit: 0 }) };
    static ALTERNATE_STACK: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

const SIGNALS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
const ALTERNATE_STACK_BYTES: usize = 64 << 10;

/// What a host signal said.
#[derive(Clone, Copy, Debug)]
pub struct Trapped {
    /// The host address of the instruction.
    pub address: u64,
    /// The signal.
    pub signal: i32,
    /// Its si_code.
    pub code: i32,
}

/// Installs the handlers, once.
pub fn prepare_process() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(install_handlers);
}

/// Tells the handler which code this thread is about to run, and gives the thread a signal stack if it has none.
pub fn prepare_thread(view: &CpuView, code: &std::ops::Range<u64>, exit: u64) {
    prepare_process();
    RUNNING.with(|running| {
        if running.get().view.is_null() {
            ensure_alternate_stack();
        }
        running.set(Running { view, code_start: code.start, code_end: code.end, exit });
    });
}

/// What the last trap said.
pub fn take(view: &CpuView) -> Trapped {
    let word = Slot::TRAP_SIGNAL.get(view);
    Trapped { address: Slot::TRAP_ADDRESS.get(view), signal: word as u32 as i32, code: (word >> 32) as u32 as i32 }
}

fn ensure_alternate_stack() {
    // SAFETY: all-zero is a valid stack_t, and sigaltstack only fills it in.
    let mut current: libc::stack_t = unsafe { std::mem::zeroed() };
    // SAFETY: a valid pointer for the old stack and none for a new one.
    unsafe { libc::sigaltstack(ptr::null(), &mut current) };
    if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= ALTERNATE_STACK_BYTES {
        return;
    }
    let mut stack = vec![0u8; ALTERNATE_STACK_BYTES].into_boxed_slice();
    let new = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
    // SAFETY: the stack is kept by the thread until it ends.
    unsafe { libc::sigaltstack(&new, ptr::null_mut()) };
    ALTERNATE_STACK.with(|kept| kept.set(Some(stack)));
}

fn install_handlers() {
    for signal in SIGNALS {
        // SAFETY: all-zero is a valid sigaction; the handler has the signature that SA_SIGINFO asks for and does only
        // what a signal handler may.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigaction(signal, &action, ptr::null_mut());
        }
    }
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host passes a valid ucontext and siginfo to an SA_SIGINFO handler.
    let (registers, code) = unsafe { (&mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs, (*info).si_code) };
    let address = registers[libc::REG_RIP as usize] as u64;
    let running = RUNNING.with(Cell::get);
    // SAFETY: the siginfo is valid, and that of a SIGBUS that the host's memory management raises has an address.
    if signal == libc::SIGBUS && code > 0 && host::mapped_file::mend(unsafe { (*info).si_addr() } as usize) {
        return;
    }
    if running.view.is_null() || !(running.code_start..running.code_end).contains(&address) {
        die_by_default(signal);
        return;
    }
    // SAFETY: the view outlives the run that set it, and this signal interrupted that run; its words are atomic.
    let view = unsafe { &*running.view };
    Slot::TRAP_ADDRESS.set(view, address);
    Slot::TRAP_SIGNAL.set(view, u64::from(signal as u32) | u64::from(code as u32) << 32);
    Slot::REASON.set(view, u64::from(Reason::Trap.encode()));
    registers[libc::REG_RIP as usize] = running.exit as i64;
}

/// Lets the instruction trap again, now with the default action.
fn die_by_default(signal: i32) {
    // SAFETY: all-zero with SIG_DFL is a valid sigaction.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, &action, ptr::null_mut());
    }
}
