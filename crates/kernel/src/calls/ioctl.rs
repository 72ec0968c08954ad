//! ioctl: the requests that are known, with what their argument points to.

use super::host_call::then;
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{CopyLength, CopyOut, Then};
use host::call::{Call, Pointer};

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
    (FIBMAP, Shape::InOut(4)),
    (0x0002, Shape::Out(4)),  // FIGETBSZ
    (0x5401, Shape::Out(36)), // TCGETS
    (0x5402, Shape::In(36)),  // TCSETS
    (0x5403, Shape::In(36)),  // TCSETSW
    (0x5404, Shape::In(36)),  // TCSETSF
    (0x5405, Shape::Out(18)), // TCGETA
    (0x5406, Shape::In(18)),  // TCSETA
    (0x5407, Shape::In(18)),  // TCSETAW
    (0x5408, Shape::In(18)),  // TCSETAF
    (0x5409, Shape::Value),   // TCSBRK
    (0x540a, Shape::Value),   // TCXONC
    (0x540b, Shape::Value),   // TCFLSH
    (0x5411, Shape::Out(4)),  // TIOCOUTQ
    (0x540c, Shape::Value),   // TIOCEXCL
    (0x540d, Shape::Value),   // TIOCNXCL
    (0x5413, Shape::Out(8)),  // TIOCGWINSZ
    (0x541b, Shape::Out(4)),  // FIONREAD
    (0x5421, Shape::In(4)),   // FIONBIO
    (0x5420, Shape::In(4)),   // TIOCPKT
    (0x5423, Shape::In(4)),   // TIOCSETD
    (0x5424, Shape::Out(4)),  // TIOCGETD
    (0x5425, Shape::Value),   // TCSBRKP
    (0x5441, Shape::Value),   // TIOCGPTPEER
    (FIOASYNC, Shape::In(4)),
    (0x5450, Shape::Value),        // FIONCLEX
    (0x5451, Shape::Value),        // FIOCLEX
    (0x5460, Shape::Out(8)),       // FIOQSIZE
    (0x8905, Shape::Out(4)),       // SIOCATMARK
    (0x894b, Shape::Out(4)),       // SIOCOUTQNSD
    (0x802c_542a, Shape::Out(44)), // TCGETS2
    (0x402c_542b, Shape::In(44)),  // TCSETS2
    (0x402c_542c, Shape::In(44)),  // TCSETSW2
    (0x402c_542d, Shape::In(44)),  // TCSETSF2
    (0x8004_5430, Shape::Out(4)),  // TIOCGPTN
    (0x4004_5431, Shape::In(4)),   // TIOCSPTLCK
    (0x8004_5432, Shape::Out(4)),  // TIOCGDEV
    (0x8004_5438, Shape::Out(4)),  // TIOCGPKT
    (0x8004_5439, Shape::Out(4)),  // TIOCGPTLCK
    (0x8004_5440, Shape::Out(4)),  // TIOCGEXCL
    (0x4008_5400, Shape::In(8)),   // TFD_IOC_SET_TICKS
    (0x8008_8a02, Shape::Out(8)),  // EPIOCGPARAMS
    (0x4008_8a01, Shape::In(8)),   // EPIOCSPARAMS
    (FICLONE, Shape::Value),
    (FICLONERANGE, Shape::In(32)),
    // Their numbers say long; Linux reads and writes an int.
    (0x8008_6601, Shape::Out(4)),  // FS_IOC_GETFLAGS
    (0x4008_6602, Shape::In(4)),   // FS_IOC_SETFLAGS
    (0x8008_7601, Shape::Out(4)),  // FS_IOC_GETVERSION
    (0x801c_581f, Shape::Out(28)), // FS_IOC_FSGETXATTR
    (0x8008_1272, Shape::Out(8)),  // BLKGETSIZE64
    (0x8004_5200, Shape::Out(4)),  // RNDGETENTCNT
];

/// The block of the disk that a file's block is, as an int.
const FIBMAP: u32 = 1;
/// Where a file is on the disk: a header, and as many parts as it says there is room for.
const FS_IOC_FIEMAP: u32 = 0xc020_660b;
const MAP_BYTES: usize = 32;
const PART_BYTES: usize = 56;
const ROOM_AT: usize = 24;
/// The most parts that one call is asked for.
const MAX_PARTS: u32 = 1 << 16;

