//! Calls whose path or descriptor is of our /proc: what we do ourselves of them. The rest the host does with the path of
//! what it has there.

use super::buffers::MAX_TRANSFER_BYTES;
use super::host_call::PATH_BYTES;
use super::in_parts::window;
use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::{CopyLength, CopyOut, Then};
use crate::proc::{Found, LastLink, Layout, Link, Node, What};
use crate::table::{Kind, Row};
use crate::task::Tid;
use addr::VirtAddr;
use host::call::{Arg, Call};

/// Calls on a path that act on a link itself.
const KEEP_LINK: &[i64] = &[
    libc::SYS_lstat,
    libc::SYS_readlink,
    libc::SYS_readlinkat,
    libc::SYS_lchown,
    libc::SYS_lgetxattr,
    libc::SYS_lsetxattr,
    libc::SYS_llistxattr,
    libc::SYS_lremovexattr,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_rmdir,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_symlink,
    libc::SYS_symlinkat,
    libc::SYS_link,
    libc::SYS_linkat,
];
/// Calls with a word of `AT_*` flags, by the argument that it is.
const AT_FLAGS: &[(i64, usize)] = &[
    (libc::SYS_newfstatat, 3),
    (libc::SYS_statx, 2),
    (libc::SYS_fchownat, 4),
    (libc::SYS_faccessat2, 3),
    (libc::SYS_utimensat, 3),
];
/// Bytes of struct open_how as far as we look: flags, mode, resolve.
const OPEN_HOW_BYTES: usize = 24;

