//! The programs of the distribution that tests and benchmarks use.

use crate::shell::{self, Result};
use std::process::Command;

/// A program and the Debian package that has it.
pub struct Tool {
    program: &'static str,
    package: &'static str,
}

/// What the tests run or compile with.
pub const FOR_TESTS: &[Tool] = &[
    Tool { program: "cc", package: "build-essential" },
    Tool { program: "busybox", package: "busybox" },
    Tool { program: "gdb", package: "gdb" },
    Tool { program: "lsof", package: "lsof" },
    Tool { program: "ps", package: "procps" },
    Tool { program: "pstree", package: "psmisc" },
    Tool { program: "python3", package: "python3" },
    Tool { program: "strace", package: "strace" },
];

/// What some tests run, which leave them out and say so where they are not installed.
pub const WANTED_BY_TESTS: &[Tool] =
    &[Tool { program: "expect", package: "expect" }, Tool { program: "tmux", package: "tmux" }];

/// What the benchmarks compare with.
pub const FOR_BENCHMARKS: &[Tool] = &[
    Tool { program: "cc", package: "build-essential" },
    Tool { program: "busybox", package: "busybox" },
    Tool { program: "python3", package: "python3" },
    Tool { program: "qemu-x86_64", package: "qemu-user" },
    Tool { program: "valgrind", package: "valgrind" },
];

/// What the cases of the corpus cannot do without; a case whose programs are not installed is skipped, and says so.
pub const FOR_CORPUS: &[Tool] = &[
    Tool { program: "cc", package: "build-essential" },
    Tool { program: "bc", package: "bc" },
    Tool { program: "convert", package: "imagemagick" },
    Tool { program: "cpio", package: "cpio" },
    Tool { program: "dc", package: "dc" },
    Tool { program: "expect", package: "expect" },
    Tool { program: "gawk", package: "gawk" },
    Tool { program: "gdb", package: "gdb" },
    Tool { program: "git", package: "git" },
    Tool { program: "openssl", package: "openssl" },
    Tool { program: "perl", package: "perl" },
    Tool { program: "python3", package: "python3" },
    Tool { program: "redis-server", package: "redis-server" },
    Tool { program: "sqlite3", package: "sqlite3" },
    Tool { program: "tmux", package: "tmux" },
    Tool { program: "xz", package: "xz-utils" },
    Tool { program: "zstd", package: "zstd" },
];

/// Installs what is missing where we are root on a Debian, and otherwise says what to install.
pub fn provide(tools: &[Tool]) -> Result<()> {
    install(&missing(tools))
}

/// The same for what can be done without: what cannot be installed is said.
pub fn provide_if_possible(tools: &[Tool]) {
    if let Err(error) = provide(tools) {
        println!("xtask: going on without: {error}");
    }
}

/// CPython's own tests, which Debian has in a package of their own for each version of its python3.
pub fn provide_python_tests() {
    let code = "import sys\ntry: import test.test_os\nexcept ImportError: print('libpython%d.%d-testsuite' % sys.version_info[:2])";
    let python = Command::new("python3").args(["-c", code]).env("PATH", corpus::search_path()).output();
    let package = python.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    if !package.is_empty()
        && let Err(error) = install(&[&package])
    {
        println!("xtask: going on without: {error}");
    }
}

fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let wish = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !is_root() || !shell::is_installed("apt-get") {
        return Err(format!("programs are missing; install them by: {wish}"));
    }
    println!("xtask: {wish}");
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::run(apt().args(["update", "-q"]))?;
    shell::run(apt().args(["install", "-q", "-y", "--no-install-recommends"]).args(packages))
}

fn missing(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().filter(|tool| !shell::is_installed(tool.program)).map(|tool| tool.package).collect()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Uid: real, effective, saved, file system.
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
