//! RLIMIT_FSIZE: writes end where the limit is, and one that begins there, or a file made longer, is refused with SIGXFSZ.

use super::Args;
use crate::Errno;
use crate::kernel::Kernel;
use crate::signal::{Cause, SI_USER, SigInfo};
use crate::task::Tid;
use addr::VirtAddr;
use host::files::Described;

/// Where a call writes: the argument that is the descriptor, and where it says at which byte.
pub(super) struct Writing {
    pub descriptor: usize,
    at: Position,
    /// The argument that says how many bytes; vectors say it elsewhere.
    pub length: Option<usize>,
}

/// Where a write begins.
#[derive(Clone, Copy)]
enum Position {
    /// Where the descriptor is.
    Own,
    /// At this byte.
    At(u64),
    /// At the byte that this address holds, or where the descriptor is, if it is null.
    Behind(u64),
}

impl Kernel {
    /// The call with as many bytes as the limit lets it write.
    ///
    /// # Errors
    /// `EFBIG` when that is none.
    pub(super) fn within_file_limit(&mut self, args: &Args) -> Result<Args, Errno> {
        let mut args = *args;
        match args.nr as i64 {
            libc::SYS_ftruncate => self.check_longer(&args, args.int(0), args.at(1))?,
            libc::SYS_fallocate if args.int(1) & libc::FALLOC_FL_KEEP_SIZE == 0 => {
                self.check_longer(&args, args.int(0), args.at(2).saturating_add(args.at(3)))?;
            }
            libc::SYS_truncate => self.check_longer_at_path(&args)?,
            _ => {
                if let Some(length) = writing(&args).and_then(|writing| writing.length) {
                    args.words[length] = args.words[length].min(self.room_in_file(&args)?);
                }
            }
        }
        Ok(args)
    }

    /// How many bytes the call may write.
    ///
    /// # Errors
    /// `EFBIG` when that is none, after SIGXFSZ was sent.
    pub(super) fn room_in_file(&mut self, args: &Args) -> Result<u64, Errno> {
        let limit = self.file_limit(args.tid);
        let Some(writing) = writing(args).filter(|_| limit != libc::RLIM_INFINITY) else { return Ok(u64::MAX) };
        let Some(file) = self.limited_file(args.int(writing.descriptor)) else { return Ok(u64::MAX) };
        match limit.saturating_sub(self.start_of(args, &writing, &file)?) {
            0 if writing.length.is_none_or(|length| args.at(length) > 0) => Err(self.too_large(args.tid)),
            room => Ok(room),
        }
    }

    /// The byte at which a call writes to a file first.
    pub(super) fn start_of(&mut self, args: &Args, writing: &Writing, file: &Described) -> Result<u64, Errno> {
        let offset = match writing.at {
            Position::At(offset) => Some(offset),
            Position::Own | Position::Behind(0) => host::files::position(args.int(writing.descriptor)),
            Position::Behind(at) => Some(self.mm.read_u64(self.space_of(args.tid), VirtAddr::new(at))?),
        };
        Ok(if file.flags & libc::O_APPEND != 0 { file.identity.size } else { offset.unwrap_or(0) })
    }

    fn file_limit(&self, tid: Tid) -> u64 {
        self.soft_limit(tid, libc::RLIMIT_FSIZE as usize)
    }

    /// A descriptor that can be written to and whose file the limit is about.
    fn limited_file(&self, descriptor: i32) -> Option<Described> {
        let file = host::files::describe(descriptor).ok()?;
        let is_ours = self.has_stand_ins && self.stand_ins.path_of(descriptor).is_some();
        let is_written = file.flags & libc::O_ACCMODE != libc::O_RDONLY;
        (file.kind == libc::S_IFREG && is_written && !is_ours).then_some(file)
    }

    fn check_longer(&mut self, args: &Args, descriptor: i32, size: u64) -> Result<(), Errno> {
        let limit = self.file_limit(args.tid);
        if limit == libc::RLIM_INFINITY || size <= limit || size > i64::MAX as u64 {
            return Ok(());
        }
        match self.limited_file(descriptor) {
            Some(file) if file.identity.size < size => Err(self.too_large(args.tid)),
            _ => Ok(()),
        }
    }

    fn check_longer_at_path(&mut self, args: &Args) -> Result<(), Errno> {
        let (limit, size) = (self.file_limit(args.tid), args.at(1));
        if limit == libc::RLIM_INFINITY || size <= limit || size > i64::MAX as u64 {
            return Ok(());
        }
        let space = self.space_of(args.tid);
        let path = self.mm.read_cstr(space, VirtAddr::new(args.at(0)), super::host_call::PATH_BYTES)?;
        match host::files::regular_size_at(&path) {
            Some(now) if now < size => Err(self.too_large(args.tid)),
            _ => Ok(()),
        }
    }

    fn too_large(&mut self, tid: Tid) -> Errno {
        self.signal_self(tid, libc::SIGXFSZ);
        Errno::EFBIG
    }

    /// A signal that comes with an error: Linux sends it in the caller's own name.
    pub(crate) fn signal_self(&mut self, tid: Tid, signal: i32) {
        let (pid, uid) = (self.pid_of(tid).0, host::files::identity()[0] as u32);
        self.send_to_task(tid, SigInfo { signal, code: SI_USER, cause: Cause::Sent { pid, uid, value: 0 } });
    }
}

/// How a call writes to a file, if it does.
pub(super) fn writing(args: &Args) -> Option<Writing> {
    let (descriptor, at, length) = match args.nr as i64 {
        libc::SYS_write => (0, Position::Own, Some(2)),
        libc::SYS_pwrite64 => (0, Position::At(args.at(3)), Some(2)),
        libc::SYS_writev => (0, Position::Own, None),
        libc::SYS_pwritev => (0, Position::At(args.at(3)), None),
        libc::SYS_pwritev2 if args.at(3) == u64::MAX => (0, Position::Own, None),
        libc::SYS_pwritev2 => (0, Position::At(args.at(3)), None),
        libc::SYS_sendfile => (0, Position::Own, Some(3)),
        libc::SYS_copy_file_range | libc::SYS_splice => (2, Position::Behind(args.at(3)), Some(4)),
        _ => return None,
    };
    Some(Writing { descriptor, at, length })
}
