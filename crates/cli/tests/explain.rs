//! `pagewalk explain` against the textbooks' own numbers.

use std::io::{BufRead, BufReader};
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
    assert!(text.contains("The MMU looks for the entry in the TLB: a miss"));
    assert!(text.contains("The TLB returns the entry: PPN 0x28"));
    assert_eq!(text.matches("The cache misses: the line comes from memory").count(), 1);
}

/// The numbers and titles of the steps.
fn titles(arguments: &[&str]) -> Vec<String> {
    let is_title = |line: &&str| line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    stdout(arguments).lines().filter(is_title).map(str::to_string).collect()
}

#[test]
fn the_steps_are_those_of_figure_9_13() {
    let hit = titles(&["explain", "small", "0x03d4"]);
    let expected = [
        "1. The processor sends the virtual address 0x3d4 to the MMU (read)",
        "2. The MMU looks for the entry in the TLB: a hit",
        "3. The TLB returns the entry: PPN 0xd",
        "4. The MMU forms the physical address 0x354 and sends it to the cache",
        "5. The cache returns the byte 0x36: a hit",
    ];
    assert_eq!(hit, expected);
    let fault = titles(&["explain", "small", "0x1c0"]);
    let expected = [
        "1. The processor sends the virtual address 0x1c0 to the MMU (read)",
        "2. The MMU looks for the entry in the TLB: a miss; it asks for the page-table entry at 0xe",
        "3. The page table returns the entry",
        "4. The MMU raises a page fault exception (error code 4): the entry of level 1 is not present",
        "5. The handler picks a victim by fifo: page 0x0 in frame 0x28; it was not modified (D is 0), so nothing is written",
        "6. The handler reads page 0x7 from disk into frame 0x28 and updates its entry",
        "7. The handler returns; the instruction starts again, and the processor sends the same address",
        "1. The processor sends the virtual address 0x1c0 to the MMU (read)",
        "2. The MMU looks for the entry in the TLB: a miss; it asks for the page-table entry at 0xe",
        "3. The page table returns the entry",
        "4. The MMU forms the physical address 0xa00 and sends it to the cache",
        "5. The cache misses: the line comes from memory",
    ];
    assert_eq!(fault, expected);
}

#[test]
fn a_dirty_line_goes_back_to_memory_and_a_dirty_page_to_disk() {
    // 0x14 is in frame 0x28, and its line falls into the same set of the cache.
    let line = stdout(&["explain", "small", "w:0x3d4=0x7f", "0x14", "0x3d4"]);
    assert!(line.contains("Line 0xd5 of L1 is dirty, so it is written back to memory: 7f 72 f0 1d."), "{line}");
    assert!(line.contains("The cache misses: the line comes from memory with the byte 0x7f"), "{line}");
    let page = stdout(&["explain", "small", "w:0x00=0x5a", "0x1c0", "0x00"]);
    assert!(page.contains("page 0x0 in frame 0x28; it was modified (D is set), so it is written to disk"), "{page}");
    assert!(page.contains("The handler reads page 0x0 from disk into frame 0x33"), "{page}");
    assert!(page.ends_with("> 0    33   0      5a -- -- --\n"), "the page came back with its byte: {page}");
}

#[test]
fn each_violation_of_the_rights_gives_its_fault() {
    let told = titles(&["explain", "protection"]).into_iter().filter(|title| title.contains("exception"));
    let codes: Vec<String> =
        told.filter_map(|title| Some(title.split("error code ").nth(1)?.split(')').next()?.to_string())).collect();
    // A store to a page that may be read; a read of the kernel's page; a fetch; a page that is not there.
    assert_eq!(codes, ["7", "5", "21", "4"]);
    assert!(titles(&["explain", "protection", "kw:0x80=1"]).contains(&"5. Memory stores the byte 0x01".to_string()));
}

#[test]
fn addresses_as_a_table_carry_the_state_along() {
    let table = stdout(&["explain", "small", "0x20", "0x20", "0x1c0", "--format", "csv"]);
    let rows: Vec<&str> = table.lines().skip(1).collect();
    let (first, second) = ("0020,00,0,00,miss,no,28,a20,0,8,28,miss,-", "0020,00,0,00,hit,no,28,a20,0,8,28,hit,-");
    assert_eq!(rows, [first, second, "01c0,07,3,01,miss,yes,-,-,-,-,-,-,-"]);
}

#[test]
fn the_picture_shows_every_step_of_the_text() {
    let picture = stdout(&["explain", "small", "w:0x3d4=0x7f", "0x1c0", "--format", "svg"]);
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    for title in titles(&["explain", "small", "w:0x3d4=0x7f", "0x1c0"]) {
        assert!(picture.contains(&format!(">{title}</text>")), "{title}");
    }
}

#[test]
fn the_presets_are_listed_for_people_and_for_programs() {
    let text = stdout(&["explain", "--list"]);
    let list: serde_json::Value =
        serde_json::from_str(&stdout(&["explain", "--list", "--format", "json"])).expect("JSON");
    let names: Vec<&str> =
        list["presets"].as_array().expect("a list").iter().filter_map(|preset| preset["name"].as_str()).collect();
    assert_eq!(names, text.lines().filter_map(|line| line.split_whitespace().next()).collect::<Vec<_>>());
    for wanted in ["small", "i7", "two-level", "levels:K", "zen4", "golden-cove", "skylake", "book-100", "dram-cache"] {
        assert!(names.contains(&wanted), "{wanted}");
    }
}

