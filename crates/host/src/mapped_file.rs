//! Files mapped for reading.
//!
//! A mapping of a file that somebody shortens raises SIGBUS where the file ended. Whoever handles that signal calls
//! [`mend`], which puts zeros there, and the mapping says from then on that it is not whole.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const PAGE_BYTES: usize = 4096;

/// How many files can be mapped at a time.
const MOST: usize = 1024;

/// Where a mapping is, for the signal handler.
struct Known {
    start: AtomicUsize,
    bytes: AtomicUsize,
    taken: AtomicBool,
    mended: AtomicBool,
}

static KNOWN: [Known; MOST] = [const {
    Known {
        start: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        taken: AtomicBool::new(false),
        mended: AtomicBool::new(false),
    }
}; MOST];

/// The bytes of a file, as they are read.
pub struct MappedFile {
    start: NonNull<u8>,
    bytes: usize,
    known: &'static Known,
}

// SAFETY: the mapping is read-only and lives as long as its owner.
unsafe impl Send for MappedFile {}
// SAFETY: as for `Send`.
unsafe impl Sync for MappedFile {}

impl MappedFile {
    /// Maps a file, from its first to what is its last byte now.
    ///
    /// # Errors
    /// The host's; also for a file without bytes, or where too many are mapped.
    pub fn new(file: &File) -> io::Result<Self> {
        let bytes = file.metadata()?.len() as usize;
        let take = |known: &&Known| !known.taken.swap(true, Ordering::AcqRel);
        let known = KNOWN.iter().find(take).ok_or(io::ErrorKind::QuotaExceeded)?;
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
        // SAFETY: a fresh mapping at an address of the host's choice aliases nothing.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, file.as_raw_fd(), 0) };
        if mapped == libc::MAP_FAILED {
            known.taken.store(false, Ordering::Release);
            return Err(io::Error::last_os_error());
        }
        known.mended.store(false, Ordering::Relaxed);
        known.start.store(mapped as usize, Ordering::Relaxed);
        known.bytes.store(bytes, Ordering::Release);
        let start = NonNull::new(mapped.cast()).expect("a successful mmap without MAP_FIXED is not null");
        Ok(Self { start, bytes, known })
    }

    /// Whether all bytes that were read so far were the file's.
    pub fn is_whole(&self) -> bool {
        !self.known.mended.load(Ordering::Acquire)
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the range was mapped readable by `new` and is unmapped by `drop` only. Its pages are the file's, which
        // nobody changes who keeps to the rules, or zeros put there by `mend`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        self.known.bytes.store(0, Ordering::Release);
        self.known.taken.store(false, Ordering::Release);
        // SAFETY: the mapping made in `new`, which nobody can reach once the owner is gone.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Puts zeros where a mapped file has no bytes any more, so that the read that found none can go on. Says whether the
/// address lies in such a file. For signal handlers.
pub fn mend(address: usize) -> bool {
    let holds = |known: &&Known| {
        let bytes = known.bytes.load(Ordering::Acquire);
        address.wrapping_sub(known.start.load(Ordering::Relaxed)) < bytes.next_multiple_of(PAGE_BYTES)
    };
    let Some(known) = KNOWN.iter().find(holds) else { return false };
    known.mended.store(true, Ordering::Release);
    let page = (address & !(PAGE_BYTES - 1)) as *mut libc::c_void;
    let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
    // SAFETY: replaces one page of a mapping that `MappedFile` owns and only reads.
    unsafe { libc::mmap(page, PAGE_BYTES, protection, flags, -1, 0) != libc::MAP_FAILED }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_is_read_and_mended() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(MappedFile::new(&file).is_err());
        file.write_all(&[7; 3 * PAGE_BYTES]).unwrap();
        let mapped = MappedFile::new(&file).unwrap();
        assert_eq!((mapped.len(), mapped[2 * PAGE_BYTES]), (3 * PAGE_BYTES, 7));
        file.set_len(100).unwrap();
        assert!(mapped.is_whole() && mend(&raw const mapped[PAGE_BYTES + 1] as usize));
        assert_eq!((mapped[0], mapped[PAGE_BYTES], mapped.is_whole()), (7, 0, false));
        let outside = mapped.as_ptr() as usize + mapped.len();
        drop(mapped);
        assert!(!mend(outside));
    }
}
