//! Signals from outside, the terminal's for example, which are meant for the guest; and dying as the guest died.

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What pagewalk was started with, before anything here changed it: bit n - 1 is signal n.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Inherited {
    /// Signals that are ignored.
    pub ignored: u64,
    /// Signals that are blocked.
    pub blocked: u64,
}

static IGNORED: AtomicU64 = AtomicU64::new(0);
static BLOCKED: AtomicU64 = AtomicU64::new(0);

/// Run by the loader before `main`, and so before the Rust runtime, which ignores SIGPIPE.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_INHERITED: extern "C" fn() = note_inherited;

extern "C" fn note_inherited() {
    let mut set = empty_set();
    // SAFETY: asks about signals and the mask; the pointers are valid, and nothing of the Rust runtime is needed.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut set);
        for signal in 1..=LAST_SIGNAL {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            let known = libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) == 0;
            let bit = 1 << (signal - 1);
            if known && action.assume_init().sa_sigaction == libc::SIG_IGN {
                IGNORED.fetch_or(bit, Ordering::Relaxed);
            }
            if libc::sigismember(&raw const set, signal) == 1 {
                BLOCKED.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }
}

/// What pagewalk was started with: its first program is, too.
pub fn inherited() -> Inherited {
    Inherited { ignored: IGNORED.load(Ordering::Relaxed), blocked: BLOCKED.load(Ordering::Relaxed) }
}

/// The largest signal number.
const LAST_SIGNAL: i32 = 64;

/// Signals that somebody may send to pagewalk and that the guest shall get.
pub const FORWARDED: [i32; 14] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGURG,
    libc::SIGWINCH,
    libc::SIGPWR,
];

/// Holds the forwarded signals back in the calling thread and in all that it starts from now on, so that
/// [`next_forwarded`] gets them; the guard lets them through again.
#[must_use]
pub struct HeldSignals {
    previous: libc::sigset_t,
}

impl HeldSignals {
    /// Holds them back.
    pub fn hold() -> Self {
        let mut previous = MaybeUninit::uninit();
        // SAFETY: both sets are valid; the call changes only the calling thread's mask.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &forwarded_set(), previous.as_mut_ptr());
            Self { previous: previous.assume_init() }
        }
    }
}

impl Drop for HeldSignals {
    fn drop(&mut self) {
        // SAFETY: puts back the mask that `hold` saved.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.previous, ptr::null_mut()) };
    }
}

/// Makes a write beyond RLIMIT_FSIZE an error and nothing else: the signal that comes with it is the guest's to get, and
/// would end pagewalk.
pub fn ignore_file_size_signal() {
    // SAFETY: changes what one signal does to this process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// While this lives, the terminal's interrupt and quit keys are for the programs that pagewalk starts, and it goes on
/// itself.
#[must_use]
pub struct OthersInterrupts {
    previous: [libc::sighandler_t; 2],
}

const INTERRUPTS: [i32; 2] = [libc::SIGINT, libc::SIGQUIT];

impl OthersInterrupts {
    /// Leaves them to the programs. A function that does nothing takes them: a program would inherit that they are ignored
    /// or held back, but not that. What is ignored already stays so.
    pub fn leave() -> Self {
        extern "C" fn nothing(_: i32) {}
        let previous = INTERRUPTS.map(|signal| {
            // SAFETY: the function does nothing, which is safe in any place; glibc's `signal` lets calls go on after it.
            let previous = unsafe { libc::signal(signal, nothing as *const () as libc::sighandler_t) };
            if previous == libc::SIG_IGN {
                // SAFETY: puts back what was just replaced.
                unsafe { libc::signal(signal, libc::SIG_IGN) };
            }
            previous
        });
        Self { previous }
    }
}

impl Drop for OthersInterrupts {
    fn drop(&mut self) {
        for (signal, previous) in INTERRUPTS.into_iter().zip(self.previous) {
            // SAFETY: puts back the disposition that `leave` found.
            unsafe { libc::signal(signal, previous) };
        }
    }
}

/// Waits for a forwarded signal, at most so long. The calling thread holds them back ([`HeldSignals`]).
pub fn next_forwarded(at_most: Duration) -> Option<i32> {
    let timeout = libc::timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: i64::from(at_most.subsec_nanos()) };
    // SAFETY: the set and the timeout are valid, and nothing is asked about the sender.
    let signal = unsafe { libc::sigtimedwait(&forwarded_set(), ptr::null_mut(), &raw const timeout) };
    (signal > 0).then_some(signal)
}

/// Stops the whole process, as the terminal's stop key does, until somebody continues it.
pub fn stop_self() {
    // SAFETY: sends a signal that cannot be caught to the own process.
    unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
}

/// Ends the whole process by a signal that the guest died of, so that the shell says what it always says. No core file
/// of pagewalk itself is written: the guest's core is the one that is wanted.
pub fn die_of(signal: i32) -> ! {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: plain calls on the own process: limits, the signal's disposition, the own mask, and the signal itself.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
        libc::signal(signal, libc::SIG_DFL);
        let mut set = empty_set();
        libc::sigaddset(&raw mut set, signal);
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const set, ptr::null_mut());
        libc::raise(signal);
    }
    // A signal whose default is not to kill: the shell's number for it stands for it.
    std::process::exit(128 + signal)
}

fn forwarded_set() -> libc::sigset_t {
    let mut set = empty_set();
    for signal in FORWARDED {
        // SAFETY: the set is initialised and the number is a signal's.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_signal_is_waited_for() {
        let _held = HeldSignals::hold();
        // SAFETY: sends a signal that this thread holds back to this thread.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGWINCH) };
        assert_eq!(next_forwarded(Duration::from_secs(5)), Some(libc::SIGWINCH));
        assert_eq!(next_forwarded(Duration::ZERO), None);
    }
}
