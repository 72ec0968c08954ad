//! From what the kernel and the engine have counted to a report.

use crate::config::Count;
use crate::report::CodeUse;
use crate::{ExitStatus, MachineConfig, Manifest, MemoryUse, ProcessReport, Program, REPORT_VERSION, Report};
use addr::PAGE_BYTES;
use engine::{CacheCounts, Engine};
use kernel::{Kernel, ProcessSummary, Status};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a report needs besides the counts: which run it is.
pub struct Accounts {
    config: MachineConfig,
    manifest: Manifest,
    engine: Arc<Engine>,
    started: Instant,
}

impl Accounts {
    /// For the run of a program that began at `started`.
    ///
    /// # Errors
    /// The host's, when the program's file cannot be read.
    pub fn open(config: &MachineConfig, program: &Program, engine: &Arc<Engine>, started: Instant) -> io::Result<Self> {
        Ok(Self {
            config: config.clone(),
            manifest: Manifest::new(config, &program.path, &program.arguments)?,
            engine: Arc::clone(engine),
            started,
        })
    }

    /// How long the run has lasted.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The report as of now; `wall` is how long the run has lasted.
    pub fn report(&self, kernel: &Kernel, instructions: u64, wall: Duration) -> Report {
        let summaries = kernel.process_summaries();
        let processes: Vec<ProcessReport> = summaries.iter().map(process_report).collect();
        let mut faults = trace::FaultCounts::default();
        processes.iter().for_each(|process| faults += process.faults);
        Report {
            version: REPORT_VERSION,
            exit: kernel.first_status().map(exit_status),
            wall_ms: (wall.as_secs_f64() * 1e6).round() / 1e3,
            instructions: (self.config.count == Count::Yes).then_some(instructions),
            faults,
            memory: memory_use(&summaries, self.engine.overhead_bytes()),
            code: code_use(self.engine.cache_counts()),
            processes,
            manifest: self.manifest.clone(),
        }
    }
}

fn exit_status(status: Status) -> ExitStatus {
    match status {
        Status::Exited(status) => ExitStatus::Exited { status },
        Status::Signaled { signal, core } => ExitStatus::Killed { signal: signal as u8, core_dumped: core },
    }
}

fn memory_use(processes: &[ProcessSummary], overhead_bytes: u64) -> MemoryUse {
    let most = |of: fn(&ProcessSummary) -> u64| processes.iter().map(of).max().unwrap_or(0);
    MemoryUse {
        peak_resident_bytes: most(|process| process.peak_resident_pages) * PAGE_BYTES,
        peak_page_table_bytes: most(|process| process.peak_table_frames) * PAGE_BYTES,
        peak_areas: most(|process| process.peak_areas),
        overhead_bytes,
    }
}

fn code_use(counts: CacheCounts) -> CodeUse {
    CodeUse { translated_blocks: counts.blocks, recalled_blocks: counts.recalled }
}

fn process_report(process: &ProcessSummary) -> ProcessReport {
    ProcessReport {
        pid: process.pid.get(),
        parent_pid: process.parent,
        program: process.name.clone(),
        exit: process.status.map(exit_status),
        faults: process.faults,
        peak_resident_bytes: process.peak_resident_pages * PAGE_BYTES,
    }
}
