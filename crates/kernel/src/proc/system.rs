//! The parts of /sys that say what the machine is: its processors, its one memory node, that its memory cannot be taken out
//! block by block, what control groups allow, which is all of it, and whom they hold.

use super::node::{Directory, Link, Node, What};
use super::numbers;
use crate::Errno;
use crate::kernel::Kernel;
use addr::PAGE_BYTES;

/// Writes the text of a file, whose path it is told.
type Read = fn(&mut Kernel, &str) -> String;

const CPUS: &str = "/sys/devices/system/cpu";
const NODES: &str = "/sys/devices/system/node";
const BLOCKS: &str = "/sys/devices/system/memory";
const CGROUPS: &str = "/sys/fs/cgroup";

/// What a path below /sys is, if the host's answer would describe the host.
pub(super) fn file_of_sys(path: &str) -> Option<What> {
    match path {
        CPUS => return Some(What::Directory(Directory::Cpus)),
        NODES | BLOCKS => return Some(What::Directory(Directory::Nodes)),
        _ => {}
    }
    let (_, name) = path.strip_prefix(CGROUPS)?.rsplit_once('/')?;
    if numbers::is_list_of_members(name) {
        let what = What::MachineControl { read: numbers::members, write: |_, _| Err(Errno::EPERM) };
        return std::fs::exists(path).ok()?.then_some(what);
    }
    let read: Read = match name {
        "memory.max" | "memory.high" | "memory.limit_in_bytes" | "memory.memsw.limit_in_bytes" => limit_text,
        "cpuset.cpus" | "cpuset.effective_cpus" | "cpuset.cpus.effective" => {
            |kernel: &mut Kernel, _: &str| kernel.cpu_list() + "\n"
        }
        "memory.current" | "memory.usage_in_bytes" | "memory.memsw.usage_in_bytes" => usage_text,
        _ => return None,
    };
    // The host decides which version of control groups there is.
    std::fs::exists(path).ok()?.then_some(What::Machine(read))
}

fn limit_text(kernel: &mut Kernel, _: &str) -> String {
    format!("{}\n", u64::from(kernel.mm.memory().ram().frame_count()) * PAGE_BYTES)
}

fn usage_text(kernel: &mut Kernel, _: &str) -> String {
    format!("{}\n", u64::from(kernel.mm.frames_in_use()) * PAGE_BYTES)
}

/// Where the host has a machine-wide name: processors that it has not are like its first.
pub(super) fn host_path(path: &str) -> String {
    let Some((number, rest)) = processor_of(path) else { return path.to_owned() };
    match std::fs::exists(format!("{CPUS}/cpu{number}")) {
        Ok(true) => path.to_owned(),
        _ => format!("{CPUS}/cpu0{rest}"),
    }
}

/// The number in `/sys/devices/system/cpu/cpuN`, and what follows.
fn processor_of(path: &str) -> Option<(u32, &str)> {
    let behind = path.strip_prefix(CPUS)?.strip_prefix("/cpu")?;
    let (number, _) = behind.split_once('/').unwrap_or((behind, ""));
    Some((number.parse().ok()?, &behind[number.len()..]))
}

impl Kernel {
    /// A name below the two directories.
    pub(super) fn child_of_sys(&mut self, directory: &Node, name: &str) -> Result<Node, Errno> {
        let path = format!("{}/{name}", directory.path);
        let what = self.own_file_of_sys(&path);
        let what = match what {
            Some(what) => what,
            None if self.is_beyond(&path) => return Err(Errno::ENOENT),
            None => {
                let kind = std::fs::symlink_metadata(host_path(&path)).map_err(|_| Errno::ENOENT)?.file_type();
                match (kind.is_dir(), kind.is_symlink()) {
                    (true, _) if path.starts_with(CPUS) => What::Directory(Directory::Cpus),
                    (true, _) => What::Directory(Directory::Nodes),
                    (_, true) => What::Link(Link::Shown),
                    _ => What::Shown,
                }
            }
        };
        Ok(Node { path, what, whose: None })
    }

    /// The names in the two directories and below.
    pub(super) fn sys_names(&self, directory: &Node) -> Vec<(String, u8)> {
        let mut names = self.shown_names(directory);
        names.retain(|(name, _)| !["cpu", "node", "memory"].iter().any(|kind| is_numbered(name, kind)));
        let is_node = directory.path == NODES;
        if directory.path == CPUS || directory.path == format!("{NODES}/node0") {
            let kind = if directory.path == CPUS { libc::DT_DIR } else { libc::DT_LNK };
            names.extend((0..self.config.cpus).map(|number| (format!("cpu{number}"), kind)));
        } else if is_node {
            names.push(("node0".to_owned(), libc::DT_DIR));
        }
        names
    }

