//! Questions about sockets of guests, whose makers are all this process to the host.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// The longest name of a socket.
const NAME_BYTES: usize = size_of::<libc::sockaddr_storage>();
/// What asks about Unix sockets (sock_diag(7)).
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// The two headers of such a question: that of netlink, and `struct unix_diag_req`.
const QUESTION_BYTES: usize = 40;
/// The two headers of the answer: that of netlink, and `struct unix_diag_msg`.
const ANSWER_BYTES: usize = 32;
/// Asks for the other end, and is the kind of the attribute that names it.
const UDIAG_SHOW_PEER: u32 = 4;
const UNIX_DIAG_PEER: u16 = 2;

/// The number of the socket that a descriptor of the calling thread's table refers to, if it is one.
pub fn number_of(descriptor: RawFd) -> Option<u64> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the host fills the buffer or fails; it is read only after success.
    let stat = unsafe { (libc::fstat(descriptor, stat.as_mut_ptr()) == 0).then(|| stat.assume_init())? };
    (stat.st_mode & libc::S_IFMT == libc::S_IFSOCK).then_some(stat.st_ino)
}

/// The number of a Unix socket, if the descriptor is one.
pub fn unix_number_of(descriptor: RawFd) -> Option<u64> {
    if option_of(descriptor, libc::SO_DOMAIN) == Some(libc::AF_UNIX) { number_of(descriptor) } else { None }
}

/// Whether a descriptor is a socket that bytes go through without bounds of messages.
pub fn is_stream(descriptor: RawFd) -> bool {
    let is_stream = option_of(descriptor, libc::SO_TYPE) == Some(libc::SOCK_STREAM);
    is_stream && option_of(descriptor, libc::SO_PROTOCOL) != Some(libc::IPPROTO_SCTP)
}

fn option_of(descriptor: RawFd, option: i32) -> Option<i32> {
    let mut value = 0i32;
    let mut bytes = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the host fills at most as many bytes as the number has, or fails.
    let answer = unsafe {
        let to = (&raw mut value).cast();
        libc::getsockopt(descriptor, libc::SOL_SOCKET, option, to, &raw mut bytes)
    };
    (answer == 0).then_some(value)
}

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The descriptor's own.
    This,
    /// The other.
    Other,
}

/// The name of an end of a socket, as the host has it; empty if it has none.
pub fn name_of(descriptor: RawFd, end: End) -> Vec<u8> {
    let mut name = vec![0u8; NAME_BYTES];
    let mut bytes = NAME_BYTES as libc::socklen_t;
    let ask = if end == End::This { libc::getsockname } else { libc::getpeername };
    // SAFETY: the host fills at most as many bytes as the buffer has, or fails.
    let answer = unsafe { ask(descriptor, name.as_mut_ptr().cast(), &raw mut bytes) };
    name.truncate(if answer == 0 { bytes as usize } else { 0 });
    name
}

/// The number of the other end of a Unix socket, if it is connected and the host tells.
pub fn peer_of(number: u64) -> Option<u64> {
    let socket = netlink_socket(libc::NETLINK_SOCK_DIAG).ok()?;
    let question = peer_question(number as u32);
    let mut answer = [0u8; 512];
    // SAFETY: both buffers live until the calls have returned, and have the lengths that are told.
    let told = unsafe {
        if libc::send(socket.as_raw_fd(), question.as_ptr().cast(), question.len(), 0) < 0 {
            return None;
        }
        libc::recv(socket.as_raw_fd(), answer.as_mut_ptr().cast(), answer.len(), libc::MSG_DONTWAIT)
    };
    peer_in(answer.get(..usize::try_from(told).ok()?)?)
}

fn peer_question(number: u32) -> Vec<u8> {
    let mut question = Vec::with_capacity(QUESTION_BYTES);
    question.extend((QUESTION_BYTES as u32).to_ne_bytes());
    question.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    question.extend((libc::NLM_F_REQUEST as u16).to_ne_bytes());
    // Its sequence number, and the sender, whom the host knows.
    question.extend([0; 8]);
    question.extend([libc::AF_UNIX as u8, 0, 0, 0]);
    // In any state, with any cookie.
    for word in [u32::MAX, number, UDIAG_SHOW_PEER, u32::MAX, u32::MAX] {
        question.extend(word.to_ne_bytes());
    }
    question
}

