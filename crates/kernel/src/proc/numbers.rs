//! Files of the host that tell numbers of its processes: guests see their own numbers there, and 0 for any other.

use super::node::Whose;
use crate::kernel::Kernel;
use crate::task::{Pid, Tid};
use std::fmt::Write;

/// Files of control groups that list their members; a guest sees guests.
pub(super) fn is_list_of_members(name: &str) -> bool {
    host::opened::MEMBERS.contains(&name)
}

/// The guests in a control group: all of them are where pagewalk is.
pub(super) fn members(kernel: &mut Kernel, path: &str) -> String {
    let list = std::fs::read_to_string(path).unwrap_or_default();
    let us = std::process::id().to_string();
    if !list.lines().any(|line| line == us) {
        return String::new();
    }
    let mut numbers: Vec<u32> = if path.ends_with("/cgroup.procs") {
        let living = kernel.processes.iter().filter(|(_, process)| !process.tasks.is_empty());
        living.map(|(pid, _)| pid.get()).collect()
    } else {
        kernel.tasks.keys().map(|tid| tid.get()).collect()
    };
    numbers.sort_unstable();
    numbers.iter().fold(String::new(), |mut text, number| {
        writeln!(text, "{number}").expect("a string takes all text");
        text
    })
}

/// `/proc/PID/fdinfo/N`: the host's, with the holders of locks as guests know them.
pub(super) fn descriptor_info(kernel: &mut Kernel, path: &str) -> String {
    let names: Vec<&str> = path.split('/').collect();
    let number = |at: usize| names.get(at).and_then(|name| name.parse::<u32>().ok());
    let (Some(pid), Some(descriptor)) = (number(2), names.last()) else { return String::new() };
    let whose = Whose { pid: Pid(pid), tid: number(4).filter(|_| names[3] == "task").map(Tid) };
    let host_path = format!("/proc/self/task/{}/fdinfo/{descriptor}", kernel.host_tid_of(whose));
    let info = std::fs::read_to_string(host_path).unwrap_or_default();
    info.lines().map(|line| with_holder(line, pid) + "\n").collect()
}

/// A line of fdinfo whose lock, if it is one, a guest holds.
fn with_holder(line: &str, pid: u32) -> String {
    let owner =
        line.strip_prefix("lock:").and_then(|lock| lock.split_whitespace().nth(4)).filter(|owner| *owner != "-1");
    let Some(owner) = owner else { return line.to_owned() };
    let holder = if owner == std::process::id().to_string() { pid } else { 0 };
    line.replacen(&format!(" {owner} "), &format!(" {holder} "), 1)
}

/// `/proc/net/netlink`: the host's, with the numbers of guests alone.
pub(super) fn netlink(kernel: &mut Kernel, _: &str) -> String {
    let table = std::fs::read_to_string("/proc/thread-self/net/netlink").unwrap_or_default();
    table.lines().map(|line| with_guest(line, |pid| kernel.processes.contains_key(&Pid(pid))) + "\n").collect()
}

/// A line of that table; its third column is the number that a socket has chosen, mostly its process's. Negative ones
/// are the host's choice and name nobody.
fn with_guest(line: &str, is_guest: impl Fn(u32) -> bool) -> String {
    let chosen = line.split_whitespace().nth(2).filter(|number| number.parse::<i32>().is_ok_and(|number| number > 0));
    match chosen {
        Some(number) if !is_guest(number.parse().unwrap_or(0)) => {
            line.replacen(&format!(" {number} "), &format!(" {:<width$} ", 0, width = number.len()), 1)
        }
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_a_guest() {
        let us = std::process::id();
        assert_eq!(
            with_holder(&format!("lock:\t1: POSIX  ADVISORY  WRITE {us} fe:00:1 0 EOF"), 5),
            "lock:\t1: POSIX  ADVISORY  WRITE 5 fe:00:1 0 EOF"
        );
        assert_eq!(
            with_holder("lock:\t1: LEASE  ACTIVE  READ 0 fe:00:1 0 EOF", 5),
            "lock:\t1: LEASE  ACTIVE  READ 0 fe:00:1 0 EOF"
        );
        for line in ["lock:\t1: OFDLCK ADVISORY  READ -1 00:01:5 3 9", "pos:\t0"] {
            assert_eq!(with_holder(line, 5), line);
        }
    }

    #[test]
    fn a_number_of_the_hosts_is_not_shown() {
        let line = "000000006c5eaf57 0   11387      00000111 0        0        0     2        0        1521    ";
        let hidden = "000000006c5eaf57 0   0          00000111 0        0        0     2        0        1521    ";
        assert_eq!(with_guest(line, |_| false), hidden);
        assert_eq!(with_guest(line, |pid| pid == 11387), line);
        let title = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode";
        assert_eq!(with_guest(title, |_| false), title);
        let chosen_by_the_host = "000000006c5eaf57 0   4294963199 00000111 0";
        assert_eq!(with_guest(chosen_by_the_host, |_| false), chosen_by_the_host);
    }
}
