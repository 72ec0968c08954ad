//! What the kernel answers the machine with.

use crate::Tid;
use crate::calls::Unit;
use crate::common::Sharing;
use crate::terminal::Typed;
use addr::Registers;
use host::call::Call;
use std::os::fd::RawFd;
use std::time::Instant;

/// How a task goes on.
#[derive(Debug)]
pub enum Outcome {
    /// It is ready to run its program. What it answers is in its registers.
    Done,
    /// The host has to be asked first: without the kernel lock, [`HostCall::call`] is performed, and its answer goes to
    /// [`crate::Kernel::finish`].
    HostCall(Box<HostCall>),
    /// It sleeps until it is among [`crate::Kernel::take_notices`] or until a time, and then
    /// [`crate::Kernel::resume`] is called. A call too many does no harm.
    Wait(Wait),
    /// A new task was made: it begins to run on a thread of its own, and then [`crate::Kernel::resume`] is called for
    /// the task that made it.
    Spawn(Spawn),
    /// Its registers and its tables are those of a new program now, and it has this number: its process's.
    Exec(Tid),
    /// Its process is about to end by a signal and can still be looked at; then [`crate::Kernel::resume`] is called.
    Dying(Dying),
    /// It is gone, and its thread ends.
    Exit,
}

/// A system call of the host on behalf of a task.
#[derive(Debug)]
pub struct HostCall {
    /// What the host is asked.
    pub call: Call,
    pub(crate) then: Then,
}

impl HostCall {
    /// Whether it is the last one of a process: nothing interrupts it any more.
    pub fn ends_process(&self) -> bool {
        matches!(self.then, Then::Closed)
    }

    /// Whether no other task may run until the kernel has the answer: the call changes a file that is in the page cache.
    /// What another stored to a page of it, or wrote back, between the host's change and the cache's would be lost, or
    /// the change itself. Such a call waits for nothing but the disk; only `splice` may wait for a pipe.
    pub fn keeps_others_out(&self) -> bool {
        matches!(self.then, Then::Wrote { .. }) && self.call.nr != libc::SYS_splice as u64
    }
}

/// What a finished host call means for the guest.
#[derive(Debug)]
pub(crate) enum Then {
    /// Its answer is the guest's; these buffers are copied to the guest first.
    Answer(Vec<CopyOut>),
    /// As above, for calls that changed a file's content or size.
    Wrote { copies: Vec<CopyOut>, file: crate::mm::FileId },
    /// Bytes written to a terminal's master, some of which send signals.
    Typed(Typed),
    /// Bytes read, to be spread over the parts of an iovec.
    Scatter { parts: Vec<(u64, u64)> },
    /// A message received.
    Received(Received),
    /// Messages received by recvmmsg, as many as the answer says.
    ReceivedMany(Vec<Received>),
    /// Messages sent by sendmmsg, as many as the answer says: their headers are told the lengths.
    SentMany { headers: u64 },
    /// What a wait for descriptors found.
    Polled(Polled),
    /// The working directory is another: one of ours, or the host's.
    Entered { directory: Option<String> },
    /// A file opened by a session's leader, which may take it as its terminal.
    OpenedByLeader,
    /// The descriptors of the last task of a process are closed.
    Closed,
}

/// Where a received message goes.
#[derive(Debug)]
pub(crate) struct Received {
    /// The parts of its iovec.
    pub parts: Vec<(u64, u64)>,
    /// The buffer that has its bytes.
    pub buffer: usize,
    /// Name and ancillary data: the buffer, where the host's header tells its length, and where it goes.
    pub fields: Vec<(usize, usize, u64)>,
    /// Where the host's header is in the buffer of headers.
    pub at: usize,
    /// The guest's header.
    pub header: u64,
}

/// A wait for descriptors.
#[derive(Debug)]
pub(crate) struct Polled {
    pub copies: Vec<CopyOut>,
    /// When it ends by itself.
    pub until: Option<Instant>,
    /// Where the guest is told how much time remains, and in what unit.
    pub remains_to: Option<(u64, Unit)>,
}

/// A buffer of a host call that the guest gets a copy of if the call succeeded.
#[derive(Debug)]
pub(crate) struct CopyOut {
    pub buffer: usize,
    pub to: u64,
    pub length: CopyLength,
}

/// How much of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CopyLength {
    /// All.
    Whole,
    /// So many bytes, at most all.
    First(usize),
    /// As many bytes as the call answered.
    Result,
    /// As many elements of this size as the call answered.
    Elements(usize),
    /// As many bytes as the u32 in another buffer says, at most all.
    Word(usize),
}

/// A task sleeps.
#[derive(Debug)]
pub struct Wait {
    /// At most until then.
    pub until: Option<Instant>,
}

/// A new task.
#[derive(Debug)]
pub struct Spawn {
    /// Its number.
    pub tid: Tid,
    /// What it begins with.
    pub registers: Box<Registers>,
    /// Its descriptors ([`host::guest_thread::own_descriptors`]).
    pub files: Sharing,
    /// Its working directory and umask ([`host::guest_thread::own_directory`]).
    pub directory: Sharing,
    /// The descriptor of the new process that its maker has got: the new one has none, unless it shares them all.
    pub pid_file: Option<RawFd>,
}

/// A signal that ends a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dying {
    /// Which.
    pub signal: i32,
    /// Whether Linux would write a core file, as far as the signal goes.
    pub core: Core,
    /// Its `si_code`.
    pub code: i32,
    /// Its `si_addr`, for a fault.
    pub addr: u64,
}

/// Whether a signal's default action leaves a core file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Core {
    /// It does, if `RLIMIT_CORE` lets it.
    Wanted,
    /// It does not.
    Unwanted,
}

/// An exception that an instruction raised, other than a page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// #DE.
    DivideError,
    /// #DB of `int1`.
    Debug,
    /// #DB after an instruction that was executed with TF set.
    Step,
    /// #BP: rip is past the instruction.
    Breakpoint,
    /// #UD.
    InvalidOpcode,
    /// #GP.
    GeneralProtection,
    /// #GP about a selector or a gate, with its error code.
    Selector(u16),
    /// #OF: rip is past the instruction.
    Overflow,
    /// #SS.
    StackSegment,
    /// #AC.
    AlignmentCheck,
    /// #MF.
    X87,
    /// #XM.
    Simd,
}
