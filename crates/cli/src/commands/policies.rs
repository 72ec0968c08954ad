//! `pagewalk policies`: the replacement policies.

use crate::failure::Failure;
use model::PolicyKind;
use std::io::Write;
use std::process::ExitCode;

/// Lists the replacement policies that runs, replays and `explain --refs` know.
#[derive(clap::Args)]
pub struct Options {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// An array of objects.
    Json,
}

/// Prints the list.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let text = match options.format {
        Format::Text => {
            let row = |kind: &PolicyKind| format!("{:14} {:66} {}\n", kind.name(), kind.summary(), kind.paper());
            PolicyKind::ALL.iter().map(row).collect()
        }
        Format::Json => {
            let object = |kind: &PolicyKind| serde_json::json!({ "name": kind.name(), "summary": kind.summary(), "paper": kind.paper() });
            let policies: Vec<serde_json::Value> = PolicyKind::ALL.iter().map(object).collect();
            format!("{:#}\n", serde_json::json!({ "version": 1, "policies": policies }))
        }
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::cannot_run(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
