//! sendmsg and recvmsg: a header that points to a name, to parts and to ancillary data.

use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{CopyLength, CopyOut, Then};
use addr::VirtAddr;
use host::call::{Call, Pointer};

const HEADER_BYTES: usize = 56;
const NAME: usize = 0;
const NAME_BYTES: usize = 8;
const PARTS: usize = 16;
const PART_COUNT: usize = 24;
const CONTROL: usize = 32;
const CONTROL_BYTES: usize = 40;
/// Largest name and ancillary data.
const MAX_BYTES: usize = 64 << 10;

impl Kernel {
    pub(super) fn socket_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_sendmsg => self.sendmsg(args),
            libc::SYS_recvmsg => self.recvmsg(args),
            _ => return None,
        })
    }

    fn sendmsg(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let guest = self.bytes_in(space, args.at(1), HEADER_BYTES)?;
        let bytes = self.gather(space, word(&guest, PARTS), word(&guest, PART_COUNT))?;
        let mut message = Message::new(args, bytes);
        for (field, length) in [(NAME, NAME_BYTES), (CONTROL, CONTROL_BYTES)] {
            let wanted = field_bytes(&guest, length)?;
            if word(&guest, field) != 0 && wanted > 0 {
                let content = self.bytes_in(space, word(&guest, field), wanted)?;
                message.add(field, length, content);
            }
        }
        Ok(Flow::Host(message.call, Then::Answer(Vec::new())))
    }

    fn recvmsg(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let guest = self.bytes_in(space, args.at(1), HEADER_BYTES)?;
        let parts = self.parts(space, word(&guest, PARTS), word(&guest, PART_COUNT))?;
        let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        let mut message = Message::new(args, vec![0; total as usize]);
        let mut copies = Vec::new();
        for (field, length) in [(NAME, NAME_BYTES), (CONTROL, CONTROL_BYTES)] {
            let wanted = field_bytes(&guest, length)?;
            if word(&guest, field) != 0 && wanted > 0 {
                let buffer = message.add(field, length, vec![0; wanted]);
                copies.push(CopyOut { buffer, to: word(&guest, field), length: CopyLength::Whole });
            }
        }
        // What the host says in the header: lengths and flags, never its pointers.
        let header = args.at(1);
        self.mm.write_all(space, VirtAddr::new(header), &guest)?;
        Ok(Flow::Host(message.call, Then::Received { parts, copies, header }))
    }
}

/// A message being built: the bytes of all parts are buffer 0, the header is 1, its one part is 2.
struct Message {
    call: Call,
}

impl Message {
    fn new(args: &Args, bytes: Vec<u8>) -> Self {
        let mut call = Call::plain(args.nr, args.words);
        let mut part = vec![0; 16];
        part[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        let mut header = vec![0; HEADER_BYTES];
        header[PART_COUNT] = 1;
        call.buffer(bytes);
        call.args[1] = call.buffer(header);
        call.buffer(part);
        call.pointers.push(Pointer { of: 1, offset: PARTS, to: 2 });
        call.pointers.push(Pointer { of: 2, offset: 0, to: 0 });
        Self { call }
    }

    fn add(&mut self, field: usize, length: usize, bytes: Vec<u8>) -> usize {
        let to = self.call.buffers.len();
        self.call.buffers[1][length..length + 4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.call.buffer(bytes);
        self.call.pointers.push(Pointer { of: 1, offset: field, to });
        to
    }
}

/// What the guest's header says after a message was received: the host's lengths and flags.
pub(super) fn received_header(host: &[u8]) -> [(usize, [u8; 4]); 3] {
    [NAME_BYTES, CONTROL_BYTES, 48].map(|at| (at, host[at..at + 4].try_into().expect("four bytes")))
}

fn field_bytes(header: &[u8], at: usize) -> Result<usize, Errno> {
    let bytes = match at {
        NAME_BYTES => u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")) as usize,
        _ => word(header, at) as usize,
    };
    if bytes > MAX_BYTES { Err(Errno::EINVAL) } else { Ok(bytes) }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
