//! `pagewalk heap record` and `run`: what programs asked for is in their traces, and they notice nothing.

mod common;

use common::{compile, stderr, stdout};
use heap::{Op, Trace};
use std::collections::HashSet;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output};

const PAGEWALK: &str = env!("CARGO_BIN_EXE_pagewalk");

fn heap(arguments: &[&str], directory: &Path) -> Output {
    Command::new(PAGEWALK).arg("heap").args(arguments).current_dir(directory).output().expect("it runs")
}

fn record(program: &[&str], directory: &Path) -> Output {
    heap(&[&["record", "--children", "-o", "t.trace", "--"][..], program].concat(), directory)
}

fn trace(file: &Path) -> Trace {
    Trace::parse("t", &fs::read(file).expect("a trace is written")).expect("it makes sense")
}

/// What the trace says of blocks that were of 5000 bytes at least when they were new.
fn large(trace: &Trace) -> Vec<String> {
    let mut wanted = HashSet::new();
    let mut said = Vec::new();
    for op in &trace.ops {
        if let Op::Malloc { bytes, .. } | Op::Calloc { bytes, .. } | Op::Aligned { bytes, .. } = op {
            if *bytes < 5000 {
                wanted.remove(&op.id())
            } else {
                wanted.insert(op.id())
            };
        }
        if wanted.contains(&op.id()) {
            said.push(match op {
                Op::Malloc { bytes, .. } => format!("malloc {bytes}"),
                Op::Calloc { bytes, .. } => format!("calloc {bytes}"),
                Op::Aligned { alignment, bytes, .. } => format!("aligned {alignment} {bytes}"),
                Op::Realloc { bytes, .. } => format!("realloc {bytes}"),
                Op::Free { .. } => "free".to_string(),
            });
        }
    }
    said
}

#[test]
fn a_program_is_recorded_and_keeps_its_output_and_status() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = record(&["sh", "-c", "echo out; exit 3"], directory.path());
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("out\n", Some(3)));
    let again = heap(&["t.trace", "-a", "buddy", "--format", "csv", "--repeats", "1"], directory.path());
    let rows = stdout(&again);
    assert!(rows.lines().any(|row| row.starts_with("buddy,") && row.contains("t.trace")), "{rows}");
    let killed = record(&["sh", "-c", "kill -9 $$"], directory.path());
    assert_eq!(killed.status.signal(), Some(9));
    assert_eq!(record(&["./no-such-program"], directory.path()).status.code(), Some(127));
}

#[test]
fn every_function_that_allocates_is_recorded() {
    let directory = tempfile::tempdir().expect("a directory");
    compile("malloc_family", directory.path());
    let output = record(&["./malloc_family"], directory.path());
    assert_eq!(stdout(&output), "fine\n", "{}", stderr(&output));
    let expected = "malloc 10101, calloc 30003, malloc 10002, realloc 20002, realloc 5002, malloc 10003, free, \
                    aligned 64 10004, aligned 128 10240, aligned 256 10006, aligned 4096 10007, aligned 4096 12288, \
                    malloc 10507, free, free, free, free, free, free, free, free, free";
    assert_eq!(large(&trace(&directory.path().join("t.trace"))).join(", "), expected);
}

#[test]
fn a_forked_child_has_a_trace_that_begins_with_its_parents_heap() {
    let directory = tempfile::tempdir().expect("a directory");
    compile("malloc_fork", directory.path());
    let output = record(&["./malloc_fork"], directory.path());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = fs::read_dir(directory.path()).expect("a directory").map(|entry| entry.expect("an entry").path());
    let mut said: Vec<String> = files
        .filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("t.trace")))
        .map(|file| large(&trace(&file)).join(", "))
        .collect();
    said.sort_unstable();
    let blocks: String = (20_000..20_010).map(|bytes| format!("malloc {bytes}, ")).collect();
    let expected = [
        "free, malloc 30000, malloc 31000",
        "free, malloc 30000, malloc 32000",
        "free, malloc 40000, malloc 50000",
        "free, malloc 40000, malloc 60000",
    ];
    assert_eq!(said, expected.map(|rest| format!("{blocks}{rest}")));
}

#[test]
fn threads_are_merged_in_order() {
    let directory = tempfile::tempdir().expect("a directory");
    compile("malloc_threads", directory.path());
    let recorded = record(&["./malloc_threads"], directory.path());
    assert_eq!(recorded.status.code(), Some(0), "{}", stderr(&recorded));
    // It would not have been read back if a block were freed twice, or given out before it is freed.
    let operations = trace(&directory.path().join("t.trace")).ops.len();
    // Every slot but the last 64 blocks is freed; the program's start adds a few calls of its own.
    let calls = 4 * (20_000 + 6_667 + 20_000) - 64;
    assert!((calls..calls + 100).contains(&operations), "{operations}");
}

