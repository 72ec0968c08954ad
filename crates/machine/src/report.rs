//! What a run was, in numbers: the values behind the report that `docs/report.md` documents.

use crate::Manifest;
use serde::Serialize;
use trace::FaultCounts;

/// The version of the report as JSON; it grows when a key changes its meaning or goes.
pub const REPORT_VERSION: u32 = 1;

/// A whole run.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// How the first process ended; `None` while it runs.
    pub exit: Option<ExitStatus>,
    /// Host time from the first instruction to the end, or to now, in milliseconds.
    pub wall_ms: f64,
    /// Guest instructions of all threads, if they were counted.
    pub instructions: Option<u64>,
    /// The faults of all processes.
    pub faults: FaultCounts,
    /// Memory of the simulated machine, and pagewalk's own.
    pub memory: MemoryUse,
    /// Blocks of code that the machine's processor ran.
    pub code: CodeUse,
    /// Each guest process, in the order of their births.
    pub processes: Vec<ProcessReport>,
    /// What it takes to run the same thing again.
    pub manifest: Manifest,
}

impl Report {
    /// The report as JSON, indented, without a final newline.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is made of strings and numbers")
    }

    /// The report as JSON on one line, without a final newline.
    pub fn to_json_line(&self) -> String {
        serde_json::to_string(self).expect("a report is made of strings and numbers")
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ExitStatus {
    /// By exit(2), with this status.
    Exited {
        /// 0 to 255.
        status: u8,
    },
    /// By a signal.
    Killed {
        /// Its number.
        signal: u8,
        /// Whether the process left a core file.
        core_dumped: bool,
    },
}

/// Memory, in bytes except where a name says otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct MemoryUse {
    /// The most that one process had in RAM at one time.
    pub peak_resident_bytes: u64,
    /// The most that the page tables of one process took at one time; a part of simulated RAM.
    pub peak_page_table_bytes: u64,
    /// The most areas that one address space had at one time.
    pub peak_areas: u64,
    /// pagewalk's own: translated code and its tables. Never a part of simulated RAM.
    pub overhead_bytes: u64,
}

/// Blocks of translated code, by where they came from.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct CodeUse {
    /// Translated in this run.
    pub translated_blocks: u64,
    /// Taken from an earlier run, or from another process of this one that had the same code at the same addresses.
    pub recalled_blocks: u64,
}

/// One guest process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProcessReport {
    /// Its number in the guest.
    pub pid: u32,
    /// The number of the process that made it; the first one was made by 1, pagewalk.
    pub parent_pid: u32,
    /// The program it ran last.
    pub program: String,
    /// How it ended; `None` if it was still alive when the first process ended.
    pub exit: Option<ExitStatus>,
    /// Its faults.
    pub faults: FaultCounts,
    /// The most it had resident at one time, in bytes.
    pub peak_resident_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_are_the_documented_ones() {
        let report = Report {
            version: REPORT_VERSION,
            exit: Some(ExitStatus::Killed { signal: 11, core_dumped: false }),
            wall_ms: 1.5,
            instructions: None,
            faults: FaultCounts::default(),
            memory: MemoryUse::default(),
            code: CodeUse::default(),
            processes: vec![],
            manifest: Manifest::default(),
        };
        let value: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let keys = |value: &serde_json::Value| {
            let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            keys.sort();
            keys.join(" ")
        };
        assert_eq!(keys(&value), "code exit faults instructions manifest memory processes version wall_ms");
        assert_eq!(keys(&value["faults"]), "copy_on_write file major minor protection stack_growth swap_in zero_fill");
        assert_eq!(keys(&value["memory"]), "overhead_bytes peak_areas peak_page_table_bytes peak_resident_bytes");
        assert_eq!(keys(&value["code"]), "recalled_blocks translated_blocks");
        assert!(value["instructions"].is_null());
        assert_eq!(value["exit"]["signal"], 11);
    }
}
