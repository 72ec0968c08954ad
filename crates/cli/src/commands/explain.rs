//! `pagewalk explain`: one translation step by step, small systems, stories, replacement policies.

mod stepping;

use crate::failure::Failure;
use explain::references::{self, Question, Tables};
use explain::{Ink, Request, Source, Story, all, presets, svg, text};
use model::Settings;
use std::fs;
use std::io::{IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draws and computes a small memory system, step by step.
///
/// Addresses are hexadecimal after 0x, else decimal. w: before one makes it a write (of 0, or as in w:0x3d4=0x7f), x: a
/// fetch, and k before the letter the kernel's, as in kr:0x3d4. They go through the machine one after the other.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  pagewalk explain small 0x03d4\n  pagewalk explain small --all --format csv\n  \
    pagewalk explain --refs \"1 2 3 4 1 2 5\" --frames 1..7 --policy fifo,lru,opt")]
pub struct Options {
    /// A preset, then addresses; without addresses a preset tells its story, if it has one.
    #[arg(value_name = "PRESET [ADDRESS]")]
    words: Vec<String>,
    /// A machine of your own instead of a preset: all words are addresses then.
    #[arg(long, value_name = "FILE.toml")]
    machine: Option<PathBuf>,
    /// List the presets.
    #[arg(long)]
    list: bool,
    /// Print the preset's file, to copy and edit.
    #[arg(long)]
    print: bool,
    /// Print the JSON schema of machine files.
    #[arg(long)]
    schema: bool,
    /// Answer every address of the space, each on the untouched state.
    #[arg(long)]
    all: bool,
    /// Read addresses from a file, separated by blanks.
    #[arg(long, value_name = "FILE")]
    addresses: Option<PathBuf>,
    /// Wait for a key between steps; b or the left arrow goes back, q ends.
    #[arg(long)]
    step: bool,
    /// How to print; --step shows text.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    replacement: Replacement,
}

/// Replacement policies on a reference string.
#[derive(clap::Args)]
#[command(next_help_heading = "Replacement")]
struct Replacement {
    /// Page numbers, separated by blanks; w:3 is a store.
    #[arg(long, value_name = "STRING", conflicts_with = "refs_file")]
    refs: Option<String>,
    /// The same, from a file.
    #[arg(long, value_name = "FILE")]
    refs_file: Option<PathBuf>,
    /// How many frames memory has: 3, or 1..7 (both included), or 1,2,4.
    #[arg(long, default_value = "1..7")]
    frames: String,
    /// Which policies: names separated by commas, or all.
    #[arg(long, default_value = "fifo,lru,opt")]
    policy: String,
    /// Show the working set of this many references; the window of wsclock.
    #[arg(long)]
    window: Option<usize>,
    /// References between two ticks of nru and aging; as many as there are frames if absent.
    #[arg(long)]
    period: Option<u64>,
    /// Draw the frame tables of strings of more than 64 references too.
    #[arg(long)]
    tables: bool,
    /// The seed of random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For --all and --refs: counts. For addresses: a row for each.
    Csv,
    /// For programs.
    Json,
    /// A picture, for slides.
    Svg,
}

/// Does what the options say.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    if options.step && options.format != Format::Text {
        return Err(Failure::usage("--step shows text: it goes with no other --format"));
    }
    if options.list {
        list(options.format)
    } else if options.schema {
        print(&json(&explain::schema()))
    } else if options.replacement.refs.is_some() || options.replacement.refs_file.is_some() {
        replay(options)
    } else {
        explain_machine(options)
    }
}

fn list(format: Format) -> Result<ExitCode, Failure> {
    let presets = presets::summaries()?;
    match format {
        Format::Text => {
            print(&presets.iter().map(|(name, summary)| format!("{name:15} {summary}\n")).collect::<String>())
        }
        Format::Json => {
            let objects = presets.iter().map(|(name, summary)| serde_json::json!({ "name": name, "summary": summary }));
            print(&json(&versioned("presets", objects.collect())))
        }
        Format::Csv | Format::Svg => Err(Failure::usage("--list comes as text or json")),
    }
}

