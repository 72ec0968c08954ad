//! A program that is executed is not written to: ETXTBSY.
//!
//! The host does not know what guests execute, so whoever opens such a file for writing, or truncates it by its name, is
//! refused here. Whether a file that is about to be executed is open for writing is asked of the host
//! (`exec::load`).

use super::opened::flags_of;
use crate::Errno;
use crate::kernel::Kernel;
use host::call::{Arg, Call};

/// What a call that is ready for the host asks of a file by its name.
struct Wanted<'a> {
    directory: i32,
    path: &'a [u8],
    /// `R_OK` and `W_OK`.
    access: i32,
    /// `AT_SYMLINK_NOFOLLOW`, or nothing.
    links: i32,
}

impl Kernel {
    /// Before the host opens a file for writing, or truncates it: no guest executes it. What the host would refuse for
    /// another reason is left to it.
    pub(super) fn refuse_running_program(&self, call: &Call) -> Result<(), Errno> {
        let Some(Wanted { directory, path, access, links }) = wanted(call) else { return Ok(()) };
        let Some(file) = host::files::file_at(directory, path, links) else { return Ok(()) };
        let executes = |process: &crate::task::Process| process.space.is_some() && process.image.file == Some(file);
        let is_executed = self.processes.values().any(executes);
        match is_executed && host::files::is_accessible(directory, path, access, links) {
            true => Err(Errno::ETXTBSY),
            false => Ok(()),
        }
    }
}

/// What a call wants to write to, if it does and nothing else is wrong with it.
fn wanted(call: &Call) -> Option<Wanted<'_>> {
    let nr = call.nr as i64;
    let (directory, path) = match (nr, call.args) {
        (libc::SYS_truncate, [_, Arg::Value(bytes), ..]) if (bytes as i64) < 0 => return None,
        (libc::SYS_open | libc::SYS_creat | libc::SYS_truncate, [Arg::Buffer(path), ..]) => (libc::AT_FDCWD, path),
        (libc::SYS_openat, [Arg::Value(directory), Arg::Buffer(path), ..]) => (directory as i32, path),
        (libc::SYS_openat2, [Arg::Value(directory), Arg::Buffer(path), Arg::Buffer(how), ..]) => {
            // Where a path leads that is resolved in another way, only the host knows.
            let resolve = call.buffers[how].get(16..24).map(|_| super::word_of(&call.buffers[how], 16))?;
            if resolve & !libc::RESOLVE_NO_MAGICLINKS != 0 {
                return None;
            }
            (directory as i32, path)
        }
        _ => return None,
    };
    let path = call.buffers[path].strip_suffix(&[0])?;
    if nr == libc::SYS_truncate {
        return Some(Wanted { directory, path, access: libc::W_OK, links: 0 });
    }
    let flags = flags_of(call);
    let (mode, cuts) = (flags & libc::O_ACCMODE, flags & libc::O_TRUNC != 0);
    let makes = flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL;
    let writes = cuts || matches!(mode, libc::O_WRONLY | libc::O_RDWR);
    if !writes || makes || flags & (libc::O_PATH | libc::O_DIRECTORY) != 0 {
        return None;
    }
    let access = if mode == libc::O_WRONLY { libc::W_OK } else { libc::R_OK | libc::W_OK };
    let links = if flags & libc::O_NOFOLLOW != 0 { libc::AT_SYMLINK_NOFOLLOW } else { 0 };
    Some(Wanted { directory, path, access, links })
}
