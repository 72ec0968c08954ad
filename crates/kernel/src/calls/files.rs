//! Files: descriptors, paths under /proc, and telling the page cache what changes.

use super::host_call::PATH_BYTES;
use super::ioctl::{FICLONE, FICLONERANGE};
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::FileId;
use crate::outcome::{CopyLength, CopyOut, Then};
use addr::VirtAddr;
use host::call::{Arg, Call};

const F_GET_RW_HINT: i32 = 1035;
const F_SET_RW_HINT: i32 = 1036;
const F_GET_FILE_RW_HINT: i32 = 1037;
const F_SET_FILE_RW_HINT: i32 = 1038;
const DN_MULTISHOT: u64 = 0x8000_0000;

impl Kernel {
    pub(super) fn file_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_ioctl => self.ioctl(args),
            libc::SYS_fcntl => self.fcntl(args),
            _ => return None,
        })
    }

    fn fcntl(&mut self, args: &Args) -> Result<Flow, Errno> {
        if let Some(flow) = self.owner_fcntl(args) {
            return flow;
        }
        let mut call = Call::plain(args.nr, args.words);
        let mut copies = Vec::new();
        match args.int(1) {
            libc::F_GETLK
            | libc::F_OFD_GETLK
            | libc::F_SETLK
            | libc::F_SETLKW
            | libc::F_OFD_SETLK
            | libc::F_OFD_SETLKW => {
                let space = self.space_of(args.tid);
                let lock = self.bytes_in(space, args.at(2), 32)?;
                call.args[2] = call.buffer(lock);
                copies.push(CopyOut { buffer: 0, to: args.at(2), length: CopyLength::Whole });
            }
            // The host would signal pagewalk: descriptors of guests have no leases, and tell of no changes of a directory.
            _ if !host::files::is_open(args.int(0)) => return Err(Errno::EBADF),
            libc::F_ADD_SEALS => return self.add_seals(args.int(0), args.at(2)),
            // To be told of nothing.
            libc::F_NOTIFY if args.at(2) & !DN_MULTISHOT == 0 => {}
            libc::F_SETFL if args.at(2) & libc::O_ASYNC as u64 != 0 => self.before_async(args)?,
            F_GET_RW_HINT | F_GET_FILE_RW_HINT => {
                call.args[2] = call.buffer(vec![0; 8]);
                copies.push(CopyOut { buffer: 0, to: args.at(2), length: CopyLength::Whole });
            }
            F_SET_RW_HINT | F_SET_FILE_RW_HINT => {
                let hint = self.bytes_in(self.space_of(args.tid), args.at(2), 8)?;
                call.args[2] = call.buffer(hint);
            }
            libc::F_DUPFD
            | libc::F_DUPFD_CLOEXEC
            | libc::F_GETFD
            | libc::F_SETFD
            | libc::F_GETFL
            | libc::F_SETFL
            | libc::F_SETPIPE_SZ
            | libc::F_GETPIPE_SZ
            | libc::F_GET_SEALS
            | libc::F_GETLEASE => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(Flow::host(call, Then::Answer(copies)))
    }

    /// F_ADD_SEALS: the host decides, who is shown whether a program can store to the file through a map.
    fn add_seals(&mut self, descriptor: i32, seals: u64) -> Result<Flow, Errno> {
        let known = host::files::seals(descriptor).and_then(|_| host::files::regular_file(descriptor));
        let known = known.and_then(|(dev, ino)| self.mm.known_file(dev, ino));
        if let Some(file) = known {
            self.mm.before_sealing(file)?;
        }
        let added = host::files::add_seals(descriptor, seals);
        added.map_err(|error| Errno::of_host(&error))?;
        if let (Some(file), true) = (known, host::files::is_sealed(descriptor)) {
            self.mm.note_sealed(file);
        }
        Ok(Flow::Answer(0))
    }

    /// Before a call reads or writes a file that is in the page cache: what programs stored through shared maps goes
    /// to the host's file.
    pub(super) fn file_before(&mut self, args: &Args) -> Result<Changed, Errno> {
        let Some((target, effect)) = self.file_of_call(args)? else { return Ok(Changed::default()) };
        let file = self.mm.known_file(target.0, target.1);
        if let Some(file) = file {
            self.mm.sync_file(file);
        }
        match effect {
            Effect::Changes => Ok(Changed { file, device: Some(target.0) }),
            Effect::Reads => Ok(Changed::default()),
        }
    }

    fn file_of_call(&mut self, args: &Args) -> Result<Option<(DevIno, Effect)>, Errno> {
        let descriptor = |index: usize| host::files::regular_file(args.int(index));
        let found = match args.nr as i64 {
            libc::SYS_read | libc::SYS_pread64 | libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => {
                return Ok(descriptor(0).map(|file| (file, Effect::Reads)));
            }
            libc::SYS_write
            | libc::SYS_pwrite64
            | libc::SYS_writev
            | libc::SYS_pwritev
            | libc::SYS_pwritev2
            | libc::SYS_ftruncate
            | libc::SYS_fallocate => descriptor(0),
            libc::SYS_sendfile => {
                self.sync_source(descriptor(1));
                descriptor(0)
            }
            libc::SYS_copy_file_range | libc::SYS_splice => {
                self.sync_source(descriptor(0));
                descriptor(2)
            }
            libc::SYS_ioctl if matches!(args.at(1) as u32, FICLONE | FICLONERANGE) => {
                let source = match args.at(1) as u32 {
                    FICLONE => args.int(2),
                    _ => self.bytes_in(self.space_of(args.tid), args.at(2), 8).map(|first| super::word_of(&first, 0))?
                        as i32,
                };
                self.sync_source(host::files::regular_file(source));
                descriptor(0)
            }
            libc::SYS_fsync | libc::SYS_fdatasync | libc::SYS_sync_file_range => {
                return Ok(descriptor(0).map(|file| (file, Effect::Reads)));
            }
            libc::SYS_truncate => self.file_at(args, libc::AT_FDCWD, 0)?,
            nr => match self.open_flags(args).ok().flatten() {
                Some(flags) if flags & libc::O_TRUNC == 0 => None,
                Some(_) if matches!(nr, libc::SYS_open | libc::SYS_creat) => self.file_at(args, libc::AT_FDCWD, 0)?,
                Some(_) => self.file_at(args, args.int(0), 1)?,
                None => None,
            },
        };
        Ok(found.map(|file| (file, Effect::Changes)))
    }

    fn file_at(&mut self, args: &Args, directory: i32, index: usize) -> Result<Option<(u64, u64)>, Errno> {
        let space = self.space_of(args.tid);
        let path = self.mm.read_cstr(space, VirtAddr::new(args.at(index)), PATH_BYTES)?;
        Ok(host::files::file_at(directory, &path, 0))
    }

    fn sync_source(&mut self, file: Option<(u64, u64)>) {
        if let Some(file) = file.and_then(|(dev, ino)| self.mm.known_file(dev, ino)) {
            self.mm.sync_file(file);
        }
    }

    /// After a call has changed a file: the page cache shows what the host's file says now.
    pub(super) fn file_after(&mut self, call: &Call, file: FileId, result: i64) {
        let (Arg::Value(descriptor), bytes) = (call.args[0], result as u64) else { return self.mm.file_changed(file) };
        let start = match (call.nr as i64, call.args[3]) {
            (libc::SYS_write, _) => host::files::position(descriptor as i32).and_then(|at| at.checked_sub(bytes)),
            (libc::SYS_pwrite64, Arg::Value(offset)) => Some(offset),
            // Others have run meanwhile, and what they stored elsewhere in the file is not to be read over.
            (libc::SYS_splice, at) => spliced_to(call, at).and_then(|end| end.checked_sub(bytes)),
            _ => None,
        };
        match start {
            Some(start) => self.mm.file_written(file, start, bytes),
            None => self.mm.file_changed(file),
        }
    }
}

/// Where a splice into a file ended.
fn spliced_to(call: &Call, offset: Arg) -> Option<u64> {
    match (offset, call.args[2]) {
        (Arg::Buffer(buffer), _) => Some(super::word_of(&call.buffers[buffer], 0)),
        (_, Arg::Value(descriptor)) => host::files::position(descriptor as i32),
        _ => None,
    }
}

/// The file that a call may change.
#[derive(Clone, Copy, Default)]
pub(super) struct Changed {
    /// If it is in the page cache.
    pub file: Option<FileId>,
    /// Where it is, if there is such a file.
    pub device: Option<u64>,
}

/// A device and a file's number there.
type DevIno = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Changes,
}