#[test]
fn large_and_small_pages_share_a_tlb() {
    let text = stdout(&["explain", "zen4"]);
    assert!(text.contains("2 of 72 ways filled"), "{text}");
    assert_eq!(text.matches("The TLB returns the entry: PPN 0x40\n").count(), 1, "the large page");
    assert_eq!(text.matches("The TLB returns the entry: PPN 0x9000\n").count(), 1, "the small page");
    assert!(text.contains("One of 6 page walkers does it."));
}

#[test]
fn a_signal_between_two_steps_leaves_the_terminal_sane() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = env!("CARGO_BIN_EXE_pagewalk");
    let typed = format!(
        "terminal=$(tty); (until stty -a | grep -q -e -icanon; do :; done; kill -TERM $(cat pid)) < $terminal & \
         sh -c 'echo $$ > pid; exec {program} explain small 0x3d4 --step'; \
         printf '\\nended with %s\\n' $?; stty -a | grep -o -e '-*icanon'"
    );
    let mut child = Command::new("script")
        .args(["-qec", &typed, "/dev/null"])
        .current_dir(directory.path())
        .env("SHELL", "/bin/sh")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("script runs");
    // Open until then: the end of the input would be a key, and without it `script` does not end.
    let keyboard = child.stdin.take();
    let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
    let last = lines.map(|line| line.expect("it is text")).skip_while(|line| !line.contains("ended with"));
    assert_eq!(last.take(2).map(|line| line.trim().to_string()).collect::<Vec<_>>(), ["ended with 143", "icanon"]);
    drop(keyboard);
    child.wait().expect("it ends");
}

#[test]
fn a_key_goes_on_and_another_one_back() {
    use std::io::Write;
    let mut child = Command::new(env!("CARGO_BIN_EXE_pagewalk"))
        .args(["explain", "small", "0x3d4", "--step"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    child.stdin.take().expect("it is a pipe").write_all(b" bxq").expect("the program reads");
    let output = child.wait_with_output().expect("the program ends");
    let text = String::from_utf8(output.stdout).expect("the output is text");
    let shown: Vec<&str> = text.lines().filter(|line| line.contains(" The ")).map(|line| &line[..2]).collect();
    assert_eq!(shown, ["1.", "2.", "1.", "2."], "{text}");
    assert!(output.status.success());
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
    let silent = good.split("[story]").next().expect("a split has a first part");
    std::fs::write(&file, silent).expect("the file can be written");
    assert!(complaint(&["explain", "--machine", name]).contains("small tells no story of its own"));
    for (value, nonsense, expected) in [
        ("ways = 4", "ways = -4", "invalid value: integer `-4`, expected a whole number from 0 up"),
        ("ways = 4", "ways = 5", "tlbs.ways: expected a divisor of 16"),
        ("entries = 16", "entries = 99999999999999", "tlbs.entries: expected 1 to"),
        ("page-bytes = 64", "page-bytes = 63", "geometry.page-bytes: expected a power of two"),
        ("levels = [8]", "levels = [8, 0]", "geometry.levels: expected at least one bit"),
        ("physical-bits = 12", "physical-bits = 63", "geometry.physical-bits: expected 1 to 52"),
        ("line-bytes = 4", "line-bytes = 3", "caches.line-bytes: expected a power of two"),
        ("\"02:33\"", "\"02:99\"", "contents.pages: expected a page below 0x100 and a frame below 0x40"),
        ("\"02:33\"", "\"02:33:rq\"", "contents.pages: expected marks of r, w, x, s, a and d, not 'q'"),
        ("07:02", "07:zz", "contents.tlb: expected a hexadecimal number, not \"zz\""),
        ("99 11 23 11", "99 11 23", "contents.lines: expected 16 sets, each way a tag and 4 bytes"),
        ("\"fifo\"", "\"opt\"", "paging.policy: expected a policy"),
    ] {
        let good =
            good.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert!(good.contains(value), "{value}");
        std::fs::write(&file, good.replacen(value, nonsense, 1)).expect("the file can be written");
        let told = complaint(&["explain", "--machine", name, "0x3d4"]);
        assert!(told.contains(expected), "{nonsense}: {told}");
        let line = good.lines().position(|line| line.contains(value)).expect("the value is there") + 1;
        assert!(told.contains(&format!("m.toml:{line}:")), "{nonsense}: {told}");
    }
}

#[test]
fn bad_input_gets_one_sentence() {
    for arguments in [
        &["explain", "smal"][..],
        &["explain", "small", "0xzz"],
        &["explain", "levels:37"],
        &["explain", "--refs", "1 two"],
        &["explain", "--refs", "1 2", "--frames", "0"],
        &["explain", "--refs", "1 2", "--policy", "best"],
        &["explain", "i7", "--all"],
        &["explain", "small", "--all", "0x3d4"],
        &["explain", "small", "--all", "--format", "svg"],
        &["explain", "small", "0x3d4", "--step", "--format", "json"],
        &["explain", "small", "99999999999999999999"],
        &["explain", "small", "w:0x3d4=0x100"],
        &["explain", "small", "--addresses", "no such file"],
        &["explain", "--machine", "no such file"],
        &["explain", "--refs", ""],
        &["explain", "--refs", "1 2", "--frames", "3..2"],
        &["explain", "--refs", "1 2", "--frames", "1..200000000"],
        &["explain", "--refs", "1 2", "--window", "0"],
        &["explain", "--refs", "1 2", "small"],
    ] {
        assert_eq!(complaint(arguments).lines().count(), 1, "{arguments:?}");
    }
}
