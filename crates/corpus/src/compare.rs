//! Whether two runs of a case are equal.

use crate::case::Case;
use crate::files;
use crate::trial::{Runner, Side, Timer, Trial, search_path};
use std::env;
use std::io::{self, Write};
use std::iter;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What became of a case.
#[derive(Debug)]
pub enum Verdict {
    /// Both runs were made.
    Compared {
        /// Whether they agree.
        equality: Equality,
        /// The native run's time by the clock on the wall.
        native: Duration,
        /// pagewalk's.
        guest: Duration,
    },
    /// The timer signal changes what the native run does: these programs cannot be compared under it.
    Disturbed {
        /// The time between two signals that did it.
        period_us: u64,
    },
    /// This program is not installed.
    Skipped(String),
    /// The case itself cannot be run here.
    Broken(String),
}

/// Whether two runs agree.
#[derive(Debug, PartialEq, Eq)]
pub enum Equality {
    /// On everything.
    Equal,
    /// Not; a sentence for each difference.
    Different(Vec<String>),
}

impl Runner {
    /// Runs a case on both sides.
    #[must_use]
    pub fn judge(&self, case: &Case) -> Verdict {
        if let Some(missing) = case.needs.iter().find(|program| !is_installed(program)) {
            return Verdict::Skipped(missing.clone());
        }
        if let Some(missing) = case.modules.iter().find(|module| !is_module(module)) {
            return Verdict::Skipped(format!("python3's module {missing}"));
        }
        let compared = || match &self.timer {
            None => self.compared(case, &self.trial(case, Side::Native)?),
            Some(timer) => self.compared_with_signals(case, timer),
        };
        compared().unwrap_or_else(|error: io::Error| Verdict::Broken(error.to_string()))
    }

    fn compared(&self, case: &Case, native: &Trial) -> io::Result<Verdict> {
        let guest = self.trial(case, Side::Guest)?;
        let equality = compare(case, native, &guest)?;
        Ok(Verdict::Compared { equality, native: native.time, guest: guest.time })
    }

    /// Programs that no signal interrupts natively may wait longer under pagewalk, and be interrupted there: what differs is
    /// no fault of pagewalk's if as many signals for the same work make a difference natively too.
    fn compared_with_signals(&self, case: &Case, timer: &Timer) -> io::Result<Verdict> {
        let calm = Self { timer: None, ..self.clone() }.trial(case, Side::Native)?;
        let native_with = |period_us| {
            let timer = Some(Timer { period_us, ..timer.clone() });
            Self { timer, ..self.clone() }.trial(case, Side::Native)
        };
        let native = native_with(timer.period_us)?;
        if compare(case, &calm, &native)? != Equality::Equal {
            return Ok(Verdict::Disturbed { period_us: timer.period_us });
        }
        let verdict = self.compared(case, &native)?;
        let Verdict::Compared { equality: Equality::Different(_), native, guest } = &verdict else {
            return Ok(verdict);
        };
        let slowness = (guest.as_secs_f64() / native.as_secs_f64()).clamp(1.0, MOST_SLOWNESS);
        let period_us = (timer.period_us as f64 / slowness) as u64;
        for _ in 0..TRIES {
            if compare(case, &calm, &native_with(period_us)?)? != Equality::Equal {
                return Ok(Verdict::Disturbed { period_us });
            }
        }
        Ok(verdict)
    }
}

/// How often a case that differs under pagewalk is tried natively with more signals.
const TRIES: usize = 5;
/// How many times as many signals at most: a handler takes its time natively too.
const MOST_SLOWNESS: f64 = 10.0;

fn compare(case: &Case, native: &Trial, guest: &Trial) -> io::Result<Equality> {
    let mut differences = Vec::new();
    if native.status.is_none() {
        differences.push(format!("the native run took more than {} s", case.seconds));
    }
    if native.status != guest.status {
        differences.push(format!("status {} natively, {} under pagewalk", word(native.status), word(guest.status)));
    }
    let streams = [("stdout", &native.stdout, &guest.stdout), ("stderr", &native.stderr, &guest.stderr)];
    for (name, native, guest) in streams {
        let (native, guest) = (filtered(native, &case.filters)?, filtered(guest, &case.filters)?);
        differences.extend(first_difference(&native, &guest).map(|lines| format!("{name}: {lines}")));
    }
    differences.extend(files::differences(&native.files, &guest.files, &case.loose));
    Ok(if differences.is_empty() { Equality::Equal } else { Equality::Different(differences) })
}

