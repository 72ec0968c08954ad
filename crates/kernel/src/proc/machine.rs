//! The machine-wide files of /proc: what the simulated machine is and does.

use super::controls::number;
use super::node::What;
use super::processors;
use super::template::{Others, Values};
use crate::Errno;
use crate::kernel::{Kernel, MAX_TASKS};
use crate::mm::Limits;
use crate::task::{FIRST_PID, State};
use addr::PAGE_BYTES;
use host::cpu_time::{CpuTime, TICK_NS};
use std::fmt::Write;
use std::time::Instant;

const KIB_PER_PAGE: u64 = PAGE_BYTES / 1024;
/// The largest process number that tools make room for, Linux's largest.
const PID_MAX: u32 = 1 << 22;

/// What a path is, if the host's answer would describe the host.
#[rustfmt::skip]
pub(super) fn find(path: &str) -> Option<What> {
    Some(match path.strip_prefix("/proc/")? {
        "meminfo" => What::Machine(meminfo),
        "stat" => What::Machine(stat),
        "cpuinfo" => What::Machine(processors::text),
        "uptime" => What::Machine(uptime),
        "loadavg" => What::Machine(loadavg),
        "vmstat" => What::Machine(vmstat),
        "swaps" => What::Machine(swaps),
        "locks" => What::Machine(super::locks::text),
        "sysvipc/shm" => What::Machine(|kernel, _| kernel.segments_text()),
        "sysvipc/sem" => What::Machine(|kernel, _| kernel.semaphores_text()),
        "sysvipc/msg" => What::Machine(|kernel, _| kernel.queues_text()),
        // Where core files of guests go.
        "sys/kernel/core_pattern" => What::Machine(|_, _| "core\n".to_owned()),
        "sys/kernel/core_uses_pid" => What::Machine(|_, _| "0\n".to_owned()),
        "sys/kernel/pid_max" => What::Machine(|_, _| format!("{PID_MAX}\n")),
        "sys/kernel/threads-max" => What::Machine(|_, _| format!("{MAX_TASKS}\n")),
        "sys/kernel/ns_last_pid" => What::Machine(|kernel, _| format!("{}\n", kernel.next_number - 1)),
        "sys/kernel/randomize_va_space" => What::Machine(|kernel, _| kernel.randomness().to_owned()),
        "sys/vm/overcommit_memory" => What::Machine(|_, _| "0\n".to_owned()),
        "sys/vm/overcommit_ratio" => What::Machine(|_, _| "50\n".to_owned()),
        "sys/vm/overcommit_kbytes" | "sys/vm/nr_hugepages" | "sys/vm/nr_overcommit_hugepages" => {
            What::Machine(|_, _| "0\n".to_owned())
        }
        "sys/vm/max_map_count" => What::Machine(|_, _| format!("{}\n", Limits::default().areas)),
        "sys/vm/mmap_min_addr" => What::Machine(|_, _| format!("{}\n", Limits::default().lowest_address)),
        "sys/vm/drop_caches" => What::MachineControl { read: |_, _| "0\n".to_owned(), write: drop_caches },
        _ => return None,
    })
}

/// Whether a name is not there at all: memory, frames and timers of the host, and a way to restart it.
pub(super) fn is_absent(path: &str) -> bool {
    const ABSENT: &[&str] = &[
        "kcore",
        "kpagecount",
        "kpageflags",
        "kpagecgroup",
        "zoneinfo",
        "buddyinfo",
        "pagetypeinfo",
        "slabinfo",
        "vmallocinfo",
        "iomem",
        "timer_list",
        "sched_debug",
        "sysrq-trigger",
    ];
    path.strip_prefix("/proc/").is_some_and(|name| ABSENT.contains(&name))
}

/// Frames of the machine by what they are used for.
struct Frames {
    total: u64,
    free: u64,
    /// Pages of files.
    cached: u64,
    /// Pages of shared memory.
    shared: u64,
    tables: u64,
    /// Programs' own.
    anonymous: u64,
    /// Pages of files and shared memory that some space maps, each mapping counted.
    mapped: u64,
}

