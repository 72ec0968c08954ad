//! Calls that transfer the parts of an iovec: one buffer for the host, its parts for the guest.

use super::buffers::MAX_TRANSFER_BYTES;
use super::cut::{Content, Extent};
use super::files::Changed;
use super::host_call::then;
use super::in_parts::{MAX_CALL_BYTES, window};
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::SpaceId;
use crate::outcome::Then;
use host::call::Call;

/// Parts of an iovec at most (UIO_MAXIOV).
const MAX_PARTS: u64 = 1024;

impl Kernel {
    pub(super) fn vector_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => self.read_parts(args),
            libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => self.write_parts(args),
            // Pages are copied: a pipe cannot hold frames of ours.
            libc::SYS_vmsplice => match host::files::describe(args.int(0)).map_err(|_| Errno::EBADF) {
                Ok(pipe) if pipe.kind != libc::S_IFIFO => Err(Errno::EBADF),
                Ok(pipe) if pipe.flags & libc::O_ACCMODE == libc::O_RDONLY => self.read_parts(args),
                Ok(_) => self.write_parts(args),
                Err(errno) => Err(errno),
            },
            _ => return None,
        })
    }

    fn read_parts(&mut self, args: &Args) -> Result<Flow, Errno> {
        if let Some(flow) = self.descriptor_call(args)? {
            return Ok(flow);
        }
        self.file_before(args)?;
        let space = self.space_of(args.tid);
        let wanted = self.parts(space, args.at(1), args.at(2))?;
        let mut parts = Vec::new();
        for (to, bytes) in self.next_of_vector(args, &wanted)? {
            match self.writable_part(space, to, bytes) {
                Ok(part) => {
                    parts.push((to, part));
                    if part < bytes {
                        break;
                    }
                }
                Err(errno) if parts.is_empty() => return Err(errno),
                Err(_) => break,
            }
        }
        let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        let (nr, offset) = match args.nr as i64 {
            libc::SYS_readv | libc::SYS_vmsplice => (libc::SYS_read, 0),
            _ if args.at(3) == u64::MAX => (libc::SYS_read, 0),
            _ => (libc::SYS_pread64, args.at(3).wrapping_add(self.progress(args.tid).done)),
        };
        let mut call = Call::plain(nr as u64, [args.at(0), 0, total, offset, 0, 0]);
        call.args[1] = call.buffer(vec![0; total as usize]);
        Ok(Flow::host(call, Then::Scatter { parts }))
    }

    fn write_parts(&mut self, args: &Args) -> Result<Flow, Errno> {
        if let Some(flow) = self.descriptor_call(args)? {
            return Ok(flow);
        }
        let Changed { file, device } = self.file_before(args)?;
        let space = self.space_of(args.tid);
        let wanted = self.parts(space, args.at(1), args.at(2))?;
        let parts = self.next_of_vector(args, &wanted)?;
        let mut bytes = self.gather(space, &parts)?.transferred(args)?;
        if !bytes.is_empty() {
            let room = self.room_in_memory(args, device, bytes.len() as u64)?;
            bytes.truncate(room as usize);
        }
        let (nr, offset) = match args.nr as i64 {
            libc::SYS_writev | libc::SYS_vmsplice => (libc::SYS_write, 0),
            _ if args.at(3) == u64::MAX => (libc::SYS_write, 0),
            _ => (libc::SYS_pwrite64, args.at(3).wrapping_add(self.progress(args.tid).done)),
        };
        let mut call = Call::plain(nr as u64, [args.at(0), 0, bytes.len() as u64, offset, 0, 0]);
        call.args[1] = call.buffer(bytes);
        Ok(Flow::host(call, then(Vec::new(), file)))
    }

    /// The first bytes of an iovec, at most so many, as far as they can be read.
    pub(crate) fn gather_first(&mut self, space: SpaceId, iovec: u64, count: u64, most: u64) -> Result<Content, Errno> {
        let parts = self.parts(space, iovec, count)?;
        self.gather(space, &window(&parts, 0, most.min(MAX_TRANSFER_BYTES)))
    }

    /// The bytes of parts of an iovec, as far as they can be read.
    pub(super) fn gather(&mut self, space: SpaceId, parts: &[(u64, u64)]) -> Result<Content, Errno> {
        let total: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
        let mut all = Content { bytes: Vec::with_capacity(total as usize), extent: Extent::Whole };
        for (from, bytes) in parts {
            match self.readable_part(space, *from, *bytes) {
                Ok(part) => {
                    all.bytes.extend(part.bytes);
                    all.extent = part.extent;
                }
                Err(errno) if all.bytes.is_empty() => return Err(errno),
                Err(_) => all.extent = Extent::Cut,
            }
            if all.extent == Extent::Cut {
                break;
            }
        }
        Ok(all)
    }

    /// An iovec: addresses and lengths, as far as Linux transfers them.
    pub(super) fn parts(&mut self, space: SpaceId, iovec: u64, count: u64) -> Result<Vec<(u64, u64)>, Errno> {
        if count > MAX_PARTS {
            return Err(Errno::EINVAL);
        }
        let bytes = self.bytes_in(space, iovec, count as usize * 16)?;
        let mut room = MAX_CALL_BYTES;
        let mut parts = Vec::new();
        for part in bytes.chunks_exact(16) {
            let word = |at: usize| u64::from_le_bytes(part[at..at + 8].try_into().expect("eight bytes"));
            if word(8) > i64::MAX as u64 {
                return Err(Errno::EINVAL);
            }
            let length = word(8).min(room);
            room -= length;
            parts.push((word(0), length));
        }
        Ok(parts)
    }
}
