//! A descriptor for a guest that is ready when pagewalk says so: the reading end of a pipe that holds one byte, or
//! none. Its writing end is in the vault, out of the guest's reach.

use crate::vault::{FileVault, VaultFile};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// The writing end.
#[derive(Debug)]
pub struct ReadyPipe {
    writer: VaultFile,
    /// The pipe's number, by which a descriptor of its reading end is known.
    ino: u64,
}

/// Whether a descriptor is ready to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl ReadyPipe {
    /// Makes a pipe whose reading end is a new descriptor of the calling thread's table. `flags` are `O_NONBLOCK` and
    /// `O_CLOEXEC`.
    ///
    /// # Errors
    /// The host's: too many descriptors.
    pub fn open(vault: &FileVault, flags: i32) -> io::Result<(RawFd, Self)> {
        let mut ends = [0; 2];
        // SAFETY: the host fills two numbers or fails.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), flags & (libc::O_NONBLOCK | libc::O_CLOEXEC)) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the host has just made both for us alone.
        let [reader, writer] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let ino = number_of(reader.as_raw_fd()).unwrap_or(0);
        let writer = vault.keep_file(writer.as_fd())?;
        Ok((reader.into_raw_fd(), Self { writer, ino }))
    }

    /// Whether a descriptor of the calling thread's table is the reading end.
    pub fn is_at(&self, descriptor: RawFd) -> bool {
        number_of(descriptor) == Some(self.ino)
    }

    /// Whether everybody has closed the reading end.
    pub fn is_abandoned(&self) -> bool {
        self.writer.is_read().is_ok_and(|is_read| !is_read)
    }

    /// Makes it ready or not. It was not what it becomes.
    ///
    /// # Errors
    /// The host's: nobody has the reading end any more.
    pub fn set(&self, ready: Ready) -> io::Result<()> {
        self.writer.set_ready(ready)
    }
}

/// Whether a descriptor of the calling thread's table was opened with `O_NONBLOCK`.
pub fn is_non_blocking(descriptor: RawFd) -> bool {
    // SAFETY: asks for flags.
    unsafe { libc::fcntl(descriptor, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

fn number_of(descriptor: RawFd) -> Option<u64> {
    let found = crate::files::describe(descriptor).ok()?;
    (found.kind == libc::S_IFIFO).then_some(found.identity.ino)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_ready(descriptor: RawFd) -> bool {
        let mut asked = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid structure.
        unsafe { libc::poll(&raw mut asked, 1, 0) == 1 }
    }

    #[test]
    fn a_pipe_is_ready_when_it_is_told_to_be() {
        let vault = FileVault::start().unwrap();
        let (descriptor, pipe) = ReadyPipe::open(&vault, libc::O_NONBLOCK).unwrap();
        assert!(pipe.is_at(descriptor) && is_non_blocking(descriptor) && !is_ready(descriptor));
        for _ in 0..3 {
            pipe.set(Ready::Yes).unwrap();
            assert!(is_ready(descriptor));
            pipe.set(Ready::No).unwrap();
            assert!(!is_ready(descriptor));
        }
        assert!(!pipe.is_abandoned());
        crate::files::close(descriptor);
        assert!(pipe.is_abandoned());
        assert!(pipe.set(Ready::Yes).is_err());
    }
}