impl Kernel {
    /// Does what a call asks of a node; `None` if the host can do it.
    pub(super) fn proc_call(&mut self, args: &Args, row: &Row) -> Result<Option<Flow>, Errno> {
        if let Some(flow) = self.descriptor_call(args)? {
            return Ok(Some(flow));
        }
        let Some((index, directory)) = first_path(args, row) else { return self.getcwd(args) };
        let space = self.space_of(args.tid);
        if args.at(index) == 0 {
            return Ok(None);
        }
        let path = self.mm.read_cstr(space, VirtAddr::new(args.at(index)), PATH_BYTES)?;
        let flags = self.open_flags(args)?;
        let found = self.resolve(args.tid, directory, &path, last_link(args, flags))?;
        match (args.nr as i64, found) {
            (libc::SYS_chdir, Found::Node(node)) => self.enter(node).map(Some),
            (libc::SYS_chdir, found) => {
                let call = self.path_call(args, index, &found, path);
                Ok(Some(Flow::host(call, Then::Entered { directory: None })))
            }
            (libc::SYS_readlink | libc::SYS_readlinkat, Found::Node(node)) => self.read_link(args, index, &node),
            (libc::SYS_inotify_add_watch, Found::Node(_)) => Err(Errno::EACCES),
            (_, Found::Node(node)) => match flags {
                Some(flags) => {
                    let descriptor = self.open_node(args.tid, &node, flags)?;
                    Ok(descriptor.map(|descriptor| Flow::Answer(descriptor as u64)))
                }
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The host's path for a guest's: what is ours is where the host has it.
    pub(super) fn host_path(&mut self, args: &Args, row: &Row, index: usize, path: Vec<u8>) -> Result<Vec<u8>, Errno> {
        let directory = directory_of(args, row, index);
        let flags = self.open_flags(args)?;
        Ok(match self.resolve(args.tid, directory, &path, last_link(args, flags))? {
            Found::Host => path,
            Found::HostPath(path) => path.into_bytes(),
            Found::Node(node) => self.host_path_of(&node).into_bytes(),
        })
    }

    /// The path of a program: what execve is to open.
    pub(super) fn program_path(&mut self, tid: Tid, path: Vec<u8>) -> Result<Vec<u8>, Errno> {
        match self.resolve(tid, libc::AT_FDCWD, &path, LastLink::Followed)? {
            Found::Host => Ok(path),
            Found::HostPath(path) => Ok(path.into_bytes()),
            Found::Node(_) => Err(Errno::EACCES),
        }
    }

    /// A call with its first path replaced.
    fn path_call(&mut self, args: &Args, index: usize, found: &Found, path: Vec<u8>) -> Call {
        let mut call = Call::plain(args.nr, args.words);
        let mut bytes = match found {
            Found::HostPath(path) => path.clone().into_bytes(),
            Found::Host | Found::Node(_) => path,
        };
        bytes.push(0);
        call.args[index] = call.buffer(bytes);
        call
    }

    /// The flags of open, if the call is one.
    pub(super) fn open_flags(&mut self, args: &Args) -> Result<Option<i32>, Errno> {
        Ok(match args.nr as i64 {
            libc::SYS_open => Some(args.int(1)),
            libc::SYS_openat => Some(args.int(2)),
            libc::SYS_creat => Some(libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC),
            libc::SYS_openat2 => {
                let space = self.space_of(args.tid);
                let how = self.bytes_in(space, args.at(2), OPEN_HOW_BYTES)?;
                Some(i32::from_le_bytes(how[..4].try_into().expect("four bytes")))
            }
            _ => None,
        })
    }

    /// chdir and fchdir into a directory of ours: the host's thread waits at the root meanwhile.
    fn enter(&mut self, node: Node) -> Result<Flow, Errno> {
        if !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let mut call = Call::plain(libc::SYS_chdir as u64, [0; 6]);
        call.args[0] = call.buffer(b"/\0".to_vec());
        Ok(Flow::host(call, Then::Entered { directory: Some(node.path) }))
    }

    fn getcwd(&mut self, args: &Args) -> Result<Option<Flow>, Errno> {
        if args.nr as i64 != libc::SYS_getcwd {
            return Ok(None);
        }
        let Some(path) = self.tasks[&args.tid].directory.get() else { return Ok(None) };
        let mut bytes = path.into_bytes();
        bytes.push(0);
        if (bytes.len() as u64) > args.at(1) {
            return Err(Errno::ERANGE);
        }
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(0)), &bytes)?;
        Ok(Some(Flow::Answer(bytes.len() as u64)))
    }

    fn read_link(&mut self, args: &Args, index: usize, node: &Node) -> Result<Option<Flow>, Errno> {
        let What::Link(link) = node.what else { return Err(Errno::EINVAL) };
        if link == Link::Shown {
            return Ok(None);
        }
        let target = self.target_of(args.tid, node, link)?;
        let bytes = &target[..target.len().min(args.at(index + 2) as usize)];
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(index + 1)), bytes)?;
        Ok(Some(Flow::Answer(bytes.len() as u64)))
    }

    /// Calls on a descriptor that stands for a node.
    pub(super) fn descriptor_call(&mut self, args: &Args) -> Result<Option<Flow>, Errno> {
        let nr = args.nr as i64;
        if !self.has_stand_ins || !OF_DESCRIPTORS.contains(&nr) {
            return self.leave_directory(args);
        }
        let index = usize::from(nr == libc::SYS_sendfile);
        let Some(node) = self.stood_for(args.tid, args.int(index))? else { return self.leave_directory(args) };
        match nr {
            libc::SYS_fchdir => self.enter(node).map(Some),
            libc::SYS_fstat => Ok(Some(self.host_stat(args, &node, libc::SYS_newfstatat, 144))),
            libc::SYS_fstatfs => Ok(Some(self.host_stat(args, &node, libc::SYS_statfs, 120))),
            libc::SYS_getdents64 => self.getdents(args, &node, Layout::Dirent64).map(Some),
            libc::SYS_getdents => self.getdents(args, &node, Layout::Dirent).map(Some),
            libc::SYS_ftruncate => Err(Errno::EINVAL),
            libc::SYS_fchmod => Err(Errno::EPERM),
            libc::SYS_write | libc::SYS_pwrite64 => {
                let space = self.space_of(args.tid);
                let bytes = self.readable_part(space, args.at(1), args.at(2))?.bytes;
                self.write_stand_in(args, &node, &bytes).map(Some)
            }
            libc::SYS_writev | libc::SYS_pwritev | libc::SYS_pwritev2 => {
                let space = self.space_of(args.tid);
                let bytes = self.gather_first(space, args.at(1), args.at(2), MAX_TRANSFER_BYTES)?.bytes;
                self.write_stand_in(args, &node, &bytes).map(Some)
            }
            _ => self.read_stand_in(args, &node),
        }
    }

    /// fchdir to a directory of the host's: only the host knows whether it works.
    fn leave_directory(&mut self, args: &Args) -> Result<Option<Flow>, Errno> {
        let goes = args.nr as i64 == libc::SYS_fchdir;
        Ok(goes.then(|| Flow::host(Call::plain(args.nr, args.words), Then::Entered { directory: None })))
    }

    /// The node that a descriptor stands for, if it does.
    pub(super) fn stood_for(&mut self, tid: Tid, descriptor: i32) -> Result<Option<Node>, Errno> {
        if !self.has_stand_ins {
            return Ok(None);
        }
        let Some(path) = self.stand_ins.path_of(descriptor) else { return Ok(None) };
        // The process may be gone: Linux says ESRCH then, and ENOENT in its directories.
        self.node_of_path(tid, &path).map(Some).ok_or(Errno::ESRCH)
    }

    fn read_stand_in(&mut self, args: &Args, node: &Node) -> Result<Option<Flow>, Errno> {
        let space = self.space_of(args.tid);
        let parts = match args.nr as i64 {
            libc::SYS_readv | libc::SYS_preadv | libc::SYS_preadv2 => {
                window(&self.parts(space, args.at(1), args.at(2))?, 0, MAX_TRANSFER_BYTES)
            }
            libc::SYS_read | libc::SYS_pread64 => vec![(args.at(1), args.at(2).min(MAX_READ_BYTES))],
            _ => vec![(0, 0)],
        };
        let descriptor = args.int(usize::from(args.nr as i64 == libc::SYS_sendfile));
        if !host::files::is_readable(descriptor) {
            return Err(Errno::EBADF);
        }
        let total = parts.iter().map(|(_, bytes)| bytes).sum();
        let (at, moves) = position_of(args, descriptor)?;
        let bytes = match self.read_node(node, descriptor, at, total)? {
            crate::proc::Content::Behind => return Ok(None),
            crate::proc::Content::Bytes(bytes) => bytes,
        };
        self.scatter(args.tid, &bytes, &parts)?;
        if moves == Moves::Yes {
            host::stand_in::set_position(descriptor, at + bytes.len() as u64).map_err(|_| Errno::EINVAL)?;
        }
        Ok(Some(Flow::Answer(bytes.len() as u64)))
    }

    fn write_stand_in(&mut self, args: &Args, node: &Node, bytes: &[u8]) -> Result<Flow, Errno> {
        let descriptor = args.int(0);
        if !host::files::is_writable(descriptor) {
            return Err(Errno::EBADF);
        }
        let (at, moves) = position_of(args, descriptor)?;
        let done = self.write_node(node, at, bytes)?;
        if moves == Moves::Yes {
            host::stand_in::set_position(descriptor, at + done).map_err(|_| Errno::EINVAL)?;
        }
        Ok(Flow::Answer(done))
    }

    fn getdents(&mut self, args: &Args, node: &Node, layout: Layout) -> Result<Flow, Errno> {
        let descriptor = args.int(0);
        let at = host::files::position(descriptor).ok_or(Errno::EBADF)?;
        let room = (args.at(2) as u32).min(MAX_READ_BYTES as u32) as usize;
        let (bytes, last) = self.entries_of(node, at, room, layout)?;
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &bytes)?;
        host::stand_in::set_position(descriptor, last).map_err(|_| Errno::EBADF)?;
        Ok(Flow::Answer(bytes.len() as u64))
    }

    /// fstat and fstatfs of a stand-in: of what the host has there.
    fn host_stat(&mut self, args: &Args, node: &Node, nr: i64, bytes: usize) -> Flow {
        let mut call = Call::plain(nr as u64, [0; 6]);
        let mut path = self.host_path_of(node).into_bytes();
        path.push(0);
        let path = call.buffer(path);
        let answer = call.buffer(vec![0; bytes]);
        call.args[..2].copy_from_slice(&[path, answer]);
        if nr == libc::SYS_newfstatat {
            call.args[..3].copy_from_slice(&[Arg::Value(libc::AT_FDCWD as u64), path, answer]);
        }
        Flow::host(call, Then::Answer(vec![CopyOut { buffer: 1, to: args.at(1), length: CopyLength::Whole }]))
    }
}