/// The other end that an answer names.
fn peer_in(answer: &[u8]) -> Option<u64> {
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    let mut rest = answer.get(ANSWER_BYTES..).filter(|_| kind == SOCK_DIAG_BY_FAMILY)?;
    while let Some(header) = rest.first_chunk::<4>() {
        let bytes = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        if u16::from_ne_bytes([header[2], header[3]]) == UNIX_DIAG_PEER {
            let number = u32::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
            return (number != 0).then_some(number.into());
        }
        rest = rest.get(bytes.max(4).next_multiple_of(4)..)?;
    }
    None
}

/// A netlink socket that has this process's number as its own, so that the host gives that to no other.
///
/// # Errors
/// The host's, also where a socket has the number already.
pub fn with_our_number(protocol: i32) -> io::Result<OwnedFd> {
    let socket = netlink_socket(protocol)?;
    // SAFETY: all zeros is a valid address; it lives until the call has returned.
    let answer = unsafe {
        let mut name = MaybeUninit::<libc::sockaddr_nl>::zeroed().assume_init();
        (name.nl_family, name.nl_pid) = (libc::AF_NETLINK as u16, std::process::id());
        libc::bind(socket.as_raw_fd(), (&raw const name).cast(), size_of::<libc::sockaddr_nl>() as libc::socklen_t)
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

fn netlink_socket(protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: makes a descriptor; no memory is involved.
    let socket = unsafe { libc::socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the host has just made it for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Whether the host lets the calling thread name others than its process as a message's sender: it is tried, with the
/// thread's own number.
pub fn may_name_others() -> bool {
    let mut ends = [0; 2];
    // SAFETY: the host makes two descriptors, or fails.
    if unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0, ends.as_mut_ptr()) } < 0 {
        return false;
    }
    // SAFETY: the host has just made them for us alone.
    let ends = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    let [_, user, _, group] = crate::files::identity();
    let number = crate::guest_thread::host_tid();
    // Its length, level and kind, and then `struct ucred`.
    let words =
        [28, 0, libc::SOL_SOCKET as u32, libc::SCM_CREDENTIALS as u32, number as u32, user as u32, group as u32, 0];
    // SAFETY: all zeros is a valid message without content; what it points to lives until the call has returned.
    unsafe {
        let mut message = MaybeUninit::<libc::msghdr>::zeroed().assume_init();
        (message.msg_control, message.msg_controllen) = (words.as_ptr() as *mut libc::c_void, size_of_val(&words));
        libc::sendmsg(ends[0].as_raw_fd(), &raw const message, 0) >= 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixDatagram, UnixStream};

    #[test]
    fn the_host_tells_the_other_end() {
        let (one, other) = UnixStream::pair().unwrap();
        let numbers = [&one, &other].map(|socket| unix_number_of(socket.as_raw_fd()).unwrap());
        // A host without sock_diag tells nothing.
        assert!(peer_of(numbers[0]).is_none_or(|number| number == numbers[1]));
        let alone = UnixDatagram::unbound().unwrap();
        assert_eq!(peer_of(unix_number_of(alone.as_raw_fd()).unwrap()), None);
        assert_eq!(unix_number_of(0x7fff_ffff), None);
        assert_eq!(name_of(one.as_raw_fd(), End::Other)[..2], (libc::AF_UNIX as u16).to_ne_bytes());
    }

    #[test]
    fn streams_are_told_from_messages() {
        let (stream, messages) = (UnixStream::pair().unwrap().0, UnixDatagram::unbound().unwrap());
        assert!(is_stream(stream.as_raw_fd()) && !is_stream(messages.as_raw_fd()) && !is_stream(0x7fff_ffff));
    }

    #[test]
    fn an_answer_may_name_nobody() {
        let answer = |kind: u16, attributes: &[u8]| {
            let mut bytes = vec![0; ANSWER_BYTES];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes.extend(attributes);
            peer_in(&bytes)
        };
        assert_eq!(answer(SOCK_DIAG_BY_FAMILY, &[5, 0, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 7, 0, 0, 0]), Some(7));
        assert_eq!(answer(SOCK_DIAG_BY_FAMILY, &[8, 0, 2, 0, 0, 0, 0, 0]), None);
        assert_eq!(answer(SOCK_DIAG_BY_FAMILY, &[0, 0, 0]), None);
        assert_eq!(answer(2, &[8, 0, 2, 0, 7, 0, 0, 0]), None);
        assert_eq!(peer_in(&[]), None);
    }

    #[test]
    fn our_number_is_taken_once() {
        let _taken = with_our_number(libc::NETLINK_GENERIC);
        assert!(with_our_number(libc::NETLINK_GENERIC).is_err());
    }
}
