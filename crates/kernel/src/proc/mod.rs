//! /proc as guests see it: their own processes, described by us.

mod text;

use crate::kernel::Kernel;
use crate::task::{Pid, Tid};

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
    let Some(rest) = path.strip_prefix(b"/proc/") else { return ProcPath::Other };
    let Ok(rest) = std::str::from_utf8(rest) else { return ProcPath::Other };
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

/// What a thread's directory has is, for us, what its process's has.
fn without_task(rest: &str) -> &str {
    let Some(inside) = rest.strip_prefix("task/") else { return rest };
    inside.split_once('/').map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threads_files_are_its_processs() {
        assert_eq!(without_task("task/7/maps"), "maps");
        assert_eq!(without_task("task/7"), "");
        assert_eq!(without_task("fd/3"), "fd/3");
    }
}