/// The addresses of all network interfaces.
const SIOCGIFCONF: u32 = 0x8912;
/// `struct ifconf`: how many bytes there is room for, and where.
const LIST_BYTES: usize = 16;
const LIST_AT: usize = 8;
/// The longest list of interfaces.
const MAX_LIST_BYTES: i32 = 1 << 20;
/// The number of a network interface.
const SIOCGIFINDEX: u32 = 0x8933;
/// Gives a file the content of another, whose descriptor is the argument.
pub(super) const FICLONE: u32 = 0x4004_9409;
/// The same of a range; the argument points to a struct that begins with the descriptor.
pub(super) const FICLONERANGE: u32 = 0x4020_940d;
/// O_ASYNC.
const FIOASYNC: u32 = 0x5452;

impl Kernel {
    pub(super) fn ioctl(&mut self, args: &Args) -> Result<Flow, Errno> {
        let request = args.at(1) as u32;
        if let Some(flow) = self.terminal_ioctl(args) {
            return flow;
        }
        if let Some(flow) = self.owner_ioctl(args) {
            return flow;
        }
        if request == FIOASYNC && host::files::is_open(args.int(0)) {
            self.before_async(args)?;
        }
        if request == FS_IOC_FIEMAP {
            return self.file_parts(args);
        }
        if request == SIOCGIFCONF {
            return self.interfaces(args);
        }
        let shape = match KNOWN.iter().find(|(known, _)| *known == request) {
            Some((_, shape)) => *shape,
            // Network interfaces: struct ifreq.
            None if (0x8910..=0x8927).contains(&request) => Shape::InOut(40),
            None if request == SIOCGIFINDEX => Shape::InOut(40),
            None => return Err(no_such_request(args.int(0))),
        };
        let space = self.space_of(args.tid);
        if !host::files::is_open(args.int(0)) {
            return Err(Errno::EBADF);
        }
        let file = self.file_before(args)?.file;
        let mut call = Call::plain(args.nr, args.words);
        let bytes = match shape {
            Shape::Value => return Ok(Flow::host(call, then(Vec::new(), file))),
            Shape::In(bytes) | Shape::InOut(bytes) => self.bytes_in(space, args.at(2), bytes)?,
            Shape::Out(bytes) => vec![0; bytes],
        };
        call.args[2] = call.buffer(bytes);
        let copy = CopyOut { buffer: 0, to: args.at(2), length: CopyLength::Whole };
        let copies = if matches!(shape, Shape::In(_)) { Vec::new() } else { vec![copy] };
        Ok(Flow::host(call, then(copies, file)))
    }

    fn file_parts(&mut self, args: &Args) -> Result<Flow, Errno> {
        if !host::files::is_open(args.int(0)) {
            return Err(Errno::EBADF);
        }
        let space = self.space_of(args.tid);
        let mut map = self.bytes_in(space, args.at(2), MAP_BYTES)?;
        let room = u32::from_le_bytes(*map[ROOM_AT..].first_chunk().expect("the header has that word"));
        let room = room.min(MAX_PARTS);
        map[ROOM_AT..ROOM_AT + 4].copy_from_slice(&room.to_le_bytes());
        // Parts that the host does not write stay what they are.
        map.extend(self.bytes_in(space, args.at(2) + MAP_BYTES as u64, room as usize * PART_BYTES)?);
        let mut call = Call::plain(args.nr, args.words);
        call.args[2] = call.buffer(map);
        let copy = CopyOut { buffer: 0, to: args.at(2), length: CopyLength::Whole };
        Ok(Flow::host(call, Then::Answer(vec![copy])))
    }

    /// The list of network interfaces, or how long it is if the guest says no place for it.
    fn interfaces(&mut self, args: &Args) -> Result<Flow, Errno> {
        if !host::files::is_open(args.int(0)) {
            return Err(Errno::EBADF);
        }
        let space = self.space_of(args.tid);
        let list = self.bytes_in(space, args.at(2), LIST_BYTES)?;
        let room = i32::from_le_bytes(*list.first_chunk().expect("the structure begins with an int"));
        let room = room.clamp(0, MAX_LIST_BYTES);
        let to = super::word_of(&list, LIST_AT);
        let mut call = Call::plain(args.nr, args.words);
        call.args[2] = call.buffer([u64::from(room as u32).to_le_bytes(), [0; 8]].concat());
        // Its length alone: where the list is for the host is nothing to the guest.
        let mut copies = vec![CopyOut { buffer: 0, to: args.at(2), length: CopyLength::First(4) }];
        if to != 0 {
            call.buffer(vec![0; room as usize]);
            call.pointers.push(Pointer { of: 0, offset: LIST_AT, to: 1 });
            copies.push(CopyOut { buffer: 1, to, length: CopyLength::Word(0) });
        }
        Ok(Flow::host(call, Then::Answer(copies)))
    }
}

/// Why a descriptor does not know a request.
pub(super) fn no_such_request(descriptor: i32) -> Errno {
    if host::files::is_open(descriptor) { Errno::ENOTTY } else { Errno::EBADF }
}
