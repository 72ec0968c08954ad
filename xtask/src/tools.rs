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
    Tool { program: "gawk", package: "gawk" },
    Tool { program: "gdb", package: "gdb" },
    Tool { program: "git", package: "git" },
    Tool { program: "openssl", package: "openssl" },
    Tool { program: "perl", package: "perl" },
    Tool { program: "python3", package: "python3" },
    Tool { program: "redis-server", package: "redis-server" },
    Tool { program: "sqlite3", package: "sqlite3" },
    Tool { program: "xz", package: "xz-utils" },
    Tool { program: "zstd", package: "zstd" },
];

/// Installs what is missing where we are root on a Debian, and otherwise says what to install.
pub fn provide(tools: &[Tool]) -> Result<()> {
    let packages = missing(tools);
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
    shell::run(apt().args(["install", "-q", "-y", "--no-install-recommends"]).args(&packages))
}

fn missing(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().filter(|tool| !shell::is_installed(tool.program)).map(|tool| tool.package).collect()
}

fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Uid: real, effective, saved, file system.
    status.lines().any(|line| line.starts_with("Uid:") && line.split_whitespace().nth(2) == Some("0"))
}
