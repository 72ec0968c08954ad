//! From a path to what it names: one walk that knows links, `..`, the working directory and descriptors.
//!
//! Most paths never come near the guest's world; those are seen by their components and left to the host. The others
//! are walked name by name. Below `/proc` every step is ours, so nothing there can lead to a process of the host.

use super::node::{Link, Node, What, Whose};
use super::numbers::is_list_of_members;
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::Tid;

/// Links that a path may go through.
const MAX_LINKS: u32 = 40;

/// What a path names.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// Nothing of ours: the host resolves it as it was given.
    Host,
    /// The host resolves this path instead.
    HostPath(String),
    Node(Node),
}

/// What becomes of a link that a path ends with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LastLink {
    Followed,
    Kept,
}

/// Where a walk has come to.
enum At {
    Host(String),
    Node(Node),
}

/// A walk on its way.
struct Walk {
    at: At,
    /// The names to come, the next one last.
    names: Vec<String>,
    links: u32,
    /// Whether the host would have gone another way.
    is_ours: bool,
    host_links: HostLinks,
}

/// What becomes of links in the host's part of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HostLinks {
    /// The host follows them: none is thought to lead to a name of ours.
    Unseen,
    /// The walk follows them.
    Followed,
}

impl Kernel {
    /// What a path of a task names, relative to a descriptor (`AT_FDCWD` for the working directory).
    pub(crate) fn resolve(&mut self, tid: Tid, directory: i32, path: &[u8], last: LastLink) -> Result<Found, Errno> {
        let Ok(path) = std::str::from_utf8(path) else { return Ok(Found::Host) };
        let base = if path.starts_with('/') { None } else { self.node_at(tid, directory)? };
        if base.is_none() && !may_be_ours(path) {
            return Ok(Found::Host);
        }
        if path.is_empty() {
            return Ok(base.map_or(Found::Host, Found::Node));
        }
        let mut walk = Walk::new(HostLinks::Unseen);
        walk.is_ours = base.is_some();
        walk.push(path);
        if !path.starts_with('/') {
            let start = match &base {
                Some(node) => node.path.clone(),
                None => host_directory(directory),
            };
            walk.push(&start);
        }
        self.walk(tid, walk, if path.ends_with('/') { LastLink::Followed } else { last })
    }

    /// What a path of the host's part names when its links are followed: one of them leads to the host's /proc.
    pub(crate) fn resolve_behind_links(&mut self, tid: Tid, directory: i32, path: &[u8]) -> Result<Found, Errno> {
        let path = std::str::from_utf8(path).map_err(|_| Errno::ENOENT)?;
        let mut walk = Walk::new(HostLinks::Followed);
        walk.push(path);
        if !path.starts_with('/') {
            walk.push(&host_directory(directory));
        }
        self.walk(tid, walk, LastLink::Followed)
    }

    /// The node of a path without links, if it is still there.
    pub(crate) fn node_of_path(&mut self, tid: Tid, path: &str) -> Option<Node> {
        match self.resolve(tid, libc::AT_FDCWD, path.as_bytes(), LastLink::Kept) {
            Ok(Found::Node(node)) => Some(node),
            _ => None,
        }
    }

    /// The node that a descriptor or the working directory stands for.
    fn node_at(&mut self, tid: Tid, directory: i32) -> Result<Option<Node>, Errno> {
        let path = match directory {
            libc::AT_FDCWD => self.tasks[&tid].directory.get(),
            descriptor if self.has_stand_ins => self.stand_ins.path_of(descriptor),
            _ => None,
        };
        match path {
            // What is gone is the directory of a process that has ended.
            Some(path) => self.node_of_path(tid, &path).map(Some).ok_or(Errno::ESRCH),
            None => Ok(None),
        }
    }

    fn walk(&mut self, tid: Tid, mut walk: Walk, last: LastLink) -> Result<Found, Errno> {
        while let Some(name) = walk.names.pop() {
            match name.as_str() {
                "." => continue,
                ".." => walk.up(),
                _ => self.step(&mut walk, &name)?,
            }
            let At::Node(Node { what: What::Link(link), .. }) = &walk.at else { continue };
            if !walk.names.is_empty() || last == LastLink::Followed {
                let link = *link;
                self.follow(tid, &mut walk, link)?;
            }
        }
        Ok(match walk.at {
            At::Node(node) => Found::Node(node),
            At::Host(path) if walk.is_ours => Found::HostPath(if path.is_empty() { "/".to_owned() } else { path }),
            At::Host(_) => Found::Host,
        })
    }

    fn step(&mut self, walk: &mut Walk, name: &str) -> Result<(), Errno> {
        walk.at = match &walk.at {
            At::Node(node) => At::Node(self.child(node, name)?),
            At::Host(path) => {
                let path = format!("{path}/{name}");
                match self.entrance(&path) {
                    Some(node) => At::Node(node),
                    None if walk.host_links == HostLinks::Followed => return walk.follow_host(path),
                    None => At::Host(path),
                }
            }
        };
        walk.is_ours |= matches!(walk.at, At::Node(_));
        Ok(())
    }

    fn follow(&mut self, tid: Tid, walk: &mut Walk, link: Link) -> Result<(), Errno> {
        let At::Node(node) = &walk.at else { unreachable!("a link is a node") };
        let node = node.clone();
        walk.links += 1;
        if walk.links > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        let host_path = self.host_path_of(&node);
        let target = String::from_utf8(self.target_of(tid, &node, link)?).map_err(|_| Errno::ENOENT)?;
        let goes_on = !walk.names.is_empty() || is_ours(&target);
        let leads_by_name = match link {
            // The host's own link leads to the open file itself, also where its path is no longer its name.
            Link::Descriptor(_) | Link::WorkingDirectory => goes_on && is_plain(&target),
            Link::Shown => target.contains('/'),
            _ => true,
        };
        if !leads_by_name {
            walk.at = At::Host(host_path);
        } else if !target.starts_with('/') {
            walk.push(&target);
            walk.restart(node.parent_path());
        } else if goes_on {
            walk.restart(&target);
        } else {
            walk.at = At::Host(target);
        }
        Ok(())
    }

