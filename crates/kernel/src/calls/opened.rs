//! The last line of defence between guests and the host's processes: how the host resolves a path that is not ours, and
//! what a descriptor that it has just opened really leads to.

use super::Flow;
use crate::Errno;
use crate::kernel::Kernel;
use crate::outcome::Then;
use crate::proc::Found;
use crate::task::Tid;
use host::call::{Arg, Call};
use host::opened::{Forbidden, Path, forbidden};

/// Calls that open a file by a name.
const OPENING: [i64; 5] =
    [libc::SYS_open, libc::SYS_openat, libc::SYS_openat2, libc::SYS_creat, libc::SYS_open_by_handle_at];
/// The flags that open(2) and openat(2) know, without O_ASYNC, which asks for signals; they ignore all others.
const KNOWN_FLAGS: i32 = libc::O_ACCMODE
    | libc::O_CREAT
    | libc::O_EXCL
    | libc::O_NOCTTY
    | libc::O_TRUNC
    | libc::O_APPEND
    | libc::O_NONBLOCK
    | libc::O_SYNC
    | libc::O_DIRECT
    | LARGE_FILE
    | libc::O_DIRECTORY
    | libc::O_NOFOLLOW
    | libc::O_NOATIME
    | libc::O_CLOEXEC
    | libc::O_PATH
    | libc::O_TMPFILE;
/// O_LARGEFILE as the kernel has it; the C library of a 64-bit system calls it 0.
const LARGE_FILE: i32 = 0o100000;
/// The flags that go together with O_PATH; the others are ignored.
const PATH_FLAGS: i32 = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_PATH | libc::O_CLOEXEC;
const MODE_BITS: u64 = 0o7777;
/// `struct open_how`: flags, mode, resolve.
const OPEN_HOW_BYTES: u64 = 24;

/// Has a path that leads into the host opened without links that only /proc has: they lead to what other processes have
/// open, wherever a link of the guest's own leads into /proc.
pub(super) fn without_magic_links(call: Call) -> Call {
    let [first, second, third, fourth, ..] = call.args;
    let (directory, path, flags, mode) = match call.nr as i64 {
        libc::SYS_open => (Arg::Value(libc::AT_FDCWD as u64), first, second, third),
        libc::SYS_openat => (first, second, third, fourth),
        _ => return call,
    };
    let (Arg::Buffer(buffer), Arg::Value(flags), Arg::Value(mode)) = (path, flags, mode) else { return call };
    let is_own_directory = call.buffers[buffer].starts_with(b"/proc/self/");
    let goes_elsewhere = |path: &[u8]| path[1..].windows(4).any(|name| name == b"/../" || name == b"/pro");
    if is_own_directory && !goes_elsewhere(&call.buffers[buffer]) {
        return call;
    }
    // Whose terminal it becomes is not the host's to decide.
    let flags = flags as i32 & KNOWN_FLAGS | libc::O_NOCTTY;
    let flags = if flags & libc::O_PATH != 0 { flags & PATH_FLAGS } else { flags };
    let makes = flags & libc::O_CREAT != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE;
    let how = [flags as u64, if makes { mode & MODE_BITS } else { 0 }, libc::RESOLVE_NO_MAGICLINKS];
    let mut guarded = Call { nr: libc::SYS_openat2 as u64, ..call };
    let how = guarded.buffer(how.iter().flat_map(|word| word.to_le_bytes()).collect());
    guarded.args = [directory, path, how, Arg::Value(OPEN_HOW_BYTES), Arg::Value(0), Arg::Value(0)];
    guarded
}

/// What was opened and closed again, since a guest must not have it.
pub(super) enum Closed {
    /// The guest is told so.
    Refused,
    /// The guest is told so, unless a link of the host's led to a name below /proc that it has itself.
    InProc,
}

/// Closes what a guest must not have.
pub(super) fn check(call: &Call, result: i64) -> Option<Closed> {
    if !OPENING.contains(&(call.nr as i64)) {
        return None;
    }
    let reason = forbidden(result as i32, call.buffers.first().map_or(Path::Guests, |path| whose(path)))?;
    host::files::close(result as i32);
    Some(match reason {
        Forbidden::OtherProcess => Closed::InProc,
        Forbidden::Memory | Forbidden::KernelSetting => Closed::Refused,
    })
}

