//! Questions about descriptors of the calling thread's table, and its descriptors as a whole.

use crate::FileIdentity;
use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::ptr;

/// What mmap wants to know of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Described {
    /// Which file it is, and which content it has now.
    pub identity: FileIdentity,
    /// `S_IFMT` of its mode.
    pub kind: u32,
    /// The device that it is, if it is one.
    pub rdev: u64,
    /// The flags that it was opened with.
    pub flags: i32,
}

/// Asks about a descriptor.
///
/// # Errors
/// `EBADF`.
pub fn describe(descriptor: RawFd) -> io::Result<Described> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the host fills the buffer or fails.
    let answer = unsafe { libc::fstat(descriptor, stat.as_mut_ptr()) };
    // SAFETY: asks for a number.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    if answer < 0 || flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstat succeeded.
    let stat = unsafe { stat.assume_init() };
    let kind = stat.st_mode & libc::S_IFMT;
    let identity = FileIdentity {
        dev: stat.st_dev,
        ino: stat.st_ino,
        size: stat.st_size as u64,
        mtime_ns: i128::from(stat.st_mtime) * 1_000_000_000 + i128::from(stat.st_mtime_nsec),
    };
    Ok(Described { identity, kind, rdev: stat.st_rdev, flags })
}

/// Gives an unnamed file (`O_TMPFILE`) a name, which must be free.
///
/// # Errors
/// The host's: `EEXIST` where the name is taken.
pub fn give_name(file: &File, path: &Path) -> io::Result<()> {
    let of_thread = CString::new(format!("/proc/thread-self/fd/{}", file.as_raw_fd()))?;
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (here, follow) = (libc::AT_FDCWD, libc::AT_SYMLINK_FOLLOW);
    // SAFETY: both names end with a zero byte.
    match unsafe { libc::linkat(here, of_thread.as_ptr(), here, path.as_ptr(), follow) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether programs on a descriptor's filesystem may be run.
pub fn allows_execution(descriptor: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the host fills the buffer or fails; it is read only after success.
    unsafe { libc::fstatvfs(descriptor, stat.as_mut_ptr()) < 0 || stat.assume_init().f_flag & libc::ST_NOEXEC == 0 }
}

/// A borrowed descriptor of the calling thread's table.
pub fn borrow(descriptor: &RawFd) -> io::Result<BorrowedFd<'_>> {
    describe(*descriptor)?;
    // SAFETY: it is open, as just seen, and is used at once, under the kernel lock.
    Ok(unsafe { BorrowedFd::borrow_raw(*descriptor) })
}

/// Device and number of the regular file that a descriptor refers to, if it does.
pub fn regular_file(descriptor: RawFd) -> Option<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the host fills the buffer or fails; it is read only after success.
    let stat = unsafe { (libc::fstat(descriptor, stat.as_mut_ptr()) == 0).then(|| stat.assume_init())? };
    (stat.st_mode & libc::S_IFMT == libc::S_IFREG).then_some((stat.st_dev, stat.st_ino))
}

/// Device and number of the file at a path of the calling thread, if there is one; `flags` are those of fstatat(2).
pub fn file_at(directory: RawFd, path: &[u8], flags: i32) -> Option<(u64, u64)> {
    let path = CString::new(path).ok()?;
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path is a string; the host fills the buffer or fails; it is read only after success.
    let stat = unsafe {
        (libc::fstatat(directory, path.as_ptr(), stat.as_mut_ptr(), flags) == 0).then(|| stat.assume_init())?
    };
    Some((stat.st_dev, stat.st_ino))
}

/// The size of the regular file at a path of the calling thread, if it is one.
pub fn regular_size_at(path: &[u8]) -> Option<u64> {
    let found = std::fs::metadata(OsString::from_vec(path.to_vec())).ok()?;
    found.is_file().then_some(found.len())
}

/// The seals of what a descriptor refers to, if that is something with seals.
pub fn seals(descriptor: RawFd) -> Option<i32> {
    // SAFETY: asks about a number.
    let seals = unsafe { libc::fcntl(descriptor, libc::F_GET_SEALS) };
    (seals >= 0).then_some(seals)
}

/// Whether what a descriptor refers to is sealed against writing.
pub fn is_sealed(descriptor: RawFd) -> bool {
    seals(descriptor).is_some_and(|seals| seals & (libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) != 0)
}

