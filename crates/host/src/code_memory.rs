//! Executable memory for generated code.

use crate::ahead::{Pages, Reservation};
use std::io;

/// A reservation of memory that can be written and executed.
///
/// Only its owner writes, and it is the owner's duty that what it writes may be executed, and that nobody executes what
/// is being changed. It lies in huge pages where the host has them: generated code jumps about, and small pages would
/// cost it the host's instruction TLB.
pub struct CodeMemory {
    memory: Reservation,
    bytes: usize,
}

impl CodeMemory {
    /// Reserves `bytes` bytes, which the host commits as they are written.
    ///
    /// # Errors
    /// The host's, when it refuses memory that is both writable and executable.
    pub fn new(bytes: usize) -> io::Result<Self> {
        Ok(Self { memory: Reservation::new(bytes, Pages::Huge, libc::PROT_EXEC)?, bytes })
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
        self.base() as u64 + offset as u64
    }

    /// Bytes of it.
    pub fn read(&self, offset: usize, bytes: usize) -> &[u8] {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.bytes), "code lies in the code memory");
        // SAFETY: the range was checked; it is initialised, since the host commits zeros, and only `&mut self` writes.
        unsafe { std::slice::from_raw_parts(self.base().add(offset), bytes) }
    }

    /// Copies bytes in.
    pub fn write(&mut self, offset: usize, code: &[u8]) {
        assert!(offset.checked_add(code.len()).is_some_and(|end| end <= self.bytes), "code lies in the code memory");
        self.memory.reach(self.base() as usize + offset);
        // SAFETY: the range was checked; `code` is a Rust slice and so lies elsewhere.
        unsafe { std::ptr::copy_nonoverlapping(code.as_ptr(), self.base().add(offset), code.len()) }
    }

    fn base(&self) -> *mut u8 {
        self.memory.start().as_ptr()
    }
}
