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

/// Prints what clap found: help and version are successes, anything else is exit status 125.
pub fn of_options(error: &clap::Error) -> ExitCode {
    // Printing fails only when stdout or stderr is closed, and then there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(125) } else { ExitCode::SUCCESS }
}
