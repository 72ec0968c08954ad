//! The short files of a process.

use super::node::Whose;
use crate::kernel::Kernel;
use crate::oom::OOM_SCORE_RANGE;
use crate::task::{Process, State, Task};
use crate::waiting::Waiting;
use std::fmt::Write;

/// Names and units of the resource limits, by `RLIMIT_*`; as `/proc/PID/limits` has them.
const LIMITS: [(&str, &str); 16] = [
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
];
/// oom_adj and oom_score_adj that protect a process altogether.
const OOM_DISABLE: i64 = -17;

pub(super) fn limits(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let process = kernel.process(whose);
    let mut text = format!("{:<25} {:<20} {:<20} {:<10}\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (limit, (name, unit)) in process.limits.iter().zip(LIMITS) {
        let value = |value: u64| if value == u64::MAX { "unlimited".to_owned() } else { value.to_string() };
        let unit = if unit.is_empty() { String::new() } else { format!("{unit:<10}") };
        writeln!(text, "{name:<25} {:<20} {:<20} {unit}", value(limit.soft), value(limit.hard))
            .expect("a string takes all text");
    }
    text.into_bytes()
}

pub(super) fn cmdline(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let strings = kernel.process(whose).image.arguments;
    kernel.bytes_between(whose, strings)
}

pub(super) fn environ(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let strings = kernel.process(whose).image.environment;
    kernel.bytes_between(whose, strings)
}

pub(super) fn auxv(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    match kernel.space_of_process(whose) {
        Some(_) => kernel.process(whose).image.auxiliary.clone(),
        None => Vec::new(),
    }
}

pub(super) fn comm(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    [kernel.name_of(whose), b"\n".to_vec()].concat()
}

pub(super) fn personality(_: &mut Kernel, _: Whose) -> Vec<u8> {
    b"00000000\n".to_vec()
}

/// The default of Linux, which is what our core files hold.
pub(super) fn coredump_filter(_: &mut Kernel, _: Whose) -> Vec<u8> {
    b"00000033\n".to_vec()
}

pub(super) fn timer_slack(_: &mut Kernel, _: Whose) -> Vec<u8> {
    b"50000\n".to_vec()
}

/// The function of Linux that a task sleeps in; 0 when it does not. What it waits for in the host is the host's to say.
/// What a thread asks of the kernel, with what, and from where.
pub(super) fn syscall(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let Some(call) = kernel.task_of(whose).and_then(|task| task.call.as_ref()) else { return b"running\n".to_vec() };
    let mut text = call.nr.to_string();
    let (stack, after) = call.at;
    for word in call.words.into_iter().chain([stack, after]) {
        write!(text, " {word:#x}").expect("a string takes all text");
    }
    text.push('\n');
    text.into_bytes()
}

pub(super) fn wchan(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let Some(task) = kernel.task_of(whose) else { return b"0".to_vec() };
    let name = match task.waiting {
        Some(Waiting::Child(_)) => "do_wait",
        Some(Waiting::Vfork(_)) => "kernel_clone",
        Some(Waiting::Futex { .. }) => "futex_wait_queue",
        Some(Waiting::Lock { .. }) => "rt_mutex_schedule",
        Some(Waiting::Signal) => "sigsuspend",
        Some(Waiting::SignalOf { .. }) => "do_sigtimedwait",
        Some(Waiting::SignalFile { .. }) => "signalfd_read_iter",
        Some(Waiting::Time { .. }) => "hrtimer_nanosleep",
        Some(Waiting::Semaphores { .. }) => "do_semtimedop",
        Some(Waiting::Send(_)) => "do_msgsnd",
        Some(Waiting::Receive(_)) => "do_msgrcv",
        Some(Waiting::Continue) => "do_signal_stop",
        Some(Waiting::Alone | Waiting::Death) => "do_exit",
        None if task.is_in_host => {
            let path = format!("/proc/self/task/{}/wchan", task.host_tid);
            return std::fs::read(path).unwrap_or_else(|_| b"0".to_vec());
        }
        None => "0",
    };
    name.as_bytes().to_vec()
}

/// As Linux computes it: thousandths of RAM and swap, and the adjustment, pressed into 0 to 1333.
pub(super) fn oom_score(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let score = kernel.badness(whose.pid).map_or(0, |points| {
        let share = points * OOM_SCORE_RANGE / kernel.ram_and_swap_pages();
        ((OOM_SCORE_RANGE + share) * 2 / 3).max(0)
    });
    format!("{score}\n").into_bytes()
}

pub(super) fn oom_score_adj(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    format!("{}\n", kernel.process(whose).oom_adjustment).into_bytes()
}

pub(super) fn oom_adj(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let adjustment = match i64::from(kernel.process(whose).oom_adjustment) {
        OOM_SCORE_RANGE => 15,
        adjustment => adjustment * -OOM_DISABLE / OOM_SCORE_RANGE,
    };
    format!("{adjustment}\n").into_bytes()
}

impl Kernel {
    /// The process that a file is about; it was there when the read began, under the same lock.
    pub(super) fn process(&self, whose: Whose) -> &Process {
        &self.processes[&whose.pid]
    }

    /// The task that a file is about: the thread's, or the process's first.
    pub(super) fn task_of(&self, whose: Whose) -> Option<&Task> {
        let tid = whose.tid.or_else(|| self.tids_of(whose.pid).first().copied())?;
        self.tasks.get(&tid)
    }

    /// comm: a thread's own name, or its process's.
    pub(super) fn name_of(&self, whose: Whose) -> Vec<u8> {
        match (whose.tid, self.task_of(whose)) {
            (Some(_), Some(task)) => task.name.clone(),
            _ => self.process(whose).image.name.clone(),
        }
    }

    /// The letter and the words of a state. `asked_by` runs, since it asks.
    pub(super) fn state_of(&self, whose: Whose) -> &'static str {
        match self.process(whose).state {
            State::Zombie(_) => "Z (zombie)",
            State::Stopped => "T (stopped)",
            State::Running => match self.task_of(whose) {
                None => "Z (zombie)",
                Some(task) if task.waiting.is_some() || task.is_in_host => "S (sleeping)",
                _ => "R (running)",
            },
        }
    }

    /// Pages of RAM.
    pub(crate) fn ram_pages(&self) -> u64 {
        self.mm.memory().ram().frame_count().into()
    }
}
