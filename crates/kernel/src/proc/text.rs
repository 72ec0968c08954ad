//! The files of a process's directory that we write: in Linux's format, as they are when they are opened.

use crate::kernel::Kernel;
use crate::mm::SpaceId;
use crate::signal::{SIG_IGN, SigSet};
use crate::task::{Pid, Process, State, Tid};
use addr::VirtAddr;
use std::fmt::Write;

impl Kernel {
    /// The content of a file of a process's directory, or `None` if the host's serves.
    pub(crate) fn proc_text(&mut self, pid: Pid, asked_by: Tid, name: &str) -> Option<Vec<u8>> {
        let process = &self.processes[&pid];
        let space = process.space?;
        Some(match name {
            "maps" => self.mm.maps_text(space).into_bytes(),
            "smaps" => self.mm.smaps_text(space).into_bytes(),
            "statm" => self.statm_text(space).into_bytes(),
            "status" => self.status_text(pid, space).into_bytes(),
            "stat" => self.stat_text(pid, space).into_bytes(),
            "auxv" => process.image.auxiliary.clone(),
            "cmdline" => self.strings(space, process.image.arguments),
            "environ" => self.strings(space, process.image.environment),
            "comm" => [self.comm(pid, asked_by), b"\n".to_vec()].concat(),
            "limits" => return None,
            _ => return None,
        })
    }

    fn comm(&self, pid: Pid, asked_by: Tid) -> Vec<u8> {
        let own = self.tasks.get(&asked_by).filter(|task| task.pid == pid);
        own.map_or_else(|| self.processes[&pid].image.name.clone(), |task| task.name.clone())
    }

    fn strings(&mut self, space: SpaceId, (start, end): (u64, u64)) -> Vec<u8> {
        let mut bytes = vec![0; (end - start) as usize];
        let done = self.mm.read(space, VirtAddr::new(start), &mut bytes);
        bytes.truncate(done);
        bytes
    }

    fn statm_text(&self, space: SpaceId) -> String {
        let statm = self.mm.statm(space);
        format!("{} {} {} {} 0 {} 0\n", statm.size, statm.resident, statm.shared, statm.text, statm.data)
    }