    /// The working directory of a thread, or of the first that its process has left, if it is one of ours.
    fn directory_of(&self, whose: Whose) -> Option<String> {
        let first = self.processes.get(&whose.pid).and_then(|process| process.tasks.first().copied());
        self.tasks.get(&whose.tid.or(first)?)?.directory.get()
    }

    /// Where a link leads, as readlink tells it.
    pub(crate) fn target_of(&mut self, tid: Tid, node: &Node, link: Link) -> Result<Vec<u8>, Errno> {
        let whose = node.whose;
        let process = whose.and_then(|whose| self.processes.get(&whose.pid));
        if matches!(link, Link::Executable | Link::WorkingDirectory | Link::RootDirectory | Link::Descriptor(_))
            && process.is_none_or(|process| process.space.is_none())
        {
            return Err(Errno::ENOENT);
        }
        Ok(match link {
            Link::OwnProcess => self.pid_of(tid).to_string().into_bytes(),
            Link::OwnThread => format!("{}/task/{tid}", self.pid_of(tid)).into_bytes(),
            Link::To(path) => path.as_bytes().to_vec(),
            Link::RootDirectory => b"/".to_vec(),
            Link::Executable => process.map(|process| process.image.path.clone()).unwrap_or_default(),
            Link::WorkingDirectory => match whose.and_then(|whose| self.directory_of(whose)) {
                Some(path) => path.into_bytes(),
                None => read_host_link(&self.host_path_of(node))?,
            },
            Link::Descriptor(_) | Link::Shown => {
                let target = read_host_link(&self.host_path_of(node))?;
                let stood_for = std::str::from_utf8(&target).ok().and_then(host::stand_in::stood_for);
                stood_for.map_or(target.clone(), |path| path.as_bytes().to_vec())
            }
        })
    }
}

impl Walk {
    fn new(host_links: HostLinks) -> Self {
        Self { at: At::Host(String::new()), names: Vec::new(), links: 0, is_ours: false, host_links }
    }

    /// Goes to a name of the host's, or to where it leads if it is a link.
    fn follow_host(&mut self, path: String) -> Result<(), Errno> {
        let Ok(target) = read_host_link(&path) else {
            self.at = At::Host(path);
            return Ok(());
        };
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::ELOOP);
        }
        let target = String::from_utf8(target).map_err(|_| Errno::ENOENT)?;
        self.push(&target);
        if target.starts_with('/') {
            self.at = At::Host(String::new());
        }
        Ok(())
    }

    /// Puts the names of a path in front of those to come.
    fn push(&mut self, path: &str) {
        self.names.extend(path.split('/').rev().filter(|name| !name.is_empty()).map(str::to_owned));
    }

    /// Begins again at the root, with the names of a path in front of those to come.
    fn restart(&mut self, path: &str) {
        self.push(path);
        self.at = At::Host(String::new());
    }

    fn up(&mut self) {
        let parent = match &self.at {
            At::Node(node) => node.parent_path().to_owned(),
            At::Host(path) => {
                let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
                self.at = At::Host(parent);
                return;
            }
        };
        self.restart(&parent);
    }
}

/// Whether a path can lead to names of ours: the components that their paths have.
fn may_be_ours(path: &str) -> bool {
    let is_near = |name| matches!(name, "proc" | "sys" | "cpu" | "node" | "memory") || is_list_of_members(name);
    path.starts_with("/dev/") || path.split('/').any(is_near)
}

fn is_ours(path: &str) -> bool {
    path.starts_with("/proc") || path.starts_with("/sys/devices/system/")
}

/// Whether what a link of the host shows is a path, and still names the file.
fn is_plain(target: &str) -> bool {
    target.starts_with('/') && !target.ends_with(" (deleted)")
}

/// The host's path of a directory that is not ours.
fn host_directory(directory: i32) -> String {
    let path = match directory {
        libc::AT_FDCWD => std::env::current_dir().map(|path| path.into_os_string().into_encoded_bytes()),
        descriptor => Ok(host::files::path_of(descriptor)),
    };
    path.ok().and_then(|path| String::from_utf8(path).ok()).unwrap_or_default()
}

fn read_host_link(path: &str) -> Result<Vec<u8>, Errno> {
    let target = std::fs::read_link(path).map_err(|error| Errno::of_host(&error))?;
    Ok(target.into_os_string().into_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_near_our_names_are_walked() {
        for path in
            ["/proc/self/maps", "proc/self", "/usr/../proc/1", "/dev/fd/3", "/sys/devices/system/cpu/online", "tasks"]
        {
            assert!(may_be_ours(path), "{path}");
        }
        for path in ["/usr/lib/libc.so.6", "process/x", "a.c", "/etc/processor"] {
            assert!(!may_be_ours(path), "{path}");
        }
    }

    #[test]
    fn a_walk_goes_up_in_the_hosts_part_by_names() {
        let mut walk = Walk::new(HostLinks::Unseen);
        walk.at = At::Host("/usr/lib".to_owned());
        walk.up();
        assert!(matches!(&walk.at, At::Host(path) if path == "/usr"));
        walk.up();
        walk.up();
        assert!(matches!(&walk.at, At::Host(path) if path.is_empty()));
    }
}
