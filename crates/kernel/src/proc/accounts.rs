//! What a process has used: /proc/PID/stat and io.

use super::node::Whose;
use super::status::actions_where;
use super::template::{Others, Values};
use crate::kernel::Kernel;
use crate::signal::SIG_IGN;
use crate::task::Pid;
use host::cpu_time::TICK_NS;
use std::fmt::Write;

/// The signals that have a place in stat: the standard ones.
const STANDARD: u64 = 0x7fff_ffff;

/// /proc/PID/stat: proc(5) numbers its 52 fields.
pub(super) fn stat(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let name = kernel.name_of(whose);
    let number = whose.tid.map_or(whose.pid.0, |tid| tid.0);
    let mut text = format!("{number} (").into_bytes();
    text.extend(&name);
    text.extend(b") ");
    let mut fields = String::from(&kernel.state_of(whose)[..1]);
    for field in kernel.stat_fields(whose) {
        write!(fields, " {field}").expect("a string takes all text");
    }
    text.extend(fields.as_bytes());
    text.push(b'\n');
    text
}

/// /proc/PID/timers: those of timer_create.
pub(super) fn timers(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    kernel.timers_text(whose.pid).into_bytes()
}

/// /proc/PID/io: the host counts what its disks did for the thread; bytes and calls are the guest's.
pub(super) fn io(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let host_path = format!("/proc/self/task/{}/io", kernel.host_tid_of(whose));
    let host = std::fs::read_to_string(host_path).unwrap_or_default();
    let transfers = kernel.process(whose).transfers;
    let mut values = Values::default();
    values.set("rchar", transfers.read_bytes);
    values.set("wchar", transfers.written_bytes);
    values.set("syscr", transfers.reads);
    values.set("syscw", transfers.writes);
    values.put_into(&host, ':', Others::Stay).into_bytes()
}

impl Kernel {
    /// Fields 4 to 52 of stat.
    fn stat_fields(&self, whose: Whose) -> [i128; 49] {
        let process = self.process(whose);
        let image = &process.image;
        let usage = process.space.map(|space| self.mm.usage(space)).unwrap_or_default();
        let heap = process.space.map_or(0, |space| self.mm.heap(space).start.get());
        let (terminal, foreground) = self.terminal_of(whose.pid);
        let cpu = match self.task_of(whose).filter(|_| whose.tid.is_some()) {
            Some(task) => task.cpu(),
            None => self.cpu_of(whose.pid),
        };
        let children = process.children_usage;
        let started_ns = self.boot_ns_at(process.started);
        let blocked = self.task_of(whose).map_or(0, |task| task.blocked.0);
        let has_memory = |value: u64| if process.space.is_some() { i128::from(value) } else { 0 };
        let mut fields = [0; 49];
        let mut set = |number: usize, value: i128| fields[number - 4] = value;
        set(4, process.parent.into());
        set(5, process.group.into());
        set(6, process.session.into());
        set(7, terminal.into());
        set(8, foreground.into());
        set(9, if process.has_executed { 0 } else { 0x40 }); // PF_FORKNOEXEC
        set(10, (process.past.faults.minor + usage.faults.minor).into());
        set(11, children.minor.into());
        set(12, (process.past.faults.major + usage.faults.major).into());
        set(13, children.major.into());
        set(14, cpu.user_ticks().into());
        set(15, cpu.system_ticks().into());
        set(16, children.cpu.user_ticks().into());
        set(17, children.cpu.system_ticks().into());
        set(18, 20);
        set(20, self.tids_of(whose.pid).len() as i128);
        set(22, (started_ns / TICK_NS).into());
        set(23, (self.statm_of(whose).size * addr::PAGE_BYTES).into());
        set(24, usage.resident_pages().into());
        set(25, process.limits[libc::RLIMIT_RSS as usize].soft.into());
        set(26, has_memory(image.code.0));
        set(27, has_memory(image.code.1));
        set(28, has_memory(image.stack_start));
        set(31, (process.pending.set().0 & STANDARD).into());
        set(32, (blocked & STANDARD).into());
        set(33, (actions_where(process, |handler| handler == SIG_IGN).0 & STANDARD).into());
        set(34, (actions_where(process, |handler| handler > SIG_IGN).0 & STANDARD).into());
        set(38, process.exit_signal.into());
        set(45, has_memory(image.data.0));
        set(46, has_memory(image.data.1));
        set(47, heap.into());
        set(48, has_memory(image.arguments.0));
        set(49, has_memory(image.arguments.1));
        set(50, has_memory(image.environment.0));
        set(51, has_memory(image.environment.1));
        set(52, self.exit_word(whose.pid).into());
        fields
    }

    /// The terminal of a process and the group in its foreground.
    fn terminal_of(&self, pid: Pid) -> (i64, i64) {
        match self.terminals.of_session(self.processes[&pid].session) {
            None => (0, -1),
            Some((device, terminal)) => (host::tty::encoded(device).into(), terminal.foreground.into()),
        }
    }

    fn exit_word(&self, pid: Pid) -> u32 {
        match self.processes[&pid].state {
            crate::task::State::Zombie(status) => status.wait_word(),
            _ => 0,
        }
    }

    /// A time as the machine's boot clock has it, which is the host's.
    pub(super) fn boot_ns_at(&self, instant: std::time::Instant) -> u64 {
        let now = host::files::clock_ns(libc::CLOCK_BOOTTIME).unwrap_or(0);
        now.saturating_sub(instant.elapsed().as_nanos() as u64)
    }
}
