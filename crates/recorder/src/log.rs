//! The log: one file for each program image and for each forked child, mapped shared, so that what is stored is in the
//! file even if the program is killed.
//!
//! A call takes the next slot by an atomic addition, so the slots of all threads are in one order, and that order is one
//! in which the calls could have happened: an allocation takes its slot after the allocator has answered, a free before
//! it is passed on. A forked child begins with a copy of its parent's heap, so its log says which one that is and how
//! much of the parent's log came before.
//!
//! ```text
//!   slot 0:    slots taken so far | the parent's process and image | its slots before the fork | 1: no room for all
//!   slot 1:    the name of the program, in 16 bytes
//!   from 2 on: kind | address | bytes | old address or alignment
//! ```

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// The variable that names the log: this, a dot, the process, a dot, and which image of that process it is.
const LOG_VARIABLE: &[u8] = b"PAGEWALK_HEAP_LOG\0";
/// How much of the log is mapped at most, and at least; the file is sparse.
const MOST_LOG_BYTES: usize = 1 << 34;
const LEAST_LOG_BYTES: usize = 1 << 20;
const SLOT_WORDS: usize = 4;
const SLOT_BYTES: usize = SLOT_WORDS * 8;
/// The slots before the first call's.
const HEAD_SLOTS: usize = 2;
/// So many slots are given memory together, before they are needed: a store where a full disk has no room for it would
/// end the program.
const STRIDE: usize = 512;

const UNKNOWN: u8 = 0;
const STARTING: u8 = 1;
const ON: u8 = 2;
const OFF: u8 = 3;

/// A page that a child finds zeroed, however it was forked: so `UNKNOWN`, and it begins a log of its own.
#[repr(align(4096))]
struct WipedOnFork {
    state: AtomicU8,
}

static HERE: WipedOnFork = WipedOnFork { state: AtomicU8::new(UNKNOWN) };
/// The log's first word, and how many slots fit; of the parent, in a child that has not begun its own.
static LOG: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());
static CAPACITY: AtomicU64 = AtomicU64::new(0);
/// Which log it is: the process, and the image in the low 32 bits.
static IDENTITY: AtomicU64 = AtomicU64::new(0);
/// Where logs are, kept because a program may change its environment.
static PREFIX: Prefix = Prefix(UnsafeCell::new([0; 4096]));
/// While this process forks, how many slots its log has; otherwise 0.
static FORKING_AT: AtomicU64 = AtomicU64::new(0);

struct Prefix(UnsafeCell<[u8; 4096]>);

// SAFETY: only the thread that took the state from `UNKNOWN` to `STARTING` uses it.
unsafe impl Sync for Prefix {}

