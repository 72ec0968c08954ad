//! /proc as guests see it: their own processes, described by us.

mod text;

use crate::kernel::Kernel;
use crate::task::{Pid, Tid};
use std::borrow::Cow;

/// What a path means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ProcPath {
    /// Not a process's.
    Other,
    /// A guest's; the rest of the path is relative to its directory.
    Guest { pid: Pid, rest: String },
    /// A process that is no guest.
    Missing,
}

/// Sorts a path. `/proc/self`, `/proc/thread-self`, `/proc/PID` and `/proc/PID/task/TID` are processes'.
pub(crate) fn classify(kernel: &Kernel, tid: Tid, path: &[u8]) -> ProcPath {
    let Ok(path) = std::str::from_utf8(path) else { return ProcPath::Other };
    let path = behind_link(path);
    let Some(rest) = path.strip_prefix("/proc/") else { return ProcPath::Other };
    let (first, rest) = rest.split_once('/').map_or((rest, ""), |(first, rest)| (first, rest.trim_start_matches('/')));
    let pid = match first {
        "self" | "thread-self" => kernel.pid_of(tid),
        number => match number.parse() {
            Ok(number) => Pid(number),
            Err(_) => return ProcPath::Other,
        },
    };
    match kernel.processes.get(&pid) {
        Some(process) if !process.is_zombie() || rest.is_empty() => {
            ProcPath::Guest { pid, rest: without_task(rest).to_owned() }
        }
        _ => ProcPath::Missing,
    }
}

/// The links of /dev that lead to a process's own descriptors.
fn behind_link(path: &str) -> Cow<'_, str> {
    let descriptor = match path {
        "/dev/fd" => return "/proc/self/fd".into(),
        "/dev/stdin" => "0",
        "/dev/stdout" => "1",
        "/dev/stderr" => "2",
        _ => match path.strip_prefix("/dev/fd/") {
            Some(descriptor) => descriptor,
            None => return path.into(),
        },
    };
    format!("/proc/self/fd/{descriptor}").into()
}

/// What a thread's directory has is, for us, what its process's has.
fn without_task(rest: &str) -> &str {
    let Some(inside) = rest.strip_prefix("task/") else { return rest };
    inside.split_once('/').map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_of_dev_are_a_processs_own() {
        assert_eq!(behind_link("/dev/fd/63"), "/proc/self/fd/63");
        assert_eq!(behind_link("/dev/stderr"), "/proc/self/fd/2");
        assert_eq!(behind_link("/dev/null"), "/dev/null");
    }

    #[test]
    fn a_threads_files_are_its_processs() {
        assert_eq!(without_task("task/7/maps"), "maps");
        assert_eq!(without_task("task/7"), "");
        assert_eq!(without_task("fd/3"), "fd/3");
    }
}
