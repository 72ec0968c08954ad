//! `cargo xtask corpus`: real programs, each natively and under pagewalk, and a table of who agrees.

mod table;

use crate::results;
use crate::shell::{self, Result};
use crate::tools;
use corpus::{Case, Equality, Restart, Runner, Timer, Verdict};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which cases, and on which machine.
#[derive(clap::Args)]
pub struct Options {
    /// Only the cases whose name holds one of these.
    names: Vec<String>,
    /// List the cases and run none.
    #[arg(long)]
    list: bool,
    /// Every Nth lookup fails and its page is evicted.
    #[arg(long, value_name = "N")]
    chaos: Option<u32>,
    /// Each block of translated code compares its bytes at every entry.
    #[arg(long)]
    verify_code: bool,
    /// Levels of the page tables.
    #[arg(long, value_name = "4|5")]
    levels: Option<u32>,
    /// The processor that the programs see.
    #[arg(long, value_name = "v2|v3")]
    isa: Option<String>,
    /// RAM of the machine.
    #[arg(long, value_name = "SIZE")]
    ram: Option<String>,
    /// A timer signal every 200 us in every process, with or without SA_RESTART.
    #[arg(long, value_name = "restart|no-restart", value_parser = restart)]
    signals: Option<Restart>,
    /// Print the table and leave bench/RESULTS.md as it is.
    #[arg(long)]
    dry_run: bool,
}

/// The time between two timer signals.
const SIGNAL_PERIOD_US: u64 = 200;
/// How often the seconds of a case a tortured machine may take.
const TORTURED_PATIENCE: u64 = 5;

/// A case, and what became of it.
type Judged = (Case, Verdict);

/// Builds, runs, prints, and writes the table where every case was run. Fails if a case differs.
pub fn run(options: &Options) -> Result<()> {
    let mut cases = corpus::all()?;
    cases.retain(|case| options.names.is_empty() || options.names.iter().any(|part| case.name.contains(part)));
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(());
    }
    tools::provide(tools::FOR_CORPUS)?;
    tools::provide_python_tests();
    shell::run(shell::cargo().args(["build", "--release", "--package", "pagewalk"]))?;
    let runner = options.runner()?;
    let judged: Vec<Judged> = cases.into_iter().map(|case| judge(&runner, case)).collect();
    println!("{}\n{}", table::summary(&judged), table::rows(&judged));
    if !options.dry_run && options.names.is_empty() {
        results::replace_section(&options.command(), &table::section(&options.command(), &judged))?;
    }
    let different = judged.iter().filter(|(_, verdict)| !is_fine(verdict)).count();
    if different == 0 { Ok(()) } else { Err(format!("{different} cases differ; their files are in target/corpus")) }
}

fn judge(runner: &Runner, case: Case) -> Judged {
    let verdict = runner.judge(&case);
    eprintln!("xtask: {}: {}", case.name, table::line(&verdict));
    if let Verdict::Compared { equality: Equality::Different(differences), .. } = &verdict {
        differences.iter().for_each(|difference| eprintln!("    {difference}"));
    }
    (case, verdict)
}

fn is_fine(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Skipped(_) | Verdict::Disturbed { .. } | Verdict::Compared { equality: Equality::Equal, .. }
    )
}

impl Options {
    fn runner(&self) -> Result<Runner> {
        // Of its own for each machine, so that two can be tried at once.
        let folder = shell::root().join("target/corpus").join(self.command().replace(' ', "-"));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
        let timer = self.signals.map(|restart| timer(&folder, restart)).transpose()?;
        let pagewalk = shell::root().join("target/release/pagewalk");
        let is_tortured = self.chaos.is_some() || self.verify_code || self.signals.is_some();
        let patience = if is_tortured { TORTURED_PATIENCE } else { 1 };
        Ok(Runner { pagewalk, options: self.machine(), folder, patience, timer })
    }

    /// The options of `pagewalk run`.
    fn machine(&self) -> Vec<String> {
        let mut words = Vec::new();
        let mut option = |name: &str, value: Option<String>| {
            words.extend(value.map(|value| [name.to_string(), value]).into_iter().flatten());
        };
        option("--chaos", self.chaos.map(|every| every.to_string()));
        option("--levels", self.levels.map(|levels| levels.to_string()));
        option("--isa", self.isa.clone());
        option("--ram", self.ram.clone());
        words.extend(self.verify_code.then(|| "--verify-code".to_string()));
        words
    }

    /// This command, as a user types it.
    fn command(&self) -> String {
        let mut words = vec!["cargo xtask corpus".to_string()];
        words.extend(self.machine());
        words.extend(self.signals.map(|restart| format!("--signals {}", restart_word(restart))));
        words.join(" ")
    }
}

fn restart(word: &str) -> Result<Restart> {
    let all = [Restart::On, Restart::Off];
    let found = all.into_iter().find(|restart| restart_word(*restart) == word);
    found.ok_or_else(|| "it is restart or no-restart".to_string())
}

fn restart_word(restart: Restart) -> &'static str {
    match restart {
        Restart::On => "restart",
        Restart::Off => "no-restart",
    }
}

fn timer(folder: &Path, restart: Restart) -> Result<Timer> {
    Ok(Timer { library: timer_library(folder)?, restart, period_us: SIGNAL_PERIOD_US })
}

fn timer_library(folder: &Path) -> Result<PathBuf> {
    let source = shell::root().join("tests/programs/timer_signal.c");
    let library = folder.join("timer_signal.so");
    shell::run(Command::new("cc").args(["-O1", "-Wall", "-shared", "-fPIC", "-o"]).arg(&library).arg(source))?;
    Ok(library)
}
