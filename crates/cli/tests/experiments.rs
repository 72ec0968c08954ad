//! The experiments of "Linux in practice", chapter 5: each program tells the same story natively and under pagewalk.

mod common;

use common::{compile, natively, stderr, stdout, under_pagewalk};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Output;

const MIB_100: u64 = 100 << 20;

/// A host that takes a page away for its own reasons counts a fault more, once in some hundred runs.
const NATIVE_RUNS: usize = 3;

/// Runs a program both ways; the transcripts are equal, and the one is returned.
fn same_story(name: &str, arguments: impl Fn(&Path) -> Vec<String>) -> (String, Output) {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(name, directory.path());
    let arguments = arguments(directory.path());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let guest = under_pagewalk(&["--ram", "512M"], &program, &arguments);
    let mut native = natively(&program, &arguments);
    for _ in 1..NATIVE_RUNS {
        if stdout(&native) == stdout(&guest) {
            break;
        }
        native = natively(&program, &arguments);
    }
    assert_eq!(stdout(&guest), stdout(&native), "stderr: {}", stderr(&guest));
    assert_eq!(guest.status.code(), native.status.code(), "stderr: {}", stderr(&guest));
    assert_eq!(guest.status.signal(), native.status.signal());
    assert!(!stderr(&guest).contains("pagewalk: bug:"), "{}", stderr(&guest));
    (stdout(&guest), guest)
}

#[test]
fn segv_dies_before_its_second_line_and_is_described() {
    let (story, guest) = same_story("segv", |_| vec![]);
    assert_eq!(story, "", "the first line was still in the buffer of a pipe");
    assert_eq!(guest.status.signal(), Some(libc::SIGSEGV));
    let said = stderr(&guest);
    assert!(said.contains("SIGSEGV: a write at 0x0, where nothing is mapped, by main at "), "{said}");
    assert!(said.contains("segv.c:9"), "{said}");
    assert!(said.contains("called from _start"), "{said}");
    assert!(said.contains("segv was killed by SIGSEGV"), "{said}");
}

#[test]
fn demand_paging_costs_one_fault_a_page() {
    let (story, _) = same_story("demand_paging", |_| vec![]);
    assert_eq!(story.matches("touch 10 MiB: min_flt +2560 maj_flt +0 rss +10240 kB\npage tables +20 kB").count(), 10);
    assert!(story.contains("read each page: min_flt +25600 maj_flt +0 rss +0 kB"), "{story}");
    assert!(story.contains("then write each page: min_flt +25600 maj_flt +0 rss +102400 kB"), "{story}");
    assert!(story.contains("write after that: min_flt +25600 maj_flt +0 rss +102400 kB"), "{story}");
    assert!(story.contains("write what is populated: min_flt +0 maj_flt +0 rss +0 kB"), "{story}");
}

#[test]
fn copy_on_write_costs_one_fault_a_page_and_no_residence() {
    let (story, _) = same_story("copy_on_write", |_| vec![]);
    assert!(story.contains("child writes: min_flt +25600 maj_flt +0 rss +0 kB"), "{story}");
    assert!(story.contains("child writes again: min_flt +0 maj_flt +0 rss +0 kB"), "{story}");
    assert!(story.contains("parent writes after the child exited: min_flt +25600"), "{story}");
}

#[test]
fn a_mapped_file_changes_without_a_write_call() {
    let (story, _) = same_story("file_map", |directory| vec![directory.join("file").display().to_string()]);
    assert!(story.contains("mapped: 8192 bytes rw-s at offset 00000000\nthe file says: HELLO"), "{story}");
    assert!(story.contains("beyond the last page: Bus error"), "{story}");
}

/// Natively and under pagewalk, the one difference between the maps before and after is 100 MiB, `rw-p`, anonymous.
#[test]
fn maps_shows_100_mib_more_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("maps", directory.path());
    for output in [natively(&program, &[]), under_pagewalk(&["--ram", "512M"], &program, &[])] {
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        let (before, after) = text.split_once("*** after ***\n").expect("both maps are printed");
        let before: Vec<&str> = before.lines().skip(1).collect();
        let after: Vec<&str> = after.lines().collect();
        let gone: Vec<&&str> = before.iter().filter(|line| !after.contains(line)).collect();
        let come: Vec<&&str> = after.iter().filter(|line| !before.contains(line)).collect();
        let bytes = |lines: &[&&str]| lines.iter().map(|line| area_bytes(line)).sum::<u64>();
        assert_eq!(come.len(), 1, "one line is new or has grown: {text}");
        assert!(gone.len() <= 1, "{text}");
        assert_eq!(bytes(&come) - bytes(&gone), MIB_100, "{text}");
        assert!(come[0].trim_end().ends_with("rw-p 00000000 00:00 0"), "{text}");
    }
}

fn area_bytes(line: &str) -> u64 {
    let (start, rest) = line.split_once('-').expect("a range");
    let (end, _) = rest.split_once(' ').expect("permissions");
    let number = |digits| u64::from_str_radix(digits, 16).expect("hexadecimal");
    number(end) - number(start)
}
