//! Signals that the host sends because a descriptor is ready (fcntl(2): F_SETOWN, F_SETSIG, O_ASYNC; SIGURG).
//!
//! The host sends them to one of this process's threads and tells no more than which. So whoever is to be told has a
//! thread of his own here, the [`Listener`], which blocks all signals and takes these as they come.

use crate::guest_thread;
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

/// The signal that descriptors with an owner send; nobody else here uses it.
pub const IO_SIGNAL: i32 = 61;
const STACK_BYTES: usize = 64 << 10;
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;
const F_SETOWN_EX: i32 = 15;
const F_GETOWN_EX: i32 = 16;
const F_OWNER_TID: i32 = 0;

/// A signal that came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The thread that it came to.
    pub listener: i32,
    /// What it says.
    pub news: News,
}

/// What a descriptor's signal says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// A descriptor is ready.
    Ready {
        /// `si_code`: `POLL_*`.
        code: i32,
        /// `si_band`: what poll(2) would say.
        band: i64,
        /// `si_fd`: as it was numbered where its signals were asked for.
        descriptor: i32,
    },
    /// SIGIO alone: too many wait already.
    TooMany,
    /// SIGURG: data out of band.
    Urgent,
}

/// What came and has not been taken yet.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    waiting: Mutex<VecDeque<Arrival>>,
    came: Condvar,
    is_over: AtomicBool,
}

