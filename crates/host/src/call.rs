//! System calls that a guest asks of the host, and how they are interrupted.
//!
//! A call is data: numbers and buffers of ours, never a pointer that a guest chose. It is executed by a few
//! instructions of assembly that look at the thread's interrupt word and then enter the host:
//! ```text
//! check:  cmp dword [word], 0
//!         jne interrupted
//! enter:  syscall
//! ```
//! Whoever wants the thread back sets the word and sends it a signal. Its handler moves a thread that is between
//! `check` and `enter` to `interrupted`, so that no signal is lost between the look and the call: its answer is
//! [`NOT_BEGUN`]. A thread that is inside the call comes back from it with `EINTR`, if the host lets that call be
//! interrupted.

use std::arch::global_asm;
use std::mem::MaybeUninit;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// The answer of a call that was interrupted before the host was asked: Linux's internal ERESTARTNOINTR.
pub const NOT_BEGUN: i64 = -513;

/// The signal that interrupts a host call: nothing else in this process uses it.
const KICK_SIGNAL: i32 = 62;

/// An argument of a [`Call`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arg {
    /// A number, passed as it is.
    Value(u64),
    /// The address of a buffer of the call.
    Buffer(usize),
}

/// A pointer inside a buffer of a [`Call`]: the word at `offset` of buffer `of` is the address of buffer `to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pointer {
    /// The buffer that holds the pointer.
    pub of: usize,
    /// Where in it.
    pub offset: usize,
    /// What it points to.
    pub to: usize,
}

/// A system call of the host with everything it needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its number.
    pub nr: u64,
    /// Its arguments.
    pub args: [Arg; 6],
    /// What its pointers point to.
    pub buffers: Vec<Vec<u8>>,
    /// Pointers among the buffers.
    pub pointers: Vec<Pointer>,
}

/// Calls that would change this process's own memory, threads or signals: never a guest's to make.
const OURS: [i64; 21] = [
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_arch_prctl,
    libc::SYS_io_uring_setup,
    libc::SYS_process_vm_writev,
];

impl Call {
    /// A call whose arguments are all numbers.
    pub fn plain(nr: u64, values: [u64; 6]) -> Self {
        Self { nr, args: values.map(Arg::Value), buffers: Vec::new(), pointers: Vec::new() }
    }

    /// Adds a buffer and returns the argument that points to it.
    pub fn buffer(&mut self, bytes: Vec<u8>) -> Arg {
        self.buffers.push(bytes);
        Arg::Buffer(self.buffers.len() - 1)
    }

    /// Executes it on the calling thread: the host's answer, a negative error number included; `-EINTR` when the thread
    /// was interrupted in it, [`NOT_BEGUN`] when it was interrupted before.
    ///
    /// # Panics
    /// When the call would change this process's own memory, threads or signals.
    pub fn perform(&mut self, interrupt: &Interrupt) -> i64 {
        assert!(!OURS.contains(&(self.nr as i64)), "system call {} is not the host's to execute", self.nr);
        let addresses: Vec<u64> = self.buffers.iter_mut().map(|buffer| buffer.as_mut_ptr() as u64).collect();
        for Pointer { of, offset, to } in &self.pointers {
            self.buffers[*of][*offset..*offset + 8].copy_from_slice(&addresses[*to].to_le_bytes());
        }
        let mut frame = [self.nr; 7];
        for (word, arg) in frame[1..].iter_mut().zip(&self.args) {
            *word = match *arg {
                Arg::Value(value) => value,
                Arg::Buffer(index) => addresses[index],
            };
        }
        // SAFETY: the words are live for the whole call; the buffers that the host reads or writes are ours, and the
        // calls that could reach other memory of ours were refused above.
        unsafe { pagewalk_host_call(interrupt.word.as_ptr(), frame.as_ptr()) }
    }
}

impl Call {
    /// Whether the host would let the caller wait, as far as a look at the descriptors tells: nothing is there to be read
    /// from them, or they take nothing. What a call waits for otherwise, or later, does not count.
    pub fn would_wait(&self, interrupt: &Interrupt) -> bool {
        let events = match self.nr as i64 {
            libc::SYS_ppoll => return self.finds_nothing(2, interrupt),
            libc::SYS_pselect6 => return self.finds_nothing(4, interrupt),
            libc::SYS_read
            | libc::SYS_readv
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg
            | libc::SYS_accept
            | libc::SYS_accept4 => libc::POLLIN,
            libc::SYS_epoll_pwait if self.args[3] != Arg::Value(0) => libc::POLLIN,
            libc::SYS_write | libc::SYS_writev | libc::SYS_sendto | libc::SYS_sendmsg | libc::SYS_sendmmsg => {
                libc::POLLOUT
            }
            _ => return false,
        };
        let Arg::Value(descriptor) = self.args[0] else { return false };
        let mut entry = libc::pollfd { fd: descriptor as i32, events, revents: 0 };
        // SAFETY: one entry, which the host fills.
        unsafe { libc::poll(&mut entry, 1, 0) == 0 }
    }