fn word(status: Option<i32>) -> String {
    status.map_or_else(|| "timeout".to_string(), |status| status.to_string())
}

/// What every case is filtered by: the process that a shell says was killed.
const FILTERS: &str = r"s/^(.*: line [0-9]+:) +[0-9]+ +/\1 PID /";

/// The text after every filter of the list.
fn filtered(text: &[u8], filters: &[String]) -> io::Result<Vec<u8>> {
    let mut sed = Command::new("sed");
    let expressions = iter::once(FILTERS).chain(filters.iter().map(String::as_str));
    sed.arg("-E").args(expressions.flat_map(|filter| ["-e", filter])).env("LC_ALL", "C.UTF-8");
    let mut child = sed.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().expect("standard input is a pipe");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(text));
        child.wait_with_output()
    })?;
    if output.status.success() { Ok(output.stdout) } else { Err(io::Error::other(format!("sed {filters:?} failed"))) }
}

/// The first lines that differ, if any.
fn first_difference(native: &[u8], guest: &[u8]) -> Option<String> {
    if native == guest {
        return None;
    }
    let (native, guest) = (String::from_utf8_lossy(native), String::from_utf8_lossy(guest));
    let (mut native, mut guest) = (native.lines(), guest.lines());
    for number in 1.. {
        match (native.next(), guest.next()) {
            (None, None) => break,
            (native, guest) if native == guest => {}
            (native, guest) => {
                let shown = |line: Option<&str>| line.map_or_else(|| "nothing".to_string(), |line| format!("{line:?}"));
                return Some(format!("line {number}: {} natively, {} under pagewalk", shown(native), shown(guest)));
            }
        }
    }
    Some("the last line ends differently".to_string())
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Whether the python3 that cases run, the distribution's, can find a module.
fn is_module(name: &str) -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)", name]);
    python.env("PATH", search_path()).stdout(Stdio::null()).stderr(Stdio::null());
    python.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Restart;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    #[test]
    fn filters_are_applied_in_order_and_to_both() {
        let filters = ["s/[0-9]+/N/g".to_string(), "s/N ms/T/".to_string()];
        assert_eq!(filtered(b"took 12 ms\n", &filters).unwrap(), b"took T\n");
        assert!(filtered(b"", &["s/(/".to_string()]).is_err());
    }

    #[test]
    fn a_module_is_found_or_not() {
        assert!(is_installed("python3") == is_module("os.path"));
        assert!(!is_module("no_such_module.at_all"));
    }

    /// A pagewalk that takes long and says something else.
    fn slow_and_wrong(folder: &Path) -> Runner {
        let pagewalk = folder.join("pagewalk");
        fs::write(&pagewalk, "#!/bin/sh\nsleep 0.3\necho wrong\n").unwrap();
        fs::set_permissions(&pagewalk, fs::Permissions::from_mode(0o755)).unwrap();
        let timer = Timer { library: PathBuf::new(), restart: Restart::On, period_us: 200 };
        Runner { pagewalk, options: Vec::new(), folder: folder.to_path_buf(), patience: 1, timer: Some(timer) }
    }

    #[test]
    fn who_is_slower_may_be_disturbed_by_as_many_signals() {
        let folder = tempfile::tempdir().unwrap();
        let judged = |script: &str| slow_and_wrong(folder.path()).judge(&Case::of_script("case", script));
        let steady = judged("echo right\n");
        assert!(matches!(steady, Verdict::Compared { equality: Equality::Different(_), .. }), "{steady:?}");
        let disturbed = judged("echo ${TIMER_SIGNAL_PERIOD_US:+interrupted}\n");
        assert!(matches!(disturbed, Verdict::Disturbed { period_us: 200 }), "{disturbed:?}");
        let disturbed = judged("[ ${TIMER_SIGNAL_PERIOD_US:-200} = 200 ] || echo interrupted\n");
        assert!(matches!(disturbed, Verdict::Disturbed { period_us: 20..200 }), "{disturbed:?}");
    }

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(first_difference(b"a\nb\n", b"a\nb\n"), None);
        let said = first_difference(b"a\nb\n", b"a\nc\n").unwrap();
        assert_eq!(said, "line 2: \"b\" natively, \"c\" under pagewalk");
        assert!(first_difference(b"a\n", b"").unwrap().contains("nothing under pagewalk"));
        assert!(first_difference(b"a\n", b"a").unwrap().contains("ends differently"));
    }
}