impl Arrivals {
    /// Waits for signals; none when it is over.
    pub fn wait(&self) -> Vec<Arrival> {
        let mut waiting = self.waiting();
        while waiting.is_empty() && !self.0.is_over.load(Ordering::Acquire) {
            waiting = self.0.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.drain(..).collect()
    }

    /// Nothing comes any more.
    pub fn end(&self) {
        let _waiting = self.waiting();
        self.0.is_over.store(true, Ordering::Release);
        self.0.came.notify_all();
    }

    fn push(&self, arrival: Arrival) {
        self.waiting().push_back(arrival);
        self.0.came.notify_all();
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Arrival>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that takes the signals of one owner. It ends when this is dropped, and descriptors have no owner then.
#[derive(Debug)]
pub struct Listener {
    tid: i32,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Starts it.
    ///
    /// # Errors
    /// The host's, when it cannot start a thread.
    pub fn start(arrivals: &Arrivals) -> io::Result<Self> {
        let (arrivals, is_over) = (arrivals.clone(), Arc::new(AtomicBool::new(false)));
        let ends = Arc::clone(&is_over);
        let (begun, begins) = sync_channel(1);
        let thread = Builder::new().name("signals of files".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            block_all();
            // What the guest's table has would stay open as long as this thread lives.
            let own = guest_thread::own_files().map(|()| guest_thread::close_all_files());
            // Whoever starts it waits for exactly this message.
            let is_alone = own.is_ok();
            begun.send(own.map(|()| guest_thread::host_tid())).expect("the starter waits");
            if is_alone {
                listen(&arrivals, &ends);
            }
        })?;
        let tid = begins.recv().expect("a new thread says whether it begins")?;
        Ok(Self { tid, is_over, thread: Some(thread) })
    }

    /// The host's number of the thread.
    pub fn tid(&self) -> i32 {
        self.tid
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // SAFETY: the thread lives until it has seen that it is over, and has this signal blocked.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid, IO_SIGNAL) };
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            let _ = thread.join();
        }
    }
}

fn listen(arrivals: &Arrivals, is_over: &AtomicBool) {
    let listener = guest_thread::host_tid();
    let set = set_of(&[IO_SIGNAL, libc::SIGIO, libc::SIGURG]);
    while !is_over.load(Ordering::Acquire) {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: both are valid; the host fills the second.
        let signal = unsafe { libc::sigwaitinfo(&raw const set, info.as_mut_ptr()) };
        // SAFETY: zeroes are a siginfo_t, and so is what the host wrote.
        let info = unsafe { info.assume_init() };
        let news = match signal {
            // Somebody's kill, or the end.
            _ if info.si_code <= 0 => continue,
            IO_SIGNAL => ready(&info),
            libc::SIGURG => News::Urgent,
            _ => News::TooMany,
        };
        arrivals.push(Arrival { listener, news });
    }
}

/// `si_band` and `si_fd` as siginfo_t has them on x86-64, which the C library keeps to itself.
fn ready(info: &libc::siginfo_t) -> News {
    #[repr(C)]
    struct Poll {
        signal: i32,
        error: i32,
        code: i32,
        pad: i32,
        band: i64,
        descriptor: i32,
    }
    // SAFETY: siginfo_t has 128 bytes and begins with these fields; all are plain numbers, and the host aligned it.
    let poll = unsafe { &*ptr::from_ref(info).cast::<Poll>() };
    News::Ready { code: poll.code, band: poll.band, descriptor: poll.descriptor }
}

/// Has a descriptor of the calling thread's table send its signals to a thread, or to nobody.
///
/// # Errors
/// `EBADF`.
pub fn set_owner(descriptor: RawFd, tid: Option<i32>) -> io::Result<()> {
    let owner = [F_OWNER_TID, tid.unwrap_or(0)];
    // SAFETY: the host reads two numbers.
    answered(unsafe { libc::fcntl(descriptor, F_SETOWN_EX, owner.as_ptr()) }).map(drop)
}

/// The thread that a descriptor sends its signals to, if it is one.
///
/// # Errors
/// `EBADF`.
pub fn owner(descriptor: RawFd) -> io::Result<Option<i32>> {
    let mut owner = [0; 2];
    // SAFETY: the host writes two numbers.
    answered(unsafe { libc::fcntl(descriptor, F_GETOWN_EX, owner.as_mut_ptr()) })?;
    Ok((owner[0] == F_OWNER_TID && owner[1] != 0).then_some(owner[1]))
}

/// Sets which signal a descriptor sends; 0 is SIGIO.
///
/// # Errors
/// `EBADF`, `EINVAL`.
pub fn set_signal(descriptor: RawFd, signal: i32) -> io::Result<()> {
    // SAFETY: passes a number.
    answered(unsafe { libc::fcntl(descriptor, F_SETSIG, signal) }).map(drop)
}

/// Which signal a descriptor sends.
///
/// # Errors
/// `EBADF`.
pub fn signal(descriptor: RawFd) -> io::Result<i32> {
    // SAFETY: asks for a number.
    answered(unsafe { libc::fcntl(descriptor, F_GETSIG) })
}

fn answered(answer: i32) -> io::Result<i32> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn block_all() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: fills a set, and changes the calling thread's mask.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), ptr::null_mut());
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is emptied before anything else reads it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        signals.iter().for_each(|signal| _ = libc::sigaddset(set.as_mut_ptr(), *signal));
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn an_owner_hears_of_its_descriptor_until_it_is_gone() {
        let (arrivals, (mut one, other)) = (Arrivals::default(), UnixStream::pair().unwrap());
        let descriptor = other.as_raw_fd();
        let listener = Listener::start(&arrivals).unwrap();
        assert_eq!(owner(descriptor).unwrap(), None);
        set_signal(descriptor, IO_SIGNAL).unwrap();
        set_owner(descriptor, Some(listener.tid())).unwrap();
        assert_eq!((owner(descriptor).unwrap(), signal(descriptor).unwrap()), (Some(listener.tid()), IO_SIGNAL));
        // SAFETY: sets a flag.
        unsafe { libc::fcntl(descriptor, libc::F_SETFL, libc::O_ASYNC) };
        one.write_all(b"x").unwrap();
        let came = arrivals.wait();
        assert_eq!(came[0].listener, listener.tid());
        let News::Ready { code, band, descriptor: told } = came[0].news else { panic!("{came:?}") };
        assert_eq!((code, band & i64::from(libc::POLLIN), told), (1, i64::from(libc::POLLIN), descriptor));
        drop(listener);
        // Who joins a thread is told before the host has let go of its number.
        while owner(descriptor).unwrap().is_some() {
            std::thread::yield_now();
        }
        arrivals.end();
        assert!(arrivals.wait().is_empty());
        assert!(set_signal(-1, 0).is_err() && set_signal(descriptor, 65).is_err());
    }
}
