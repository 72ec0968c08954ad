//! `pagewalk heap` as a user runs it, on programs that we did not write.

use std::path::Path;
use std::process::{Command, Output};

fn pagewalk_heap(arguments: &[&str], directory: &Path) -> Output {
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

/// The trace in a document, and what it says is drawn after which operation.
fn example(document: &str) -> (&str, Vec<(usize, &str, &str)>) {
    let trace = document.split("```\n").nth(1).expect("the first fenced block is the trace");
    let drawn = document.lines().filter_map(|line| {
        let (op, rest) = line.strip_prefix("after operation ")?.split_once(", ")?;
        let (what, strip) = rest.split_once(':')?;
        Some((op.parse().ok()?, what, strip.trim()))
    });
    (trace, drawn.collect())
}

#[test]
fn the_documents_draw_what_the_tool_draws() {
    let documents = [include_str!("../../../docs/heap.md"), include_str!("../../../docs/heap.zh.md")];
    for document in documents {
        let (trace, strips) = example(document);
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("example.rep"), trace).expect("written");
        let drawn = |op: &str| {
            text(&pagewalk_heap(&["example.rep", "-a", "implicit:chunk=16", "--at", op], directory.path()).stdout)
        };
        assert!(document.contains(drawn("4").trim_end()), "the first picture is whole");
        assert_eq!(strips.iter().map(|(op, ..)| *op).collect::<Vec<_>>(), [5, 6, 7, 8, 9, 10]);
        for (op, what, strip) in strips {
            assert_eq!(trace.lines().nth(op + 3), Some(what), "operation {op}");
            assert_eq!(drawn(&op.to_string()).lines().nth(1).map(str::trim), Some(strip), "after operation {op}");
        }
    }
}

#[test]
fn the_documents_list_every_generated_trace() {
    for document in [include_str!("../../../docs/heap.md"), include_str!("../../../docs/heap.zh.md")] {
        let (_, table) = document.split_once("`gen:NAME[,ops=N][,seed=N]`").expect("the section");
        let rows = table.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let names: Vec<&str> =
            rows.map_while(|row| row.strip_prefix("| ")).filter_map(|row| row.split(' ').next()).collect();
        assert_eq!(names, heap::synth::NAMES);
    }
}

#[test]
fn the_strip_as_a_picture_has_each_block() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["gen:larson,ops=300", "-a", "buddy", "--at", "100", "--svg", "strip.svg"];
    assert_eq!(text(&pagewalk_heap(&arguments, directory.path()).stdout), "");
    let svg = std::fs::read_to_string(directory.path().join("strip.svg")).expect("drawn");
    let title = "buddy after operation 100 of larson";
    assert!(svg.starts_with("<svg") && svg.contains(title), "{svg}");
    assert_eq!(svg.matches(" bytes, allocated</title>").count(), 100, "a hundred blocks, none over two rows");
}

#[test]
fn one_allocator_is_not_called_the_best() {
    let directory = tempfile::tempdir().expect("a directory");
    let verdict = |allocators: &[&str]| {
        let rows = [&["gen:larson,ops=20000", "--repeats", "1"], allocators].concat();
        text(&pagewalk_heap(&rows, directory.path()).stdout).lines().next().expect("a verdict").to_string()
    };
    assert!(verdict(&["-a", "buddy"]).starts_with("buddy: "));
    assert!(verdict(&["-a", "buddy", "-a", "bump"]).starts_with("buddy uses memory best ("));
}

#[test]
fn rows_carry_what_they_promise_in_csv_and_json() {
    let directory = tempfile::tempdir().expect("a directory");
    let rows = ["gen:larson,ops=2000", "-a", "implicit:fit=best,chunk=64", "--repeats", "1", "--plot", "plot.svg"];
    let csv = text(&pagewalk_heap(&[&rows[..], &["--format", "csv"]].concat(), directory.path()).stdout);
    let head: Vec<&str> = csv.lines().next().expect("a head").split(',').collect();
    for field in ["allocator", "trace", "peak_payload_bytes", "heap_bytes", "utilisation", "ops_per_second"] {
        assert!(head.contains(&field), "{field} in {head:?}");
    }
    assert!(csv.contains("\"implicit:fit=best,chunk=64\""), "a name with commas is quoted");
    let json = pagewalk_heap(&[&rows[..], &["--format", "json"]].concat(), directory.path()).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["rows"][1]["trace"], "larson");
    assert!(json["rows"][1]["utilisation"].as_f64().expect("a number") > 0.5);
    let svg = std::fs::read_to_string(directory.path().join("plot.svg")).expect("drawn");
    assert!(svg.starts_with("<svg") && svg.contains("<circle") && svg.contains("<polyline"));
}

#[test]
fn the_speed_of_an_allocator_is_that_of_the_traces_that_it_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let compare = |traces: &[&str]| -> serde_json::Value {
        let options = ["-a", "bump", "--arena", "1", "--repeats", "1", "--format", "json"];
        serde_json::from_slice(&pagewalk_heap(&[traces, &options].concat(), directory.path()).stdout).expect("JSON")
    };
    let both = compare(&["gen:larson", "gen:queue,ops=500"]);
    let (score, served) = (&both["scores"][1], &both["rows"][3]);
    assert_eq!((&score["allocator"], &score["failures"]), (&"bump".into(), &1.into()));
    let speed = |value: &serde_json::Value| value["relative_to_system"].as_f64().expect("a number");
    assert!((speed(score) / speed(served) - 1.0).abs() < 1e-9, "{score} {served}");
    assert_eq!(speed(&compare(&["gen:larson"])["scores"][1]), 0.0);
}

#[test]
fn a_malformed_trace_has_file_line_and_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("bad.rep"), "9\n1\n1\n1\nf 0\n").expect("written");
    let output = pagewalk_heap(&["bad.rep"], directory.path());
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(text(&output.stderr), "pagewalk: bad.rep: line 5: block 0 is not allocated\n");
}
