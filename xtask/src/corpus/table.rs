//! What `cargo xtask corpus` prints and keeps.

use super::{Judged, SIGNAL_PERIOD_US, is_fine};
use crate::results;
use corpus::{Equality, Verdict};
use std::fmt::Write;
use std::time::Duration;

/// One case on the terminal.
pub fn line(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Compared { native, guest, .. } => {
            format!("{}, native {:.2} s, pagewalk {:.2} s", word(verdict), native.as_secs_f64(), guest.as_secs_f64())
        }
        Verdict::Disturbed { period_us } => format!("the signal, every {period_us} us, disturbs the native run too"),
        Verdict::Skipped(program) => format!("skipped: {program} is not installed"),
        Verdict::Broken(error) => format!("cannot be run: {error}"),
    }
}

/// How many agree.
pub fn summary(judged: &[Judged]) -> String {
    let count = |is: fn(&Verdict) -> bool| judged.iter().filter(|(_, verdict)| is(verdict)).count();
    let compared = count(|verdict| matches!(verdict, Verdict::Compared { .. }));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    let disturbed: Vec<_> = judged.iter().filter_map(disturbed_by).collect();
    let quicker: Vec<_> =
        disturbed.iter().filter(|(_, period)| *period < SIGNAL_PERIOD_US).map(|(name, _)| *name).collect();
    let wrong = judged.iter().filter(|(_, verdict)| !is_fine(verdict));
    let wrong: Vec<&str> = wrong.map(|(case, _)| case.name.as_str()).collect();
    let names = if wrong.is_empty() { String::new() } else { format!(", not equal: {}", wrong.join(", ")) };
    let quicker = match quicker.is_empty() {
        true => String::new(),
        false => format!(" ({} once it comes as much more often as pagewalk is slower)", quicker.join(", ")),
    };
    let disturbed = match disturbed.len() {
        0 => String::new(),
        count => format!("; {count} that the signal disturbs natively too{quicker}"),
    };
    format!("{} of {compared} cases equal{names}{disturbed}; {skipped} skipped.", compared - wrong.len())
}

/// The time between the signals that a case cannot bear natively, if it cannot.
fn disturbed_by((case, verdict): &Judged) -> Option<(&str, u64)> {
    match verdict {
        Verdict::Disturbed { period_us } => Some((&case.name, *period_us)),
        _ => None,
    }
}

/// A row for each case.
pub fn rows(judged: &[Judged]) -> String {
    let mut table = "| case | equal | native s | pagewalk s | ratio |\n|---|---|---|---|---|\n".to_string();
    for (case, verdict) in judged {
        writeln!(table, "| {} | {} |", case.name, cells(verdict)).expect("a string takes everything");
    }
    table
}

/// The section of bench/RESULTS.md: every row for the plain machine, the summary for a tortured one.
pub fn section(command: &str, judged: &[Judged]) -> String {
    let summary = summary(judged);
    if command != "cargo xtask corpus" {
        return format!("`{command}`: {summary}");
    }
    format!(
        "## Real programs\n\n`{command}`: each case of crates/corpus/cases natively and under `pagewalk run --quiet`; \
         equal means standard output, standard error, exit status and every file left, after the filters of its \
         header. One run each, seconds by the clock on the wall, so ratios of short cases are mostly start-up. {}. \
         {summary}\n\n{}",
        results::machine(),
        rows(judged)
    )
}

fn cells(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Compared { native, guest, .. } => {
            let ratio = guest.as_secs_f64() / native.as_secs_f64();
            format!("{} | {} | {} | {ratio:.1}", word(verdict), seconds(*native), seconds(*guest))
        }
        Verdict::Disturbed { .. } | Verdict::Skipped(_) | Verdict::Broken(_) => {
            format!("{} | - | - | -", line(verdict))
        }
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Compared { equality: Equality::Equal, .. } => "yes",
        _ => "no",
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64())
}