    fn status_text(&self, pid: Pid, space: SpaceId) -> String {
        let process = &self.processes[&pid];
        let statm = self.mm.statm(space);
        let usage = self.mm.usage(space);
        let kib = |pages: u64| pages * 4;
        let [uid, euid, gid, egid] = host::files::identity();
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name}:\t{value}");
        };
        let memory = |kib: u64| format!("{kib:8} kB");
        line("Name", String::from_utf8_lossy(&process.image.name).into_owned());
        line("State", state_words(process.state).to_owned());
        line("Tgid", pid.to_string());
        line("Ngid", "0".to_owned());
        line("Pid", pid.to_string());
        line("PPid", process.parent.to_string());
        line("TracerPid", "0".to_owned());
        line("Uid", format!("{uid}\t{euid}\t{euid}\t{euid}"));
        line("Gid", format!("{gid}\t{egid}\t{egid}\t{egid}"));
        line("FDSize", "64".to_owned());
        line("Groups", " ".to_owned());
        line("VmPeak", memory(kib(statm.size)));
        line("VmSize", memory(kib(statm.size)));
        line("VmLck", memory(self.mm.locked_bytes(space) / 1024));
        line("VmPin", memory(0));
        line("VmHWM", memory(kib(usage.peak_resident_pages)));
        line("VmRSS", memory(kib(usage.resident_pages())));
        line("RssAnon", memory(kib(usage.anonymous_pages)));
        line("RssFile", memory(kib(usage.object_pages)));
        line("RssShmem", memory(0));
        line("VmData", memory(kib(statm.data)));
        line("VmStk", memory(132));
        line("VmExe", memory((process.image.code.1 - process.image.code.0) / 1024));
        line("VmLib", memory(kib(statm.text)));
        line("VmPTE", memory(self.mm.table_bytes(space) / 1024));
        line("VmSwap", memory(kib(usage.swapped_pages)));
        line("Threads", process.tasks.len().to_string());
        let leader = process.tasks.first().and_then(|tid| self.tasks.get(tid));
        let set = |set: SigSet| format!("{:016x}", set.0);
        line("SigPnd", set(leader.map_or(SigSet::default(), |task| task.pending.set())));
        line("ShdPnd", set(process.pending.set()));
        line("SigBlk", set(leader.map_or(SigSet::default(), |task| task.blocked)));
        line("SigIgn", set(actions_where(process, |handler| handler == SIG_IGN)));
        line("SigCgt", set(actions_where(process, |handler| handler > SIG_IGN)));
        line("NoNewPrivs", "0".to_owned());
        line("Seccomp", "0".to_owned());
        line("Cpus_allowed", format!("{:x}", cpu_mask(self.config.cpus)));
        line("Cpus_allowed_list", cpu_list(self.config.cpus));
        line("voluntary_ctxt_switches", "0".to_owned());
        line("nonvoluntary_ctxt_switches", "0".to_owned());
        text
    }

    fn stat_text(&self, pid: Pid, space: SpaceId) -> String {
        let process = &self.processes[&pid];
        let usage = self.mm.usage(space);
        let statm = self.mm.statm(space);
        let image = &process.image;
        let cpu_ticks = host::files::thread_cpu_ns() / 10_000_000;
        let started = (process.started - self.started).as_millis() / 10;
        let state = &state_words(process.state)[..1];
        let name = String::from_utf8_lossy(&image.name);
        let heap = self.mm.heap(space);
        format!(
            "{pid} ({name}) {state} {parent} {group} {session} 0 {foreground} 0 {minor} {child_minor} {major} \
             {child_major} {cpu_ticks} 0 0 0 20 0 {threads} 0 {started} {size} {resident} {limit} {code_start} \
             {code_end} {stack} 0 0 {pending} {blocked} {ignored} {caught} 0 0 0 {exit_signal} 0 0 0 0 0 0 0 0 \
             {heap_start} {arg_start} {arg_end} {env_start} {env_end} 0\n",
            parent = process.parent,
            group = process.group,
            session = process.session,
            foreground = self.foreground,
            minor = process.past.faults.minor + usage.faults.minor,
            major = process.past.faults.major + usage.faults.major,
            child_minor = process.children_usage.minor,
            child_major = process.children_usage.major,
            threads = process.tasks.len(),
            size = statm.size * 4096,
            resident = usage.resident_pages(),
            limit = u64::MAX,
            code_start = image.code.0,
            code_end = image.code.1,
            stack = image.stack_start,
            pending = process.pending.set().0 & 0x7fff_ffff,
            blocked = process.tasks.first().map_or(0, |tid| self.tasks[tid].blocked.0 & 0x7fff_ffff),
            ignored = actions_where(process, |handler| handler == SIG_IGN).0 & 0x7fff_ffff,
            caught = actions_where(process, |handler| handler > SIG_IGN).0 & 0x7fff_ffff,
            exit_signal = process.exit_signal,
            heap_start = heap.start.get(),
            arg_start = image.arguments.0,
            arg_end = image.arguments.1,
            env_start = image.environment.0,
            env_end = image.environment.1,
        )
    }
}

fn state_words(state: State) -> &'static str {
    match state {
        State::Running => "R (running)",
        State::Stopped => "T (stopped)",
        State::Zombie(_) => "Z (zombie)",
    }
}

fn actions_where(process: &Process, wanted: impl Fn(u64) -> bool) -> SigSet {
    let signals = (1..=64).filter(|signal| wanted(process.actions[*signal as usize].handler));
    signals.fold(SigSet::default(), |set, signal| set.with(SigSet::of(signal)))
}

fn cpu_mask(cpus: u32) -> u64 {
    1u64.checked_shl(cpus).map_or(u64::MAX, |bit| bit - 1)
}

fn cpu_list(cpus: u32) -> String {
    if cpus == 1 { "0".to_owned() } else { format!("0-{}", cpus - 1) }
}
