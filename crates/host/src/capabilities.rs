//! Capabilities of host threads (capabilities(7)), as two sets of words: effective, permitted, inheritable.

use std::io;

/// `_LINUX_CAPABILITY_VERSION_3`: sets of 64 bits.
pub const VERSION: u32 = 0x2008_0522;

/// Bytes of the sets.
pub const BYTES: usize = 24;

/// What capget(2) and capset(2) take first.
#[repr(C)]
struct Header {
    version: u32,
    thread: i32,
}

/// The sets of a host thread.
///
/// # Errors
/// `ESRCH`.
pub fn of_thread(tid: i32) -> io::Result<[u8; BYTES]> {
    let mut header = Header { version: VERSION, thread: tid };
    let mut sets = [0; BYTES];
    // SAFETY: the header is one, and the sets have the bytes that this version writes.
    let answer = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(sets) }
}

/// Changes the sets of the calling thread.
///
/// # Errors
/// `EPERM` for what it may not have.
pub fn set(sets: &[u8; BYTES]) -> io::Result<()> {
    let mut header = Header { version: VERSION, thread: 0 };
    // SAFETY: the header is one, and the sets have the bytes that this version reads. No memory is involved otherwise.
    let answer = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, sets.as_ptr()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A change of the calling thread's user costs it its capabilities again (PR_SET_KEEPCAPS).
pub fn keep_none() {
    // SAFETY: changes one bit of the calling thread's credentials. One that is locked stays, as execve(2) has it.
    unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 0, 0, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_what_it_has() {
        let sets = of_thread(0).unwrap();
        assert_eq!(of_thread(crate::guest_thread::host_tid()).unwrap(), sets);
        set(&sets).unwrap();
        assert_eq!(of_thread(0).unwrap(), sets);
        assert!(of_thread(-1).is_err());
    }
}
