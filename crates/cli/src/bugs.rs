//! Panics: bugs of pagewalk's own, said where its user sees them.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::OpenOptions;
use std::io::Write;
use std::panic;

/// Has panics told on pagewalk's own standard error. Guest threads stand in descriptor tables of their own, in which
/// descriptor 2 is the guest's.
pub fn tell_on_stderr() {
    panic::set_hook(Box::new(|panic| {
        let trace = Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("\n{trace}") } else { String::new() };
        let text = format!("pagewalk: bug: {panic}{trace}\n");
        // /proc/self is the first thread's table.
        let own = OpenOptions::new().append(true).open("/proc/self/fd/2");
        let told = own.and_then(|mut stderr| stderr.write_all(text.as_bytes()));
        if told.is_err() {
            eprint!("{text}");
        }
    }));
}
