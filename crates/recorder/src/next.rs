//! The allocator behind the recorder: the one that the program would have had without it, its own shared library's or
//! glibc's.

use std::ffi::{CStr, c_char, c_void};
use std::mem::transmute;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

unsafe extern "C" {
    fn __libc_malloc(bytes: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, bytes: usize) -> *mut c_void;
    fn __libc_realloc(old: *mut c_void, bytes: usize) -> *mut c_void;
    fn __libc_memalign(alignment: usize, bytes: usize) -> *mut c_void;
    fn __libc_free(at: *mut c_void);
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

const NAMES: [&CStr; 6] = [c"malloc", c"calloc", c"realloc", c"memalign", c"free", c"malloc_usable_size"];
static FOUND: [AtomicPtr<c_void>; 6] = [const { AtomicPtr::new(null_mut()) }; 6];
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

const UNKNOWN: u8 = 0;
const LOOKING: u8 = 1;
const KNOWN: u8 = 2;

/// The next function of a name, or null as long as they are being looked for.
fn next(which: usize) -> *mut c_void {
    if STATE.load(Ordering::Acquire) != KNOWN {
        look();
    }
    FOUND[which].load(Ordering::Relaxed)
}

/// Finds all of them at the process's first call, when there is only one thread.
#[cold]
fn look() {
    const BEHIND_THIS_LIBRARY: *mut c_void = -1_isize as *mut c_void;
    if STATE.compare_exchange(UNKNOWN, LOOKING, Ordering::AcqRel, Ordering::Acquire).is_err() {
        return;
    }
    for (name, found) in NAMES.iter().zip(&FOUND) {
        // SAFETY: the name ends with a zero.
        found.store(unsafe { dlsym(BEHIND_THIS_LIBRARY, name.as_ptr()) }, Ordering::Relaxed);
    }
    STATE.store(KNOWN, Ordering::Release);
}

/// # Safety
/// As C's.
pub unsafe fn malloc(bytes: usize) -> *mut c_void {
    match next(0) {
        // SAFETY: the caller's contract is C's.
        none if none.is_null() => unsafe { __libc_malloc(bytes) },
        // SAFETY: as above; a function of this name has this type.
        found => unsafe { transmute::<*mut c_void, extern "C" fn(usize) -> *mut c_void>(found)(bytes) },
    }
}

/// # Safety
/// As C's.
pub unsafe fn calloc(count: usize, bytes: usize) -> *mut c_void {
    match next(1) {
        // SAFETY: the caller's contract is C's.
        none if none.is_null() => unsafe { __libc_calloc(count, bytes) },
        // SAFETY: as above; a function of this name has this type.
        found => unsafe { transmute::<*mut c_void, extern "C" fn(usize, usize) -> *mut c_void>(found)(count, bytes) },
    }
}

/// # Safety
/// As C's.
pub unsafe fn realloc(old: *mut c_void, bytes: usize) -> *mut c_void {
    match next(2) {
        // SAFETY: the caller's contract is C's.
        none if none.is_null() => unsafe { __libc_realloc(old, bytes) },
        // SAFETY: as above; a function of this name has this type.
        found => unsafe {
            transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, usize) -> *mut c_void>(found)(old, bytes)
        },
    }
}

/// # Safety
/// As glibc's.
pub unsafe fn memalign(alignment: usize, bytes: usize) -> *mut c_void {
    match next(3) {
        // SAFETY: the caller's contract is glibc's.
        none if none.is_null() => unsafe { __libc_memalign(alignment, bytes) },
        // SAFETY: as above; a function of this name has this type.
        found => unsafe {
            transmute::<*mut c_void, extern "C" fn(usize, usize) -> *mut c_void>(found)(alignment, bytes)
        },
    }
}

/// # Safety
/// As C's.
pub unsafe fn free(at: *mut c_void) {
    match next(4) {
        // SAFETY: the caller's contract is C's.
        none if none.is_null() => unsafe { __libc_free(at) },
        // SAFETY: as above; a function of this name has this type.
        found => unsafe { transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void)>(found)(at) },
    }
}

/// # Safety
/// As glibc's.
pub unsafe fn malloc_usable_size(at: *mut c_void) -> usize {
    match next(5) {
        none if none.is_null() => 0,
        // SAFETY: the caller's contract is glibc's; a function of this name has this type.
        found => unsafe { transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void) -> usize>(found)(at) },
    }
}