impl Kernel {
    fn frames(&self) -> Frames {
        let used = self.mm.ram_use();
        let total = self.ram_pages();
        Frames {
            total,
            free: self.mm.free_frames().into(),
            cached: used.file_pages,
            shared: used.shared_memory_pages,
            tables: used.table_frames,
            anonymous: used.anonymous_frames,
            mapped: used.mapped_pages,
        }
    }

    /// What the tasks that may run are doing now.
    fn task_counts(&self) -> (usize, usize) {
        let tasks = self.tasks.values().filter(|task| {
            let is_awake = task.waiting.is_none() && !task.is_in_host;
            is_awake && self.processes.get(&task.pid).is_some_and(|process| process.state == State::Running)
        });
        (tasks.count(), self.tasks.len())
    }

    /// Notes how many tasks can run, before that changes and when somebody asks.
    pub(crate) fn advance_load(&mut self) {
        let running = self.task_counts().0;
        self.load.advance(Instant::now(), running);
    }

    /// The load averages, up to date.
    pub(crate) fn load_means(&mut self) -> [f64; 3] {
        self.advance_load();
        self.load.means()
    }

    /// CPU time of all processes there are and were.
    fn busy(&self) -> CpuTime {
        let mut busy = self.ended_cpu;
        let running = self.processes.values().filter(|process| !process.is_zombie());
        running.for_each(|process| busy += self.cpu_of(process.pid));
        busy
    }

    fn randomness(&self) -> &'static str {
        match self.config.aslr {
            crate::mm::Aslr::Off => "0\n",
            crate::mm::Aslr::Seeded(_) => "2\n",
        }
    }
}

/// The host's lines; what the machine has none of is 0.
fn meminfo(kernel: &mut Kernel, _: &str) -> String {
    let host = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    memory_values(kernel).put_into(&host, ':', Others::AreZero)
}

/// The memory of the one node.
pub(super) fn node_memory(kernel: &mut Kernel, path: &str) -> String {
    let host = std::fs::read_to_string(path).unwrap_or_default();
    let plain: String = host.lines().map(|line| line.trim_start_matches("Node 0 ").to_owned() + "\n").collect();
    let values = memory_values(kernel).put_into(&plain, ':', Others::AreZero);
    values.lines().map(|line| format!("Node 0 {line}\n")).collect()
}

fn memory_values(kernel: &Kernel) -> Values {
    let frames = kernel.frames();
    let swap = kernel.config.mm.swap_pages;
    let mut values = Values::default();
    let mut pages = |name, pages: u64| values.set(name, pages * KIB_PER_PAGE);
    pages("MemTotal", frames.total);
    pages("MemFree", frames.free);
    pages("MemUsed", frames.total - frames.free);
    pages("MemAvailable", frames.free + frames.cached);
    pages("Cached", frames.cached + frames.shared);
    pages("FilePages", frames.cached + frames.shared);
    pages("Active", frames.anonymous);
    pages("Active(anon)", frames.anonymous);
    pages("Inactive", frames.cached + frames.shared);
    pages("Inactive(anon)", frames.shared);
    pages("Inactive(file)", frames.cached);
    pages("SwapTotal", swap);
    pages("SwapFree", swap.saturating_sub(kernel.mm.ram_use().swapped_pages));
    pages("AnonPages", frames.anonymous);
    pages("Mapped", frames.mapped);
    pages("Shmem", frames.shared);
    pages("PageTables", frames.tables);
    pages("CommitLimit", frames.total / 2 + swap);
    pages("Committed_AS", kernel.mm.ram_use().committed_pages);
    pages("Mlocked", kernel.mm.ram_use().locked_pages);
    pages("Unevictable", kernel.mm.ram_use().locked_pages);
    pages("DirectMap4k", frames.total);
    // What 47 bits of addresses and large pages are does not depend on the machine.
    values.set("VmallocTotal", (1u64 << 45) / 1024 - 1);
    values.set("Hugepagesize", 2048);
    values
}

