//! What an open descriptor really leads to, however it was named.

use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// The device numbers of /dev/mem, /dev/kmem and /dev/port.
const MEMORY_DEVICES: [u32; 3] = [1, 2, 4];
const MEMORY_MAJOR: u32 = 1;
/// Files of a process's directory that show or change its memory; pagewalk's own holds all guests.
const MEMORY_FILES: [&str; 13] = [
    "auxv",
    "clear_refs",
    "environ",
    "map_files",
    "maps",
    "mem",
    "numa_maps",
    "pagemap",
    "smaps",
    "smaps_rollup",
    "stack",
    "syscall",
    "wchan",
];
/// Files of /proc that show or change the host's memory.
const HOST_MEMORY: [&str; 3] = ["kcore", "kmsg", "kpagecount"];

/// Files of control groups that list the host's processes.
pub const MEMBERS: [&str; 3] = ["cgroup.procs", "cgroup.threads", "tasks"];
/// Filesystems of control groups.
const GROUPS: [i64; 2] = [libc::CGROUP_SUPER_MAGIC, libc::CGROUP2_SUPER_MAGIC];

/// Why a guest must not have a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Forbidden {
    /// It belongs to a process that is no guest.
    OtherProcess,
    /// It shows or changes memory that is not the guest's.
    Memory,
    /// It would change the host's kernel.
    KernelSetting,
}

/// Who chose the path by which a file was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// A guest: wherever it leads, it leads to no process.
    Guests,
    /// The kernel, for a file of a guest's own directory in /proc.
    Ours,
}

/// Why a guest must not have a descriptor of the calling thread's table, if there is a reason.
pub fn forbidden(descriptor: RawFd, by: Path) -> Option<Forbidden> {
    let mut file = MaybeUninit::<libc::stat>::uninit();
    let mut system = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the host fills both buffers, or they are not read.
    let (file, system) = unsafe {
        if libc::fstat(descriptor, file.as_mut_ptr()) < 0 || libc::fstatfs(descriptor, system.as_mut_ptr()) < 0 {
            return None;
        }
        (file.assume_init(), system.assume_init())
    };
    if file.st_mode & libc::S_IFMT == libc::S_IFCHR
        && libc::major(file.st_rdev) == MEMORY_MAJOR
        && MEMORY_DEVICES.contains(&libc::minor(file.st_rdev))
    {
        return Some(Forbidden::Memory);
    }
    let is_group = GROUPS.contains(&system.f_type);
    if system.f_type != libc::PROC_SUPER_MAGIC && !is_group {
        return None;
    }
    let path = String::from_utf8(super::files::path_of(descriptor)).ok()?;
    if is_group {
        let lists = path.rsplit('/').next().is_some_and(|name| MEMBERS.contains(&name));
        return lists.then_some(Forbidden::OtherProcess);
    }
    // SAFETY: asks for flags.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFL) };
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_PATH == 0;
    let reason = forbidden_in_proc(&path, by);
    reason.or_else(|| (writes && !path.ends_with("/comm")).then_some(Forbidden::KernelSetting))
}

/// The same of a path below /proc, read only.
fn forbidden_in_proc(path: &str, by: Path) -> Option<Forbidden> {
    let mut names = path.strip_prefix("/proc/")?.split('/');
    let first = names.next()?;
    if first.parse::<u32>().is_err() {
        return HOST_MEMORY.contains(&first).then_some(Forbidden::Memory);
    }
    match by {
        Path::Guests => Some(Forbidden::OtherProcess),
        Path::Ours => names.any(|name| MEMORY_FILES.contains(&name)).then_some(Forbidden::Memory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_process_is_known_by_its_path() {
        let guests = |path| forbidden_in_proc(path, Path::Guests);
        assert_eq!(guests("/proc/78"), Some(Forbidden::OtherProcess));
        assert_eq!(guests("/proc/78/task/80/fd"), Some(Forbidden::OtherProcess));
        assert_eq!(guests("/proc/kcore"), Some(Forbidden::Memory));
        assert_eq!(guests("/proc/cpuinfo"), None);
        assert_eq!(guests("/proc"), None);
        let ours = |path| forbidden_in_proc(path, Path::Ours);
        assert_eq!(ours("/proc/77/task/80/mem"), Some(Forbidden::Memory));
        assert_eq!(ours("/proc/77/task/80/map_files/1-2"), Some(Forbidden::Memory));
        assert_eq!(ours("/proc/77/task/80/fdinfo/3"), None);
    }

    #[test]
    fn what_a_descriptor_leads_to_is_asked_of_the_host() {
        let forbidden = |path: &str, by| super::forbidden(File::open(path).unwrap().as_raw_fd(), by);
        assert_eq!(forbidden("/proc/thread-self/maps", Path::Ours), Some(Forbidden::Memory));
        assert_eq!(forbidden("/proc/thread-self/status", Path::Ours), None);
        assert_eq!(forbidden("/proc/thread-self/status", Path::Guests), Some(Forbidden::OtherProcess));
        assert_eq!(forbidden("/proc/1", Path::Guests), Some(Forbidden::OtherProcess));
        assert_eq!(forbidden("/proc/version", Path::Guests), None);
        assert_eq!(forbidden("/dev/null", Path::Guests), None);
        let written = |path: &str| {
            let file = File::options().write(true).open(path).unwrap();
            super::forbidden(file.as_raw_fd(), Path::Ours)
        };
        assert_eq!(written("/proc/thread-self/comm"), None);
        assert_eq!(written("/proc/thread-self/oom_score_adj"), Some(Forbidden::KernelSetting));
        assert_eq!(super::forbidden(-1, Path::Guests), None);
    }
}
