//! The preloaded library of `pagewalk heap record`: it writes down each call of the malloc family, and passes it on.
//!
//! It is loaded into other people's programs by `LD_PRELOAD`, so it defines C functions, is unsafe throughout, allocates
//! nothing and depends on nothing but glibc, whose own allocator stays reachable as `__libc_malloc` and so on. The
//! command's build script compiles this one file; the command carries the result inside itself.
//!
//! The log is one file for each program image, mapped shared: what is stored is in the file even if the program is
//! killed. A call takes the next slot by an atomic addition, so the slots of all threads are in one order, and that
//! order is one in which the calls could have happened: an allocation takes its slot after the allocator has answered,
//! a free before it is passed on.
//!
//! ```text
//!   slot 0: slots taken so far; then slots of four words:  kind | address | bytes | old address or alignment
//! ```

use std::ffi::{c_char, c_int, c_long, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU64, Ordering};

/// The variable that names the log: this, a dot, and the process id and a number of the image.
const LOG_VARIABLE: &[u8] = b"PAGEWALK_HEAP_LOG\0";
/// How much of the log is mapped at most; the file is sparse and as long as what was written.
const LOG_BYTES: usize = 1 << 34;
const SLOT_BYTES: u64 = 32;

const MALLOC: u64 = 1;
const CALLOC: u64 = 2;
const ALIGNED: u64 = 3;
const FREE: u64 = 4;
/// A realloc is two slots: the old block may be gone from the first on, the new one is there at the second.
const REALLOC_BEGINS: u64 = 5;
const REALLOC_ENDS: u64 = 6;

const UNKNOWN: u8 = 0;
const STARTING: u8 = 1;
const ON: u8 = 2;
const OFF: u8 = 3;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
static LOG: AtomicPtr<AtomicU64> = AtomicPtr::new(null_mut());

unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, bytes: usize) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, bytes: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, bytes: usize) -> *mut c_void;
    fn __libc_free(at: *mut c_void);
    fn getenv(name: *const c_char) -> *const c_char;
    fn getpid() -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ftruncate(file: c_int, bytes: c_long) -> c_int;
    fn close(file: c_int) -> c_int;
    fn mmap(at: *mut c_void, bytes: usize, access: c_int, flags: c_int, file: c_int, offset: c_long) -> *mut c_void;
    fn pthread_atfork(
        prepare: Option<extern "C" fn()>,
        parent: Option<extern "C" fn()>,
        child: Option<extern "C" fn()>,
    ) -> c_int;
    fn __errno_location() -> *mut c_int;
}

/// `malloc`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { __libc_malloc(bytes) };
    allocated(MALLOC, at, bytes, 0);
    at
}

/// `calloc`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { __libc_calloc(count, bytes) };
    allocated(CALLOC, at, count.wrapping_mul(bytes), 0);
    at
}

/// `realloc`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(old: *mut c_void, bytes: usize) -> *mut c_void {
    if old.is_null() {
        // SAFETY: the caller's contract is glibc's.
        return unsafe { malloc(bytes) };
    }
    record([REALLOC_BEGINS, old as u64, bytes as u64, 0]);
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { __libc_realloc(old, bytes) };
    record([REALLOC_ENDS, at as u64, bytes as u64, old as u64]);
    at
}

/// `reallocarray`, recorded.
///
/// # Safety
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(old: *mut c_void, count: usize, bytes: usize) -> *mut c_void {
    match count.checked_mul(bytes) {
        // SAFETY: the caller's contract is glibc's.
        Some(bytes) => unsafe { realloc(old, bytes) },
        None => {
            const ENOMEM: c_int = 12;
            // SAFETY: glibc's pointer to this thread's error number is valid.
            unsafe { *__errno_location() = ENOMEM };
            null_mut()
        }
    }
}

/// `free`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(at: *mut c_void) {
    if !at.is_null() {
        record([FREE, at as u64, 0, 0]);
    }
    // SAFETY: the caller's contract is glibc's.
    unsafe { __libc_free(at) }
}

/// `memalign`, recorded.
///
/// # Safety
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(alignment: usize, bytes: usize) -> *mut c_void {
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { __libc_memalign(alignment, bytes) };
    allocated(ALIGNED, at, bytes, alignment as u64);
    at
}

/// `aligned_alloc`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aligned_alloc(alignment: usize, bytes: usize) -> *mut c_void {
    // SAFETY: the caller's contract is glibc's.
    unsafe { memalign(alignment, bytes) }
}

/// `valloc`, recorded.
///
/// # Safety
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn valloc(bytes: usize) -> *mut c_void {
    // SAFETY: the caller's contract is glibc's.
    unsafe { memalign(4096, bytes) }
}