/// The longest read that is answered at once.
const MAX_READ_BYTES: u64 = 1 << 20;
/// Calls on descriptors that mean something else on stand-ins.
const OF_DESCRIPTORS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_writev,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_copy_file_range,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getdents,
    libc::SYS_getdents64,
    libc::SYS_fchdir,
    libc::SYS_ftruncate,
    libc::SYS_fchmod,
];

/// Whether a call moves the position of its descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moves {
    Yes,
    No,
}

/// Where a call reads or writes.
fn position_of(args: &Args, descriptor: i32) -> Result<(u64, Moves), Errno> {
    match args.nr as i64 {
        libc::SYS_pread64 | libc::SYS_preadv | libc::SYS_preadv2 | libc::SYS_pwrite64 | libc::SYS_pwritev
            if args.at(3) != u64::MAX =>
        {
            Ok((args.at(3), Moves::No))
        }
        _ => host::files::position(descriptor).map(|at| (at, Moves::Yes)).ok_or(Errno::EBADF),
    }
}

/// The index of a call's first path, and the directory it is relative to.
fn first_path(args: &Args, row: &Row) -> Option<(usize, i32)> {
    let index = row.args.iter().position(|kind| *kind == Kind::Path)?;
    Some((index, directory_of(args, row, index)))
}

/// The descriptor in front of a path is the directory, except where it is what watches.
fn directory_of(args: &Args, row: &Row, index: usize) -> i32 {
    let is_at = index > 0 && row.args[index - 1] == Kind::Fd && args.nr as i64 != libc::SYS_inotify_add_watch;
    if is_at { args.int(index - 1) } else { libc::AT_FDCWD }
}

fn last_link(args: &Args, open_flags: Option<i32>) -> LastLink {
    let at_flags = AT_FLAGS.iter().find(|(nr, _)| *nr == args.nr as i64).map_or(0, |(_, index)| args.int(*index));
    let keeps = KEEP_LINK.contains(&(args.nr as i64))
        || at_flags & libc::AT_SYMLINK_NOFOLLOW != 0
        || open_flags.is_some_and(|flags| flags & libc::O_NOFOLLOW != 0);
    if keeps { LastLink::Kept } else { LastLink::Followed }
}
