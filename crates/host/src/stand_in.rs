//! Descriptors that stand for something that only we have: a directory or a file of a guest's /proc.
//!
//! A guest's descriptors are the host's, and it duplicates them, passes them on to children and over sockets without
//! our looking. So what a descriptor stands for is written on the open file itself: it is a memory file, and its name
//! is the guest's path. Its position, its flags and its life are the host's business as for any file.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// In front of the path in the memory file's name.
const MARK: &str = "pagewalk:";
/// What the host puts around a memory file's name.
const BEFORE: &str = "/memfd:";
const AFTER: &str = " (deleted)";
/// Flags of open(2) that mean nothing for the memory file itself.
const NOT_FOR_FILES: i32 =
    libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_NOCTTY;

/// Makes and recognises stand-ins.
#[derive(Clone, Copy, Debug)]
pub struct StandIns {
    /// The device of all memory files.
    dev: u64,
}

impl StandIns {
    /// Finds out where memory files are.
    ///
    /// # Errors
    /// The host's, when it has none.
    pub fn new() -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        Ok(Self { dev: memory_file("")?.metadata()?.dev() })
    }

    /// A new descriptor of the calling thread's table that stands for a path, opened with these flags of open(2).
    ///
    /// # Errors
    /// The host's: too many descriptors, or a path that is too long for a name.
    pub fn open(&self, path: &str, flags: i32) -> io::Result<RawFd> {
        let file = memory_file(path)?;
        let opened = reopen(file.as_raw_fd(), flags & !NOT_FOR_FILES)?;
        // The first of the two has the lowest number that was free, which is open(2)'s answer.
        let lowest = file.into_raw_fd();
        // SAFETY: both descriptors are new and ours alone.
        let answer = unsafe { libc::dup3(opened, lowest, flags & libc::O_CLOEXEC) };
        let error = io::Error::last_os_error();
        crate::files::close(if answer < 0 { lowest } else { opened });
        if answer < 0 {
            crate::files::close(opened);
            return Err(error);
        }
        Ok(lowest)
    }

    /// The path that a descriptor of the calling thread's table stands for, if it is a stand-in.
    pub fn path_of(&self, descriptor: RawFd) -> Option<String> {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the host fills the buffer or fails; it is read only after success.
        let dev = unsafe { (libc::fstat(descriptor, stat.as_mut_ptr()) == 0).then(|| stat.assume_init().st_dev)? };
        if dev != self.dev {
            return None;
        }
        let name = String::from_utf8(crate::files::path_of(descriptor)).ok()?;
        stood_for(&name).map(str::to_owned)
    }

    /// Replaces the bytes behind a stand-in; its position stays.
    ///
    /// # Errors
    /// The host's.
    pub fn fill(&self, descriptor: RawFd, bytes: &[u8]) -> io::Result<()> {
        let writer = reopen(descriptor, libc::O_WRONLY | libc::O_TRUNC | libc::O_CLOEXEC)?;
        // SAFETY: the descriptor is new and ours alone.
        let mut writer = File::from(unsafe { OwnedFd::from_raw_fd(writer) });
        writer.write_all(bytes)
    }
}

/// The path in the name of a descriptor, as a link of the host's /proc shows it, if it names a stand-in.
pub fn stood_for(name: &str) -> Option<&str> {
    name.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.strip_prefix(MARK)
}

/// Sets where the next read or write of a descriptor happens.
///
/// # Errors
/// The host's.
pub fn set_position(descriptor: RawFd, at: u64) -> io::Result<()> {
    // SAFETY: changes a number of an open file.
    let answer = unsafe { libc::lseek(descriptor, at as i64, libc::SEEK_SET) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn memory_file(path: &str) -> io::Result<File> {
    let name = CString::new(format!("{MARK}{path}"))?;
    // SAFETY: the name is a string that lives until the call has returned; the descriptor is new and ours.
    unsafe {
        let descriptor = libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from(OwnedFd::from_raw_fd(descriptor)))
    }
}

/// Another open file on what a descriptor refers to, with a position and flags of its own.
fn reopen(descriptor: RawFd, flags: i32) -> io::Result<RawFd> {
    let path = CString::new(format!("/proc/thread-self/fd/{descriptor}"))?;
    // SAFETY: the path is a string that lives until the call has returned.
    let answer = unsafe { libc::open(path.as_ptr(), flags) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_duplicate_stands_for_the_same() {
        let stand_ins = StandIns::new().unwrap();
        let descriptor = stand_ins.open("/proc/2/maps", libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        // SAFETY: the descriptor is new and ours alone.
        let mut file = File::from(unsafe { OwnedFd::from_raw_fd(descriptor) });
        let copy = file.try_clone().unwrap();
        assert_eq!(stand_ins.path_of(copy.as_raw_fd()).as_deref(), Some("/proc/2/maps"));
        stand_ins.fill(copy.as_raw_fd(), b"old and long").unwrap();
        stand_ins.fill(copy.as_raw_fd(), b"new").unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "new");
        assert!(file.write_all(b"read-only").is_err());
    }

    #[test]
    fn the_lowest_number_is_given_out() {
        let stand_ins = StandIns::new().unwrap();
        let lowest = move |flags: i32| {
            // The lowest number is free again as soon as the file is closed.
            let free = File::open("/dev/null").unwrap().as_raw_fd();
            let descriptor = stand_ins.open("/proc/2/maps", flags).unwrap();
            // SAFETY: the descriptor is new and ours alone; asks for its flags.
            let (_file, marks) = unsafe { (OwnedFd::from_raw_fd(descriptor), libc::fcntl(descriptor, libc::F_GETFD)) };
            (descriptor == free, marks == libc::FD_CLOEXEC)
        };
        // In a descriptor table that no other test changes meanwhile.
        let found = std::thread::spawn(move || {
            crate::guest_thread::own_files().unwrap();
            (lowest(libc::O_RDONLY), lowest(libc::O_RDONLY | libc::O_CLOEXEC))
        });
        assert_eq!(found.join().unwrap(), ((true, false), (true, true)));
    }

    #[test]
    fn other_files_stand_for_themselves() {
        let stand_ins = StandIns::new().unwrap();
        assert_eq!(stand_ins.path_of(File::open("/dev/null").unwrap().as_raw_fd()), None);
        // SAFETY: the descriptor is new and ours alone.
        let memory = unsafe { File::from(OwnedFd::from_raw_fd(libc::memfd_create(c"maps".as_ptr(), 0))) };
        assert_eq!(stand_ins.path_of(memory.as_raw_fd()), None);
        assert_eq!(stand_ins.path_of(-1), None);
    }
}
