//! What the control groups of this process leave it of the host's memory.
//!
//! A group may have a limit, and so may each group that it lies in; whoever takes more than one of them lets is killed as if the
//! host itself had no memory. Their files are opened once, and stay open: what is asked later needs no descriptor.
//! ```text
//! version 2   0::/user.slice/job           /sys/fs/cgroup/user.slice/job/memory.max, memory.current, memory.stat
//! version 1   4:memory:/job                /sys/fs/cgroup/memory/job/memory.limit_in_bytes, memory.usage_in_bytes, memory.stat
//! ```
//! In a container the path may be told as the host has it while only the container's own group is mounted, or as `/`: groups
//! that are not there have no limit, and the mount's own directory is always looked at.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// More than any file that is read here has.
const TEXT_BYTES: usize = 16 << 10;
/// Version 1 says so, or nearly, where there is no limit.
const NO_LIMIT: u64 = 1 << 60;

/// The groups of this process that can have a limit.
#[derive(Debug)]
pub(crate) struct ControlGroups {
    groups: Vec<Group>,
}

/// The files of a group.
#[derive(Debug)]
struct Group {
    limit: File,
    usage: File,
    stat: File,
}

/// What a group with a limit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limited {
    /// The most memory that its processes have together.
    pub limit: u64,
    /// What they could still take: more than the limit less what is used, since a part of the page cache, which counts as
    /// used, goes when there is need.
    pub available: u64,
}

/// The names of a group's files in a version of control groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

impl ControlGroups {
    /// The groups that this process is in now.
    pub fn of_this_process() -> Self {
        let Ok(own) = std::fs::read("/proc/self/cgroup") else { return Self { groups: Vec::new() } };
        let Some((version, directories)) = directories_of(&String::from_utf8_lossy(&own)) else {
            return Self { groups: Vec::new() };
        };
        Self { groups: directories.iter().filter_map(|directory| Group::open(version, directory)).collect() }
    }

    /// What those groups say now that have a limit.
    pub fn limited(&self) -> impl Iterator<Item = Limited> {
        self.groups.iter().filter_map(Group::look)
    }
}

impl Group {
    fn open(version: Version, directory: &Path) -> Option<Self> {
        let (limit, usage) = match version {
            Version::One => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            Version::Two => ("memory.max", "memory.current"),
        };
        let open = |name| File::open(directory.join(name)).ok();
        Some(Self { limit: open(limit)?, usage: open(usage)?, stat: open("memory.stat")? })
    }

    fn look(&self) -> Option<Limited> {
        let limit = limit_in(&text_of(&self.limit)?)?;
        let usage: u64 = text_of(&self.usage)?.trim().parse().ok()?;
        Some(limited(limit, usage, inactive_in(&text_of(&self.stat)?)))
    }
}

fn text_of(file: &File) -> Option<String> {
    let mut text = vec![0; TEXT_BYTES];
    let count = file.read_at(&mut text, 0).ok()?;
    text.truncate(count);
    String::from_utf8(text).ok()
}

/// Where the files of a process's groups may be, the innermost first, as /proc/PID/cgroup tells.
fn directories_of(own: &str) -> Option<(Version, Vec<PathBuf>)> {
    let lines = || {
        own.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        })
    };
    // A controller belongs to one version at a time.
    let one = lines().find(|(controllers, _)| controllers.split(',').any(|name| name == "memory"));
    let (version, path, top) = match one {
        Some((_, path)) => (Version::One, path, Path::new(MOUNT).join("memory")),
        None => (Version::Two, lines().find(|(controllers, _)| controllers.is_empty())?.1, PathBuf::from(MOUNT)),
    };
    let path = path.trim_start_matches('/');
    // A group that lies outside of what the process sees.
    let is_outside = path.split('/').any(|part| part == "..");
    let inner = if is_outside { "" } else { path };
    let inside = Path::new(inner).ancestors().filter(|path| !path.as_os_str().is_empty()).map(|path| top.join(path));
    Some((version, inside.chain([top.clone()]).collect()))
}

