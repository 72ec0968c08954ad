//! What a name of the guest's world is.

use super::numbers;
use super::rows::{self, Row};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::{Pid, Tid};

/// A name that is ours, with its path; the path holds no link and says everything about the node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// As guests see it, absolute.
    pub path: String,
    pub what: What,
    /// For names below `/proc/PID`.
    pub whose: Option<Whose>,
}

/// The process or thread that a file is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Whose {
    pub pid: Pid,
    /// The thread, for names below `/proc/PID/task/TID`.
    pub tid: Option<Tid>,
}

/// Kinds of nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Directory(Directory),
    Link(Link),
    /// A text about a process, made when it is read from its start.
    Text(fn(&mut Kernel, Whose) -> Vec<u8>),
    /// A text about the machine; it is told its own path.
    Machine(fn(&mut Kernel, &str) -> String),
    /// A text that can be written to as well.
    Control {
        read: fn(&mut Kernel, Whose) -> Vec<u8>,
        write: fn(&mut Kernel, Whose, &[u8]) -> Result<(), Errno>,
    },
    /// The same, about the machine.
    MachineControl {
        read: fn(&mut Kernel, &str) -> String,
        write: fn(&mut Kernel, &[u8]) -> Result<(), Errno>,
    },
    /// A process's memory, by address.
    Memory,
    /// A word for each page, by page number.
    PageMap,
    /// The host's file serves: it tells nothing of the host that is not the guest's as well.
    Shown,
}

/// Directories, by what they list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Directory {
    /// `/proc`.
    Root,
    /// `/proc/PID`.
    Process,
    /// `/proc/PID/task`.
    Tasks,
    /// `/proc/PID/task/TID`.
    Task,
    /// `/proc/PID/fd` and `fdinfo`.
    Descriptors(Descriptors),
    /// The host's, below /proc.
    Shown,
    /// `/sys/devices/system/cpu`.
    Cpus,
    /// `/sys/devices/system/node`.
    Nodes,
}

/// The two directories with an entry for each descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Descriptors {
    Links,
    Infos,
}

/// Links, by where they lead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Link {
    /// `/proc/self`.
    OwnProcess,
    /// `/proc/thread-self`.
    OwnThread,
    /// A path, relative to where the link is.
    To(&'static str),
    Executable,
    WorkingDirectory,
    RootDirectory,
    Descriptor(i32),
    /// The host's link serves.
    Shown,
}

impl Node {
    /// `/proc`.
    pub fn root() -> Self {
        Self { path: "/proc".to_owned(), what: What::Directory(Directory::Root), whose: None }
    }

    /// The path of the directory that it is in.
    pub fn parent_path(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(parent, _)| parent)
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.what, What::Directory(_))
    }

    fn below(&self, name: &str, what: What, whose: Option<Whose>) -> Self {
        Self { path: format!("{}/{name}", self.path), what, whose }
    }
}

impl Kernel {
    /// A name of the host's tree where ours begins, or a file that we write instead of the host.
    pub(super) fn entrance(&self, path: &str) -> Option<Node> {
        if path == "/proc" {
            return Some(Node::root());
        }
        let what = match path.strip_prefix("/dev/") {
            Some("fd") => What::Link(Link::To("/proc/self/fd")),
            Some("stdin") => What::Link(Link::To("/proc/self/fd/0")),
            Some("stdout") => What::Link(Link::To("/proc/self/fd/1")),
            Some("stderr") => What::Link(Link::To("/proc/self/fd/2")),
            Some(_) => return None,
            None => super::system::file_of_sys(path)?,
        };
        Some(Node { path: path.to_owned(), what, whose: None })
    }

    /// The entry of a directory of ours.
    pub(super) fn child(&mut self, directory: &Node, name: &str) -> Result<Node, Errno> {
        let What::Directory(kind) = directory.what else { return Err(Errno::ENOTDIR) };
        match (kind, directory.whose) {
            (Directory::Root, _) => self.child_of_root(directory, name),
            (Directory::Process | Directory::Task, Some(whose)) => {
                let row = rows::find(name).filter(|row| kind == Directory::Process || row.is_per_thread());
                let row: &Row = row.ok_or(Errno::ENOENT)?;
                Ok(directory.below(name, row.what, Some(whose)))
            }
            (Directory::Tasks, Some(whose)) => {
                let tid = name.parse().map(Tid).map_err(|_| Errno::ENOENT)?;
                if !self.tids_of(whose.pid).contains(&tid) {
                    return Err(Errno::ENOENT);
                }
                let its = Whose { pid: whose.pid, tid: Some(tid) };
                Ok(directory.below(name, What::Directory(Directory::Task), Some(its)))
            }
            (Directory::Descriptors(kind), Some(whose)) => {
                let number: i32 = name.parse().map_err(|_| Errno::ENOENT)?;
                if !self.descriptors_of(whose).contains(&number) {
                    return Err(Errno::ENOENT);
                }
                let what = match kind {
                    Descriptors::Links => What::Link(Link::Descriptor(number)),
                    Descriptors::Infos => What::Machine(numbers::descriptor_info),
                };
                Ok(directory.below(name, what, Some(whose)))
            }
            (Directory::Cpus | Directory::Nodes, _) => self.child_of_sys(directory, name),
            _ => self.shown_child(directory, name),
        }
    }