fn explain_machine(options: &Options) -> Result<ExitCode, Failure> {
    let (source, words) = match (&options.machine, options.words.split_first()) {
        (Some(file), _) => (Source::new(read(file)?, file), options.words.as_slice()),
        (None, Some((name, words))) => (presets::source(name)?, words),
        (None, None) => return Err(Failure::usage("explain what? `pagewalk explain --list` lists the presets")),
    };
    if options.print {
        return print(source.text());
    }
    let mut requests = words.iter().map(|word| Request::parse(word)).collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = &options.addresses {
        for word in read(file)?.split_whitespace() {
            requests.push(Request::parse(word)?);
        }
        if requests.is_empty() {
            return Err(Failure::usage(format!("there is no address in {}", file.display())));
        }
    }
    let mut system = source.system()?;
    if options.all && !requests.is_empty() {
        return Err(Failure::usage("--all answers every address: it goes with no other addresses"));
    }
    let answers = match (options.all, options.format) {
        (true, Format::Svg) => return Err(Failure::usage("--all is a table, not a picture: --format csv or json")),
        (true, _) => Some(all::answers(&system)?),
        (false, Format::Csv) if !requests.is_empty() => Some(explain::answers(&mut system, &requests)),
        (false, _) => None,
    };
    match answers {
        Some(answers) if options.format == Format::Json => {
            print(&json(&versioned("answers", all::json(&system, &answers))))
        }
        Some(answers) => print(&all::csv(&system, &answers)),
        None => show(options, &explain::tell(&source, &mut system, &requests)?),
    }
}

fn show(options: &Options, story: &Story) -> Result<ExitCode, Failure> {
    let has_colours = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let ink = if has_colours { Ink::Coloured } else { Ink::Plain };
    if options.step {
        return stepping::run(story, ink);
    }
    print(&match options.format {
        Format::Text => text::story(story, ink),
        Format::Json => {
            let story = serde_json::to_value(story).map_err(|error| Failure::cannot_run(error.to_string()))?;
            json(&versioned("story", story))
        }
        Format::Svg => svg::story(story),
        Format::Csv => return Err(Failure::usage("--format csv is for addresses, --all and --refs, not for a story")),
    })
}

fn replay(options: &Options) -> Result<ExitCode, Failure> {
    let wanted = &options.replacement;
    if !options.words.is_empty() || options.machine.is_some() || options.all {
        return Err(Failure::usage("--refs goes with no preset, machine or address"));
    }
    let string = match (&wanted.refs, &wanted.refs_file) {
        (Some(string), _) => string.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => String::new(),
    };
    let question = Question {
        references: references::parse(&string)?,
        frames: references::parse_frames(&wanted.frames)?,
        policies: references::parse_policies(&wanted.policy)?,
        settings: Settings {
            seed: wanted.seed,
            period: wanted.period,
            window: wanted.window.map(|window| window as u64),
        },
        window: wanted.window,
        tables: if wanted.tables { Tables::All } else { Tables::OfShortStrings },
    };
    if question.references.is_empty() {
        return Err(Failure::usage("--refs expects at least one page number"));
    }
    if wanted.window == Some(0) || wanted.period == Some(0) {
        return Err(Failure::usage("--window and --period expect at least 1"));
    }
    let counts = references::counts(&question);
    match options.format {
        Format::Csv => print(&references::csv(&counts)),
        Format::Json => {
            let counts = serde_json::to_value(&counts).map_err(|error| Failure::cannot_run(error.to_string()))?;
            print(&json(&versioned("counts", counts)))
        }
        Format::Text | Format::Svg => show(options, &references::story(&question, &counts)?),
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))
}

fn versioned(name: &str, value: serde_json::Value) -> serde_json::Value {
    serde_json::json!({ "version": 1, name: value })
}

fn json(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Writes to stdout. A reader that has gone away, such as `head`, is no failure.
fn print(text: &str) -> Result<ExitCode, Failure> {
    match stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::cannot_run(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