#[test]
fn a_program_keeps_the_allocator_of_its_library() {
    let directory = tempfile::tempdir().expect("a directory");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/programs/malloc_own.c");
    let compile = |options: &[&str], output: &str, libraries: &[&str]| {
        let mut compiler = Command::new("cc");
        compiler.arg("-fno-builtin").args(options).arg(&source).args(["-o", output]).args(libraries);
        assert!(compiler.current_dir(directory.path()).status().expect("a C compiler").success());
    };
    compile(&["-DLIBRARY", "-shared", "-fPIC"], "libown.so", &[]);
    compile(&[], "own", &["./libown.so"]);
    let output = record(&["./own"], directory.path());
    assert_eq!(stdout(&output), "its own\n", "{}", stderr(&output));
    let said = large(&trace(&directory.path().join("t.trace")));
    assert_eq!(said, ["malloc 70001", "realloc 70002", "free"]);
}

#[test]
fn a_static_program_is_refused_in_one_sentence() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("empty.c"), "int main(void) { return 0; }\n").expect("written");
    for option in ["-static", "-static-pie"] {
        let mut compiler = Command::new("cc");
        compiler.args([option, "empty.c", "-o", "empty"]).current_dir(directory.path());
        assert!(compiler.status().expect("a C compiler").success());
        for command in ["record", "run"] {
            let output = heap(&[command, "--", "./empty"], directory.path());
            let sentence = "pagewalk: ./empty is statically linked, so no library can be preloaded into it to record its \
                            malloc calls\n";
            assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(126), sentence));
        }
    }
    assert!(!directory.path().join("heap.trace").exists());
}

#[test]
fn an_interrupt_is_for_the_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = "trap 'echo interrupted' INT; kill -INT 0; exit 4";
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", PAGEWALK, "heap", "record", "-o", "t.trace", "--", "sh", "-c", program]);
    let output = command.current_dir(directory.path()).process_group(0).output().expect("it runs");
    assert_eq!((stdout(&output).as_str(), output.status.code()), ("interrupted\n", Some(4)));
    assert!(!trace(&directory.path().join("t.trace")).ops.is_empty());
}

#[test]
fn a_comparison_leaves_standard_output_to_the_program() {
    let directory = tempfile::tempdir().expect("a directory");
    let output = heap(&["run", "-a", "buddy", "--repeats", "1", "--", "sh", "-c", "echo out"], directory.path());
    assert_eq!(stdout(&output), "out\n");
    assert!(stderr(&output).contains("over all traces"), "{}", stderr(&output));
}

#[test]
fn a_place_that_cannot_be_written_to_is_told_before_the_program_runs() {
    let directory = tempfile::tempdir().expect("a directory");
    for options in [&["record", "-o", "no/t.trace"][..], &["run", "--report", "no/r"], &["run", "--plot", "no/p.svg"]] {
        let output = heap(&[options, &["--", "sh", "-c", "echo out"]].concat(), directory.path());
        assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(125), ""));
        assert!(stderr(&output).ends_with("cannot be written: there is no such directory\n"), "{}", stderr(&output));
    }
}

/// Programs that we did not write, through every allocator.
#[test]
fn recorded_programs_are_replayed_by_every_allocator() {
    let directory = tempfile::tempdir().expect("a directory");
    let numbers: String = (0_u32..20_000).map(|index| format!("{}\n", index.wrapping_mul(2_654_435_761))).collect();
    fs::write(directory.path().join("numbers"), numbers).expect("written");
    let programs: [&[&str]; 3] = [
        &["bash", "-c", "(x=$(echo a b | tr a-b A-B); echo \"$x\"); for i in 1 2 3; do (exit $i); done"],
        &["sort", "--parallel=4", "-S", "200K", "numbers", "-o", "sorted"],
        &["sh", "-c", "exec sort -n numbers -o sorted"],
    ];
    for program in programs {
        let report = ["--report", "report.json"];
        let options = [&["run", "--children", "--repeats", "1", "--format", "json"], &report[..], &["--"]].concat();
        heap(&[&options[..], program].concat(), directory.path());
        let text = fs::read_to_string(directory.path().join("report.json")).expect("a report is written");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let rows = json["rows"].as_array().expect("rows");
        assert!(rows.len() >= 8, "{program:?}: {text}");
        assert!(rows.iter().all(|row| row["failed"].is_null()), "{program:?}: {text}");
    }
}
