//! `cargo xtask fuzz`.

use engine::{EngineConfig, Extent};
use iced_x86::Code;
use pagewalk_lockstep::Random;
use pagewalk_lockstep::fuzz::{CaseId, Failure, Native, Ours, Search, Tally, forms};
use std::collections::HashSet;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Sequences after each round of all forms.
const SEQUENCES_PER_ROUND: u64 = 2000;

/// What to try, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// Where to start; the same seed tries the same cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When to stop; without it, never.
    #[arg(long)]
    seconds: Option<u64>,
    /// Only the forms whose name (iced-x86's `Code`) holds this.
    #[arg(long)]
    only: Option<String>,
    /// Run one case of the one form named by --only again.
    #[arg(long, value_parser = hexadecimal, requires = "only")]
    case: Option<u64>,
    /// Run one sequence again.
    #[arg(long, value_parser = sequence)]
    sequence: Option<CaseId>,
    /// Stop at the first case that differs.
    #[arg(long)]
    first: bool,
    /// Translate every instruction to a block of its own.
    #[arg(long)]
    naive: bool,
}

/// Prints each failure once a form; succeeds if there was none.
pub fn run(options: &Options) -> io::Result<ExitCode> {
    let extent = if options.naive { Extent::Instruction } else { Extent::Superblock };
    let (mut host, mut ours) = (Native::new()?, Ours::new(EngineConfig { extent, ..EngineConfig::default() })?);
    let mut search = Search::new(&mut host, &mut ours);
    if let Some(part) = &options.only {
        search = search.only(part).ok_or_else(|| io::Error::other(format!("no form that is tried is named {part}")))?;
    }
    let mut tally = Tally::default();
    let failures = match (options.case, options.sequence) {
        (Some(seed), _) => search.single(form(options)?, seed, &mut tally)?.into_iter().map(shown).count(),
        (_, Some(id)) => search.sequence(id, &mut tally)?.into_iter().map(shown).count(),
        _ => rounds(options, &mut search, &mut tally)?,
    };
    println!("{} cases of {} forms, {failures} differ", tally.cases, search.form_count());
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rounds(options: &Options, search: &mut Search<'_>, tally: &mut Tally) -> io::Result<usize> {
    let start = Instant::now();
    let is_over = || options.seconds.is_some_and(|seconds| start.elapsed() >= Duration::from_secs(seconds));
    let mut random = Random::new(options.seed);
    let mut seen = HashSet::new();
    let mut failures = 0;
    while !(is_over() || options.first && failures > 0) {
        let hidden = search.hidden(random.word(), tally)?;
        for failure in search.singles(random.word(), tally)?.into_iter().chain(hidden) {
            failures += 1;
            if seen.insert(failure.case.code[0].instruction.code()) {
                shown(failure);
            }
        }
        for _ in 0..SEQUENCES_PER_ROUND {
            if is_over() {
                break;
            }
            failures += search.sequence(CaseId::whole(random.word()), tally)?.into_iter().map(shown).count();
        }
    }
    Ok(failures)
}

fn shown(failure: Failure) {
    println!("{failure}\n");
}

fn form(options: &Options) -> io::Result<Code> {
    let name = options.only.clone().unwrap_or_default();
    let found = forms().into_iter().find(|code| format!("{code:?}") == name);
    found.ok_or_else(|| io::Error::other(format!("{name} is no form that is tried")))
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|error| error.to_string())
}

fn sequence(text: &str) -> Result<CaseId, String> {
    CaseId::parse(text).ok_or_else(|| "a sequence is SEED or SEED-KEPT, hexadecimal".to_string())
}
