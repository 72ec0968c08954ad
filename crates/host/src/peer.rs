//! Who is at the other end of a Unix socket.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

/// The process that connected, as the host knows it (SO_PEERCRED, unix(7)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its number.
    pub pid: u32,
    /// Its effective user.
    pub uid: u32,
}

impl Peer {
    /// Who is at the other end.
    ///
    /// # Errors
    /// The host's.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let mut found = MaybeUninit::<libc::ucred>::uninit();
        let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is open, and the host fills at most as many bytes as the buffer has, or fails.
        let answer = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                found.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        if answer < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the host has filled it.
        let found = unsafe { found.assume_init() };
        Ok(Self { pid: found.pid as u32, uid: found.uid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_with_ourselves() {
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&one).unwrap();
        assert_eq!(peer.pid, std::process::id());
        assert_eq!(u64::from(peer.uid), crate::files::identity()[1]);
    }
}
