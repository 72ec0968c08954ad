//! /proc and /sys as guests see them: the same names and formats as the host's, their own processes, their own machine.

mod common;

use common::{compile, natively, pagewalk, stderr, stdout, under_pagewalk};
use std::process::{Command, Output};

/// What a command prints under pagewalk.
fn guest(options: &[&str], command: &[&str]) -> Output {
    pagewalk(&["--quiet"]).args(options).args(command).output().expect("pagewalk runs")
}

fn guest_text(options: &[&str], command: &[&str]) -> String {
    let output = guest(options, command);
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    stdout(&output)
}

fn is_installed(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success();
    if !found {
        eprintln!("skipped: {program} is not installed (Debian packages procps, lsof, psmisc, busybox)");
    }
    found
}

#[test]
fn every_way_to_a_name_leads_to_the_program_itself() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile("proc_names", directory.path());
    let native = natively(&program, &[]);
    assert!(!stdout(&native).contains(": NO"), "natively: {}", stdout(&native));
    let guest = under_pagewalk(&["--quiet"], &program, &[]);
    assert_eq!(stdout(&guest), stdout(&native), "stderr: {}", stderr(&guest));
}

#[test]
fn no_process_of_the_host_is_there_on_any_path() {
    let listed = guest_text(&[], &["ls", "/proc"]);
    let pids: Vec<&str> =
        listed.lines().filter(|name| name.starts_with(|first: char| first.is_ascii_digit())).collect();
    assert_eq!(pids, ["2"]);
    let host_pid = std::process::id();
    let thread = std::fs::read_dir("/proc/self/task").unwrap().count();
    assert!(thread > 0);
    let script = format!(
        "cat /proc/{host_pid}/status; cat /proc/1/status; cd /proc; cat {host_pid}/maps; cat ./1/comm; cd sys; \
         cat ../{host_pid}/stat; ls /proc/{host_pid}; cat /proc/self/root/proc/{host_pid}/comm; cat /proc/kcore; \
         ln -s /proc/{host_pid} $0/link && cat $0/link/status; ls -d /proc/self/task/{host_pid}; echo end"
    );
    let directory = tempfile::tempdir().unwrap();
    let output = guest(&[], &["sh", "-c", &script, directory.path().to_str().unwrap()]);
    assert_eq!(stdout(&output), "end\n", "{}", stderr(&output));
    assert_eq!(stderr(&output).matches("No such file or directory").count(), 10, "{}", stderr(&output));
}

#[test]
fn the_hosts_memory_is_no_file_for_guests() {
    if std::fs::File::open("/dev/mem").is_err() {
        eprintln!("skipped: the host has no /dev/mem for this user");
        return;
    }
    let output = guest(&[], &["head", "-c1", "/dev/mem"]);
    assert!(stderr(&output).contains("Permission denied"), "{}", stderr(&output));
}

/// The words of each line without their numbers: what of a file is format.
fn format_of(text: &str) -> Vec<String> {
    let is_value =
        |word: &str| word.trim_matches(&['/', '-', '.', '%'][..]).chars().all(|letter| letter.is_ascii_hexdigit());
    let line = |line: &str| {
        let key = line.split(':').next().unwrap_or_default();
        let words: Vec<&str> = line[key.len()..].split_whitespace().collect();
        let shape: Vec<&str> = words.iter().map(|word| if is_value(word) { "#" } else { "*" }).collect();
        format!("{key} {}", shape.join(" "))
    };
    text.lines().map(line).collect()
}

/// Keys, their order and the shape of what follows them are the host kernel's, whatever its version.
#[test]
fn files_have_the_hosts_lines_in_the_hosts_order() {
    for file in ["self/status", "self/limits", "self/io", "self/smaps_rollup", "meminfo", "vmstat", "cgroups"] {
        let path = format!("/proc/{file}");
        let native = stdout(&Command::new("cat").arg(&path).output().unwrap());
        let guest = guest_text(&[], &["cat", &path]);
        let keys = |text: &str| -> Vec<String> {
            let key = |line: &str| line.split([':', ' ', '\t']).next().unwrap_or_default().to_owned();
            text.lines().map(key).filter(|key| !key.contains('-')).collect()
        };
        assert_eq!(keys(&guest), keys(&native), "{path}");
    }
    for file in ["self/status", "self/smaps_rollup", "meminfo"] {
        let path = format!("/proc/{file}");
        let native = stdout(&Command::new("cat").arg(&path).output().unwrap());
        let guest = guest_text(&[], &["cat", &path]);
        let pairs = format_of(&native).into_iter().zip(format_of(&guest)).skip(1);
        for (native, guest) in pairs.filter(|(native, _)| !native.starts_with("SigQ")) {
            assert_eq!(guest, native, "{path}");
        }
    }
    for file in ["self/stat", "self/statm", "uptime", "loadavg"] {
        let path = format!("/proc/{file}");
        let native = stdout(&Command::new("cat").arg(&path).output().unwrap());
        let guest = guest_text(&[], &["cat", &path]);
        assert_eq!(guest.split(' ').count(), native.split(' ').count(), "{path}: {guest}");
    }
}