/// Adds seals to what a descriptor refers to.
///
/// # Errors
/// The host's: `EBUSY` if it maps the file for writing and is to seal it against that.
pub fn add_seals(descriptor: RawFd, seals: u64) -> io::Result<()> {
    // SAFETY: changes a file; no memory is involved.
    match unsafe { libc::fcntl(descriptor, libc::F_ADD_SEALS, seals) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(descriptor: RawFd) -> bool {
    // SAFETY: asks about a number.
    unsafe { libc::isatty(descriptor) == 1 }
}

/// Whether a descriptor is the writing end of a pipe that nobody can read from any more.
pub fn is_broken_pipe(descriptor: RawFd) -> bool {
    let mut asked = libc::pollfd { fd: descriptor, events: 0, revents: 0 };
    // SAFETY: one valid structure.
    let answer = unsafe { libc::poll(&raw mut asked, 1, 0) };
    let is_broken = answer == 1 && asked.revents & libc::POLLERR != 0;
    is_broken && describe(descriptor).is_ok_and(|file| file.kind == libc::S_IFIFO)
}

/// Where the next read or write of a descriptor happens, if that makes sense for it.
pub fn position(descriptor: RawFd) -> Option<u64> {
    // SAFETY: asks about a number.
    let at = unsafe { libc::lseek(descriptor, 0, libc::SEEK_CUR) };
    u64::try_from(at).ok()
}

/// The path of what a descriptor refers to, as the host shows it.
pub fn path_of(descriptor: RawFd) -> Vec<u8> {
    let path = std::fs::read_link(format!("/proc/thread-self/fd/{descriptor}"));
    path.map(|path| path.into_os_string().into_vec()).unwrap_or_default()
}

/// Opens a file for reading; does not wait for a writer of a named pipe.
///
/// # Errors
/// The host's.
pub fn open(path: &[u8]) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(OsString::from_vec(path.to_vec()))
}

/// Whether the calling thread may execute a file.
///
/// # Errors
/// The host's: `EACCES` if not.
pub fn check_executable(path: &[u8]) -> io::Result<()> {
    let path = CString::new(path)?;
    // SAFETY: the path is a string that lives until the call has returned.
    let answer = unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::X_OK, libc::AT_EACCESS) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the calling thread may do `access` (`R_OK`, `W_OK`, `X_OK`) to the file at a path; `flags` are those of
/// faccessat(2).
pub fn is_accessible(directory: RawFd, path: &[u8], access: i32, flags: i32) -> bool {
    let Ok(path) = CString::new(path) else { return false };
    // SAFETY: the path is a string that lives until the call has returned.
    unsafe { libc::faccessat(directory, path.as_ptr(), access, flags | libc::AT_EACCESS) == 0 }
}

/// Whether somebody has a file open for writing which the calling thread may execute, as far as the host tells: Linux 6.8
/// opens a program, and refuses one that is being written, before it looks at the arguments. There are none, so that nothing
/// is ever executed.
pub fn is_being_written(file: &File) -> bool {
    let (descriptor, nowhere, none) = (file.as_raw_fd(), usize::MAX, ptr::null::<libc::c_void>());
    // SAFETY: the path is a string; the array of arguments lies where no process can read.
    let answer =
        unsafe { libc::syscall(libc::SYS_execveat, descriptor, c"".as_ptr(), nowhere, none, libc::AT_EMPTY_PATH) };
    answer < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ETXTBSY)
}

/// The open descriptors of another thread of this process.
pub fn descriptors_of_thread(host_tid: i32) -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/self/task/{host_tid}/fd")) else { return Vec::new() };
    let numbers: Vec<RawFd> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    if host_tid != crate::guest_thread::host_tid() {
        return numbers;
    }
    // The directory itself was among them, and is closed now.
    numbers.into_iter().filter(|descriptor| is_open(*descriptor)).collect()
}

/// The open descriptors of the calling thread's table.
pub fn open_descriptors() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/thread-self/fd") else {
        return (0..1024).filter(|descriptor| is_open(*descriptor)).collect();
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let found: Vec<RawFd> = numbers.collect();
    // The directory itself was among them, and is closed now.
    found.into_iter().filter(|descriptor| is_open(*descriptor)).collect()
}

/// Closes every descriptor of the calling thread's table that is marked close-on-exec. The table is a guest's: no Rust
/// value owns a descriptor of it.
pub fn close_on_exec() {
    for descriptor in open_descriptors() {
        // SAFETY: asks for a number, and closes a descriptor that only a guest knows of.
        unsafe {
            if libc::fcntl(descriptor, libc::F_GETFD) & libc::FD_CLOEXEC != 0 {
                libc::close(descriptor);
            }
        }
    }
}

/// Closes a descriptor of a guest's table, which no Rust value owns.
pub fn close(descriptor: RawFd) {
    // SAFETY: closes a descriptor that only a guest knows of.
    unsafe { libc::close(descriptor) };
}