unsafe extern "C" {
    fn getenv(name: *const c_char) -> *const c_char;
    fn getpid() -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ftruncate(file: c_int, bytes: c_long) -> c_int;
    fn close(file: c_int) -> c_int;
    fn mmap(at: *mut c_void, bytes: usize, access: c_int, flags: c_int, file: c_int, offset: c_long) -> *mut c_void;
    fn munmap(at: *mut c_void, bytes: usize) -> c_int;
    fn madvise(at: *mut c_void, bytes: usize, advice: c_int) -> c_int;
    fn prctl(option: c_int, ...) -> c_int;
    fn getrlimit(resource: c_int, limit: *mut [u64; 2]) -> c_int;
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// Takes the next slot and fills it; the kind last, so that a slot whose writer was killed has none.
pub fn record(slot: [u64; SLOT_WORDS]) {
    match HERE.state.load(Ordering::Acquire) {
        ON => {}
        UNKNOWN => start(),
        _ => return,
    }
    if HERE.state.load(Ordering::Acquire) != ON {
        return;
    }
    let log = LOG.load(Ordering::Acquire);
    // SAFETY: the log is mapped for as long as the state is `ON`, and its first word is the counter.
    let index = HEAD_SLOTS + unsafe { &*log }.fetch_add(1, Ordering::Relaxed) as usize;
    let is_room = (index + 1) * SLOT_BYTES <= CAPACITY.load(Ordering::Relaxed) as usize
        && (!index.is_multiple_of(STRIDE) || reserve(log, index + STRIDE));
    if !is_room {
        HERE.state.store(OFF, Ordering::Release);
        // SAFETY: the last word of the first slot lies in the mapping.
        unsafe { &*log.add(3) }.store(1, Ordering::Release);
        return;
    }
    for word in [1, 2, 3, 0] {
        // SAFETY: the slot lies in the mapping, as just checked, and is this call's alone.
        unsafe { &*log.add(index * SLOT_WORDS + word) }.store(slot[word], Ordering::Release);
    }
}

/// Has the file system give the slots from `index` on their memory. False, if it has none.
#[cold]
fn reserve(log: *mut AtomicU64, index: usize) -> bool {
    const POPULATE_WRITE: c_int = 23;
    const EFAULT: c_int = 14;
    let at = index * SLOT_BYTES;
    let bytes = (STRIDE * SLOT_BYTES).min((CAPACITY.load(Ordering::Relaxed) as usize).saturating_sub(at));
    keeping_errno(|| {
        // SAFETY: the range lies in the mapping, and only its backing changes.
        let failed = bytes > 0 && unsafe { madvise(log.byte_add(at).cast(), bytes, POPULATE_WRITE) } != 0;
        // An older kernel does not know the advice; then a full disk ends the program as it always would.
        // SAFETY: the error number is this thread's.
        !(failed && unsafe { *__errno_location() } == EFAULT)
    })
}

/// Opens the log, once in each process; calls that come meanwhile, from other threads, are not recorded.
#[cold]
fn start() {
    if HERE.state.compare_exchange(UNKNOWN, STARTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    let is_open = keeping_errno(open_log);
    HERE.state.store(if is_open { ON } else { OFF }, Ordering::Release);
}

fn keeping_errno<T>(work: impl FnOnce() -> T) -> T {
    // SAFETY: the error number is this thread's, and the program must not see what the recorder did to it.
    let errno = unsafe { *__errno_location() };
    let result = work();
    // SAFETY: as above.
    unsafe { *__errno_location() = errno };
    result
}

/// Creates a log that no image has, maps it, and notes whose child this is. False, if that was not possible.
fn open_log() -> bool {
    let (parent, parents_bytes) = (LOG.load(Ordering::Acquire), CAPACITY.load(Ordering::Acquire));
    let parents_identity = IDENTITY.load(Ordering::Acquire);
    let Some((file, identity)) = create() else { return false };
    let mapped = map(file);
    // SAFETY: the descriptor is ours.
    unsafe { close(file) };
    let Some((log, bytes)) = mapped else { return false };
    CAPACITY.store(bytes as u64, Ordering::Release);
    if !reserve(log, 0) || !reserve(log, STRIDE) {
        return false;
    }
    const GET_NAME: c_int = 16;
    // SAFETY: the second slot lies in the mapping and has room for the 16 bytes of a name.
    unsafe { prctl(GET_NAME, log.add(SLOT_WORDS)) };
    if parent.is_null() {
        watch_forks();
    } else {
        let slots = match FORKING_AT.swap(0, Ordering::AcqRel) {
            // SAFETY: the parent's log is still mapped here.
            0 => unsafe { &*parent }.load(Ordering::Acquire),
            slots => slots,
        };
        for (word, value) in [(1, parents_identity), (2, slots)] {
            // SAFETY: the first slot lies in the mapping.
            unsafe { &*log.add(word) }.store(value, Ordering::Release);
        }
        // SAFETY: nothing here points into the parent's log from now on.
        unsafe { munmap(parent.cast(), parents_bytes as usize) };
    }
    LOG.store(log, Ordering::Release);
    IDENTITY.store(identity, Ordering::Release);
    true
}

fn watch_forks() {
    const WIPE_ON_FORK: c_int = 18;
    let page = (&raw const HERE).cast_mut().cast();
    // SAFETY: the page holds nothing but the state. A failure is made up for by the child's function, except in a
    // child that a program forks behind the library's back.
    unsafe { madvise(page, size_of::<WipedOnFork>(), WIPE_ON_FORK) };
    // SAFETY: the functions only use atomics, and the log. A failure only makes a child's log begin a little later.
    unsafe { pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) };
}

/// It runs after all other functions for this moment, because it was entered first.
extern "C" fn before_fork() {
    if HERE.state.load(Ordering::Acquire) == ON {
        // SAFETY: the log is mapped for as long as the state is `ON`.
        let slots = unsafe { &*LOG.load(Ordering::Acquire) }.load(Ordering::Acquire);
        FORKING_AT.store(slots, Ordering::Release);
    }
}

extern "C" fn after_fork_in_parent() {
    FORKING_AT.store(0, Ordering::Release);
}

extern "C" fn after_fork_in_child() {
    HERE.state.store(UNKNOWN, Ordering::Release);
}

/// A new file of this process, and which one it is.
fn create() -> Option<(c_int, u64)> {
    const READ_WRITE_CREATE_EXCLUSIVE_CLOSE_ON_EXEC: c_int = 0o2 | 0o100 | 0o200 | 0o2_000_000;
    // SAFETY: this thread is the one that starts.
    let path = unsafe { &mut *PREFIX.0.get() };
    if path[0] == 0 {
        copy_prefix(path);
    }
    let length = path.iter().position(|&byte| byte == 0).filter(|&length| length > 0)?;
    // SAFETY: it has no preconditions.
    let process = unsafe { getpid() } as u64;
    for image in 0..1000 {
        let end = put_number(path, length, process);
        let end = put_number(path, end, image);
        path[end] = 0;
        // SAFETY: the path ends with a zero.
        let file = unsafe { open(path.as_ptr().cast(), READ_WRITE_CREATE_EXCLUSIVE_CLOSE_ON_EXEC, 0o600) };
        path[length] = 0;
        if file >= 0 {
            return Some((file, process << 32 | image));
        }
    }
    None
}

/// Copies the variable's value, if there is one.
fn copy_prefix(path: &mut [u8]) {
    // SAFETY: the variable's name ends with a zero, and the value stays where it is until somebody changes the environment.
    let value = unsafe { getenv(LOG_VARIABLE.as_ptr().cast()) };
    if value.is_null() {
        return;
    }
    let mut length = 0;
    // SAFETY: the value ends with a zero, before which the copy stops, as it does before the buffer's end.
    while length < path.len() - 64 && unsafe { *value.add(length) } != 0 {
        // SAFETY: as above.
        path[length] = unsafe { *value.add(length) } as u8;
        length += 1;
    }
}

/// Maps as much of the file as the process's limits allow, and gives how many bytes that is.
fn map(file: c_int) -> Option<(*mut AtomicU64, usize)> {
    const READ_WRITE: c_int = 1 | 2;
    const SHARED_NO_RESERVE: c_int = 1 | 0x4000;
    const FILE_SIZE: c_int = 1;
    let mut limit = [u64::MAX; 2];
    // SAFETY: the result is two words.
    unsafe { getrlimit(FILE_SIZE, &mut limit) };
    let mut bytes = MOST_LOG_BYTES;
    while bytes >= LEAST_LOG_BYTES {
        // Above the limit, a longer file would be a signal.
        // SAFETY: the file is ours; a fresh mapping at an address of the kernel's choice aliases nothing.
        let log = unsafe {
            if bytes as u64 <= limit[0] && ftruncate(file, bytes as c_long) == 0 {
                mmap(null::<c_void>().cast_mut(), bytes, READ_WRITE, SHARED_NO_RESERVE, file, 0)
            } else {
                null_mut()
            }
        };
        if !log.is_null() && log as isize != -1 {
            return Some((log.cast(), bytes));
        }
        bytes /= 4;
    }
    None
}

/// Appends a dot and a number to the path, and gives its new length.
fn put_number(path: &mut [u8], mut length: usize, value: u64) -> usize {
    path[length] = b'.';
    length += 1;
    let digits = value.checked_ilog10().map_or(1, |power| power as usize + 1);
    let mut left = value;
    for place in (0..digits).rev() {
        path[length + place] = b'0' + (left % 10) as u8;
        left /= 10;
    }
    length + digits
}
