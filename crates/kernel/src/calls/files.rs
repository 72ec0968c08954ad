//! Files: descriptors, paths under /proc, and telling the page cache what changes.

use super::host_call::PATH_BYTES;
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::FileId;
use crate::outcome::{CopyLength, CopyOut, Then};
use crate::proc::{self, ProcPath};
use crate::table::Row;
use crate::task::Tid;
use addr::VirtAddr;
use host::call::{Arg, Call};
use std::os::fd::IntoRawFd;

impl Kernel {
    pub(super) fn file_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        Some(match args.nr as i64 {
            libc::SYS_ioctl => self.ioctl(args),
            libc::SYS_fcntl => self.fcntl(args),
            _ => return None,
        })
    }

    fn fcntl(&mut self, args: &Args) -> Result<Flow, Errno> {
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
            // The host would signal pagewalk: descriptors of guests send no signals, have no owners and no leases.
            libc::F_SETOWN | libc::F_GETOWN => return Ok(Flow::Answer(0)),
            libc::F_SETFL => call.args[2] = Arg::Value(args.at(2) & !(libc::O_ASYNC as u64)),
            libc::F_DUPFD
            | libc::F_DUPFD_CLOEXEC
            | libc::F_GETFD
            | libc::F_SETFD
            | libc::F_GETFL
            | libc::F_SETPIPE_SZ
            | libc::F_GETPIPE_SZ
            | libc::F_ADD_SEALS
            | libc::F_GET_SEALS
            | libc::F_GETLEASE => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(Flow::Host(call, Then::Answer(copies)))
    }

    /// Calls whose path names something of ours under /proc.
    pub(super) fn special_path(&mut self, args: &Args, row: &Row) -> Result<Option<Flow>, Errno> {
        let path_index = match args.nr as i64 {
            libc::SYS_open | libc::SYS_readlink => 0,
            libc::SYS_openat | libc::SYS_readlinkat => 1,
            _ => return Ok(None),
        };
        let space = self.space_of(args.tid);
        let path = self.mm.read_cstr(space, VirtAddr::new(args.at(path_index)), PATH_BYTES)?;
        let ProcPath::Guest { pid, rest } = proc::classify(self, args.tid, &path) else { return Ok(None) };
        if row.name.starts_with("readlink") {
            let target = match rest.as_str() {
                "exe" => self.processes[&pid].image.path.clone(),
                "" if path.starts_with(b"/proc/self") => pid.to_string().into_bytes(),
                _ => return Ok(None),
            };
            let bytes = &target[..target.len().min(args.at(path_index + 2) as usize)];
            self.mm.write_all(space, VirtAddr::new(args.at(path_index + 1)), bytes)?;
            return Ok(Some(Flow::Answer(bytes.len() as u64)));
        }
        let flags = args.int(path_index + 1);
        if rest == "mem" {
            return Err(Errno::EACCES);
        }
        let Some(text) = self.proc_text(pid, args.tid, &rest) else { return Ok(None) };
        if flags & libc::O_ACCMODE != libc::O_RDONLY {
            return if rest == "comm" { Ok(None) } else { Err(Errno::EACCES) };
        }
        let file = host::files::text(&rest, &text).map_err(|_| Errno::EMFILE)?;
        let descriptor = file.into_raw_fd();
        if flags & libc::O_CLOEXEC == 0 {
            host::files::keep_on_exec(descriptor);
        }
        Ok(Some(Flow::Answer(descriptor as u64)))
    }

    /// The host's path for a guest's: names of guests under /proc become those of their threads, and processes of the
    /// host are not there.
    pub(super) fn host_path(&mut self, tid: Tid, path: Vec<u8>) -> Result<Vec<u8>, Errno> {
        match proc::classify(self, tid, &path) {
            ProcPath::Other => Ok(path),
            ProcPath::Missing => Err(Errno::ENOENT),
            ProcPath::Guest { pid, rest } if rest == "exe" => Ok(self.processes[&pid].image.path.clone()),
            ProcPath::Guest { pid, rest } => {
                // Not /proc/thread-self: that is a link, and a guest's directory is none.
                let its = self.processes[&pid].tasks.first().map_or(0, |tid| self.tasks[tid].host_tid);
                let is_own = self.tasks[&tid].pid == pid || its == 0;
                let host_tid = if is_own { host::guest_thread::host_tid() } else { its };
                let rest = if rest.is_empty() { rest } else { format!("/{rest}") };
                Ok(format!("/proc/self/task/{host_tid}{rest}").into_bytes())
            }
        }
    }

    /// Before a call reads or writes a file that is in the page cache: what programs stored through shared maps goes
    /// to the host's file. Returns the file if the call may change it.
    pub(super) fn file_before(&mut self, args: &Args) -> Result<Option<FileId>, Errno> {
        let Some((target, effect)) = self.file_of_call(args)? else { return Ok(None) };
        let Some(file) = self.mm.known_file(target.0, target.1) else { return Ok(None) };
        self.mm.sync_file(file);
        Ok((effect == Effect::Changes).then_some(file))
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
            libc::SYS_truncate | libc::SYS_creat => self.file_at(args, libc::AT_FDCWD, 0)?,
            libc::SYS_open if args.int(1) & libc::O_TRUNC != 0 => self.file_at(args, libc::AT_FDCWD, 0)?,
            libc::SYS_openat if args.int(2) & libc::O_TRUNC != 0 => self.file_at(args, args.int(0), 1)?,
            _ => None,
        };
        Ok(found.map(|file| (file, Effect::Changes)))
    }

    fn file_at(&mut self, args: &Args, directory: i32, index: usize) -> Result<Option<(u64, u64)>, Errno> {
        let space = self.space_of(args.tid);
        let path = self.mm.read_cstr(space, VirtAddr::new(args.at(index)), PATH_BYTES)?;
        Ok(host::files::file_at(directory, &path))
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
            _ => None,
        };
        match start {
            Some(start) => self.mm.file_written(file, start, bytes),
            None => self.mm.file_changed(file),
        }
    }
}

/// A device and a file's number there.
type DevIno = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Reads,
    Changes,
}
