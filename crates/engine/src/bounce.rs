//! Bounce buffers: host memory in the save area that stands for an operand that crosses pages.

/// Copies bytes into a bounce buffer.
pub fn write(host: u64, bytes: &[u8]) {
    // SAFETY: `host` is an address that `context::bounce_address` gave, with room for the largest operand and any
    // offset in a cache line; only this thread uses the buffer.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), host as *mut u8, bytes.len()) }
}

/// Copies bytes out of a bounce buffer.
pub fn read(host: u64, bytes: &mut [u8]) {
    // SAFETY: as for `write`.
    unsafe { std::ptr::copy_nonoverlapping(host as *const u8, bytes.as_mut_ptr(), bytes.len()) }
}