    fn child_of_root(&mut self, root: &Node, name: &str) -> Result<Node, Errno> {
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: u32 = name.parse().map_err(|_| Errno::ENOENT)?;
            // As in Linux, a thread's number names its process here, though it is not listed.
            let pid = match self.tasks.get(&Tid(number)) {
                Some(task) => task.pid,
                None => Pid(number),
            };
            self.processes.get(&pid).ok_or(Errno::ENOENT)?;
            let whose = Whose { pid, tid: (pid.0 != number).then_some(Tid(number)) };
            return Ok(root.below(name, What::Directory(Directory::Process), Some(whose)));
        }
        match name {
            "self" => Ok(root.below(name, What::Link(Link::OwnProcess), None)),
            "thread-self" => Ok(root.below(name, What::Link(Link::OwnThread), None)),
            "mounts" => Ok(root.below(name, What::Link(Link::To("self/mounts")), None)),
            "net" => Ok(root.below(name, What::Link(Link::To("self/net")), None)),
            _ => self.shown_child(root, name),
        }
    }

    /// A machine-wide file of ours, or what the host has there.
    fn shown_child(&mut self, directory: &Node, name: &str) -> Result<Node, Errno> {
        let path = format!("{}/{name}", directory.path);
        let what = match super::machine::find(&path) {
            Some(what) => what,
            None if path.ends_with("/net/netlink") => What::Machine(numbers::netlink),
            None if super::machine::is_absent(&path) => return Err(Errno::ENOENT),
            None => {
                let host_path = self.host_path_of(directory) + "/" + name;
                let kind = std::fs::symlink_metadata(host_path).map_err(|_| Errno::ENOENT)?.file_type();
                match (kind.is_dir(), kind.is_symlink()) {
                    (true, _) => What::Directory(Directory::Shown),
                    (_, true) => What::Link(Link::Shown),
                    _ => What::Shown,
                }
            }
        };
        Ok(Node { path, what, whose: directory.whose })
    }

    /// Where the host has what a node is about, for attributes and for what it shows as it is.
    pub(crate) fn host_path_of(&self, node: &Node) -> String {
        let Some(whose) = node.whose else {
            return super::system::host_path(&node.path);
        };
        let mut names = node.path.split('/').skip(3);
        let mut rest: Vec<&str> = names.by_ref().collect();
        if rest.first() == Some(&"task") && rest.len() > 1 {
            rest.drain(..2);
        }
        let mut path = match rest.first() {
            Some(name) if rows::find(name).is_some_and(|row| !row.is_per_thread()) => "/proc/self".to_owned(),
            _ => format!("/proc/self/task/{}", self.host_tid_of(whose)),
        };
        for name in rest {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// The host's thread that stands in a process's descriptor table and working directory.
    pub(super) fn host_tid_of(&self, whose: Whose) -> i32 {
        let first = self.tids_of(whose.pid).into_iter().next();
        let task = whose.tid.or(first).and_then(|tid| self.tasks.get(&tid));
        // A process that has ended has no thread: what is asked of it then is the same for all.
        task.map(|task| task.host_tid).filter(|host_tid| *host_tid != 0).unwrap_or_else(host::guest_thread::host_tid)
    }

    /// The threads of a process; a process that has ended and was not waited for has its first.
    pub(super) fn tids_of(&self, pid: Pid) -> Vec<Tid> {
        let mut tids = self.processes.get(&pid).map_or_else(Vec::new, |process| process.tasks.clone());
        // The first is there as long as its process is.
        if !tids.contains(&Tid(pid.0)) {
            tids.push(Tid(pid.0));
        }
        tids.sort_unstable();
        tids
    }

    /// The descriptors of a process.
    pub(super) fn descriptors_of(&self, whose: Whose) -> Vec<i32> {
        if self.processes.get(&whose.pid).is_none_or(|process| process.tasks.is_empty()) {
            return Vec::new();
        }
        let mut numbers = host::files::descriptors_of_thread(self.host_tid_of(whose));
        numbers.sort_unstable();
        numbers
    }
}
