//! The options of `pagewalk run`.

use super::{duration, size};
use clap::{Args, ValueEnum};
use machine::{
    CodeArchive, Count, FileCache, Isa, Kinds, Levels, MAX_RAM_BYTES, MIN_RAM_BYTES, Machine, MachineConfig, Placement,
    VerifyCode,
};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The most processors that a guest can be shown: Linux's CPU_SETSIZE.
const MAX_CPUS: i64 = 1024;

/// The least N of `--chaos`: an instruction with several operands makes progress.
const LEAST_CHAOS: i64 = 4;

/// The machine.
#[derive(Args)]
#[command(next_help_heading = "Machine")]
pub struct MachineOptions {
    /// RAM of the machine, e.g. 64M or 2G [default: three quarters of the host's free memory]
    #[arg(long, value_name = "SIZE", value_parser = ram)]
    ram: Option<u64>,
    /// Levels of the page tables
    #[arg(long, value_name = "4|5", value_enum, default_value_t = LevelsOption::Four, hide_possible_values = true, hide_default_value = true)]
    levels: LevelsOption,
    /// Draw the places of stack, heap and mappings from the seed
    #[arg(long)]
    aslr: bool,
    /// Seed of everything that looks random
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Processors that the program sees [default: the host's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_CPUS))]
    cpus: Option<u32>,
    /// The processor that the program sees: x86-64-v2, or x86-64-v3 with AVX2 [default: the most the host has]
    #[arg(long, value_name = "v2|v3", value_enum, hide_possible_values = true)]
    isa: Option<IsaOption>,
    /// What a fault on a page of a file costs: nothing (warm) or the disk, the first time (cold)
    #[arg(long, value_name = "warm|cold", value_enum, default_value_t = FileCacheOption::Warm, hide_possible_values = true, hide_default_value = true)]
    file_cache: FileCacheOption,
    /// Count guest instructions
    #[arg(long)]
    count: bool,
    /// Keep translated code from run to run in a directory, or nowhere [default: ~/.cache/pagewalk/code]
    #[arg(long, value_name = "DIR|none")]
    code_cache: Option<PathBuf>,
    /// Torture: every Nth lookup fails, and its page is evicted
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(LEAST_CHAOS..))]
    chaos: Option<u32>,
    /// Torture: each block of translated code compares its bytes at every entry
    #[arg(long)]
    verify_code: bool,
}

/// What `--code-cache` says for nowhere.
const NOWHERE: &str = "none";

impl MachineOptions {
    /// A machine as the options ask for it.
    ///
    /// # Errors
    /// The host's, when it has not enough memory for it, or a processor that cannot stand for the machine's.
    pub fn build(&self) -> io::Result<Machine> {
        let config = self.config();
        let own_directory = || user_cache().map(|cache| cache.join("pagewalk/code"));
        match self.code_cache.clone().or_else(own_directory) {
            Some(nowhere) if nowhere.as_os_str() == NOWHERE => Machine::new(config),
            Some(directory) => Machine::keeping_translations(config, Some(CodeArchive::new(directory)?)),
            None => Machine::keeping_translations(config, None),
        }
    }

    /// The machine that the options ask for.
    fn config(&self) -> MachineConfig {
        let host = MachineConfig::of_this_host();
        MachineConfig {
            ram_bytes: self.ram.unwrap_or(host.ram_bytes),
            levels: match self.levels {
                LevelsOption::Four => Levels::Four,
                LevelsOption::Five => Levels::Five,
            },
            placement: if self.aslr { Placement::Random } else { Placement::Fixed },
            seed: self.seed,
            cpus: self.cpus.unwrap_or(host.cpus),
            isa: match self.isa {
                Some(IsaOption::V2) => Isa::V2,
                Some(IsaOption::V3) => Isa::V3,
                None => host.isa,
            },
            file_cache: match self.file_cache {
                FileCacheOption::Warm => FileCache::Warm,
                FileCacheOption::Cold => FileCache::Cold,
            },
            count: if self.count { Count::Yes } else { Count::No },
            chaos: self.chaos,
            verify_code: if self.verify_code { VerifyCode::Yes } else { VerifyCode::No },
        }
    }
}

/// Where the user's programs keep what they can make again (XDG base directory specification).
fn user_cache() -> Option<PathBuf> {
    let directory = |name, below: &str| std::env::var_os(name).map(|directory| PathBuf::from(directory).join(below));
    let absolute = |directory: &PathBuf| directory.is_absolute();
    directory("XDG_CACHE_HOME", "").filter(absolute).or_else(|| directory("HOME", ".cache").filter(absolute))
}

fn ram(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text)?;
    if !(MIN_RAM_BYTES..=MAX_RAM_BYTES).contains(&bytes) {
        return Err(format!("a machine has {} to {} of RAM", size::text(MIN_RAM_BYTES), size::text(MAX_RAM_BYTES)));
    }
    Ok(bytes & !0xfff)
}

#[derive(Clone, Copy, ValueEnum)]
enum LevelsOption {
    #[value(name = "4")]
    Four,
    #[value(name = "5")]
    Five,
}

#[derive(Clone, Copy, ValueEnum)]
enum IsaOption {
    V2,
    V3,
}

#[derive(Clone, Copy, ValueEnum)]
enum FileCacheOption {
    Warm,
    Cold,
}

/// What is said.
#[derive(Args)]
#[command(next_help_heading = "Report")]
pub struct ReportOptions {
    /// Say nothing on stderr
    #[arg(long)]
    pub quiet: bool,
    /// Write the report into a file instead of stderr
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write a report so often while the program runs, for example every 10s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub report_every: Option<Duration>,
    /// The form of the report and of the events
    #[arg(long, value_name = "text|json", value_enum, default_value_t = FormatOption::Text, hide_possible_values = true, hide_default_value = true)]
    pub format: FormatOption,
    /// Print events as they happen: any of faults, areas, calls, switches, separated by commas
    #[arg(long, value_name = "LIST")]
    pub events: Option<Kinds>,
    /// Write the events into a file instead of stderr
    #[arg(long, value_name = "FILE", requires = "events")]
    pub events_to: Option<PathBuf>,
    /// Print the address space of the first process as it was at its end
    #[arg(long)]
    pub maps_at_exit: bool,
}

/// Text or JSON.
#[derive(Clone, Copy, ValueEnum)]
pub enum FormatOption {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl From<FormatOption> for machine::Format {
    fn from(option: FormatOption) -> Self {
        match option {
            FormatOption::Text => Self::Text,
            FormatOption::Json => Self::Json,
        }
    }
}
