//! A host file that stays readable for as long as somebody maps it.

use crate::vault::VaultFile;
use std::fs::File;
use std::io;
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
            Place::Vault(file) => file.read_with(to.len(), offset, |bytes| {
                to[..bytes.len()].copy_from_slice(bytes);
                bytes.len()
            }),
        }
    }

    /// Shows bytes at an offset to a function, in memory that is used again: at most `bytes` of them, fewer only at the
    /// end of the file.
    ///
    /// # Errors
    /// The host's; the function is not called then.
    pub fn read_with<R>(&self, bytes: usize, offset: u64, see: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        match &self.place {
            Place::Here(file) => {
                let mut buffer = vec![0; bytes];
                let count = read_fully(file, &mut buffer, offset)?;
                Ok(see(&buffer[..count]))
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
