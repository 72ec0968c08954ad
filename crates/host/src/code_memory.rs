//! Executable memory for generated code.

use crate::ahead::{Frontier, HUGE_PAGE_BYTES};
use std::io;
use std::ptr::NonNull;

/// A reservation of memory that can be written and executed.
///
/// Only its owner writes, and it is the owner's duty that what it writes may be executed, and that nobody executes what
/// is being changed. It lies in huge pages where the host has them: generated code jumps about, and small pages would
/// cost it the host's instruction TLB.
pub struct CodeMemory {
    base: NonNull<u8>,
    bytes: usize,
    /// What was reserved, the alignment included.
    reserved: *mut libc::c_void,
    frontier: Frontier,
}

// SAFETY: the memory is written through `&mut self` only; the pointer itself never changes.
unsafe impl Send for CodeMemory {}
// SAFETY: as for `Send`; a shared reference gives out addresses only.
unsafe impl Sync for CodeMemory {}

impl CodeMemory {
    /// Reserves `bytes` bytes, which the host commits as they are written.
    ///
    /// # Errors
    /// The host's, when it refuses memory that is both writable and executable.
    pub fn new(bytes: usize) -> io::Result<Self> {
        // SAFETY: a fresh anonymous mapping at an address of the host's choice aliases nothing.
        let reserved = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes + HUGE_PAGE_BYTES,
                libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if reserved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = reserved.cast::<u8>();
        // SAFETY: the reservation is longer than `bytes` by one alignment.
        let base = unsafe { start.add(start.align_offset(HUGE_PAGE_BYTES)) };
        // SAFETY: the range is in the reservation. The advice may be refused; then pages are small.
        unsafe { libc::madvise(base.cast(), bytes, libc::MADV_HUGEPAGE) };
        let base = NonNull::new(base).expect("a successful mmap without MAP_FIXED is not null");
        let start = base.as_ptr() as usize;
        Ok(Self { base, bytes, reserved, frontier: Frontier::new(start, start + bytes) })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The host address of the byte at an offset.
    pub fn address(&self, offset: usize) -> u64 {
        assert!(offset <= self.bytes, "an offset lies in the code memory");
        self.base.as_ptr() as u64 + offset as u64
    }

    /// Bytes of it.
    pub fn read(&self, offset: usize, bytes: usize) -> &[u8] {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.bytes), "code lies in the code memory");
        // SAFETY: the range was checked; it is initialised, since the host commits zeros, and only `&mut self` writes.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), bytes) }
    }

    /// Copies bytes in.
    pub fn write(&mut self, offset: usize, code: &[u8]) {
        assert!(offset.checked_add(code.len()).is_some_and(|end| end <= self.bytes), "code lies in the code memory");
        self.frontier.reach(self.base.as_ptr() as usize + offset);
        // SAFETY: the range was checked; `code` is a Rust slice and so lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), self.base.as_ptr().add(offset), code.len()) }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        // SAFETY: the reservation made in `new`, which nobody can reach once the owner is gone.
        unsafe { libc::munmap(self.reserved, self.bytes + HUGE_PAGE_BYTES) };
    }
}