/// Whether a descriptor was opened for reading.
pub fn is_readable(descriptor: RawFd) -> bool {
    access_mode(descriptor).is_some_and(|mode| mode != libc::O_WRONLY)
}

/// Whether a descriptor was opened for writing.
pub fn is_writable(descriptor: RawFd) -> bool {
    access_mode(descriptor).is_some_and(|mode| mode != libc::O_RDONLY)
}

fn access_mode(descriptor: RawFd) -> Option<i32> {
    // SAFETY: asks about a number.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    (flags >= 0 && flags & libc::O_PATH == 0).then_some(flags & libc::O_ACCMODE)
}

/// The effective and real user and group numbers of the calling thread: real user, effective user, real group,
/// effective group.
pub fn identity() -> [u64; 4] {
    // SAFETY: asks for numbers.
    unsafe { [libc::getuid().into(), libc::geteuid().into(), libc::getgid().into(), libc::getegid().into()] }
}

/// The effective user of the calling thread.
pub fn effective_user() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() }
}

/// The six names of uname(2).
pub fn system_names() -> [Vec<u8>; 6] {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: the host fills the buffer; all zeros are valid names too.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    [names.sysname, names.nodename, names.release, names.version, names.machine, names.domainname]
        .map(|name| name.iter().map(|byte| *byte as u8).take_while(|byte| *byte != 0).collect())
}

/// A resource limit of this process: soft and hard.
pub fn resource_limit(resource: u32) -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the host fills the buffer, or leaves it as it is.
    unsafe { libc::getrlimit(resource as libc::__rlimit_resource_t, &raw mut limit) };
    (limit.rlim_cur, limit.rlim_max)
}

/// How long the host's scheduler lets a thread of a fair policy run, in nanoseconds.
pub fn fair_slice_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the host fills the buffer, or leaves it as it is.
    unsafe { libc::sched_rr_get_interval(0, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether a table has room for so many descriptors below a limit, from a number on.
pub fn has_room(from: RawFd, limit: RawFd, wanted: usize) -> bool {
    if from >= limit {
        return false;
    }
    // Mostly the highest numbers are free.
    if (0..wanted as RawFd).all(|back| limit - 1 - back >= from && !is_open(limit - 1 - back)) {
        return true;
    }
    (from..limit).filter(|descriptor| !is_open(*descriptor)).take(wanted).count() == wanted
}

/// Lets guests have as much of a resource as this, if the host's hard limit does: what they use is this process's.
pub fn raise_limit(resource: u32, wanted: u64) {
    let (soft, hard) = resource_limit(resource);
    let limit = libc::rlimit { rlim_cur: wanted.min(hard), rlim_max: hard };
    if limit.rlim_cur > soft {
        // SAFETY: raises a limit of the own process.
        unsafe { libc::setrlimit(resource, &raw const limit) };
    }
}

/// A clock of the host, in nanoseconds.
pub fn clock_ns(clock: i32) -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the host fills the buffer or fails.
    let answer = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (answer == 0).then_some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The host's time zone as gettimeofday(2) tells it: two numbers that nearly all hosts leave zero.
pub fn time_zone() -> [u8; 8] {
    let mut zone = [0; 8];
    // SAFETY: the host fills the buffer, which has room for both, or fails and leaves it as it is.
    unsafe { libc::syscall(libc::SYS_gettimeofday, std::ptr::null_mut::<libc::timeval>(), zone.as_mut_ptr()) };
    zone
}

/// The resolution of a clock of the host, in nanoseconds.
pub fn clock_resolution_ns(clock: i32) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the host fills the buffer, or leaves it as it is.
    unsafe { libc::clock_getres(clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whether a number is that of an open descriptor.
pub fn is_open(descriptor: RawFd) -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_is_being_written_is_seen() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let reader = File::open(&path).unwrap();
        assert!(!is_being_written(&reader));
        let _writer = File::options().write(true).open(&path).unwrap();
        let is_told = is_being_written(&reader);
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
        assert_eq!(is_told, (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 8), "Linux {release}");
    }

    #[test]
    fn only_close_on_exec_descriptors_are_closed() {
        let thread = std::thread::spawn(|| {
            crate::guest_thread::own_files().unwrap();
            let (kept, closed) = (File::open("/dev/null").unwrap(), File::open("/dev/null").unwrap());
            let (kept, closed) = (std::mem::ManuallyDrop::new(kept), std::mem::ManuallyDrop::new(closed));
            // SAFETY: changes a flag of a descriptor.
            unsafe { libc::fcntl(kept.as_raw_fd(), libc::F_SETFD, 0) };
            close_on_exec();
            assert!(is_open(kept.as_raw_fd()));
            assert!(!is_open(closed.as_raw_fd()));
        });
        thread.join().unwrap();
    }
}
