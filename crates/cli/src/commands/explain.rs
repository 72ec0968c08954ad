//! `pagewalk explain`: one translation step by step, small systems, stories, replacement policies.

mod stepping;

use crate::failure::Failure;
use explain::{Ink, Story, System, all, presets, references, svg, text};
use model::Settings;
use std::fs;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Draws and computes a small memory system, step by step.
///
/// Addresses are hexadecimal after 0x, else decimal; w: before one makes it a write, x: a fetch. They go through the
/// machine one after the other.
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
    /// Wait for Enter between steps; b goes back, q ends.
    #[arg(long)]
    step: bool,
    /// How to print.
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
    /// The seed of random.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For --all and --refs.
    Csv,
    /// For programs.
    Json,
    /// A picture, for slides.
    Svg,
}

/// Does what the options say.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let text = if options.list {
        presets::list()?
    } else if options.schema {
        json(&explain::schema())
    } else if options.replacement.refs.is_some() || options.replacement.refs_file.is_some() {
        return replay(options);
    } else {
        return explain_machine(options);
    };
    print(&text)
}

fn explain_machine(options: &Options) -> Result<ExitCode, Failure> {
    let (text, name, words) = match (&options.machine, options.words.split_first()) {
        (Some(file), _) => (read(file)?, file.clone(), options.words.as_slice()),
        (None, Some((name, words))) => (presets::text(name)?, PathBuf::from(name), words),
        (None, None) => return Err(Failure::usage("explain what? `pagewalk explain --list` lists the presets")),
    };
    if options.print {
        return print(&text);
    }
    let mut system = System::new(explain::parse(&text, &name)?)?;
    if options.all {
        let answers = all::answers(&system)?;
        return print(&match options.format {
            Format::Json => json(&versioned("answers", all::json(&system, &answers))),
            Format::Text | Format::Csv => all::csv(&system, &answers),
            Format::Svg => return Err(Failure::usage("--all is a table, not a picture: --format csv or json")),
        });
    }
    let mut addresses = words.iter().map(|word| explain::address(word)).collect::<Result<Vec<_>, _>>()?;
    if let Some(file) = &options.addresses {
        for word in read(file)?.split_whitespace() {
            addresses.push(explain::address(word)?);
        }
    }
    show(options, &explain::tell(&mut system, &addresses)?)
}

fn show(options: &Options, story: &Story) -> Result<ExitCode, Failure> {
    let ink = if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() { Ink::Coloured } else { Ink::Plain };
    if options.step {
        stepping::run(story, ink, &mut stdin().lock(), &mut stdout().lock())?;
        return Ok(ExitCode::SUCCESS);
    }
    print(&match options.format {
        Format::Text => text::story(story, ink),
        Format::Json => {
            let story = serde_json::to_value(story).map_err(|error| Failure::cannot_run(error.to_string()))?;
            json(&versioned("story", story))
        }
        Format::Svg => svg::story(story),
        Format::Csv => return Err(Failure::usage("--format csv is for --all and --refs")),
    })
}

fn replay(options: &Options) -> Result<ExitCode, Failure> {
    let wanted = &options.replacement;
    let string = match (&wanted.refs, &wanted.refs_file) {
        (Some(string), _) => string.clone(),
        (None, Some(file)) => read(file)?,
        (None, None) => String::new(),
    };
    let references = references::parse(&string).map_err(Failure::usage)?;
    if references.is_empty() || wanted.window == Some(0) {
        return Err(Failure::usage("--refs expects at least one page number, and --window at least 1"));
    }
    let question = references::Question {
        references,
        frames: references::parse_frames(&wanted.frames).map_err(Failure::usage)?,
        policies: references::parse_policies(&wanted.policy).map_err(Failure::usage)?,
        settings: Settings {
            seed: wanted.seed,
            period: wanted.period,
            window: wanted.window.map(|window| window as u64),
        },
        window: wanted.window,
    };
    let counts = references::counts(&question);
    match options.format {
        Format::Csv => print(&references::csv(&counts)),
        Format::Json => {
            let counts = serde_json::to_value(&counts).map_err(|error| Failure::cannot_run(error.to_string()))?;
            print(&json(&versioned("counts", counts)))
        }
        Format::Text | Format::Svg => show(options, &references::story(&question, &counts)),
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