    /// A wait for several descriptors ends at once, whatever it finds.
    pub fn end_at_once(&mut self) {
        match self.nr as i64 {
            libc::SYS_epoll_pwait => self.args[3] = Arg::Value(0),
            libc::SYS_ppoll => self.args[2] = self.buffer(NO_TIME.to_vec()),
            libc::SYS_pselect6 => self.args[4] = self.buffer(NO_TIME.to_vec()),
            _ => {}
        }
    }

    /// Whether such a wait, with its timeout in this argument and its mask in the next, finds nothing to end for.
    fn finds_nothing(&self, timeout: usize, interrupt: &Interrupt) -> bool {
        let waits = !matches!(self.args[timeout], Arg::Buffer(time) if self.buffers[time] == NO_TIME);
        let mut look = self.clone();
        look.end_at_once();
        look.args[timeout + 1] = Arg::Value(0);
        waits && look.perform(interrupt) == 0
    }
}

/// The bytes of a `timespec` of zero.
const NO_TIME: [u8; 16] = [0; size_of::<libc::timespec>()];

/// The way to get a thread back from a host call.
pub struct Interrupt {
    word: AtomicU32,
    tid: AtomicI32,
}

impl Interrupt {
    /// For the calling thread.
    pub fn for_this_thread() -> Self {
        static INSTALL: Once = Once::new();
        INSTALL.call_once(install_kick);
        Self { word: AtomicU32::new(0), tid: AtomicI32::new(crate::guest_thread::host_tid()) }
    }

    /// Brings the thread back from the host call it is in, or from the next one it begins.
    pub fn raise(&self) {
        self.word.store(1, Ordering::SeqCst);
        // SAFETY: sends a signal whose handler is installed to a thread of this process; a thread that is gone is an
        // error that nobody needs.
        unsafe {
            libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid.load(Ordering::Relaxed), KICK_SIGNAL);
        }
    }

    /// Lets host calls begin again. Its own thread calls this before it looks at what it was interrupted for.
    pub fn clear(&self) {
        self.word.store(0, Ordering::SeqCst);
    }
}

global_asm!(
    ".pushsection .text.pagewalk_host_call, \"ax\", @progbits",
    ".globl pagewalk_host_call",
    ".hidden pagewalk_host_call",
    ".globl pagewalk_host_call_check",
    ".hidden pagewalk_host_call_check",
    ".globl pagewalk_host_call_enter",
    ".hidden pagewalk_host_call_enter",
    ".globl pagewalk_host_call_interrupted",
    ".hidden pagewalk_host_call_interrupted",
    ".type pagewalk_host_call, @function",
    "pagewalk_host_call:",
    "mov rcx, rdi",
    "mov r11, rsi",
    "mov rax, [r11]",
    "mov rdi, [r11 + 8]",
    "mov rsi, [r11 + 16]",
    "mov rdx, [r11 + 24]",
    "mov r10, [r11 + 32]",
    "mov r8, [r11 + 40]",
    "mov r9, [r11 + 48]",
    "pagewalk_host_call_check:",
    "cmp dword ptr [rcx], 0",
    "jne pagewalk_host_call_interrupted",
    "pagewalk_host_call_enter:",
    "syscall",
    "ret",
    "pagewalk_host_call_interrupted:",
    "mov rax, {not_begun}",
    "ret",
    ".size pagewalk_host_call, . - pagewalk_host_call",
    ".popsection",
    not_begun = const NOT_BEGUN,
);

unsafe extern "C" {
    fn pagewalk_host_call(word: *const u32, frame: *const u64) -> i64;
    static pagewalk_host_call_check: u8;
    static pagewalk_host_call_enter: u8;
    static pagewalk_host_call_interrupted: u8;
}

fn install_kick() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: an all-zero sigaction is valid, and the handler below only reads and writes the context it is given.
    // No SA_RESTART: a call that is interrupted must come back.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = on_kick as *const () as usize;
        (*action.as_mut_ptr()).sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigaction(KICK_SIGNAL, action.as_ptr(), std::ptr::null_mut());
    }
}