fn limit_in(text: &str) -> Option<u64> {
    // Version 2 says "max" where there is none.
    text.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

/// The bytes of the page cache that nobody has used lately, of a group and of all that lie in it.
fn inactive_in(stat: &str) -> u64 {
    let value = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    };
    // Version 1 has both, and the first is the group's alone.
    value("total_inactive_file").or_else(|| value("inactive_file")).unwrap_or(0)
}

fn limited(limit: u64, usage: u64, inactive: u64) -> Limited {
    Limited { limit, available: limit.saturating_sub(usage.saturating_sub(inactive)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(own: &str) -> Option<(Version, Vec<String>)> {
        let (version, directories) = directories_of(own)?;
        Some((version, directories.iter().map(|directory| directory.to_str().unwrap().to_owned()).collect()))
    }

    fn directories(version: Version, below: &[&str]) -> Option<(Version, Vec<String>)> {
        Some((version, below.iter().map(|below| format!("{MOUNT}{below}")).collect()))
    }

    #[test]
    fn every_group_up_to_the_mount_is_looked_at() {
        let two = "0::/user.slice/user-0.slice/session-2.scope\n";
        let groups = ["/user.slice/user-0.slice/session-2.scope", "/user.slice/user-0.slice", "/user.slice", ""];
        assert_eq!(found(two), directories(Version::Two, &groups));
        let one = "9:name=systemd:/\n4:cpu,memory:/docker/3b:c\n3:cpuset:/\n0::/\n";
        assert_eq!(found(one), directories(Version::One, &["/memory/docker/3b:c", "/memory/docker", "/memory"]));
        assert_eq!(found("4:memory:/\n"), directories(Version::One, &["/memory"]));
    }

    #[test]
    fn in_a_container_the_mount_itself_is_looked_at() {
        assert_eq!(found("0::/\n"), directories(Version::Two, &[""]));
        assert_eq!(found("0::/../job\n"), directories(Version::Two, &[""]));
        assert_eq!([found(""), found("nothing\n"), found("9:name=systemd:/\n")], [None, None, None]);
    }

    #[test]
    fn limits_are_numbers() {
        assert_eq!([limit_in("1073741824\n"), limit_in("0\n")], [Some(1 << 30), Some(0)]);
        assert_eq!([limit_in("max\n"), limit_in("9223372036854771712\n"), limit_in("")], [None; 3]);
    }

    #[test]
    fn page_cache_that_nobody_uses_is_available() {
        let two = "anon 5\nfile 900\nactive_file 300\ninactive_file 400\nworkingset_refault_file 7\n";
        let one = "cache 900\ninactive_file 40\nactive_file 30\ntotal_cache 1900\ntotal_inactive_file 600\n";
        assert_eq!([inactive_in(two), inactive_in(one), inactive_in("anon 5\n")], [400, 600, 0]);
        assert_eq!(limited(1000, 700, 400), Limited { limit: 1000, available: 700 });
        // The numbers are not of one moment.
        assert_eq!(limited(1000, 300, 400).available, 1000);
        assert_eq!(limited(1000, 1500, 400).available, 0);
    }

    #[test]
    fn files_are_read_again_and_again() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        assert!(Group::open(Version::Two, directory.path()).is_none());
        for (name, text) in [("memory.max", "max\n"), ("memory.current", "60\n"), ("memory.stat", "inactive_file 10\n")]
        {
            write(name, text);
        }
        let group = Group::open(Version::Two, directory.path()).unwrap();
        assert_eq!(group.look(), None);
        write("memory.max", "100\n");
        assert_eq!(group.look(), Some(Limited { limit: 100, available: 50 }));
        write("memory.current", "70\n");
        assert_eq!(group.look(), Some(Limited { limit: 100, available: 40 }));
    }
}