    /// Whether a path names a processor, a node or a block of memory that the machine does not have.
    fn is_beyond(&self, path: &str) -> bool {
        let node = path.strip_prefix(NODES).and_then(|rest| rest.strip_prefix("/node"));
        let node = node.and_then(|rest| rest.split('/').next()?.parse::<u32>().ok());
        let is_block = path
            .strip_prefix(BLOCKS)
            .and_then(|rest| rest.strip_prefix('/'))
            .is_some_and(|name| is_numbered(name, "memory"));
        is_block
            || processor_of(path).is_some_and(|(number, _)| number >= self.config.cpus)
            || node.is_some_and(|number| number > 0)
    }

    fn own_file_of_sys(&self, path: &str) -> Option<What> {
        if let Some((_, rest)) = processor_of(path) {
            return topology(rest);
        }
        if let Some(number) = path.strip_prefix(&format!("{NODES}/node0/cpu")).and_then(|rest| rest.parse().ok()) {
            return (self.config.cpus > number).then_some(What::Link(Link::Shown));
        }
        let read: Read = match path.strip_prefix(CPUS).or_else(|| path.strip_prefix(NODES))? {
            "/online" | "/possible" | "/has_cpu" | "/has_memory" | "/has_normal_memory" if path.starts_with(NODES) => {
                |_, _| "0\n".to_owned()
            }
            "/online" | "/possible" | "/present" | "/enabled" => |kernel, _| kernel.cpu_list() + "\n",
            "/offline" | "/isolated" => |_, _| "\n".to_owned(),
            "/node0/cpulist" => |kernel, _| kernel.cpu_list() + "\n",
            "/node0/cpumap" => |kernel, _| kernel.cpu_mask() + "\n",
            "/node0/meminfo" => super::machine::node_memory,
            _ => return None,
        };
        Some(What::Machine(read))
    }

    /// All processors, as the kernel writes lists.
    pub(super) fn cpu_list(&self) -> String {
        match self.config.cpus {
            1 => "0".to_owned(),
            cpus => format!("0-{}", cpus - 1),
        }
    }

    /// All processors, as the kernel writes masks: words of 32 bits.
    pub(super) fn cpu_mask(&self) -> String {
        mask_text(|_| true, self.config.cpus)
    }
}

/// The files of a processor that relate it to the others: each is a core of one package.
fn topology(rest: &str) -> Option<What> {
    let read: Read = match rest.strip_prefix("/topology/")? {
        "core_id" | "thread_siblings_list" | "core_cpus_list" => |_, path| format!("{}\n", own_number(path)),
        "thread_siblings" | "core_cpus" => {
            |_, path| mask_text(|cpu| cpu == own_number(path), own_number(path) + 1) + "\n"
        }
        "physical_package_id" => |_, _| "0\n".to_owned(),
        "core_siblings_list" | "package_cpus_list" => |kernel, _| kernel.cpu_list() + "\n",
        "core_siblings" | "package_cpus" => |kernel, _| kernel.cpu_mask() + "\n",
        _ => return None,
    };
    Some(What::Machine(read))
}

fn own_number(path: &str) -> u32 {
    processor_of(path).map_or(0, |(number, _)| number)
}

/// A set of processors below `end` as the kernel writes masks: words of 32 bits, the highest first, commas between.
fn mask_text(has: impl Fn(u32) -> bool, end: u32) -> String {
    let bit = |cpu: u32| if cpu < end && has(cpu) { 1u32 << (cpu % 32) } else { 0 };
    let word = |index: u32| (index * 32..index * 32 + 32).map(bit).sum::<u32>();
    let mut words = (0..end.div_ceil(32).max(1)).rev().map(word);
    let first = format!("{:x}", words.next().unwrap_or(0));
    words.fold(first, |text, word| format!("{text},{word:08x}"))
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_known_by_its_number() {
        assert_eq!(processor_of("/sys/devices/system/cpu/cpu12/topology/core_id"), Some((12, "/topology/core_id")));
        assert_eq!(processor_of("/sys/devices/system/cpu/cpufreq"), None);
        assert_eq!(mask_text(|_| true, 1), "1");
        assert_eq!(mask_text(|_| true, 34), "3,ffffffff");
        assert_eq!(mask_text(|cpu| cpu == 2, 3), "4");
        assert!(is_numbered("cpu3", "cpu") && !is_numbered("cpu", "cpu") && !is_numbered("cpuidle", "cpu"));
    }
}
