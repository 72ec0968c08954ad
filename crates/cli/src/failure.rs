//! pagewalk's own errors: one plain sentence and an exit status of its own.

use std::process::ExitCode;

/// Why pagewalk, not the guest, failed. The statuses are those of env(1) and timeout(1).
#[derive(Debug)]
pub struct Failure {
    status: u8,
    sentence: String,
}

impl Failure {
    /// Options or input that make no sense: exit status 125.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self { status: 125, sentence: sentence.into() }
    }

    /// A program that is there and cannot be run: exit status 126.
    pub fn cannot_run(sentence: impl Into<String>) -> Self {
        Self { status: 126, sentence: sentence.into() }
    }

    /// A program that is not there: exit status 127.
    #[cfg(runs_programs)]
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self { status: 127, sentence: sentence.into() }
    }

    /// Says it on stderr and gives the status to exit with.
    pub fn report(&self) -> ExitCode {
        eprintln!("pagewalk: {}", self.sentence);
        ExitCode::from(self.status)
    }
}

/// What `explain` complains about is the user's input.
impl From<explain::Complaint> for Failure {
    fn from(complaint: explain::Complaint) -> Self {
        Self::usage(complaint.to_string())
    }
}

/// Prints what clap found: help and version are successes, anything else is exit status 125 and a sentence.
pub fn of_options(error: &clap::Error) -> ExitCode {
    let rendered = error.render().to_string();
    match rendered.strip_prefix("error: ") {
        Some(complaint) => Failure::usage(sentence_of(complaint)).report(),
        None => {
            // Printing fails only when stdout or stderr is closed, and then there is nobody to tell.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(125) } else { ExitCode::SUCCESS }
        }
    }
}

/// clap's complaint without the lines on usage and help, in one line.
fn sentence_of(complaint: &str) -> String {
    let is_general = |line: &&str| line.starts_with("Usage:") || line.starts_with("For more information");
    let lines = complaint.lines().map(str::trim).take_while(|line| !is_general(line));
    let parts: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    parts.join(" ").replace(" tip: ", "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_becomes_one_line() {
        let complaint =
            "unrecognized subcommand 'runn'\n\n  tip: a similar subcommand exists: 'run'\n\nUsage: x\n\nFor more";
        assert_eq!(sentence_of(complaint), "unrecognized subcommand 'runn'; a similar subcommand exists: 'run'");
        let values =
            "invalid value 'yaml' for '--format'\n  [possible values: text, json]\n\nFor more information, try";
        assert_eq!(sentence_of(values), "invalid value 'yaml' for '--format' [possible values: text, json]");
    }
}
