//! ioctl: the requests that are known, with what their argument points to.

use super::host_call::then;
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{CopyLength, CopyOut};
use host::call::Call;

/// What the argument of a request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Value,
    In(usize),
    Out(usize),
    InOut(usize),
}

/// Requests that the host executes, by number.
const KNOWN: &[(u32, Shape)] = &[
    (0x0002, Shape::Out(4)),       // FIGETBSZ
    (0x5401, Shape::Out(36)),      // TCGETS
    (0x5402, Shape::In(36)),       // TCSETS
    (0x5403, Shape::In(36)),       // TCSETSW
    (0x5404, Shape::In(36)),       // TCSETSF
    (0x5409, Shape::Value),        // TCSBRK
    (0x540a, Shape::Value),        // TCXONC
    (0x540b, Shape::Value),        // TCFLSH
    (0x5411, Shape::Out(4)),       // TIOCOUTQ
    (0x540c, Shape::Value),        // TIOCEXCL
    (0x540d, Shape::Value),        // TIOCNXCL
    (0x5413, Shape::Out(8)),       // TIOCGWINSZ
    (0x541b, Shape::Out(4)),       // FIONREAD
    (0x5421, Shape::In(4)),        // FIONBIO
    (0x5420, Shape::In(4)),        // TIOCPKT
    (0x5423, Shape::In(4)),        // TIOCSETD
    (0x5424, Shape::Out(4)),       // TIOCGETD
    (0x5425, Shape::Value),        // TCSBRKP
    (0x5441, Shape::Value),        // TIOCGPTPEER
    (0x5450, Shape::Value),        // FIONCLEX
    (0x5451, Shape::Value),        // FIOCLEX
    (0x802c_542a, Shape::Out(44)), // TCGETS2
    (0x402c_542b, Shape::In(44)),  // TCSETS2
    (0x402c_542c, Shape::In(44)),  // TCSETSW2
    (0x402c_542d, Shape::In(44)),  // TCSETSF2
    (0x8004_5430, Shape::Out(4)),  // TIOCGPTN
    (0x4004_5431, Shape::In(4)),   // TIOCSPTLCK
    (0x8004_5432, Shape::Out(4)),  // TIOCGDEV
    (0x8004_5438, Shape::Out(4)),  // TIOCGPKT
    (0x8004_5439, Shape::Out(4)),  // TIOCGPTLCK
    (FICLONE, Shape::Value),
    (FICLONERANGE, Shape::In(32)),
    (0x8008_6601, Shape::Out(8)), // FS_IOC_GETFLAGS
    (0x4008_6602, Shape::In(8)),  // FS_IOC_SETFLAGS
    (0x8008_1272, Shape::Out(8)), // BLKGETSIZE64
    (0x8004_5200, Shape::Out(4)), // RNDGETENTCNT
];

/// The number of a network interface.
const SIOCGIFINDEX: u32 = 0x8933;
/// Gives a file the content of another, whose descriptor is the argument.
pub(super) const FICLONE: u32 = 0x4004_9409;
/// The same of a range; the argument points to a struct that begins with the descriptor.
pub(super) const FICLONERANGE: u32 = 0x4020_940d;
/// Asks for signals when a descriptor is ready; they would go to pagewalk, and descriptors of guests send none.
const FIOASYNC: u32 = 0x5452;

impl Kernel {
    pub(super) fn ioctl(&mut self, args: &Args) -> Result<Flow, Errno> {
        let request = args.at(1) as u32;
        if let Some(flow) = self.terminal_ioctl(args) {
            return flow;
        }
        if request == FIOASYNC && host::files::is_open(args.int(0)) {
            return Ok(Flow::Answer(0));
        }
        let shape = match KNOWN.iter().find(|(known, _)| *known == request) {
            Some((_, shape)) => *shape,
            // Network interfaces: struct ifreq, except for the list of all.
            None if (0x8910..=0x8927).contains(&request) && request != 0x8912 => Shape::InOut(40),
            None if request == SIOCGIFINDEX => Shape::InOut(40),
            None => return Err(no_such_request(args.int(0))),
        };
        let space = self.space_of(args.tid);
        if !host::files::is_open(args.int(0)) {
            return Err(Errno::EBADF);
        }
        let file = self.file_before(args)?;
        let mut call = Call::plain(args.nr, args.words);
        let bytes = match shape {
            Shape::Value => return Ok(Flow::Host(call, then(Vec::new(), file))),
            Shape::In(bytes) | Shape::InOut(bytes) => self.bytes_in(space, args.at(2), bytes)?,
            Shape::Out(bytes) => vec![0; bytes],
        };
        call.args[2] = call.buffer(bytes);
        let copy = CopyOut { buffer: 0, to: args.at(2), length: CopyLength::Whole };
        let copies = if matches!(shape, Shape::In(_)) { Vec::new() } else { vec![copy] };
        Ok(Flow::Host(call, then(copies, file)))
    }
}

/// Why a descriptor does not know a request.
pub(super) fn no_such_request(descriptor: i32) -> Errno {
    if host::files::is_open(descriptor) { Errno::ENOTTY } else { Errno::EBADF }
}
