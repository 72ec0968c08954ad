//! Options of sockets that no guest may use: the host would read or write at an address that a guest names, or tell of
//! processes that are not the guest's.

use super::Args;
use crate::Errno;

/// Some options of a level.
struct Refused {
    level: i32,
    first: i32,
    last: i32,
}

/// Those of packet sockets' rings, and of iptables and its like, too: they are addresses, or lead to memory that is shared with
/// the host.
const REFUSED: [Refused; 12] = [
    // SO_ATTACH_FILTER: a program of the packet filter. Asked for, its length is in instructions, and not in bytes.
    one(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER),
    one(libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_CBPF),
    // SO_ZEROCOPY: buffers are read after the call, and ours are not there any more.
    one(libc::SOL_SOCKET, libc::SO_ZEROCOPY),
    // SO_PASSPIDFD and SO_PEERPIDFD.
    several(libc::SOL_SOCKET, 76, 77),
    // TCP_ZEROCOPY_RECEIVE.
    one(libc::IPPROTO_TCP, 35),
    // Tables of iptables, arptables, ebtables, and of the virtual server.
    several(libc::IPPROTO_IP, 64, i32::MAX),
    // IP6T_SO_SET_REPLACE and its relatives; IPV6_RECVTCLASS and later ones are numbers.
    several(libc::IPPROTO_IPV6, 64, 65),
    // PACKET_RX_RING, PACKET_TX_RING, PACKET_FANOUT_DATA.
    one(libc::SOL_PACKET, 5),
    one(libc::SOL_PACKET, 13),
    one(libc::SOL_PACKET, 22),
    several(SOL_RDS, 0, i32::MAX),
    several(libc::SOL_XDP, 0, i32::MAX),
];

const SOL_RDS: i32 = 276;
const AF_RDS: i32 = 21;

const fn one(level: i32, option: i32) -> Refused {
    several(level, option, option)
}

const fn several(level: i32, first: i32, last: i32) -> Refused {
    Refused { level, first, last }
}

/// Whether a call may be left to the host.
///
/// # Errors
/// `ENOPROTOOPT` for an option that is refused, `EAFNOSUPPORT` for sockets that are: their messages name addresses.
pub(super) fn check(args: &Args) -> Result<(), Errno> {
    match args.nr as i64 {
        libc::SYS_getsockopt | libc::SYS_setsockopt if is_refused(args.int(1), args.int(2)) => {
            Err(refusal(args.int(0)))
        }
        libc::SYS_socket if matches!(args.int(0), AF_RDS | libc::AF_XDP) => Err(Errno::EAFNOSUPPORT),
        _ => Ok(()),
    }
}

fn is_refused(level: i32, option: i32) -> bool {
    REFUSED.iter().any(|refused| refused.level == level && (refused.first..=refused.last).contains(&option))
}

/// What a descriptor answers to an option that it has never heard of.
fn refusal(descriptor: i32) -> Errno {
    match host::files::describe(descriptor) {
        Err(_) => Errno::EBADF,
        Ok(file) if file.kind != libc::S_IFSOCK => Errno::ENOTSOCK,
        Ok(_) => Errno::ENOPROTOOPT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_ask_for_is_left_to_the_host() {
        for (level, option) in [
            (libc::SOL_SOCKET, libc::SO_REUSEADDR),
            (libc::SOL_SOCKET, libc::SO_PEERCRED),
            (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
            (libc::IPPROTO_TCP, libc::TCP_NODELAY),
            (libc::IPPROTO_TCP, libc::TCP_INQ),
            (libc::IPPROTO_IP, libc::MCAST_JOIN_SOURCE_GROUP),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS),
            (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP),
        ] {
            assert!(!is_refused(level, option), "{level} {option}");
        }
        assert!(is_refused(libc::SOL_SOCKET, 26) && is_refused(libc::IPPROTO_IP, 64) && is_refused(libc::SOL_XDP, 4));
    }
}
