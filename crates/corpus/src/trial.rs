//! One run of a case: the folder, the environment, the clock.

use crate::case::Case;
use crate::files::{self, Tree};
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How cases are run.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The binary.
    pub pagewalk: PathBuf,
    /// Options of the machine, such as `--chaos 40`.
    pub options: Vec<String>,
    /// Where a case's runs leave their output and files.
    pub folder: PathBuf,
    /// How often the seconds of a case pagewalk may take: a tortured machine is slow.
    pub patience: u64,
    /// A timer signal in every process.
    pub timer: Option<Timer>,
}

/// A signal that comes again and again.
#[derive(Clone, Debug)]
pub struct Timer {
    /// The library that sets it, preloaded into every program: `tests/programs/timer_signal.c`.
    pub library: PathBuf,
    /// Whether its handler asks for restarts.
    pub restart: Restart,
    /// The time between two.
    pub period_us: u64,
}

/// What an interrupted system call does after the timer's signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// `SA_RESTART`: it goes on.
    On,
    /// It answers `EINTR`.
    Off,
}

/// On what a script runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The host.
    Native,
    /// pagewalk.
    Guest,
}

/// What one run did.
#[derive(Debug)]
pub struct Trial {
    /// As a shell says it; `None` after a timeout.
    pub status: Option<i32>,
    /// Before filters.
    pub stdout: Vec<u8>,
    /// Before filters.
    pub stderr: Vec<u8>,
    /// The files left.
    pub files: Tree,
    /// By the clock on the wall.
    pub time: Duration,
}

/// What `timeout` answers when it had to kill: 128 and SIGKILL.
const KILLED: i32 = 137;
/// Where the programs of the distribution are; the caller's own places come last.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

impl Runner {
    /// Runs a case on one side, in a folder made anew. The files stay, below a name of the side, for a look.
    ///
    /// # Errors
    /// What the host says when the folder cannot be made or `timeout` not be started.
    pub(crate) fn trial(&self, case: &Case, side: Side) -> io::Result<Trial> {
        let folder = self.folder.join(&case.name);
        let work = folder.join("work");
        fs::create_dir_all(&folder)?;
        remove(&work)?;
        fs::create_dir(&work)?;
        let script = folder.join("script");
        fs::write(&script, &case.script)?;
        let name = side.name();
        let (stdout, stderr) = (folder.join(format!("{name}.stdout")), folder.join(format!("{name}.stderr")));
        let mut command = self.command(case, side, &script);
        command.current_dir(&work).stdin(Stdio::null());
        command.stdout(File::create(&stdout)?).stderr(File::create(&stderr)?);
        set_environment(&mut command, &work);
        let start = Instant::now();
        let status = command.status()?;
        let status = status.code().or_else(|| Some(128 + status.signal()?));
        let time = start.elapsed();
        let late = time.as_secs() >= self.seconds(case, side) && status == Some(KILLED);
        let files = files::tree(&work)?;
        let kept = folder.join(format!("{name}.files"));
        remove(&kept)?;
        fs::rename(&work, &kept)?;
        let status = if late { None } else { status };
        Ok(Trial { status, stdout: fs::read(stdout)?, stderr: fs::read(stderr)?, files, time })
    }

    fn seconds(&self, case: &Case, side: Side) -> u64 {
        match side {
            Side::Native => case.seconds,
            Side::Guest => case.seconds * self.patience,
        }
    }

    fn command(&self, case: &Case, side: Side, script: &Path) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", &self.seconds(case, side).to_string()]);
        if side == Side::Guest {
            // A case's home is its folder, in which nothing may be left.
            let code = self.folder.join(".code");
            command.arg(&self.pagewalk).args(["run", "--quiet", "--code-cache"]).arg(code).args(&self.options);
        }
        if let Some(Timer { library, restart, period_us }) = &self.timer {
            let mut preload = OsString::from("LD_PRELOAD=");
            preload.push(library);
            let restart = if *restart == Restart::On { "on" } else { "off" };
            command.arg("env").arg(preload).arg(format!("TIMER_SIGNAL_RESTART={restart}"));
            command.arg(format!("TIMER_SIGNAL_PERIOD_US={period_us}"));
        }
        command.arg(&case.shell).arg(script);
        command
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Side::Native => "native",
            Side::Guest => "pagewalk",
        }
    }
}

/// Where a case's programs are looked for.
#[must_use]
pub fn search_path() -> String {
    format!("{SYSTEM_PATH}:{}", env::var("PATH").unwrap_or_default())
}

/// The same for both sides, and the same on every machine as far as a case can tell.
fn set_environment(command: &mut Command, home: &Path) {
    let toolchains =
        env::var_os("RUSTUP_HOME").or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".rustup").into()));
    command.env_clear();
    command.env("PATH", search_path());
    command.envs([("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("USER", "corpus"), ("TERM", "dumb")]);
    command.env("HOME", home).env("TMPDIR", home);
    command.envs(toolchains.map(|folder| ("RUSTUP_HOME", folder)));
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
