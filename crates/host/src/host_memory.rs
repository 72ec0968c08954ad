//! How much memory the host has for this process, and which of a file's pages are in it.

use crate::control_groups::{ControlGroups, Limited};
use addr::PAGE_BYTES;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// What statfs says of filesystems whose files lie in memory and nowhere else. Huge pages of hugetlbfs are not among them:
/// there are as many as the administrator has set aside.
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;
/// cachestat(2), since Linux 6.5.
const SYS_CACHESTAT: libc::c_long = 451;

/// The host's memory at one moment, in bytes, as far as the control groups of this process let it have that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostMemory {
    /// All of it.
    pub total: u64,
    /// What it could give to programs without swapping.
    pub available: u64,
    /// What files in memory, and memory that processes share, take up.
    pub shared: u64,
    /// What could still be taken, with swapping and with all of the page cache, before the host kills somebody for it.
    pub left: u64,
}

impl HostMemory {
    /// What the host says now; `None` if it does not.
    pub fn now() -> Option<Self> {
        MemoryTellers::open()?.read()
    }

    /// What is better left alone: others need some, and so does the host itself.
    pub fn reserve(&self) -> u64 {
        (self.total / 16).clamp(96 << 20, 1 << 30)
    }

    fn within(self, group: Limited) -> Self {
        let Self { total, available, shared, left } = self;
        let (total, available) = (total.min(group.limit), available.min(group.available));
        Self { total, available, shared, left: left.min(group.left) }
    }
}

/// The files that tell of the host's memory, open.
#[derive(Debug)]
pub struct MemoryTellers {
    meminfo: File,
    groups: ControlGroups,
}

impl MemoryTellers {
    /// Opens them for the control groups that this process is in now; `None` where the host has no /proc/meminfo.
    pub fn open() -> Option<Self> {
        Some(Self { meminfo: File::open("/proc/meminfo").ok()?, groups: ControlGroups::of_this_process() })
    }

    /// What they say now.
    pub fn read(&self) -> Option<HostMemory> {
        let mut text = [0; 8192];
        let count = self.meminfo.read_at(&mut text, 0).ok()?;
        let Meminfo { host, free_swap } = Meminfo::parse(std::str::from_utf8(&text[..count]).ok()?)?;
        Some(self.groups.limited(free_swap).fold(host, HostMemory::within))
    }
}

/// What /proc/meminfo says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Meminfo {
    host: HostMemory,
    free_swap: u64,
}

impl Meminfo {
    fn parse(text: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
            kilobytes.checked_mul(1024)
        };
        let (total, available, shared) = (bytes("MemTotal")?, bytes("MemAvailable")?, bytes("Shmem")?);
        let free_swap = bytes("SwapFree").unwrap_or(0);
        Some(Self { host: HostMemory { total, available, shared, left: available + free_swap }, free_swap })
    }
}

/// Gives the host back what malloc keeps for later.
pub fn return_free_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: touches only memory that nobody has.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The device of a file, and how many bytes the host takes for a file there at once, if they lie in memory.
pub(crate) fn memory_unit(file: &File) -> io::Result<(u64, Option<u64>)> {
    let descriptor = file.as_raw_fd();
    let mut filesystem = std::mem::MaybeUninit::<libc::statfs>::uninit();
    let mut file = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the host fills the buffers or fails; they are read only after success.
    let (kind, file) = unsafe {
        if libc::fstatfs(descriptor, filesystem.as_mut_ptr()) < 0 || libc::fstat(descriptor, file.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        (filesystem.assume_init().f_type as u32, file.assume_init())
    };
    // Where the host uses huge pages for such files, this says so.
    let unit = (file.st_blksize as u64).max(PAGE_BYTES);
    Ok((file.st_dev, matches!(kind, TMPFS | RAMFS).then_some(unit)))
}

/// How many of some pages of a descriptor's file the host has in memory, or in swap.
///
/// # Errors
/// The host's: `ENOSYS` before Linux 6.5.
pub fn pages_present(descriptor: RawFd, pages: &Range<u64>) -> io::Result<u64> {
    if pages.is_empty() {
        return Ok(0);
    }
    let range = [pages.start * PAGE_BYTES, (pages.end - pages.start) * PAGE_BYTES];
    // In the cache, dirty, being written, evicted, evicted lately.
    let mut counts = [0_u64; 5];
    // SAFETY: both structures are as the host knows them, and live until the call has returned.
    match unsafe { libc::syscall(SYS_CACHESTAT, descriptor, range.as_ptr(), counts.as_mut_ptr(), 0) } {
        0 => Ok((counts[0] + counts[3]).min(pages.end - pages.start)),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::FromRawFd;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_is_available_is_what_meminfo_says() {
        let text = "MemTotal:  9 kB\nMemFree: 3 kB\nMemAvailable:    8 kB\nShmem:  2 kB\nShmemHugePages: 7 kB\n";
        let host = HostMemory { total: 9 << 10, available: 8 << 10, shared: 2 << 10, left: 8 << 10 };
        assert_eq!(Meminfo::parse(text), Some(Meminfo { host, free_swap: 0 }));
        let swapping = Meminfo { host: HostMemory { left: 13 << 10, ..host }, free_swap: 5 << 10 };
        assert_eq!(Meminfo::parse(&format!("{text}SwapTotal: 6 kB\nSwapFree: 5 kB\n")), Some(swapping));
        assert_eq!(Meminfo::parse("MemTotal: 9 kB\n"), None);
        assert!(HostMemory::now().is_some_and(|host| host.available <= host.total));
    }

    #[test]
    fn a_group_may_have_less_than_the_host() {
        let host = HostMemory { total: 90, available: 80, shared: 2, left: 85 };
        let group = |limit, available| Limited { limit, available, left: available + 3 };
        assert_eq!(host.within(group(40, 30)), HostMemory { total: 40, available: 30, shared: 2, left: 33 });
        assert_eq!(host.within(group(85, 85)), HostMemory { total: 85, available: 80, shared: 2, left: 85 });
        // Each group counts.
        let both = host.within(group(40, 30)).within(group(60, 10));
        assert_eq!((both.available, both.left), (10, 13));
    }

    #[test]
    fn the_reserve_is_a_part_of_all() {
        let reserve = |total| HostMemory { total, available: 0, shared: 0, left: 0 }.reserve();
        assert_eq!([1, 8 << 30, 1 << 40].map(reserve), [96 << 20, 512 << 20, 1 << 30]);
    }

    #[test]
    fn pages_of_a_file_in_memory_are_counted() {
        // SAFETY: makes a descriptor, which the file then owns.
        let file = unsafe { File::from_raw_fd(libc::memfd_create(c"sparse".as_ptr(), 0)) };
        file.set_len(64 * PAGE_BYTES).unwrap();
        file.write_all_at(b"x", 5 * PAGE_BYTES).unwrap();
        assert_eq!(memory_unit(&file).unwrap(), (file.metadata().unwrap().dev(), Some(PAGE_BYTES)));
        assert_eq!(memory_unit(&File::open("/proc/self/stat").unwrap()).unwrap().1, None);
        let found = [0..64, 5..6, 6..64, 9..9].map(|pages| pages_present(file.as_raw_fd(), &pages).ok());
        // Nothing is known where the host is older than Linux 6.5.
        assert!(found[..3] == [None; 3] || found == [Some(1), Some(1), Some(0), Some(0)], "{found:?}");
    }
}