extern "C" fn on_kick(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host passes the interrupted thread's context; the labels are addresses of the assembly above.
    unsafe {
        let rip = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize];
        let (check, enter) = (&raw const pagewalk_host_call_check, &raw const pagewalk_host_call_enter);
        if (check as i64..=enter as i64).contains(rip) {
            *rip = &raw const pagewalk_host_call_interrupted as i64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    #[test]
    fn a_call_reaches_the_host_with_its_buffers() {
        let interrupt = Interrupt::for_this_thread();
        let mut call = Call::plain(libc::SYS_getcwd as u64, [0, 4096, 0, 0, 0, 0]);
        call.args[0] = call.buffer(vec![0; 4096]);
        let bytes = call.perform(&interrupt);
        let cwd = std::env::current_dir().unwrap();
        assert_eq!(&call.buffers[0][..bytes as usize - 1], cwd.as_os_str().as_encoded_bytes());
    }

    #[test]
    fn a_raised_interrupt_prevents_and_ends_calls() {
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let interrupt = Arc::new(Interrupt::for_this_thread());
            sender.send(Arc::clone(&interrupt)).unwrap();
            let asleep = Call::plain(libc::SYS_pause as u64, [0; 6]).perform(&interrupt);
            let prevented = Call::plain(libc::SYS_pause as u64, [0; 6]).perform(&interrupt);
            interrupt.clear();
            (asleep, prevented, Call::plain(libc::SYS_sched_yield as u64, [0; 6]).perform(&interrupt))
        });
        let interrupt = receiver.recv().unwrap();
        std::thread::sleep(Duration::from_millis(20));
        interrupt.raise();
        assert_eq!(thread.join().unwrap(), (-4, NOT_BEGUN, 0));
    }

    fn pipe() -> [i32; 2] {
        let mut ends = [0; 2];
        // SAFETY: two descriptors, which the host fills in.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) }, 0);
        ends
    }

    fn fill(descriptor: i32) {
        // SAFETY: the bytes live as long as the call.
        while unsafe { libc::write(descriptor, [0; 4096].as_ptr().cast(), 4096) } > 0 {}
    }

    #[test]
    fn who_would_wait_is_known_before() {
        let [reader, writer] = pipe();
        let interrupt = Interrupt::for_this_thread();
        let waits = |nr: i64, fd: i32| Call::plain(nr as u64, [fd as u64, 0, 0, 0, 0, 0]).would_wait(&interrupt);
        assert!(waits(libc::SYS_read, reader) && !waits(libc::SYS_write, writer));
        fill(writer);
        assert!(!waits(libc::SYS_readv, reader) && waits(libc::SYS_writev, writer));
        // A file never lets wait, and a descriptor that there is not is an error at once.
        assert!(!waits(libc::SYS_read, std::fs::File::open("/proc/self/stat").unwrap().as_raw_fd()));
        assert!(!waits(libc::SYS_read, i32::MAX) && !waits(libc::SYS_getpid, reader));
    }

    #[test]
    fn who_would_wait_for_several_is_known_before() {
        let [reader, writer] = pipe();
        let interrupt = Interrupt::for_this_thread();
        let wait = |timeout: Option<[u8; 16]>| {
            let mut poll = Call::plain(libc::SYS_ppoll as u64, [0, 1, 0, 0, 8, 0]);
            let entry = [reader as u32, libc::POLLIN as u32].map(u32::to_le_bytes).concat();
            poll.args[0] = poll.buffer(entry);
            poll.args[2] = timeout.map_or(Arg::Value(0), |time| poll.buffer(time.to_vec()));
            let mut select = Call::plain(libc::SYS_pselect6 as u64, [reader as u64 + 1, 0, 0, 0, 0, 0]);
            let mut set = [0_u8; 128];
            set[reader as usize / 8] = 1 << (reader % 8);
            select.args[1] = select.buffer(set.to_vec());
            select.args[4] = timeout.map_or(Arg::Value(0), |time| select.buffer(time.to_vec()));
            [poll.would_wait(&interrupt), select.would_wait(&interrupt)]
        };
        assert_eq!(wait(None), [true; 2]);
        assert_eq!(wait(Some([1; 16])), [true; 2]);
        assert_eq!(wait(Some(NO_TIME)), [false; 2], "it ends at once");
        fill(writer);
        assert_eq!(wait(None), [false; 2]);
    }

    #[test]
    fn a_look_at_an_epoll_takes_no_event() {
        let [reader, writer] = pipe();
        let interrupt = Interrupt::for_this_thread();
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLET) as u32, u64: 7 };
        // SAFETY: makes a descriptor.
        let epoll = unsafe { libc::epoll_create1(0) };
        // SAFETY: the event lives as long as the call.
        assert_eq!(unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, reader, &mut event) }, 0);
        let mut wait = Call::plain(libc::SYS_epoll_pwait as u64, [epoll as u64, 0, 1, u64::MAX, 0, 8]);
        wait.args[1] = wait.buffer(vec![0; 12]);
        assert!(wait.would_wait(&interrupt));
        fill(writer);
        assert!(!wait.would_wait(&interrupt));
        assert_eq!(wait.perform(&interrupt), 1, "it is still there");
        assert!(wait.would_wait(&interrupt), "and once only");
        wait.end_at_once();
        assert!(!wait.would_wait(&interrupt));
    }

    #[test]
    #[should_panic(expected = "not the host's to execute")]
    fn calls_on_our_own_memory_are_refused() {
        Call::plain(libc::SYS_munmap as u64, [0; 6]).perform(&Interrupt::for_this_thread());
    }
}
