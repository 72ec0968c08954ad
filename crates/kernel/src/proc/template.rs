//! A text of the host with our values in it.
//!
//! What lines a file like meminfo or status has is the business of a Linux version; what they say of memory, numbers
//! and processors is ours. So the host's own lines are taken, and their values replaced.

use rustc_hash::FxHashMap;

/// What becomes of a line that we have no value for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    /// It stays: it says what is true for the guest too.
    Stay,
    /// Its numbers become 0: it counts something that the machine has none of.
    AreZero,
}

/// Values by the name of their line.
#[derive(Default)]
pub(super) struct Values(FxHashMap<&'static str, String>);

impl Values {
    /// Sets a value; it stands in the line as it is.
    pub fn set(&mut self, name: &'static str, value: impl ToString) {
        self.0.insert(name, value.to_string());
    }

    /// The host's `name<separator>value` lines with our values. Spaces and tabs in front of a value stay, as far as a
    /// value that is right-aligned (in meminfo and status) lets them.
    pub fn put_into(&self, text: &str, separator: char, others: Others) -> String {
        let mut lines = String::new();
        for line in text.lines() {
            match line.split_once(separator) {
                Some((name, old)) => {
                    lines.push_str(name);
                    lines.push(separator);
                    let zero = || zeroed(old);
                    match self.0.get(name.trim_end()) {
                        Some(value) => lines.push_str(&fitted(old, value)),
                        None if others == Others::AreZero => lines.push_str(&zero()),
                        None => lines.push_str(old),
                    }
                }
                None => lines.push_str(line),
            }
            lines.push('\n');
        }
        lines
    }
}

/// A value in place of an old one: after the same tab, and ending in the same column if there were spaces to fill.
fn fitted(old: &str, value: &str) -> String {
    let (unit, number) = match old.strip_suffix(" kB") {
        Some(number) => (" kB", number),
        None => ("", old),
    };
    let tabs: String = number.chars().take_while(|letter| *letter == '\t').collect();
    let field = &number[tabs.len()..];
    let is_aligned = field.starts_with(' ') && field.trim_start().len() + 1 < field.len() || !unit.is_empty();
    let width = if is_aligned { field.len() } else { 0 };
    let lead = if !is_aligned && field.starts_with(' ') { " " } else { "" };
    format!("{tabs}{lead}{value:>width$}{unit}")
}

fn zeroed(old: &str) -> String {
    let words = old.trim().trim_end_matches(" kB");
    if words.is_empty() || !words.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ') {
        return old.to_owned();
    }
    let zeros: Vec<&str> = words.split(' ').map(|_| "0").collect();
    fitted(old, &zeros.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_where_the_hosts_stood() {
        let mut values = Values::default();
        values.set("MemTotal", 65536);
        values.set("Pid", 2);
        values.set("VmRSS", 12);
        let host =
            "MemTotal:       24684096 kB\nDirty:            116848 kB\nPid:\t13716\nVmRSS:\t    1740 kB\nplain\n";
        let ours = values.put_into(host, ':', Others::AreZero);
        assert_eq!(
            ours,
            "MemTotal:          65536 kB\nDirty:                 0 kB\nPid:\t2\nVmRSS:\t      12 kB\nplain\n"
        );
        let kept = values.put_into(host, ':', Others::Stay);
        assert!(kept.contains("Dirty:            116848 kB\n"));
    }

    #[test]
    fn a_single_space_is_a_separator_and_no_alignment() {
        let mut values = Values::default();
        values.set("nr_free_pages", 7);
        let host = "nr_free_pages 1351200\npgfault 3\nintr 71 0 2\n";
        assert_eq!(values.put_into(host, ' ', Others::AreZero), "nr_free_pages 7\npgfault 0\nintr 0 0 0\n");
    }
}
