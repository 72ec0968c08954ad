//! /proc/PID/status: the host's lines of the thread behind it, with our values.

use super::node::Whose;
use super::template::{Others, Values};
use crate::kernel::Kernel;
use crate::mm::SpaceId;
use crate::signal::{SIG_IGN, SigSet};
use crate::task::Process;
use addr::PAGE_BYTES;

const KIB_PER_PAGE: u64 = PAGE_BYTES / 1024;

/// The file. Credentials, umask, capabilities and descriptors are the host thread's own, which is the guest's.
pub(super) fn text(kernel: &mut Kernel, whose: Whose) -> Vec<u8> {
    let host_path = format!("/proc/self/task/{}/status", kernel.host_tid_of(whose));
    let host = std::fs::read_to_string(host_path).unwrap_or_default();
    let mut values = Values::default();
    kernel.set_numbers(whose, &mut values);
    kernel.set_signals(whose, &mut values);
    let has_memory = match kernel.space_of_process(whose) {
        Some(space) => {
            kernel.set_memory(whose, space, &mut values);
            true
        }
        None => false,
    };
    // A process that has ended has no lines about memory.
    let is_about_memory = |line: &&str| ["Vm", "Rss", "HugetlbPages"].iter().any(|start| line.starts_with(start));
    let host: Vec<&str> = host.lines().filter(|line| has_memory || !is_about_memory(line)).collect();
    values.put_into(&host.join("\n"), ':', Others::Stay).into_bytes()
}

/// Signals whose action is of a kind.
pub(super) fn actions_where(process: &Process, wanted: impl Fn(u64) -> bool) -> SigSet {
    let signals = (1..=64).filter(|signal| wanted(process.action(*signal).handler));
    signals.fold(SigSet::default(), |set, signal| set.with(SigSet::of(signal)))
}

impl Kernel {
    fn set_numbers(&self, whose: Whose, values: &mut Values) {
        let process = self.process(whose);
        let number = whose.tid.map_or(whose.pid.0, |tid| tid.0);
        values.set("Name", String::from_utf8_lossy(&self.name_of(whose)).escape_default());
        values.set("State", self.state_of(whose));
        values.set("Tgid", whose.pid);
        values.set("Ngid", 0);
        values.set("Pid", number);
        values.set("PPid", process.parent);
        values.set("TracerPid", 0);
        values.set("NStgid", whose.pid);
        values.set("NSpid", number);
        values.set("NSpgid", process.group);
        values.set("NSsid", process.session);
        values.set("Threads", self.tids_of(whose.pid).len());
        if let Some(task) = self.task_of(whose) {
            values.set("voluntary_ctxt_switches", task.switches.voluntary);
            values.set("nonvoluntary_ctxt_switches", task.switches.involuntary);
        }
        values.set("Cpus_allowed", self.cpu_mask());
        values.set("Cpus_allowed_list", self.cpu_list());
    }

    fn set_signals(&self, whose: Whose, values: &mut Values) {
        let process = self.process(whose);
        let task = self.task_of(whose);
        let hex = |set: SigSet| format!("{:016x}", set.0);
        let queued = process.pending.set().0.count_ones() + task.map_or(0, |task| task.pending.set().0.count_ones());
        values.set("SigQ", format!("{queued}/{}", process.limits[libc::RLIMIT_SIGPENDING as usize].soft));
        values.set("SigPnd", hex(task.map_or(SigSet::default(), |task| task.pending.set())));
        values.set("ShdPnd", hex(process.pending.set()));
        values.set("SigBlk", hex(task.map_or(SigSet::default(), |task| task.blocked)));
        values.set("SigIgn", hex(actions_where(process, |handler| handler == SIG_IGN)));
        values.set("SigCgt", hex(actions_where(process, |handler| handler > SIG_IGN)));
    }

    fn set_memory(&self, whose: Whose, space: SpaceId, values: &mut Values) {
        let usage = self.mm.usage(space);
        let statm = self.mm.statm(space);
        let stack = self.mm.stack_pages(space);
        let shared = self.mm.shared_memory_pages(space);
        let code_kib = self.statm_of(whose).text * KIB_PER_PAGE;
        let mut pages = |name, pages: u64| values.set(name, pages * KIB_PER_PAGE);
        pages("VmPeak", usage.peak_mapped_pages.max(statm.size));
        pages("VmSize", statm.size);
        pages("VmHWM", usage.peak_resident_pages.max(usage.resident_pages()));
        pages("VmRSS", usage.resident_pages());
        pages("RssAnon", usage.anonymous_pages);
        pages("RssFile", usage.object_pages.saturating_sub(shared));
        pages("RssShmem", shared);
        pages("VmData", statm.data.saturating_sub(stack));
        pages("VmStk", stack);
        pages("VmSwap", usage.swapped_pages);
        values.set("VmLck", self.mm.locked_bytes(space) / 1024);
        values.set("VmPin", 0);
        values.set("VmExe", code_kib);
        values.set("VmLib", (statm.text * KIB_PER_PAGE).saturating_sub(code_kib));
        values.set("VmPTE", self.mm.table_bytes(space) / 1024);
        values.set("HugetlbPages", 0);
    }
}
