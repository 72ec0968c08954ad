//! The preloaded library of `pagewalk heap record`: it writes down each call of the malloc family, and passes it on.
//!
//! It is loaded into other people's programs by `LD_PRELOAD`, so it defines C functions, is unsafe throughout, allocates
//! nothing and depends on nothing but glibc. The command's build script compiles these files; the command carries the
//! result inside itself.

mod log;
mod next;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

const MALLOC: u64 = 1;
const CALLOC: u64 = 2;
const ALIGNED: u64 = 3;
const FREE: u64 = 4;
/// A realloc is two slots: the old block may be gone from the first on, the new one is there at the second.
const REALLOC_BEGINS: u64 = 5;
const REALLOC_ENDS: u64 = 6;

const PAGE_BYTES: usize = 4096;

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

thread_local! {
    /// Whether this thread is in one of the functions below.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A call of one of the functions below. What the allocator behind calls in turn, its own `malloc` in a `realloc` for
/// example, is its own affair and not recorded.
struct Call {
    is_outermost: bool,
}

impl Call {
    fn begin() -> Self {
        Self { is_outermost: !INSIDE.replace(true) }
    }

    fn record(&self, slot: [u64; 4]) {
        if self.is_outermost {
            log::record(slot);
        }
    }

    /// Records an allocation, unless it was refused.
    fn allocated(&self, kind: u64, at: *mut c_void, bytes: usize, alignment: usize) {
        if !at.is_null() {
            self.record([kind, at as u64, bytes as u64, alignment as u64]);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_outermost {
            INSIDE.set(false);
        }
    }
}

/// `malloc`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc(bytes: usize) -> *mut c_void {
    let call = Call::begin();
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { next::malloc(bytes) };
    call.allocated(MALLOC, at, bytes, 0);
    at
}

/// `calloc`, recorded.
///
/// # Safety
/// As C's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn calloc(count: usize, bytes: usize) -> *mut c_void {
    let call = Call::begin();
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { next::calloc(count, bytes) };
    call.allocated(CALLOC, at, count.wrapping_mul(bytes), 0);
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
    let call = Call::begin();
    call.record([REALLOC_BEGINS, old as u64, bytes as u64, 0]);
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { next::realloc(old, bytes) };
    call.record([REALLOC_ENDS, at as u64, bytes as u64, old as u64]);
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
    let call = Call::begin();
    if !at.is_null() {
        call.record([FREE, at as u64, 0, 0]);
    }
    // SAFETY: the caller's contract is glibc's.
    unsafe { next::free(at) }
}

/// `memalign`, recorded.
///
/// # Safety
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memalign(alignment: usize, bytes: usize) -> *mut c_void {
    let call = Call::begin();
    // SAFETY: the caller's contract is glibc's.
    let at = unsafe { next::memalign(alignment, bytes) };
    call.allocated(ALIGNED, at, bytes, alignment);
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
    unsafe { memalign(PAGE_BYTES, bytes) }
}

/// `pvalloc`, recorded.
///
/// # Safety
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pvalloc(bytes: usize) -> *mut c_void {
    // SAFETY: the caller's contract is glibc's. A size near the top stays too large.
    unsafe { memalign(PAGE_BYTES, bytes.checked_next_multiple_of(PAGE_BYTES).unwrap_or(bytes)) }
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

/// `malloc_usable_size`, of the allocator behind: a library between this one and glibc must not be asked about a block
/// of another's.
///
/// # Safety
/// As glibc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(at: *mut c_void) -> usize {
    // SAFETY: the caller's contract is glibc's.
    unsafe { next::malloc_usable_size(at) }
}