fn vmstat(kernel: &mut Kernel, _: &str) -> String {
    let host = std::fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let frames = kernel.frames();
    let faults = kernel.all_faults();
    let mut values = Values::default();
    for (name, value) in [
        ("nr_free_pages", frames.free),
        ("nr_anon_pages", frames.anonymous),
        ("nr_active_anon", frames.anonymous),
        ("nr_inactive_anon", frames.shared),
        ("nr_inactive_file", frames.cached),
        ("nr_zone_active_anon", frames.anonymous),
        ("nr_zone_inactive_anon", frames.shared),
        ("nr_zone_inactive_file", frames.cached),
        ("nr_mapped", frames.mapped),
        ("nr_file_pages", frames.cached + frames.shared),
        ("nr_shmem", frames.shared),
        ("nr_page_table_pages", frames.tables),
        ("nr_mlock", kernel.mm.ram_use().locked_pages),
        ("pgfault", faults.minor + faults.major),
        ("pgmajfault", faults.major),
        ("pswpin", faults.swap_in),
    ] {
        values.set(name, value);
    }
    values.put_into(&host, ' ', Others::AreZero)
}

/// CPU time is spread evenly, because threads do not stay on a processor.
fn stat(kernel: &mut Kernel, _: &str) -> String {
    let host = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let cpus = u64::from(kernel.config.cpus);
    let busy = kernel.busy();
    let (user, system) = (busy.user_ns / TICK_NS / cpus, busy.system_ns / TICK_NS / cpus);
    let up = host::files::clock_ns(libc::CLOCK_BOOTTIME).unwrap_or(0) / TICK_NS;
    let idle = up.saturating_sub(user + system);
    let mut text = format!("cpu  {} 0 {} {} 0 0 0 0 0 0\n", user * cpus, system * cpus, idle * cpus);
    for number in 0..cpus {
        writeln!(text, "cpu{number} {user} 0 {system} {idle} 0 0 0 0 0 0").expect("a string takes all text");
    }
    let running = kernel.task_counts().0;
    let mut values = Values::default();
    values.set("btime", host.lines().find_map(|line| line.strip_prefix("btime ")).unwrap_or("0"));
    values.set("ctxt", kernel.switches);
    values.set("processes", kernel.next_number - FIRST_PID);
    values.set("procs_running", running);
    let others: Vec<&str> = host.lines().filter(|line| !line.starts_with("cpu")).collect();
    text + &values.put_into(&others.join("\n"), ' ', Others::AreZero)
}

fn uptime(kernel: &mut Kernel, _: &str) -> String {
    let up = host::files::clock_ns(libc::CLOCK_BOOTTIME).unwrap_or(0);
    let idle = (up * u64::from(kernel.config.cpus)).saturating_sub(kernel.busy().total_ns());
    let hundredths = |ns: u64| format!("{}.{:02}", ns / 1_000_000_000, ns / TICK_NS % 100);
    format!("{} {}\n", hundredths(up), hundredths(idle))
}

fn loadavg(kernel: &mut Kernel, _: &str) -> String {
    let [one, five, fifteen] = kernel.load_means();
    let (running, all) = kernel.task_counts();
    format!("{one:.2} {five:.2} {fifteen:.2} {running}/{all} {}\n", kernel.next_number - 1)
}

fn swaps(kernel: &mut Kernel, _: &str) -> String {
    let mut text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n".to_owned();
    let pages = kernel.config.mm.swap_pages;
    if pages > 0 {
        let used = kernel.mm.ram_use().swapped_pages * KIB_PER_PAGE;
        writeln!(text, "{:<40}file\t\t{}\t\t{used}\t\t-2", "/swap", pages * KIB_PER_PAGE).expect("a string takes it");
    }
    text
}

/// 1 and 3 give up pages of files that nobody maps; the other caches of Linux are the host's.
fn drop_caches(kernel: &mut Kernel, bytes: &[u8]) -> Result<(), Errno> {
    match number(bytes)? {
        1 | 3 => kernel.mm.drop_caches(),
        2 | 4 => {}
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}
