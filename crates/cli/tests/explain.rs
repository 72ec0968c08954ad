//! `pagewalk explain` against the textbooks' own numbers.

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pagewalk")).args(arguments).output().expect("the program runs")
}

fn stdout(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the output is text")
}

fn complaint(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(125), "{arguments:?}");
    String::from_utf8(output.stderr).expect("the complaint is text")
}

/// CS:APP figure 9.20: valid TLB entries (set, tag, frame), page-table entries, valid cache lines (index, tag, bytes).
const TLB: [(u64, u64, u64); 5] = [(0, 0x9, 0xd), (0, 0x7, 0x2), (1, 0x3, 0x2d), (3, 0x3, 0xd), (3, 0xa, 0x34)];
const PAGES: [(u64, u64); 10] = [
    (0x0, 0x28),
    (0x2, 0x33),
    (0x3, 0x2),
    (0x5, 0x16),
    (0x8, 0x13),
    (0x9, 0x17),
    (0xa, 0x9),
    (0xd, 0x2d),
    (0xe, 0x11),
    (0xf, 0xd),
];
const LINES: [(u64, u64, [u8; 4]); 9] = [
    (0x0, 0x19, [0x99, 0x11, 0x23, 0x11]),
    (0x2, 0x1b, [0x00, 0x02, 0x04, 0x08]),
    (0x4, 0x32, [0x43, 0x6d, 0x8f, 0x09]),
    (0x5, 0x0d, [0x36, 0x72, 0xf0, 0x1d]),
    (0x7, 0x16, [0x11, 0xc2, 0xdf, 0x03]),
    (0x8, 0x24, [0x3a, 0x00, 0x51, 0x89]),
    (0xa, 0x2d, [0x93, 0x15, 0xda, 0x3b]),
    (0xd, 0x16, [0x04, 0x96, 0x34, 0x15]),
    (0xe, 0x13, [0x83, 0x77, 0x1b, 0xd3]),
];

/// One row by hand.
fn row(va: u64) -> String {
    let (vpn, set, tag) = (va >> 6, va >> 6 & 3, va >> 8);
    let in_tlb = TLB.iter().find(|entry| (entry.0, entry.1) == (set, tag)).map(|entry| entry.2);
    let in_table = PAGES.iter().find(|entry| entry.0 == vpn).map(|entry| entry.1);
    let hit = if in_tlb.is_some() { "hit" } else { "miss" };
    let Some(frame) = in_tlb.or(in_table) else {
        return format!("{va:04x},{vpn:02x},{set:x},{tag:02x},{hit},yes,-,-,-,-,-,-,-");
    };
    let pa = frame << 6 | va & 63;
    let line = LINES.iter().find(|line| (line.0, line.1) == (pa >> 2 & 15, pa >> 6));
    let (cache, byte) = line.map_or(("miss", "-".into()), |line| ("hit", format!("{:02x}", line.2[pa as usize & 3])));
    let place = format!("{frame:02x},{pa:03x},{:x},{:x},{:02x}", pa & 3, pa >> 2 & 15, pa >> 6);
    format!("{va:04x},{vpn:02x},{set:x},{tag:02x},{hit},no,{place},{cache},{byte}")
}

#[test]
fn every_address_of_the_small_system_is_the_books() {
    let table = stdout(&["explain", "small", "--all", "--format", "csv"]);
    let mut rows = table.lines();
    assert_eq!(rows.next(), Some("va,vpn,tlbi,tlbt,tlb,fault,ppn,pa,co,ci,ct,cache,byte"));
    for va in 0..1 << 14 {
        assert_eq!(rows.next(), Some(row(va).as_str()));
    }
    assert_eq!(rows.next(), None);
    assert!(table.contains("\n03d4,0f,3,03,hit,no,0d,354,0,5,0d,hit,36\n"), "the book's first exercise");
    assert!(table.contains("\n03d7,0f,3,03,hit,no,0d,357,3,5,0d,hit,1d\n"), "the book's second exercise");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&["explain", "small", "--all", "--format", "json"])).expect("JSON");
    assert_eq!(json["answers"][0x3d4]["byte"], "36");
    assert_eq!(json["answers"].as_array().map(Vec::len), Some(1 << 14));
}

#[test]
fn an_address_leaves_its_marks_for_the_next() {
    let text = stdout(&["explain", "small", "0x20", "0x20"]);
    assert!(text.contains("The MMU looks in the TLB: a miss"));
    assert!(text.contains("The MMU looks in the TLB: a hit at level 1, PPN 0x28"));
    assert_eq!(text.matches("a miss; the line comes from memory").count(), 1);
}

#[test]
fn reference_strings_are_counted_as_in_the_books() {
    let csv = stdout(&[
        "explain",
        "--refs",
        "1 2 3 4 1 2 5 1 2 3 4 5",
        "--frames",
        "3..4",
        "--policy",
        "fifo,lru,opt,clock,clock0,lfu",
        "--format",
        "csv",
    ]);
    let expected = "policy,frames,faults\nfifo,3,9\nfifo,4,10\nlru,3,10\nlru,4,8\nopt,3,7\nopt,4,6\nclock,3,9\nclock,4,10\nclock0,3,10\nclock0,4,8\nlfu,3,10\nlfu,4,8\n";
    assert_eq!(csv, expected);
    let text = stdout(&["explain", "--refs", "1 2 3 4 1 2 5 1 2 3 4 5", "--frames", "3..4", "--policy", "fifo"]);
    assert!(text.contains("Belady's anomaly: fifo"));
}

#[test]
fn a_wrong_machine_file_is_told_where() {
    let directory = tempfile::tempdir().expect("there is room for a file");
    let file = directory.path().join("m.toml");
    let name = file.to_str().expect("a plain path");
    let good = stdout(&["explain", "small", "--print"]);
    std::fs::write(&file, &good).expect("the file can be written");
    assert_eq!(stdout(&["explain", "--machine", name, "0x3d4"]), stdout(&["explain", "small", "0x3d4"]));
    std::fs::write(&file, good.replace("ways = 4", "wayz = 4")).expect("the file can be written");
    let told = complaint(&["explain", "--machine", name, "0x3d4"]);
    let line = good.lines().position(|line| line == "ways = 4").expect("the TLB has ways") + 1;
    assert!(told.contains(&format!("m.toml:{line}:1: unknown field `wayz`, expected one of `level`")), "{told}");
}

#[test]
fn bad_input_gets_one_sentence() {
    for arguments in [
        &["explain", "smal"][..],
        &["explain", "small", "0xzz"],
        &["explain", "small"],
        &["explain", "levels:37"],
        &["explain", "--refs", "1 two"],
        &["explain", "--refs", "1 2", "--frames", "0"],
        &["explain", "--refs", "1 2", "--policy", "best"],
        &["explain", "i7", "--all"],
    ] {
        assert_eq!(complaint(arguments).lines().count(), 1, "{arguments:?}");
    }
}
