//! sendmsg, recvmsg and their plural forms: headers that point to a name, to parts and to ancillary data.

use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{Received, Then};
use crate::task::Tid;
use addr::VirtAddr;
use host::call::{Arg, Call, Pointer};

/// struct msghdr.
const HEADER_BYTES: usize = 56;
const NAME: usize = 0;
const NAME_BYTES: usize = 8;
const PARTS: usize = 16;
const PART_COUNT: usize = 24;
const CONTROL: usize = 32;
pub(super) const CONTROL_BYTES: usize = 40;
const FLAGS: usize = 48;
/// struct mmsghdr: a header, and how many bytes its message had.
const MANY_BYTES: usize = 64;
const LENGTH: usize = 56;
/// Largest name and ancillary data.
const MAX_BYTES: usize = 64 << 10;
/// Messages of one call at most (UIO_MAXIOV); more are left to the next.
const MAX_MESSAGES: u64 = 1024;

impl Kernel {
    pub(super) fn socket_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_sendmsg => self.sendmsg(args),
            libc::SYS_recvmsg => self.recvmsg(args),
            libc::SYS_sendmmsg => self.sendmmsg(args),
            libc::SYS_recvmmsg => self.recvmmsg(args),
            _ => return None,
        })
    }

    fn sendmsg(&mut self, args: &Args) -> Result<Flow, Errno> {
        let mut messages = Messages::new(args, 1);
        let (header, parts) = self.message_at(args, args.at(1))?;
        let parts = self.next_of_vector(args, &parts)?;
        self.add_sent(args, &mut messages, 0, &header, &parts)?;
        Ok(Flow::host(messages.call, Then::Answer(Vec::new())))
    }

    fn sendmmsg(&mut self, args: &Args) -> Result<Flow, Errno> {
        let count = (args.at(2) as u32 as u64).min(MAX_MESSAGES);
        let mut messages = Messages::new(args, count as usize);
        for index in 0..count as usize {
            let (header, parts) = self.message_at(args, header_at(args.at(1), index))?;
            let Some(parts) = self.next_message(args, &mut messages, index, parts)? else { break };
            self.add_sent(args, &mut messages, index, &header, &parts)?;
        }
        Ok(Flow::host(messages.call, Then::SentMany { headers: args.at(1) }))
    }

    fn recvmsg(&mut self, args: &Args) -> Result<Flow, Errno> {
        let mut messages = Messages::new(args, 1);
        let (header, parts) = self.message_at(args, args.at(1))?;
        let parts = self.next_of_vector(args, &parts)?;
        let received = self.add_received(args, &mut messages, 0, &header, parts)?;
        Ok(Flow::host(messages.call, Then::Received(received)))
    }

    fn recvmmsg(&mut self, args: &Args) -> Result<Flow, Errno> {
        let space = self.space_of(args.tid);
        let count = (args.at(2) as u32 as u64).min(MAX_MESSAGES);
        let mut messages = Messages::new(args, count as usize);
        let mut received = Vec::new();
        for index in 0..count as usize {
            let (header, parts) = self.message_at(args, header_at(args.at(1), index))?;
            let Some(parts) = self.next_message(args, &mut messages, index, parts)? else { break };
            received.push(self.add_received(args, &mut messages, index, &header, parts)?);
        }
        if args.at(4) != 0 {
            let timeout = self.bytes_in(space, args.at(4), 16)?;
            messages.call.args[4] = messages.call.buffer(timeout);
        }
        Ok(Flow::host(messages.call, Then::ReceivedMany(received)))
    }

    /// A guest's header, and the parts that it points to.
    fn message_at(&mut self, args: &Args, at: u64) -> Result<(Header, Vec<(u64, u64)>), Errno> {
        let space = self.space_of(args.tid);
        let content = self.bytes_in(space, at, HEADER_BYTES)?;
        let parts = self.parts(space, word(&content, PARTS), word(&content, PART_COUNT))?;
        Ok((Header { at, content }, parts))
    }

    /// The parts of a message of many as they are transferred; `None` for one that is left to the next call, with all that
    /// follow, since together they are more than one call transfers.
    fn next_message(
        &mut self,
        args: &Args,
        messages: &mut Messages,
        index: usize,
        parts: Vec<(u64, u64)>,
    ) -> Result<Option<Vec<(u64, u64)>>, Errno> {
        let bytes = parts.iter().map(|(_, bytes)| bytes).sum::<u64>() + messages.bytes();
        let parts = match index {
            0 => self.next_of_vector(args, &parts)?,
            _ if bytes > self.host_buffers.most() => return Ok(None),
            _ => parts,
        };
        messages.call.args[2] = Arg::Value(index as u64 + 1);
        Ok(Some(parts))
    }

    fn add_sent(
        &mut self,
        args: &Args,
        messages: &mut Messages,
        index: usize,
        header: &Header,
        parts: &[(u64, u64)],
    ) -> Result<(), Errno> {
        let space = self.space_of(args.tid);
        let guest = &header.content;
        let bytes = self.gather(space, parts)?.transferred(args)?;
        messages.add_parts(index, bytes);
        if self.progress(args.tid).done > 0 {
            // Its name and its ancillary data went with the first part.
            return Ok(());
        }
        for (field, length) in [(NAME, NAME_BYTES), (CONTROL, CONTROL_BYTES)] {
            let wanted = field_bytes(guest, length)?;
            if word(guest, field) != 0 && wanted > 0 {
                let mut content = self.bytes_in(space, word(guest, field), wanted)?;
                if field == CONTROL {
                    self.name_senders(args.tid, &mut content)?;
                }
                messages.add(index, field, length, content);
            }
        }
        Ok(())
    }

    fn add_received(
        &mut self,
        args: &Args,
        messages: &mut Messages,
        index: usize,
        header: &Header,
        parts: Vec<(u64, u64)>,
    ) -> Result<Received, Errno> {
        let space = self.space_of(args.tid);
        let guest = &header.content;
        let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        let buffer = messages.add_parts(index, vec![0; total as usize]);
        let mut fields = Vec::new();
        for (field, length) in [(NAME, NAME_BYTES), (CONTROL, CONTROL_BYTES)] {
            let wanted = field_bytes(guest, length)?;
            if word(guest, field) != 0 && wanted > 0 {
                let buffer = messages.add(index, field, length, vec![0; wanted]);
                fields.push((buffer, length, word(guest, field)));
            }
        }
        // What the host says in the header: lengths and flags, never its pointers.
        self.mm.write_all(space, VirtAddr::new(header.at), guest)?;
        Ok(Received { parts, buffer, fields, at: index * MANY_BYTES, header: header.at })
    }

    /// One message of this many bytes was received: its content, its name, its ancillary data, and the header's
    /// lengths and flags.
    pub(super) fn after_received(
        &mut self,
        tid: Tid,
        call: &Call,
        received: &Received,
        bytes: usize,
    ) -> Result<(), Errno> {
        let content = &call.buffers[received.buffer];
        self.scatter(tid, &content[..content.len().min(bytes)], &received.parts)?;
        let space = self.space_of(tid);
        let header = &call.buffers[0][received.at..];
        for (buffer, length, to) in &received.fields {
            let content = &call.buffers[*buffer];
            let told = int(header, *length) as usize;
            self.mm.write_all(space, VirtAddr::new(*to), &content[..content.len().min(told)])?;
        }
        for at in [NAME_BYTES, CONTROL_BYTES, FLAGS] {
            let to = VirtAddr::new(received.header).wrapping_add(at as u64);
            self.mm.write_all(space, to, &int(header, at).to_le_bytes())?;
        }
        Ok(())
    }

    /// Many messages were received.
    pub(super) fn after_received_many(
        &mut self,
        tid: Tid,
        call: &Call,
        all: &[Received],
        count: usize,
    ) -> Result<(), Errno> {
        for received in &all[..count.min(all.len())] {
            let bytes = int(&call.buffers[0], received.at + LENGTH);
            self.after_received(tid, call, received, bytes as usize)?;
            self.tell_length(tid, received.header, bytes)?;
        }
        Ok(())
    }

    /// Many messages were sent.
    pub(super) fn after_sent_many(&mut self, tid: Tid, call: &Call, headers: u64, count: usize) -> Result<(), Errno> {
        for index in 0..count {
            let bytes = int(&call.buffers[0], index * MANY_BYTES + LENGTH);
            self.tell_length(tid, header_at(headers, index), bytes)?;
        }
        Ok(())
    }

    fn tell_length(&mut self, tid: Tid, header: u64, bytes: u32) -> Result<(), Errno> {
        let space = self.space_of(tid);
        self.mm.write_all(space, VirtAddr::new(header).wrapping_add(LENGTH as u64), &bytes.to_le_bytes())
    }
}