/// The first area of smaps: each line's key.
#[test]
fn smaps_has_the_hosts_keys() {
    let first = |text: &str| -> Vec<String> {
        let lines = text.lines().skip(1).take_while(|line| !line.contains('-'));
        lines.map(|line| line.split(':').next().unwrap_or_default().to_owned()).collect()
    };
    let native = stdout(&Command::new("cat").arg("/proc/self/smaps").output().unwrap());
    let guest = guest_text(&[], &["cat", "/proc/self/smaps"]);
    // A kernel without a feature has no line for it.
    let guest: Vec<String> = first(&guest).into_iter().filter(|key| first(&native).contains(key)).collect();
    assert_eq!(guest, first(&native).into_iter().filter(|key| key != "ProtectionKey").collect::<Vec<_>>());
}

#[test]
fn the_machine_is_the_simulated_one() {
    let options = ["--ram", "1G", "--cpus", "3"];
    let meminfo = guest_text(&options, &["cat", "/proc/meminfo"]);
    assert!(meminfo.starts_with("MemTotal:        1048576 kB\n"), "{meminfo}");
    let free: u64 = meminfo.lines().nth(1).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(free > 1_000_000 && free < 1_048_576, "{meminfo}");
    let cpuinfo = guest_text(&options, &["cat", "/proc/cpuinfo"]);
    assert_eq!(cpuinfo.matches("processor\t: ").count(), 3);
    assert!(!cpuinfo.contains("avx512"));
    let stat = guest_text(&options, &["cat", "/proc/stat"]);
    assert_eq!(stat.lines().filter(|line| line.starts_with("cpu")).count(), 4);
    let list = guest_text(&options, &["ls", "/sys/devices/system/cpu"]);
    let cpus = list.lines().filter(|name| name.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok()));
    assert_eq!(cpus.collect::<Vec<_>>(), ["cpu0", "cpu1", "cpu2"]);
    for (file, text) in [
        ("/sys/devices/system/cpu/online", "0-2\n"),
        ("/sys/devices/system/cpu/present", "0-2\n"),
        ("/sys/devices/system/node/node0/cpulist", "0-2\n"),
        ("/sys/devices/system/cpu/cpu2/topology/core_id", "2\n"),
        ("/proc/sys/vm/max_map_count", "65530\n"),
        ("/proc/sys/vm/overcommit_memory", "0\n"),
        ("/proc/sys/kernel/randomize_va_space", "0\n"),
    ] {
        if std::path::Path::new("/sys/devices/system/node/node0").exists() || !file.contains("node0") {
            assert_eq!(guest_text(&options, &["cat", file]), text, "{file}");
        }
    }
    let blocks =
        "cd /sys/devices/system; ls memory | grep -c '^memory[0-9]'; cat memory/memory0/state; cat /proc/iomem";
    let output = guest(&options, &["sh", "-c", blocks]);
    assert_eq!(stdout(&output), "0\n", "memory comes in no blocks");
    assert_eq!(stderr(&output).matches("No such file").count(), 2, "{}", stderr(&output));
    assert_eq!(guest_text(&options, &["nproc"]), "3\n");
    assert_eq!(guest_text(&options, &["getconf", "_PHYS_PAGES"]), "262144\n");
    assert_eq!(guest_text(&options, &["getconf", "_NPROCESSORS_ONLN"]), "3\n");
}

/// Wherever the host keeps the limit of a control group, it says the simulated RAM.
#[test]
fn control_groups_allow_all_of_ram() {
    let places = ["/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max"];
    let present: Vec<&&str> = places.iter().filter(|place| std::path::Path::new(place).exists()).collect();
    if present.is_empty() {
        eprintln!("skipped: the host has no memory control group at its root");
    }
    if let Ok(place) = std::fs::canonicalize("/sys/fs/cgroup/cpuset/cpuset.cpus") {
        assert_eq!(guest_text(&["--cpus", "5"], &["cat", place.to_str().unwrap()]), "0-4\n");
    }
    for place in present {
        assert_eq!(guest_text(&["--ram", "512M"], &["cat", place]), "536870912\n", "{place}");
    }
}

