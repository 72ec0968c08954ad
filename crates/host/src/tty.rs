//! Terminals: which one a descriptor is an end of, and what its line discipline is set to.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// The device of /dev/ptmx and of /dev/pts/ptmx.
const MASTER: u64 = libc::makedev(5, 2);
const CHARACTER_DEVICE: u32 = libc::S_IFCHR;
const TIOCGDEV: libc::Ioctl = 0x8004_5432;
/// The first major number of the terminals in /dev/pts, each of which has 256.
const FIRST_PTS_MAJOR: u32 = 136;
const LAST_PTS_MAJOR: u32 = 143;

/// Which end of a terminal a descriptor is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The one that a terminal emulator holds.
    Master,
    /// The one that programs read and write.
    Slave,
}

/// The terminal of a descriptor, by the device number of its slave, if it is one.
pub fn of_descriptor(descriptor: RawFd) -> Option<(u64, End)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    let mut device = 0u32;
    // SAFETY: the host fills the buffers or fails; they are read only after success.
    let stat = unsafe { (libc::fstat(descriptor, stat.as_mut_ptr()) == 0).then(|| stat.assume_init())? };
    if stat.st_mode & libc::S_IFMT != CHARACTER_DEVICE {
        return None;
    }
    // SAFETY: as above; a descriptor that is no terminal refuses.
    let is_terminal = unsafe { libc::ioctl(descriptor, TIOCGDEV, &raw mut device) == 0 };
    let end = if stat.st_rdev == MASTER { End::Master } else { End::Slave };
    is_terminal.then(|| (device_of(device), end))
}

/// Waits until what was written to a master has gone through the terminal's driver, which works on its own. Looking
/// whether a slave can be read does that.
pub fn settle(master: RawFd) {
    // SAFETY: opens a descriptor, asks about it without a wait, and closes it; a master that has no slave refuses.
    unsafe {
        let slave = libc::ioctl(master, libc::TIOCGPTPEER, libc::O_RDONLY | libc::O_NOCTTY | libc::O_CLOEXEC);
        if slave >= 0 {
            let mut asked = libc::pollfd { fd: slave, events: libc::POLLIN, revents: 0 };
            libc::poll(&raw mut asked, 1, 0);
            libc::close(slave);
        }
    }
}

/// A device number as /proc and TIOCGDEV encode it.
pub fn device_of(encoded: u32) -> u64 {
    libc::makedev(encoded >> 8 & 0xfff, encoded & 0xff | encoded >> 12 & 0xf_ff00)
}

/// The same the other way round.
pub fn encoded(device: u64) -> u32 {
    let (major, minor) = (libc::major(device), libc::minor(device));
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// The path of a terminal, if it is one of /dev/pts.
pub fn path_of(device: u64) -> Option<String> {
    let major = libc::major(device);
    let number = (FIRST_PTS_MAJOR..=LAST_PTS_MAJOR).contains(&major).then(|| (major - FIRST_PTS_MAJOR) * 256)?;
    Some(format!("/dev/pts/{}", number + libc::minor(device)))
}

/// Whether a terminal of /dev/pts is there still: it goes with its master.
pub fn exists(device: u64) -> bool {
    use std::os::unix::fs::MetadataExt;
    let Some(path) = path_of(device) else { return true };
    std::fs::metadata(path).is_ok_and(|found| found.rdev() == device)
}

/// The terminal that controls this process, if one does.
pub fn own() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let number: i64 = stat.rsplit_once(") ")?.1.split(' ').nth(4)?.parse().ok()?;
    (number != 0).then(|| device_of(number as u32))
}

/// What of a terminal's settings decides about signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The characters that send SIGINT, SIGQUIT and SIGTSTP, if they do.
    pub signals: Option<[u8; 3]>,
    /// Whether a background process that writes is stopped.
    pub stops_writers: bool,
}

/// The settings of the terminal that a descriptor is an end of.
pub fn settings(descriptor: RawFd) -> Option<Settings> {
    let mut termios = MaybeUninit::<libc::termios>::uninit();
    // SAFETY: the host fills the buffer or fails; it is read only after success.
    let termios = unsafe { (libc::tcgetattr(descriptor, termios.as_mut_ptr()) == 0).then(|| termios.assume_init())? };
    let characters = [libc::VINTR, libc::VQUIT, libc::VSUSP].map(|index| termios.c_cc[index]);
    Some(Settings {
        signals: (termios.c_lflag & libc::ISIG != 0).then_some(characters),
        stops_writers: termios.c_lflag & libc::TOSTOP != 0,
    })
}

/// Sets a terminal's size, struct winsize as bytes; says whether it was another one.
///
/// # Errors
/// The host's.
pub fn set_size(descriptor: RawFd, size: [u8; 8]) -> std::io::Result<bool> {
    let mut old = [0u8; 8];
    // SAFETY: both buffers have the eight bytes of struct winsize; the host fills one and reads the other.
    let answers = unsafe {
        [
            libc::ioctl(descriptor, libc::TIOCGWINSZ, old.as_mut_ptr()),
            libc::ioctl(descriptor, libc::TIOCSWINSZ, size.as_ptr()),
        ]
    };
    if answers == [0, 0] { Ok(old != size) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_linux_does() {
        let device = libc::makedev(136, 5);
        assert_eq!(encoded(device), 0x8805);
        assert_eq!(device_of(0x8805), device);
        assert_eq!(path_of(libc::makedev(137, 1)), Some("/dev/pts/257".to_owned()));
        assert_eq!(device_of(encoded(libc::makedev(4, 300))), libc::makedev(4, 300));
    }

    #[test]
    fn a_new_terminal_is_known_by_both_ends() {
        let (mut master, mut slave) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: the host fills two numbers; nothing else is asked for.
        let answer = unsafe { libc::openpty(&raw mut master, &raw mut slave, null, null.cast(), null.cast()) };
        assert_eq!(answer, 0);
        let (device, end) = of_descriptor(master).unwrap();
        assert_eq!((of_descriptor(slave), end), (Some((device, End::Slave)), End::Master));
        assert!(exists(device));
        assert_eq!(settings(slave).unwrap().signals, Some([3, 28, 26]));
        assert!(set_size(master, [30, 0, 90, 0, 0, 0, 0, 0]).unwrap());
        crate::files::close(slave);
        crate::files::close(master);
        assert!(!exists(device));
    }
}
