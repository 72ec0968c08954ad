//! A way to write to a file that outlives the file's seals.
//!
//! The host refuses writes to a file that is sealed with F_SEAL_FUTURE_WRITE, but not through mappings that are older.
//! It also refuses F_SEAL_WRITE as long as there is such a mapping.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

const PAGE_BYTES: usize = addr::PAGE_BYTES as usize;

/// A file mapped for writing, from its first byte on.
pub(crate) struct Window {
    start: *mut libc::c_void,
    bytes: usize,
}

impl Window {
    /// Maps a file that is open for reading and writing, as far as it goes now.
    pub fn new(file: &File) -> io::Result<Self> {
        let bytes = (file.metadata()?.len() as usize).max(1).next_multiple_of(PAGE_BYTES);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh mapping at an address of the host's choice aliases nothing.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start, bytes }) }
    }

    /// Writes bytes at an offset, all of them. Beyond the end of the file it is an error, not a signal: the host copies.
    pub fn write_at(&mut self, from: &[u8], offset: u64) -> io::Result<()> {
        let offset = offset as usize;
        self.reach((offset + from.len()).next_multiple_of(PAGE_BYTES))?;
        let here = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
        let there = libc::iovec { iov_base: self.start.wrapping_byte_add(offset), iov_len: from.len() };
        // SAFETY: copies from a slice into the mapping, of which nothing in this process is a reference.
        let done = unsafe { libc::process_vm_writev(libc::getpid(), &raw const here, 1, &raw const there, 1, 0) };
        match done {
            ..0 => Err(io::Error::last_os_error()),
            _ if done as usize == from.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Makes the mapping as long as this at least: the file may have grown.
    fn reach(&mut self, bytes: usize) -> io::Result<()> {
        if bytes <= self.bytes {
            return Ok(());
        }
        // SAFETY: moves the mapping made in `new`, to which nobody else has the address.
        let start = unsafe { libc::mremap(self.start, self.bytes, bytes, libc::MREMAP_MAYMOVE) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        (self.start, self.bytes) = (start, bytes);
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nobody can reach once the owner is gone.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{add_seals, is_sealed};
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_window_writes_to_a_sealed_file() {
        // SAFETY: makes a descriptor, which the file then owns.
        let file = unsafe { File::from_raw_fd(libc::memfd_create(c"sealed".as_ptr(), libc::MFD_ALLOW_SEALING)) };
        file.set_len(100).unwrap();
        let mut window = Window::new(&file).unwrap();
        assert!(add_seals(file.as_raw_fd(), libc::F_SEAL_WRITE as u64).is_err());
        add_seals(file.as_raw_fd(), libc::F_SEAL_FUTURE_WRITE as u64).unwrap();
        assert!(is_sealed(file.as_raw_fd()));
        file.set_len(3 * PAGE_BYTES as u64).unwrap();
        assert!(file.write_all_at(b"no", 0).is_err() && Window::new(&file).is_err());
        window.write_at(b"far", 9000).unwrap();
        let mut found = [0; 3];
        file.read_exact_at(&mut found, 9000).unwrap();
        assert_eq!(&found, b"far");
        assert!(window.write_at(b"beyond", 20_000).is_err());
        drop(window);
        add_seals(file.as_raw_fd(), libc::F_SEAL_WRITE as u64).unwrap();
    }
}
