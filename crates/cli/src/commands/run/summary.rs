//! The report for people: the verdict, the evidence, the next command worth trying.

use super::size;
use machine::{CodeUse, Ended, ExitStatus, FaultCounts, Report, signal_name};
use std::ffi::OsString;
use std::fmt::Write;

/// The report of a run of `command`, with a final newline.
pub fn text(ended: &Ended, command: &[OsString]) -> String {
    let mut lines = lines(&ended.report, &ending(&ended.report));
    if let Some(core) = ended.crash.as_ref().and_then(|crash| crash.core.as_ref()) {
        writeln!(lines, "  {:<15} {}", "core file", core.display()).expect("a string takes every line");
    }
    writeln!(lines, "next: {}", next(ended, command)).expect("a string takes every line");
    lines
}

/// A report without what is known at the end only, with a final newline. How the first process ended is no verdict
/// while others go on.
pub fn so_far(report: &Report) -> String {
    let ending = match (report.exit, running(report)) {
        (None, _) | (_, 0) => ending(report),
        (_, 1) => format!("{}, 1 process goes on", ending(report)),
        (_, count) => format!("{}, {count} processes go on", ending(report)),
    };
    lines(report, &ending)
}

/// Whether any process has not ended.
pub fn is_running(report: &Report) -> bool {
    report.exit.is_none() || running(report) > 0
}

fn running(report: &Report) -> usize {
    report.processes.iter().filter(|process| process.exit.is_none()).count()
}

fn lines(report: &Report, ending: &str) -> String {
    let mut lines = format!("pagewalk: {}\n", verdict(report, ending));
    for (what, evidence) in evidence(report) {
        writeln!(lines, "  {what:<15} {evidence}").expect("a string takes every line");
    }
    lines
}

fn ending(report: &Report) -> String {
    let name = program_name(report);
    match report.exit {
        None => format!("{name} runs"),
        Some(ExitStatus::Exited { status: 0 }) => format!("{name} succeeded"),
        Some(ExitStatus::Exited { status }) => format!("{name} ended with exit status {status}"),
        Some(ExitStatus::Killed { signal, core_dumped }) => {
            let core = if core_dumped { ", and left a core file" } else { "" };
            format!("{name} was killed by {}{core}", signal_name(i32::from(signal)))
        }
    }
}

fn verdict(report: &Report, ending: &str) -> String {
    let resident = size::text(report.memory.peak_resident_bytes);
    format!(
        "{ending}: {resident} of {} RAM at most, {} faults",
        size::text(report.manifest.machine.ram_bytes),
        report.faults.resolved()
    )
}

fn program_name(report: &Report) -> &str {
    report.manifest.program.rsplit('/').next().unwrap_or("the program")
}

fn evidence(report: &Report) -> Vec<(&'static str, String)> {
    let memory = &report.memory;
    let instructions = match report.instructions {
        Some(count) => format!("{count} guest instructions"),
        None => "not counted; --count counts them".to_owned(),
    };
    let mut lines = vec![
        ("time", format!("{:.1} ms", report.wall_ms)),
        ("instructions", instructions),
        (
            "faults",
            format!("{} = {} minor + {} major", report.faults.resolved(), report.faults.minor, report.faults.major),
        ),
        ("", format!("= {}", partition(&report.faults))),
        ("refused", format!("{} accesses", report.faults.protection)),
        ("resident", format!("{} at most", size::text(memory.peak_resident_bytes))),
        ("page tables", format!("{} at most", size::text(memory.peak_page_table_bytes))),
        ("areas", format!("{} in one space at most", memory.peak_areas)),
        ("processes", report.processes.len().to_string()),
    ];
    let overhead = size::text(memory.overhead_bytes);
    lines.push(("pagewalk's own", format!("{overhead} of translated code and tables, outside of the machine's RAM")));
    let CodeUse { translated_blocks, recalled_blocks } = report.code;
    lines.push((
        "code",
        format!("{translated_blocks} blocks translated, {recalled_blocks} kept by earlier runs and processes"),
    ));
    lines
}

fn partition(faults: &FaultCounts) -> String {
    faults.kinds().map(|(name, count)| format!("{count} {name}")).join(" + ")
}

/// What to try next, from what the report says.
fn next(ended: &Ended, command: &[OsString]) -> String {
    let report = &ended.report;
    let options = match report.exit {
        Some(ExitStatus::Killed { .. }) if ended.crash.is_some() && ended.maps.is_none() => {
            "--maps-at-exit --events faults,areas"
        }
        Some(ExitStatus::Killed { .. }) => "--events calls,faults",
        Some(ExitStatus::Exited { status }) if status != 0 => "--events calls",
        _ if report.faults.major > 0 => "--ram 2G --events faults",
        _ if report.instructions.is_none() => "--count --events areas",
        _ => "--events faults",
    };
    let words: Vec<String> = command.iter().map(|word| quoted(&word.to_string_lossy())).collect();
    format!("pagewalk run {options} {}", words.join(" "))
}

/// A word as the shell takes it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_alphanumeric() || "-_./=:,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::{CodeUse, MachineConfig, Manifest, MemoryUse, REPORT_VERSION};

    fn ended(exit: ExitStatus) -> Ended {
        let machine = MachineConfig { ram_bytes: 1 << 30, ..MachineConfig::default() };
        let manifest = Manifest { program: "/bin/ls".to_owned(), machine, ..Manifest::default() };
        let report = Report {
            version: REPORT_VERSION,
            exit: Some(exit),
            wall_ms: 12.34,
            instructions: None,
            faults: FaultCounts { minor: 7, zero_fill: 4, file: 2, copy_on_write: 1, ..FaultCounts::default() },
            memory: MemoryUse {
                peak_resident_bytes: 2 << 20,
                peak_page_table_bytes: 40 << 10,
                peak_areas: 21,
                overhead_bytes: 1 << 20,
            },
            code: CodeUse { translated_blocks: 30, recalled_blocks: 1200 },
            processes: vec![],
            manifest,
        };
        Ended { report, crash: None, maps: None, bugs: vec![] }
    }

    #[test]
    fn a_report_is_a_verdict_the_evidence_and_a_next_step() {
        let command = [OsString::from("ls"), OsString::from("a b")];
        insta::assert_snapshot!(text(&ended(ExitStatus::Exited { status: 0 }), &command));
    }

    #[test]
    fn a_death_is_named() {
        let report = ended(ExitStatus::Killed { signal: 11, core_dumped: true }).report;
        assert!(verdict(&report, &ending(&report)).starts_with("ls was killed by SIGSEGV, and left a core file: "));
    }

    #[test]
    fn words_are_quoted_where_the_shell_needs_it() {
        assert_eq!(quoted("a-b.c"), "a-b.c");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