/// A header of the guest's.
struct Header {
    at: u64,
    content: Vec<u8>,
}

/// Messages being built: their headers are buffer 0, whether the call wants one or many.
struct Messages {
    call: Call,
}

impl Messages {
    fn new(args: &Args, count: usize) -> Self {
        let mut call = Call::plain(args.nr, args.words);
        call.args[1] = call.buffer(vec![0; count * MANY_BYTES]);
        Self { call }
    }

    fn bytes(&self) -> u64 {
        self.call.buffers.iter().map(|buffer| buffer.len() as u64).sum()
    }

    /// The bytes of all parts, as the one part that the host is told of.
    fn add_parts(&mut self, index: usize, bytes: Vec<u8>) -> usize {
        let (header, part) = (index * MANY_BYTES, self.call.buffers.len());
        let mut vector = vec![0; 16];
        vector[8..].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.call.buffers[0][header + PART_COUNT] = 1;
        self.call.buffer(vector);
        self.call.buffer(bytes);
        self.call.pointers.push(Pointer { of: 0, offset: header + PARTS, to: part });
        self.call.pointers.push(Pointer { of: part, offset: 0, to: part + 1 });
        part + 1
    }

    fn add(&mut self, index: usize, field: usize, length: usize, bytes: Vec<u8>) -> usize {
        let (header, to) = (index * MANY_BYTES, self.call.buffers.len());
        self.call.buffers[0][header + length..][..4].copy_from_slice(&(bytes.len() as u32).to_le_bytes());
        self.call.buffer(bytes);
        self.call.pointers.push(Pointer { of: 0, offset: header + field, to });
        to
    }
}

/// Where a header of many is.
fn header_at(first: u64, index: usize) -> u64 {
    first.wrapping_add((index * MANY_BYTES) as u64)
}

fn field_bytes(header: &[u8], at: usize) -> Result<usize, Errno> {
    let bytes = match at {
        NAME_BYTES => int(header, at) as usize,
        _ => word(header, at) as usize,
    };
    if bytes > MAX_BYTES { Err(Errno::EINVAL) } else { Ok(bytes) }
}

fn int(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
