//! What is wrong with the input, as a sentence for its author.

use std::fmt;

/// One sentence: what is wrong, where if that is known, and what was expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint(String);

impl Complaint {
    /// The sentence, without a full stop.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl From<String> for Complaint {
    fn from(sentence: String) -> Self {
        Self(sentence)
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Complaint {}
