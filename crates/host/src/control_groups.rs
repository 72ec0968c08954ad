//! What the control groups of this process leave it of the host's memory.
//!
//! A group may have a limit, and so may each group that it lies in; whoever takes more than one of them lets is killed as if the
//! host itself had no memory. Their files are opened once, and stay open: what is asked later needs no descriptor.
//! ```text
//! version 2   0::/user.slice/job           /sys/fs/cgroup/user.slice/job/memory.max, memory.current, memory.stat
//!                                                                    and memory.swap.max, memory.swap.current
//! version 1   4:memory:/job                /sys/fs/cgroup/memory/job/memory.limit_in_bytes, memory.usage_in_bytes, memory.stat
//!                                                             and memory.memsw.*, which count memory and swap together
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
    memory: Bounded,
    stat: File,
    swap: Option<Swap>,
}

/// Something that a group has a limit of.
#[derive(Debug)]
struct Bounded {
    limit: File,
    usage: File,
}

/// The bound on a group's use of swap.
#[derive(Debug)]
enum Swap {
    Alone(Bounded),
    /// Memory and swap together.
    WithMemory(Bounded),
}

/// What a group with a limit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limited {
    /// The most memory that its processes have together.
    pub limit: u64,
    /// What they could still take: more than the limit less what is used, since a part of the page cache, which counts as
    /// used, goes when there is need.
    pub available: u64,
    /// What they could still take before one is killed for it: all of the page cache goes, and they swap.
    pub left: u64,
}

/// The parts of a group's page cache, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PageCache {
    /// What nobody has used lately.
    inactive: u64,
    active: u64,
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

    /// What those groups say now that have a limit, where the host has so much swap left.
    pub fn limited(&self, free_swap: u64) -> impl Iterator<Item = Limited> {
        self.groups.iter().filter_map(move |group| group.look(free_swap))
    }
}

impl Group {
    fn open(version: Version, directory: &Path) -> Option<Self> {
        let open = |limit: &str, usage: &str| Bounded::open(directory, limit, usage);
        let (memory, swap) = match version {
            Version::One => {
                let both = open("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
                (open("memory.limit_in_bytes", "memory.usage_in_bytes"), both.map(Swap::WithMemory))
            }
            Version::Two => {
                let swap = open("memory.swap.max", "memory.swap.current");
                (open("memory.max", "memory.current"), swap.map(Swap::Alone))
            }
        };
        Some(Self { memory: memory?, stat: File::open(directory.join("memory.stat")).ok()?, swap })
    }

    fn look(&self, free_swap: u64) -> Option<Limited> {
        let (limit, usage) = self.memory.look()?;
        let cache = page_cache_in(&text_of(&self.stat)?);
        let room = |limit: u64, usage: u64, cache: u64| limit.saturating_sub(usage.saturating_sub(cache));
        let all = cache.inactive + cache.active;
        let without_swap = room(limit, usage, all);
        let with_swap = without_swap.saturating_add(free_swap);
        let left = match &self.swap {
            None => with_swap,
            Some(Swap::Alone(swap)) => swap.look().map_or(with_swap, |(limit, usage)| {
                without_swap.saturating_add(free_swap.min(limit.saturating_sub(usage)))
            }),
            Some(Swap::WithMemory(both)) => {
                both.look().map_or(with_swap, |(limit, usage)| with_swap.min(room(limit, usage, all)))
            }
        };
        Some(Limited { limit, available: room(limit, usage, cache.inactive), left })
    }
}

impl Bounded {
    fn open(directory: &Path, limit: &str, usage: &str) -> Option<Self> {
        let open = |name| File::open(directory.join(name)).ok();
        Some(Self { limit: open(limit)?, usage: open(usage)? })
    }

    /// The limit and what is used of it; `None` if there is no limit.
    fn look(&self) -> Option<(u64, u64)> {
        let limit = limit_in(&text_of(&self.limit)?)?;
        Some((limit, text_of(&self.usage)?.trim().parse().ok()?))
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

/// The page cache of a group and of all that lie in it.
fn page_cache_in(stat: &str) -> PageCache {
    let value = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    };
    // Version 1 has both, and the second is the group's alone.
    let bytes = |total: &str, name: &str| value(total).or_else(|| value(name)).unwrap_or(0);
    PageCache {
        inactive: bytes("total_inactive_file", "inactive_file"),
        active: bytes("total_active_file", "active_file"),
    }
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
        let cache = |inactive, active| PageCache { inactive, active };
        let found = [two, one, "anon 5\n"].map(page_cache_in);
        assert_eq!(found, [cache(400, 300), cache(600, 30), cache(0, 0)]);
    }

    /// A directory like a group's.
    struct Sample(tempfile::TempDir);

    impl Sample {
        fn of(files: &[(&str, &str)]) -> Self {
            let sample = Self(tempfile::tempdir().unwrap());
            files.iter().for_each(|(name, text)| sample.write(name, text));
            sample
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn look(&self, version: Version, free_swap: u64) -> Option<Limited> {
            Group::open(version, self.0.path())?.look(free_swap)
        }
    }

    #[test]
    fn the_numbers_are_not_of_one_moment() {
        let group =
            Sample::of(&[("memory.max", "1000"), ("memory.current", "300"), ("memory.stat", "inactive_file 400")]);
        let all = Limited { limit: 1000, available: 1000, left: 1000 };
        assert_eq!(group.look(Version::Two, 0), Some(all));
        group.write("memory.current", "1500");
        assert_eq!(group.look(Version::Two, 0), Some(Limited { available: 0, left: 0, ..all }));
    }

    #[test]
    fn a_group_swaps_as_far_as_it_may() {
        let stat = ("memory.stat", "inactive_file 10\nactive_file 20\n");
        let group = Sample::of(&[("memory.max", "100\n"), ("memory.current", "60\n"), stat]);
        let left = |free_swap| group.look(Version::Two, free_swap).map(|group| group.left);
        assert_eq!([left(0), left(7)], [Some(70), Some(77)]);
        for (limit, expected) in [("max\n", 77), ("5\n", 73), ("0\n", 70)] {
            group.write("memory.swap.max", limit);
            group.write("memory.swap.current", "2\n");
            assert_eq!(left(7), Some(expected), "{limit}");
        }
        let group = Sample::of(&[("memory.limit_in_bytes", "100\n"), ("memory.usage_in_bytes", "60\n"), stat]);
        let left = |free_swap| group.look(Version::One, free_swap).map(|group| group.left);
        assert_eq!(left(7), Some(77));
        for (limit, expected) in [("9223372036854771712\n", 77), ("104\n", 72), ("100\n", 68)] {
            group.write("memory.memsw.limit_in_bytes", limit);
            group.write("memory.memsw.usage_in_bytes", "62\n");
            assert_eq!(left(7), Some(expected), "{limit}");
        }
    }

    #[test]
    fn files_are_read_again_and_again() {
        let sample = Sample::of(&[]);
        assert!(Group::open(Version::Two, sample.0.path()).is_none());
        for (name, text) in [("memory.max", "max\n"), ("memory.current", "60\n"), ("memory.stat", "inactive_file 10\n")]
        {
            sample.write(name, text);
        }
        let group = Group::open(Version::Two, sample.0.path()).unwrap();
        assert_eq!(group.look(0), None);
        sample.write("memory.max", "100\n");
        assert_eq!(group.look(0), Some(Limited { limit: 100, available: 50, left: 50 }));
        sample.write("memory.current", "70\n");
        assert_eq!(group.look(0), Some(Limited { limit: 100, available: 40, left: 40 }));
    }
}
