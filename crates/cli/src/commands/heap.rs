//! `pagewalk heap`: allocation traces through allocators, compared.

mod bench;
mod plot;
#[cfg(runs_programs)]
mod record;
#[cfg(runs_programs)]
mod recording;
mod strip;
mod table;

use crate::failure::Failure;
use clap::{Args, Subcommand, ValueEnum};
use heap::{Kind, Spec, Trace, synth};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compares memory allocators on allocation traces: utilisation, fragmentation, throughput.
///
/// A TRACE is a file (a malloc lab's .rep, or one that `heap record` wrote) or `gen:NAME[,ops=N][,seed=N]`, one of our
/// generated ones. Without any, all generated ones are taken.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Heap {
    #[command(subcommand)]
    command: Option<Step>,

    #[command(flatten)]
    compare: Compare,
}

/// How traces are replayed and what is printed.
#[derive(Args)]
pub struct Compare {
    /// Trace files, or `gen:NAME[,ops=N][,seed=N]`
    #[arg(value_name = "TRACE")]
    traces: Vec<String>,

    #[command(flatten)]
    options: Options,
}

/// How a comparison is made and printed.
#[derive(Args)]
pub struct Options {
    /// An allocator, NAME[:param=value,...]; may be given several times [default: all of them]
    #[arg(short, long = "allocator", value_name = "SPEC")]
    allocators: Vec<Spec>,

    /// How to print the rows
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Draw utilisation against throughput, and memory over time, into an SVG file
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    /// Draw the heap after this operation instead of comparing
    #[arg(long, value_name = "OP")]
    at: Option<usize>,

    /// With --at, draw into an SVG file
    #[arg(long, value_name = "FILE.svg", requires = "at")]
    svg: Option<PathBuf>,

    /// How often a trace is timed; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    repeats: u16,

    /// Write the result to a file instead
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// The weight of utilisation in the performance index, from 0 to 1; throughput has the rest
    #[arg(long, value_name = "W", default_value_t = 0.6)]
    utilisation_weight: f64,

    /// The throughput that scores full in the performance index, in operations a second [default: the system malloc's]
    #[arg(long, value_name = "OPS")]
    reference: Option<f64>,

    /// The largest heap, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=65536))]
    arena: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

#[derive(Subcommand)]
enum Step {
    /// Runs a program natively and writes a trace of its malloc calls
    #[cfg(runs_programs)]
    Record(record::Record),
    /// Records a program and compares the allocators on its trace
    #[cfg(runs_programs)]
    Run(record::Run),
    /// Writes one of the generated traces to a file
    Generate(Generate),
}

/// Writes one of the generated traces to a file.
#[derive(Args)]
struct Generate {
    /// `NAME[,ops=N][,seed=N]`
    trace: String,

    /// Where to; .rep writes the malloc lab's text, anything else the compact format
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(heap: Heap) -> Result<ExitCode, Failure> {
    match heap.command {
        #[cfg(runs_programs)]
        Some(Step::Record(record)) => record.run(),
        #[cfg(runs_programs)]
        Some(Step::Run(run)) => run.run(),
        Some(Step::Generate(generate)) => generate.run(),
        None => heap.compare.run(),
    }
}

impl Generate {
    fn run(self) -> Result<ExitCode, Failure> {
        let trace = generated(&self.trace)?;
        write_trace(&trace, &self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Compare {
    fn run(self) -> Result<ExitCode, Failure> {
        let named = if self.traces.is_empty() {
            synth::NAMES.iter().map(|name| format!("gen:{name}")).collect()
        } else {
            self.traces
        };
        let traces = named.iter().map(|name| load(name)).collect::<Result<Vec<_>, _>>()?;
        self.options.check()?;
        let text = self.options.compare(&traces)?;
        self.options.print(&text, &mut std::io::stdout())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Options {
    /// Whether the options make sense, as far as that can be said before there is a trace.
    fn check(&self) -> Result<(), Failure> {
        if !(0.0..=1.0).contains(&self.utilisation_weight) {
            return Err(Failure::usage("the weight of utilisation lies between 0 and 1"));
        }
        [&self.report, &self.plot, &self.svg].into_iter().flatten().try_for_each(|file| check_place(file))
    }

    /// Compares the allocators on traces, draws the pictures that were asked for, and gives the text to print.
    fn compare(&self, traces: &[Trace]) -> Result<String, Failure> {
        if let Some(trace) = traces.iter().find(|trace| trace.ops.is_empty()) {
            return Err(Failure::usage(format!("{} has no operations", trace.name)));
        }
        if let Some(op) = self.at {
            return strip::draw(self, traces, op);
        }
        let rows = bench::rows(self, traces);
        if let Some(file) = &self.plot {
            write(file, plot::svg(&rows).as_bytes())?;
        }
        Ok(table::render(self, &rows))
    }

    /// Prints to a stream, or to the file that was asked for.
    fn print(&self, text: &str, stream: &mut dyn Write) -> Result<(), Failure> {
        if let Some(file) = &self.report {
            return write(file, text.as_bytes());
        }
        match stream.write_all(text.as_bytes()) {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::usage(format!("output: {error}"))),
            _ => Ok(()),
        }
    }

    fn specs(&self) -> Vec<Spec> {
        if self.allocators.is_empty() { Kind::ALL.map(Kind::spec).to_vec() } else { self.allocators.clone() }
    }

    fn limit(&self) -> u64 {
        self.arena << 20
    }
}

/// A trace from a file or a generator.
fn load(name: &str) -> Result<Trace, Failure> {
    if let Some(generator) = name.strip_prefix("gen:") {
        return generated(generator);
    }
    let bytes = std::fs::read(name).map_err(|error| Failure::usage(format!("{name} cannot be read: {error}")))?;
    let stem = Path::new(name).file_name().map_or(name.into(), |stem| stem.to_string_lossy().into_owned());
    Trace::parse(&stem, &bytes).map_err(|malformed| Failure::usage(format!("{name}: {malformed}")))
}

fn generated(text: &str) -> Result<Trace, Failure> {
    let (name, params) = text.split_once(',').unwrap_or((text, ""));
    let (mut ops, mut seed) = (100_000, 1);
    for param in params.split(',').filter(|param| !param.is_empty()) {
        let parsed = param.split_once('=').and_then(|(key, value)| Some((key, value.parse::<u64>().ok()?)));
        match parsed {
            Some(("ops", value @ 1..=100_000_000)) => ops = value,
            Some(("seed", value)) => seed = value,
            _ => return Err(Failure::usage(format!("\"{param}\" is neither ops=N (1 to 100000000) nor seed=N"))),
        }
    }
    synth::generate(name, ops as usize, seed).ok_or_else(|| {
        Failure::usage(format!("no generated trace is called \"{name}\"; there are {}", synth::NAMES.join(", ")))
    })
}

fn write_trace(trace: &Trace, file: &Path) -> Result<(), Failure> {
    let text = file.extension().is_some_and(|extension| extension == "rep");
    if text { write(file, trace.to_rep().as_bytes()) } else { write(file, &trace.to_compact()) }
}

/// Says now that a file will not be written later, when a program has run for it.
fn check_place(file: &Path) -> Result<(), Failure> {
    match file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        Some(directory) if !directory.is_dir() => {
            Err(Failure::usage(format!("{} cannot be written: there is no such directory", file.display())))
        }
        _ => Ok(()),
    }
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(file, bytes)
        .map_err(|error| Failure::usage(format!("{} cannot be written: {error}", file.display())))
}
