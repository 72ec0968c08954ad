//! `pagewalk heap` as a user runs it, on programs that we did not write.

use std::path::Path;
use std::process::{Command, Output};

fn heap(arguments: &[&str], directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pagewalk"))
        .arg("heap")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

const FOUR: &str = "20000\n4\n8\n1\na 0 40\na 1 24\na 2 72\na 3 24\nf 0\nf 2\nf 1\nf 3\n";

#[test]
fn the_heap_of_the_documentation_is_drawn() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("four.rep"), FOUR).expect("written");
    let drawn = |op: &str| text(&heap(&["four.rep", "-a", "implicit:chunk=16", "--at", op], directory.path()).stdout);
    let strip = |op: &str| drawn(op).lines().nth(1).expect("a strip").trim().to_string();
    let strips = ["4", "5", "6", "7", "8"].map(strip);
    let expected = [
        "|#####|###|#########|###|",
        "|.....|###|#########|###|",
        "|.....|###|.........|###|",
        "|...................|###|",
        "|.......................|",
    ];
    assert_eq!(strips, expected);
}

#[test]
fn rows_carry_what_they_promise_in_csv_and_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let rows = ["gen:larson,ops=2000", "-a", "implicit:fit=best,chunk=64", "--repeats", "1", "--plot", "plot.svg"];
    let csv = text(&heap(&[&rows[..], &["--format", "csv"]].concat(), directory.path()).stdout);
    let head: Vec<&str> = csv.lines().next().expect("a head").split(',').collect();
    for field in ["allocator", "trace", "peak_payload_bytes", "heap_bytes", "utilisation", "ops_per_second"] {
        assert!(head.contains(&field), "{field} in {head:?}");
    }
    assert!(csv.contains("\"implicit:fit=best,chunk=64\""), "a name with commas is quoted");
    let json = heap(&[&rows[..], &["--format", "json"]].concat(), directory.path()).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["rows"][1]["trace"], "larson");
    assert!(json["rows"][1]["utilisation"].as_f64().expect("a number") > 0.5);
    let svg = std::fs::read_to_string(directory.path().join("plot.svg")).expect("drawn");
    assert!(svg.starts_with("<svg") && svg.contains("<circle") && svg.contains("<polyline"));
}

#[test]
fn a_malformed_trace_has_file_line_and_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("bad.rep"), "9\n1\n1\n1\nf 0\n").expect("written");
    let output = heap(&["bad.rep"], directory.path());
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(text(&output.stderr), "pagewalk: bad.rep: line 5: block 0 is not allocated\n");
}