/// The flags of a call that opens a file.
pub(super) fn flags_of(call: &Call) -> i32 {
    match (call.nr as i64, call.args) {
        (libc::SYS_open, [_, Arg::Value(flags), ..]) | (libc::SYS_openat, [_, _, Arg::Value(flags), ..]) => {
            flags as i32
        }
        (libc::SYS_openat2, [_, _, Arg::Buffer(how), ..]) => {
            call.buffers[how].first_chunk().map_or(libc::O_RDONLY, |flags| i32::from_le_bytes(*flags))
        }
        (libc::SYS_creat, _) => libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC,
        _ => libc::O_RDONLY,
    }
}

impl Kernel {
    /// A link that did not look like one of ours led into the host's /proc: the guest gets what it has there itself.
    pub(super) fn open_in_proc(&mut self, tid: Tid, call: &Call) -> Result<Flow, Errno> {
        let (directory, path) = match call.args {
            [Arg::Buffer(path), ..] => (libc::AT_FDCWD, path),
            [Arg::Value(directory), Arg::Buffer(path), ..] => (directory as i32, path),
            _ => return Err(Errno::ENOENT),
        };
        let path = call.buffers[path].strip_suffix(&[0]).unwrap_or_default();
        let Found::Node(node) = self.resolve_behind_links(tid, directory, path)? else {
            return Err(Errno::ENOENT);
        };
        let flags = flags_of(call);
        if let Some(descriptor) = self.open_node(tid, &node, flags)? {
            return Ok(Flow::Answer(descriptor as u64));
        }
        let mut call = Call::plain(libc::SYS_openat as u64, [libc::AT_FDCWD as u64, 0, flags as u64, 0, 0, 0]);
        call.args[1] = call.buffer([self.host_path_of(&node).into_bytes(), vec![0]].concat());
        Ok(Flow::host(call, Then::Answer(Vec::new())))
    }
}

/// Who chose a path that the host gets. What guests ask of /proc/self we look up ourselves; these are the answers, as
/// long as they do not go on behind a directory that /proc only links to.
fn whose(path: &[u8]) -> Path {
    let Some(below) = std::str::from_utf8(path).ok().and_then(|path| path.strip_prefix("/proc/self/")) else {
        return Path::Guests;
    };
    let names: Vec<&str> = below.split('/').collect();
    let last = names.len() - 1;
    let leaves = |(at, name): (usize, &&str)| match *name {
        ".." => true,
        "root" | "cwd" => at < last,
        "fd" => at + 1 < last,
        _ => false,
    };
    if names.iter().enumerate().any(leaves) { Path::Guests } else { Path::Ours }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &[u8], flags: i32, mode: u64) -> Call {
        let mut call = Call::plain(libc::SYS_openat as u64, [5, 0, flags as u64, mode, 0, 0]);
        call.args[1] = call.buffer(path.to_vec());
        without_magic_links(call)
    }

    fn how(call: &Call) -> Vec<u64> {
        call.buffers[1].chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn paths_of_the_host_are_opened_without_magic_links() {
        let call = opened(b"link\0", libc::O_RDWR | libc::O_CREAT | libc::O_ASYNC, 0o17_0644);
        assert_eq!((call.nr as i64, call.args[0], call.args[3]), (libc::SYS_openat2, Arg::Value(5), Arg::Value(24)));
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_NOCTTY;
        assert_eq!(how(&call), [flags as u64, 0o644, libc::RESOLVE_NO_MAGICLINKS]);
        let call = opened(b"/etc\0", libc::O_PATH | libc::O_RDWR | libc::O_DIRECTORY, 0o644);
        assert_eq!(how(&call)[..2], [(libc::O_PATH | libc::O_DIRECTORY) as u64, 0]);
        assert_eq!(opened(b"/proc/self/task/9/fd/0\0", 0, 0).nr as i64, libc::SYS_openat);
    }

    #[test]
    fn paths_that_leave_our_part_of_proc_are_a_guests() {
        for path in ["/proc/self/task/9/fd/0\0", "/proc/self/task/9/fdinfo\0", "/proc/self/task/9/root\0"] {
            assert_eq!(whose(path.as_bytes()), Path::Ours, "{path}");
        }
        for path in ["/etc\0", "/proc/self/task/9/cwd/x\0", "/proc/self/task/9/fd/3/x\0", "/proc/self/x/../1\0"] {
            assert_eq!(whose(path.as_bytes()), Path::Guests, "{path}");
        }
    }
}
