//! A host file that stays readable for as long as somebody maps it.

use crate::mapped_file::FileBytes;
use crate::vault::VaultFile;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};

/// An open file of the host, kept for its pages.
#[derive(Debug)]
pub struct KeptFile {
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In the descriptor table that all who use it share.
    Here(File),
    /// In the vault's table.
    Vault(VaultFile),
}

/// What tells one content of a file from another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FileIdentity {
    /// The device that holds it.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its content last changed, in nanoseconds since 1970.
    pub mtime_ns: i128,
}

impl KeptFile {
    /// Keeps an open file.
    pub fn of(file: File) -> Self {
        Self { place: Place::Here(file) }
    }

    pub(crate) fn in_vault(file: VaultFile) -> Self {
        Self { place: Place::Vault(file) }
    }

    /// Reads bytes at an offset; fewer than asked for at the end of the file.
    ///
    /// # Errors
    /// The host's.
    pub fn read_at(&self, to: &mut [u8], offset: u64) -> io::Result<usize> {
        match &self.place {
            Place::Here(file) => read_fully(file, to, offset),
            Place::Vault(file) => file.read_at(to, offset),
        }
    }

    /// Shows bytes at an offset to a function: at most `bytes` of them, fewer only at the end of the file. Behind that, its
    /// last page may show as zeros.
    ///
    /// # Errors
    /// The host's; the function is not called then.
    pub fn read_with<R>(&self, bytes: usize, offset: u64, see: impl FnOnce(FileBytes<'_>) -> R) -> io::Result<R> {
        match &self.place {
            Place::Here(file) => {
                let mut buffer = vec![0; bytes];
                let count = read_fully(file, &mut buffer, offset)?;
                Ok(see(FileBytes::of(&buffer[..count])))
            }
            Place::Vault(file) => file.read_with(bytes, offset, see),
        }
    }

    /// Writes bytes at an offset, all of them.
    ///
    /// # Errors
    /// The host's.
    pub fn write_at(&self, from: &[u8], offset: u64) -> io::Result<()> {
        match &self.place {
            Place::Here(file) => file.write_all_at(from, offset),
            Place::Vault(file) => file.write_at(from, offset),
        }
    }

    /// Gives the host's memory or disk behind a range of bytes back; they are zeros then.
    ///
    /// # Errors
    /// The host's: the filesystem may know no holes.
    pub fn punch(&self, bytes: Range<u64>) -> io::Result<()> {
        match &self.place {
            Place::Here(file) => punch(file, &bytes),
            Place::Vault(file) => file.punch(bytes),
        }
    }

    /// The device that holds it, and how many bytes the host takes of its memory at once for a file there, if they lie in memory.
    ///
    /// # Errors
    /// The host's.
    pub fn memory_unit(&self) -> io::Result<(u64, Option<u64>)> {
        match &self.place {
            Place::Here(file) => crate::host_memory::memory_unit(file),
            Place::Vault(file) => file.memory_unit(),
        }
    }

    /// How many pages of each range the host has in memory, or in swap.
    ///
    /// # Errors
    /// The host's: `ENOSYS` before Linux 6.5.
    pub fn pages_present<const N: usize>(&self, ranges: [Range<u64>; N]) -> io::Result<[u64; N]> {
        let mut counts = [0; N];
        let found = match &self.place {
            Place::Here(file) => present(file, &ranges),
            Place::Vault(file) => file.pages_present(ranges.to_vec()),
        };
        counts.copy_from_slice(&found?);
        Ok(counts)
    }

    /// Has the host map the file for writing, which is open for that, or not map it: while it does, it refuses to seal the
    /// file against writing, and writes go through the mapping, whatever other seals the file gets.
    ///
    /// # Errors
    /// The host's; only a file in the vault can be mapped.
    pub fn map_for_writing(&self, wanted: bool) -> io::Result<()> {
        match &self.place {
            Place::Here(_) if wanted => Err(io::ErrorKind::Unsupported.into()),
            Place::Here(_) => Ok(()),
            Place::Vault(file) => file.map_for_writing(wanted),
        }
    }

    /// Which file it is and which content it has now.
    ///
    /// # Errors
    /// The host's.
    pub fn identity(&self) -> io::Result<FileIdentity> {
        let metadata = match &self.place {
            Place::Here(file) => file.metadata()?,
            Place::Vault(file) => file.metadata()?,
        };
        Ok(FileIdentity {
            dev: metadata.dev(),
            ino: metadata.ino(),
            size: metadata.size(),
            mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
        })
    }
}

/// How many pages of each range are in the host's memory.
pub(crate) fn present(file: &File, ranges: &[Range<u64>]) -> io::Result<Vec<u64>> {
    ranges.iter().map(|pages| crate::pages_present(file.as_raw_fd(), pages)).collect()
}

/// Makes a hole of a range of bytes.
pub(crate) fn punch(file: &File, bytes: &Range<u64>) -> io::Result<()> {
    let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
    // SAFETY: changes a file; no memory is involved.
    match unsafe { libc::fallocate(file.as_raw_fd(), mode, bytes.start as i64, (bytes.end - bytes.start) as i64) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Reads until the buffer is full or the file ends.
pub(crate) fn read_fully(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < to.len() {
        match file.read_at(&mut to[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}
