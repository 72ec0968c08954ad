//! Where a running pagewalk is reached: an abstract Unix socket (unix(7)) whose name has its user and its process.
//!
//! Such a name is in no file system, so a pagewalk that is killed leaves nothing. Anybody may connect to it, or take it
//! first: who is at the other end is the host's word on either side, and nobody else is listened to.

use host::Peer;
use host::files::effective_user;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

/// The socket of this process.
pub struct OwnSocket(UnixListener);

impl OwnSocket {
    /// Makes it.
    ///
    /// # Errors
    /// The host's: somebody else has the name.
    pub fn bind() -> io::Result<Self> {
        UnixListener::bind_addr(&address(std::process::id())?).map(Self)
    }

    /// Waits for the next connection, and asks the host whose it is.
    ///
    /// # Errors
    /// The host's.
    pub fn accept(&self) -> io::Result<(UnixStream, Asker)> {
        let (stream, _) = self.0.accept()?;
        let asker = Asker::of(Peer::of(&stream)?, own());
        Ok((stream, asker))
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

impl Asker {
    fn of(peer: Peer, own: Peer) -> Self {
        match peer {
            _ if peer.pid == own.pid => Self::Guest,
            _ if peer.uid != own.uid => Self::Stranger,
            _ => Self::Owner,
        }
    }
}

/// Connects to the pagewalk that is process `pid`; `None` if it is not there or not the caller's.
///
/// # Errors
/// The host's.
pub fn connect(pid: u32) -> io::Result<Option<UnixStream>> {
    match UnixStream::connect_addr(&address(pid)?) {
        // Another process may have taken the name, or a guest of another machine.
        Ok(stream) => Ok((Peer::of(&stream)? == Peer { pid, ..own() }).then_some(stream)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}

fn address(pid: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("pagewalk/{}/{pid}", effective_user()))
}

fn own() -> Peer {
    Peer { pid: std::process::id(), uid: effective_user() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_processes_of_the_owner_ask() {
        let (pid, uid) = (7, 1000);
        let own = Peer { pid, uid };
        assert_eq!(Asker::of(Peer { pid: 8, uid }, own), Asker::Owner);
        assert_eq!(Asker::of(own, own), Asker::Guest);
        // A guest that has changed its user.
        assert_eq!(Asker::of(Peer { pid, uid: 0 }, own), Asker::Guest);
        assert_eq!(Asker::of(Peer { pid: 8, uid: 1001 }, own), Asker::Stranger);
        assert_eq!(Asker::of(Peer { pid: 8, uid: 0 }, own), Asker::Stranger);
    }

    #[test]
    fn a_name_has_one_socket() {
        let socket = OwnSocket::bind().unwrap();
        assert_eq!(OwnSocket::bind().map(drop).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(connect(std::process::id()).unwrap().is_some());
        assert_eq!(socket.accept().unwrap().1, Asker::Guest);
        drop(socket);
        assert!(connect(std::process::id()).unwrap().is_none());
    }
}