/// `posix_memalign`, recorded.
///
/// # Safety
/// As POSIX's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(result: *mut *mut c_void, alignment: usize, bytes: usize) -> c_int {
    const EINVAL: c_int = 22;
    const ENOMEM: c_int = 12;
    if !alignment.is_power_of_two() || !alignment.is_multiple_of(size_of::<*const u8>()) {
        return EINVAL;
    }
    // SAFETY: glibc's memalign takes any power of two.
    let at = unsafe { memalign(alignment, bytes) };
    if at.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller gives a place for the result.
    unsafe { *result = at };
    0
}

fn allocated(kind: u64, at: *mut c_void, bytes: usize, alignment: u64) {
    if !at.is_null() {
        record([kind, at as u64, bytes as u64, alignment]);
    }
}

/// Takes the next slot and fills it; the kind last, so that a slot whose writer was killed has none.
fn record(slot: [u64; 4]) {
    match STATE.load(Ordering::Acquire) {
        ON => {}
        UNKNOWN => start(),
        _ => return,
    }
    let log = LOG.load(Ordering::Acquire);
    if log.is_null() {
        return;
    }
    // SAFETY: the log is mapped for ever, and its first word is the counter.
    let index = 1 + unsafe { &*log }.fetch_add(1, Ordering::Relaxed);
    if (index + 1) * SLOT_BYTES > LOG_BYTES as u64 {
        STATE.store(OFF, Ordering::Release);
        return;
    }
    for word in [1, 2, 3, 0] {
        // SAFETY: the slot lies in the mapping, as just checked, and is this call's alone.
        unsafe { &*log.add((index * 4) as usize + word) }.store(slot[word], Ordering::Release);
    }
}

/// Opens the log, once; calls that come meanwhile, from other threads, are not recorded.
#[cold]
fn start() {
    if STATE.compare_exchange(UNKNOWN, STARTING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    // SAFETY: the error number is this thread's, and the program must not see what opening the log did to it.
    let errno = unsafe { *__errno_location() };
    let log = open_log();
    // SAFETY: as above.
    unsafe { *__errno_location() = errno };
    match log {
        Some(log) => {
            LOG.store(log, Ordering::Release);
            STATE.store(ON, Ordering::Release);
            // SAFETY: the function only stores to an atomic. A failure means that forked children are recorded too.
            unsafe { pthread_atfork(None, None, Some(stop_in_child)) };
        }
        None => STATE.store(OFF, Ordering::Release),
    }
}

/// A forked child shares the log and has the parent's addresses: its calls would be confused with the parent's.
extern "C" fn stop_in_child() {
    STATE.store(OFF, Ordering::Release);
}

/// Creates a log that no image has, and maps it.
fn open_log() -> Option<*mut AtomicU64> {
    const READ_WRITE_CREATE_EXCLUSIVE_CLOSE_ON_EXEC: c_int = 0o2 | 0o100 | 0o200 | 0o2_000_000;
    const READ_WRITE: c_int = 1 | 2;
    const SHARED_NO_RESERVE: c_int = 1 | 0x4000;
    // SAFETY: the name ends with a zero, and the value stays where it is until somebody changes the environment.
    let prefix = unsafe { getenv(LOG_VARIABLE.as_ptr().cast()) };
    if prefix.is_null() {
        return None;
    }
    let mut path = [0_u8; 4096];
    let mut length = 0;
    // SAFETY: the value ends with a zero, before which the copy stops, as it does before the buffer's end.
    while length < path.len() - 64 && unsafe { *prefix.add(length) } != 0 {
        // SAFETY: as above.
        path[length] = unsafe { *prefix.add(length) } as u8;
        length += 1;
    }
    // SAFETY: it has no preconditions.
    let process = unsafe { getpid() } as u64;
    for image in 0..1000 {
        let end = put_number(&mut path, length, process);
        let end = put_number(&mut path, end, image);
        path[end] = 0;
        // SAFETY: the path ends with a zero.
        let file = unsafe { open(path.as_ptr().cast(), READ_WRITE_CREATE_EXCLUSIVE_CLOSE_ON_EXEC, 0o600) };
        if file < 0 {
            continue;
        }
        // SAFETY: the file is ours; a fresh mapping at an address of the kernel's choice aliases nothing.
        let log = unsafe {
            ftruncate(file, LOG_BYTES as c_long);
            let log = mmap(null::<c_void>().cast_mut(), LOG_BYTES, READ_WRITE, SHARED_NO_RESERVE, file, 0);
            close(file);
            log
        };
        return (log as isize != -1).then_some(log.cast());
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
