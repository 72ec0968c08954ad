//! Limits, usage, and what the system says of itself.

use super::time::timeval_bytes;
use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::task::{Limit, Pid, Switches, Times};
use addr::{PAGE_BYTES, VirtAddr};
use host::cpu_time::CpuTime;

const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;
/// The most descriptors that a limit may allow (fs.nr_open).
const MAX_DESCRIPTORS: u64 = 1 << 20;
/// Bytes of one string of utsname.
const NAME_BYTES: usize = 65;

impl Kernel {
    pub(super) fn limit_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        answered(match args.nr as i64 {
            libc::SYS_getrlimit => self.prlimit(args, args.at(0), 0, args.at(1)),
            libc::SYS_setrlimit => self.prlimit(args, args.at(0), args.at(1), 0),
            libc::SYS_prlimit64 => match self.named(args, args.at(0)).map(|process| process.pid) {
                Err(errno) => Err(errno),
                Ok(pid) if pid != self.pid_of(args.tid) => Err(Errno::EPERM),
                Ok(_) => self.prlimit(args, args.at(1), args.at(2), args.at(3)),
            },
            libc::SYS_getrusage => self.getrusage(args),
            libc::SYS_sysinfo => self.sysinfo(args),
            libc::SYS_uname => self.uname(args),
            _ => return None,
        })
    }

    fn prlimit(&mut self, args: &Args, resource: u64, new_at: u64, old_at: u64) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let index = usize::try_from(resource).ok().filter(|index| *index < 16).ok_or(Errno::EINVAL)?;
        let old = self.process_of(args.tid).limits[index];
        if new_at != 0 {
            let soft = self.mm.read_u64(space, VirtAddr::new(new_at))?;
            let hard = self.mm.read_u64(space, VirtAddr::new(new_at).wrapping_add(8))?;
            if soft > hard {
                return Err(Errno::EINVAL);
            }
            if hard > old.hard && host::files::identity()[1] != 0 {
                return Err(Errno::EPERM);
            }
            if resource == u64::from(libc::RLIMIT_NOFILE) && hard > MAX_DESCRIPTORS {
                return Err(Errno::EPERM);
            }
            if resource == u64::from(libc::RLIMIT_NOFILE) || resource == u64::from(libc::RLIMIT_FSIZE) {
                host::files::raise_limit(resource as u32, soft);
            }
            self.process_of(args.tid).limits[index] = Limit { soft, hard };
            self.plan_look(self.pid_of(args.tid));
            let limits = self.mm_limits(args.tid);
            self.mm.set_limits(space, limits);
        }
        if old_at != 0 {
            let bytes = [old.soft.to_le_bytes(), old.hard.to_le_bytes()].concat();
            self.mm.write_all(space, VirtAddr::new(old_at), &bytes)?;
        }
        Ok(0)
    }

    fn getrusage(&mut self, args: &Args) -> Result<u64, Errno> {
        let space = self.space_of(args.tid);
        let times = match args.int(0) {
            RUSAGE_SELF => self.usage_of(self.pid_of(args.tid)),
            RUSAGE_THREAD => {
                let (cpu, switches) = (self.task(args.tid).cpu(), self.task(args.tid).switches);
                Times { cpu, switches, ..self.usage_of(self.pid_of(args.tid)) }
            }
            RUSAGE_CHILDREN => self.process_of(args.tid).children_usage,
            _ => return Err(Errno::EINVAL),
        };
        self.mm.write_all(space, VirtAddr::new(args.at(1)), &usage_bytes(&times))?;
        Ok(0)
    }

    /// What a process that lives has used so far.
    pub(crate) fn usage_of(&self, pid: Pid) -> Times {
        let process = &self.processes[&pid];
        let now = process.space.map(|space| self.mm.usage(space)).unwrap_or_default();
        Times {
            cpu: self.cpu_of(pid),
            minor: process.past.faults.minor + now.faults.minor,
            major: process.past.faults.major + now.faults.major,
            peak_resident_pages: process.past.peak_resident_pages.max(now.peak_resident_pages),
            switches: self.switches_of(pid),
        }
    }

    /// How often the threads of a process left their CPUs, those too that have ended.
    fn switches_of(&self, pid: Pid) -> Switches {
        let process = &self.processes[&pid];
        let mut switches = process.past.switches;
        process.tasks.iter().filter_map(|tid| self.tasks.get(tid)).for_each(|task| switches += task.switches);
        switches
    }

    /// CPU time of a process: of its threads, and of those that have ended.
    pub(crate) fn cpu_of(&self, pid: Pid) -> CpuTime {
        let process = &self.processes[&pid];
        let mut cpu = process.past.cpu;
        // A task that is being made is listed before it is there, and has used nothing.
        for task in process.tasks.iter().filter_map(|tid| self.tasks.get(tid)) {
            cpu += task.cpu();
        }
        cpu
    }

    /// struct rusage of a child that is being waited for.
    pub(super) fn usage_bytes_of_child(&self, child: Pid) -> Vec<u8> {
        let process = &self.processes[&child];
        let times = if process.is_zombie() { process.whole_usage() } else { self.usage_of(child) };
        usage_bytes(&times)
    }

    /// struct sysinfo: the memory is the simulated machine's.
    fn sysinfo(&mut self, args: &Args) -> Result<u64, Errno> {
        let total = u64::from(self.mm.memory().ram().frame_count()) * PAGE_BYTES;
        let free = u64::from(self.mm.free_frames()) * PAGE_BYTES;
        let used = self.mm.ram_use();
        let shared = used.shared_memory_pages * PAGE_BYTES;
        let free_swap = self.config.mm.swap_pages.saturating_sub(used.swapped_pages) * PAGE_BYTES;
        // Fixed-point numbers with 16 bits after the point.
        let [one, five, fifteen] = self.load_means().map(|mean| (mean * 65536.0) as u64);
        let uptime = host::files::clock_ns(libc::CLOCK_BOOTTIME).unwrap_or(0) / 1_000_000_000;
        let swap = self.config.mm.swap_pages * PAGE_BYTES;
        let mut bytes = vec![0; 112];
        let loads = [(8, one), (16, five), (24, fifteen)];
        let sizes = [(0, uptime), (32, total), (40, free), (48, shared), (64, swap), (72, free_swap)];
        for (at, value) in sizes.into_iter().chain(loads) {
            bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
        }
        let count = self.tasks.len() as u16;
        bytes[80..82].copy_from_slice(&count.to_le_bytes());
        bytes[104..108].copy_from_slice(&1u32.to_le_bytes());
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(0)), &bytes)?;
        Ok(0)
    }

    fn uname(&mut self, args: &Args) -> Result<u64, Errno> {
        let mut bytes = vec![0; NAME_BYTES * 6];
        for (index, name) in host::files::system_names().iter().enumerate() {
            let length = name.len().min(NAME_BYTES - 1);
            bytes[index * NAME_BYTES..][..length].copy_from_slice(&name[..length]);
        }
        let space = self.space_of(args.tid);
        self.mm.write_all(space, VirtAddr::new(args.at(0)), &bytes)?;
        Ok(0)
    }
}

/// struct rusage.
fn usage_bytes(times: &Times) -> Vec<u8> {
    let mut bytes = vec![0; 144];
    bytes[..16].copy_from_slice(&timeval_bytes(times.cpu.user_ns));
    bytes[16..32].copy_from_slice(&timeval_bytes(times.cpu.system_ns));
    let Switches { voluntary, involuntary } = times.switches;
    let counts = [(64, times.minor), (72, times.major), (128, voluntary), (136, involuntary)];
    for (at, value) in counts.into_iter().chain([(32, times.peak_resident_pages * 4)]) {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}
