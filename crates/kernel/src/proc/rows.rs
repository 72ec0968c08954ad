//! The names in `/proc/PID` and `/proc/PID/task/TID`, as data.

use super::node::Descriptors::{Infos, Links};
use super::node::Directory::{Descriptors, Shown as ShownDirectory, Tasks};
use super::node::What::{Control, Directory, Link, Memory, PageMap, Shown, Text};
use super::node::{Link as Leads, What};
use super::{accounts, controls, memory, status, words};

/// One name.
pub(super) struct Row {
    pub name: &'static str,
    pub what: What,
    scope: Scope,
}

/// Where Linux has a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In a process's directory and in each of its threads'.
    Both,
    /// In a process's only.
    Process,
}

impl Row {
    /// Whether a thread's directory has it.
    pub fn is_per_thread(&self) -> bool {
        self.scope == Scope::Both
    }
}

const fn both(name: &'static str, what: What) -> Row {
    Row { name, what, scope: Scope::Both }
}

const fn process(name: &'static str, what: What) -> Row {
    Row { name, what, scope: Scope::Process }
}

/// In the order of Linux's listing.
#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    process("task", Directory(Tasks)),
    both("fd", Directory(Descriptors(Links))),
    both("fdinfo", Directory(Descriptors(Infos))),
    both("attr", Directory(ShownDirectory)),
    both("ns", Directory(ShownDirectory)),
    both("net", Directory(ShownDirectory)),
    both("environ", Text(words::environ)),
    both("auxv", Text(words::auxv)),
    both("status", Text(status::text)),
    both("personality", Text(words::personality)),
    both("limits", Text(words::limits)),
    both("comm", Control { read: words::comm, write: controls::set_comm }),
    both("cmdline", Text(words::cmdline)),
    both("stat", Text(accounts::stat)),
    both("statm", Text(memory::statm)),
    both("maps", Text(memory::maps)),
    both("numa_maps", Text(memory::numa_maps)),
    both("mem", Memory),
    both("cwd", Link(Leads::WorkingDirectory)),
    both("root", Link(Leads::RootDirectory)),
    both("exe", Link(Leads::Executable)),
    both("mounts", Shown),
    both("mountinfo", Shown),
    process("mountstats", Shown),
    both("clear_refs", Control { read: controls::nothing, write: controls::clear_refs }),
    both("smaps", Text(memory::smaps)),
    both("smaps_rollup", Text(memory::smaps_rollup)),
    both("pagemap", PageMap),
    both("syscall", Text(words::syscall)),
    both("wchan", Text(words::wchan)),
    both("schedstat", Shown),
    both("cpuset", Shown),
    both("cgroup", Shown),
    both("oom_score", Text(words::oom_score)),
    both("oom_adj", Control { read: words::oom_adj, write: controls::set_oom_adj }),
    both("oom_score_adj", Control { read: words::oom_score_adj, write: controls::set_oom_score_adj }),
    both("loginuid", Shown),
    both("sessionid", Shown),
    process("coredump_filter", Text(words::coredump_filter)),
    both("io", Text(accounts::io)),
    both("uid_map", Shown),
    both("gid_map", Shown),
    both("projid_map", Shown),
    both("setgroups", Shown),
    process("timers", Text(accounts::timers)),
    process("timerslack_ns", Text(words::timer_slack)),
];

/// The row of a name.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.name == name)
}