#[test]
fn tools_show_the_guests_world() {
    if is_installed("ps") {
        let script = "sleep 60 & sleep 1; ps -eo pid,ppid,stat,comm; kill $!";
        let shown = guest_text(&[], &["sh", "-c", script]);
        let rows: Vec<Vec<&str>> = shown.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [vec!["2", "1", "S", "sh"], vec!["3", "2", "S", "sleep"], vec!["5", "2", "R", "ps"]]);
        let tree = guest_text(&[], &["sh", "-c", "ps -ef --forest | cat"]);
        assert!(tree.contains(r" \_ ps -ef --forest"), "{tree}");
        assert!(guest_text(&[], &["ps", "aux"]).contains(" ps aux\n"));
        let top = guest_text(&["--ram", "2G"], &["top", "-b", "-n1"]);
        assert!(top.contains("Tasks:   1 total") && top.contains("MiB Mem :   2048.0 total"), "{top}");
        assert!(guest_text(&["--ram", "2G"], &["free", "-m"]).contains("Mem:            2048 "));
        let map = guest_text(&[], &["sh", "-c", "pmap -x $$"]);
        assert!(map.starts_with("2:   sh -c pmap") && map.contains("[ stack ]"), "{map}");
        assert_eq!(guest_text(&[], &["sh", "-c", "sleep 60 & pgrep sleep; kill $!"]), "3\n");
        assert!(guest_text(&[], &["uptime"]).contains("load average: 0."));
        assert_eq!(guest_text(&[], &["vmstat"]).lines().count(), 3);
    }
    if is_installed("lsof") {
        let shown = guest_text(&[], &["sh", "-c", "exec 7</etc/passwd; lsof -p $$"]);
        assert!(shown.lines().any(|line| line.contains(" 7r ") && line.ends_with("/etc/passwd")), "{shown}");
    }
    if is_installed("pstree") {
        assert!(guest_text(&[], &["sh", "-c", "pstree -p $$; :"]).contains("sh(2)---pstree(3)"));
    }
}

/// A program's own numbers agree with each other, wherever it asks.
#[test]
fn status_stat_statm_and_getrusage_agree() {
    let script = r#"
import os, re, resource
block = bytearray(8 << 20)
status = dict(line.rstrip("\n").split(":\t", 1) for line in open("/proc/self/status"))
stat = open("/proc/self/stat").read().rsplit(") ", 1)[1].split()
statm = [int(word) for word in open("/proc/self/statm").read().split()]
usage = resource.getrusage(resource.RUSAGE_SELF)
kib = lambda name: int(status[name].split()[0])
assert abs(int(stat[21]) * 4 - kib("VmRSS")) < 1024, (stat[21], status["VmRSS"])
assert abs(statm[0] * 4 - kib("VmSize")) < 512
assert abs(int(stat[7]) - usage.ru_minflt) < 200, (stat[7], usage.ru_minflt)
assert usage.ru_maxrss >= kib("VmHWM") - 512
assert kib("VmRSS") == kib("RssAnon") + kib("RssFile") + kib("RssShmem")
assert int(status["Pid"]) == os.getpid() and int(status["Threads"]) == 1
rollup = sum(int(x) for x in re.findall(r"^Rss: +(\d+)", open("/proc/self/smaps").read(), re.M))
assert abs(rollup - kib("VmRSS")) < 512, (rollup, status["VmRSS"])
io = dict(line.split(": ") for line in open("/proc/self/io"))
os.write(1, b"x" * 1000)
after = dict(line.split(": ") for line in open("/proc/self/io"))
assert int(after["wchar"]) - int(io["wchar"]) == 1000 and int(after["syscw"]) - int(io["syscw"]) == 1
"#;
    if !is_installed("python3") {
        return;
    }
    for mut command in [Command::new("python3"), {
        let mut c = pagewalk(&["--quiet"]);
        c.arg("python3");
        c
    }] {
        let output = command.args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    }
}

#[test]
fn locks_and_nodes_are_the_guests() {
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let path = held.display();
    // Only the lock on the file: whoever runs the tests may have left a descriptor open through which another is held.
    let script = format!(
        "flock {path} sh -c 'grep \":$(stat -c %i {path}) 0 EOF\" /proc/locks; \
             lslocks -n -o COMMAND,TYPE,MODE,PATH | grep -w {path}'; \
         flock {path} sh -c 'echo; flock -n {path} true || echo it is taken'; \
         grep -c . /proc/self/numa_maps; grep -c . /proc/self/maps; grep -o stack /proc/self/numa_maps"
    );
    if !is_installed("flock") || !is_installed("lslocks") {
        return;
    }
    let said = guest_text(&[], &["sh", "-c", &script]);
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].contains(": FLOCK  ADVISORY  WRITE ") && lines[0].ends_with("0 EOF"), "{said}");
    let listed: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(listed, ["flock", "FLOCK", "WRITE", &path.to_string()], "{said}");
    assert_eq!(lines[3], "it is taken", "{said}");
    assert_eq!(lines[4], lines[5], "a line for each area: {said}");
    assert_eq!(lines[6], "stack", "{said}");
}
