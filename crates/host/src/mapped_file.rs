//! Files mapped for reading.
//!
//! A mapping of a file that somebody shortens raises SIGBUS where the file ended. Whoever handles that signal calls
//! [`mend`], which puts zeros there, and the mapping says from then on that it is not whole.

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, Range};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const PAGE_BYTES: usize = addr::PAGE_BYTES as usize;

/// How many files can be mapped at a time.
const MOST: usize = 1024;

/// Where a mapping is, for the signal handler.
#[derive(Debug)]
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
#[derive(Debug)]
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
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_NORESERVE);
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

impl MappedFile {
    /// Bytes of a file that others may change meanwhile; behind its end its last page has zeros. `None` where the mapping
    /// cannot show them all: they lie beyond what was its last page, are gone, or cannot be read.
    pub(crate) fn show(&self, wanted: Range<u64>) -> Option<Shown<'_>> {
        if wanted.end > self.bytes.next_multiple_of(PAGE_BYTES) as u64 || !self.is_whole() {
            return None;
        }
        let first = wanted.start as usize & !(PAGE_BYTES - 1);
        let pages = NonNull::new(self.start.as_ptr().wrapping_add(first)).expect("it lies in the mapping");
        let page_bytes = (wanted.end as usize - first).next_multiple_of(PAGE_BYTES);
        let shown = Shown { pages, page_bytes, wanted, file: PhantomData };
        // SAFETY: changes nothing but how soon the pages of the mapping are found.
        let is_there = unsafe { libc::madvise(pages.as_ptr().cast(), page_bytes, libc::MADV_POPULATE_READ) == 0 };
        is_there.then_some(shown)
    }
}

/// Bytes of a mapped file.
pub(crate) struct Shown<'a> {
    pages: NonNull<u8>,
    page_bytes: usize,
    /// Which of the file they are.
    wanted: Range<u64>,
    file: PhantomData<&'a MappedFile>,
}

impl Shown<'_> {
    /// What they are now; zeros where the file has lost them just now.
    pub fn bytes(&self) -> FileBytes<'_> {
        let start = self.pages.as_ptr().wrapping_add(self.wanted.start as usize % PAGE_BYTES);
        FileBytes { start, len: (self.wanted.end - self.wanted.start) as usize, owner: PhantomData }
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        // The host has them in its own cache; they are not to count as pagewalk's.
        // SAFETY: a private mapping that is only read holds nothing but the file's bytes, or zeros.
        unsafe { libc::madvise(self.pages.as_ptr().cast(), self.page_bytes, libc::MADV_DONTNEED) };
    }
}

/// Bytes that may change while they are copied.
#[derive(Clone, Copy)]
pub struct FileBytes<'a> {
    start: *const u8,
    len: usize,
    owner: PhantomData<&'a [u8]>,
}

impl<'a> FileBytes<'a> {
    /// Bytes of our own.
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { start: bytes.as_ptr(), len: bytes.len(), owner: PhantomData }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// As many of a range as there are.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Self {
        let (first, end) = (range.start.min(self.len), range.end.min(self.len));
        Self { start: self.start.wrapping_add(first), len: end.saturating_sub(first), ..*self }
    }

    /// Copies them, all of them.
    ///
    /// # Safety
    /// So many bytes can be written at `to`, and lie elsewhere.
    pub(crate) unsafe fn copy_to(&self, to: *mut u8) {
        // SAFETY: they can be read as long as their owner lives; the rest is the caller's duty.
        unsafe { to.copy_from_nonoverlapping(self.start, self.len) }
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
    use std::os::unix::fs::FileExt;

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
        assert!(mapped.show(0..100).is_none(), "it is not whole");
        let outside = mapped.as_ptr() as usize + mapped.len();
        drop(mapped);
        assert!(!mend(outside));
    }
    #[test]
    fn what_a_file_holds_now_is_shown() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 2 * PAGE_BYTES + 1]).unwrap();
        let mapped = MappedFile::new(&file).unwrap();
        let show = |wanted: Range<u64>| {
            let mut bytes = vec![0; (wanted.end - wanted.start) as usize];
            let shown = mapped.show(wanted)?;
            // SAFETY: the vector is as long.
            unsafe { shown.bytes().copy_to(bytes.as_mut_ptr()) };
            Some(bytes)
        };
        assert_eq!(show(1..PAGE_BYTES as u64 + 3), Some(vec![7; PAGE_BYTES + 2]));
        file.write_at(&[8], PAGE_BYTES as u64).unwrap();
        assert_eq!(show(PAGE_BYTES as u64 - 1..PAGE_BYTES as u64 + 2), Some(vec![7, 8, 7]));
        assert_eq!(show(2 * PAGE_BYTES as u64..2 * PAGE_BYTES as u64 + 3), Some(vec![7, 0, 0]));
        file.set_len(4 * PAGE_BYTES as u64).unwrap();
        assert_eq!(show(0..3 * PAGE_BYTES as u64 + 1), None, "it was shorter when it was mapped");
        file.set_len(PAGE_BYTES as u64).unwrap();
        assert_eq!(show(0..2 * PAGE_BYTES as u64), None, "it is shorter now");
        assert_eq!(show(0..2), Some(vec![7, 7]));
    }

    #[test]
    fn parts_end_where_the_bytes_end() {
        let bytes = FileBytes::of(&[1, 2, 3]);
        assert_eq!([bytes.part(1..2).len(), bytes.part(1..9).len(), bytes.part(5..9).len()], [1, 2, 0]);
    }
}
