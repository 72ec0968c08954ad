//! Where the sockets are: one a process, named by its number, in a directory that only its owner may enter.

use host::Peer;
use host::files::effective_user;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Permissions of the directory.
const OWNER_ONLY: u32 = 0o700;

/// The socket of this process, until it is dropped.
pub struct OwnSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OwnSocket {
    /// Makes it, and removes those that killed processes have left.
    ///
    /// # Errors
    /// The host's, or a directory that somebody else could enter.
    pub fn bind() -> io::Result<Self> {
        let directory = places().swap_remove(0);
        DirBuilder::new().mode(OWNER_ONLY).create(&directory).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        check_private(&directory)?;
        remove_stale(&directory);
        let path = directory.join(std::process::id().to_string());
        let listener = UnixListener::bind(&path)?;
        Ok(Self { listener, path })
    }

    /// Waits for the next connection, and asks the host whose it is.
    ///
    /// # Errors
    /// The host's.
    pub fn accept(&self) -> io::Result<(UnixStream, Asker)> {
        let (stream, _) = self.listener.accept()?;
        let peer = Peer::of(&stream)?;
        let asker = match peer {
            _ if peer.uid != effective_user() => Asker::Stranger,
            _ if peer.pid == std::process::id() => Asker::Guest,
            _ => Asker::Owner,
        };
        Ok((stream, asker))
    }

    /// Removes its file. Threads that wait for connections keep the socket itself to the end of the process.
    pub fn remove(&self) {
        // Whoever removed it before has done what was to be done.
        let _ = fs::remove_file(&self.path);
    }
}

/// Who connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// A process of the user who owns this one.
    Owner,
    /// A guest, which is a thread of this process.
    Guest,
    /// Anybody else.
    Stranger,
}

/// Connects to the pagewalk that is process `pid`; `None` if it is not there or not the caller's.
///
/// # Errors
/// The host's, or a directory that somebody else could enter.
pub fn connect(pid: u32) -> io::Result<Option<UnixStream>> {
    for directory in places() {
        let path = directory.join(pid.to_string());
        if fs::symlink_metadata(&path).is_err() {
            continue;
        }
        check_private(&directory)?;
        match UnixStream::connect(&path) {
            Ok(stream) if Peer::of(&stream)? == (Peer { pid, uid: effective_user() }) => return Ok(Some(stream)),
            // Somebody else has got the number since.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                let _ = fs::remove_file(&path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The directories in which sockets may be, the one for new ones first.
fn places() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|directory| directory.is_absolute() && directory.is_dir());
    let shared = Path::new("/tmp").join(format!("pagewalk-{}", effective_user()));
    runtime.map(|directory| directory.join("pagewalk")).into_iter().chain([shared]).collect()
}

/// Nobody but the caller can put anything into the directory, or look into it.
fn check_private(directory: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(directory)?;
    let is_private = found.is_dir() && found.uid() == effective_user() && found.mode() & 0o777 == OWNER_ONLY;
    let refusal = || io::Error::other(format!("{} is not a directory of yours alone", directory.display()));
    if is_private { Ok(()) } else { Err(refusal()) }
}

/// Removes sockets whose processes are gone, and one that an earlier process of our own number has left.
fn remove_stale(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let is_gone = |pid: u32| pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists();
        if pid.is_some_and(is_gone) {
            // Another pagewalk may have been quicker.
            let _ = fs::remove_file(entry.path());
        }
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_that_others_may_enter_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(check_private(directory.path()).is_ok());
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(check_private(directory.path()).is_err());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/", &link).unwrap();
        assert!(check_private(&link).is_err());
    }

    #[test]
    fn what_the_dead_have_left_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        // No process has a number beyond the greatest that Linux gives (2^22).
        let (dead, alive) = (directory.path().join("4194305"), directory.path().join("1"));
        drop(UnixListener::bind(&dead).unwrap());
        drop(UnixListener::bind(&alive).unwrap());
        remove_stale(directory.path());
        assert!(!dead.exists() && alive.exists());
    }
}
