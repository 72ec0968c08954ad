//! Which events are wanted.

use std::fmt;
use std::str::FromStr;

/// A kind of event, as `--events` names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// Faults, resolved or not.
    Faults,
    /// Areas that appear, change or go.
    Areas,
    /// System calls.
    Calls,
    /// Virtual CPUs that turn to another thread.
    Switches,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Faults, Self::Areas, Self::Calls, Self::Switches];

    /// The word in `--events`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Faults => "faults",
            Self::Areas => "areas",
            Self::Calls => "calls",
            Self::Switches => "switches",
        }
    }
}

/// A set of kinds of events.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Kinds(u8);

impl Kinds {
    /// No event.
    pub const NONE: Self = Self(0);
    /// Every event.
    pub const ALL: Self = Self((1 << Kind::ALL.len()) - 1);

    /// The set with one kind more.
    pub const fn with(self, kind: Kind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether events of a kind are wanted.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }

    /// The set as a number, for a word that several threads share.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set of [`Kinds::bits`].
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether none is wanted.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A comma-separated list, as in `--events faults,calls`.
impl FromStr for Kinds {
    type Err = UnknownKind;

    fn from_str(list: &str) -> Result<Self, UnknownKind> {
        list.split(',').try_fold(Self::NONE, |kinds, word| {
            let kind = Kind::ALL.into_iter().find(|kind| kind.name() == word.trim());
            kind.map(|kind| kinds.with(kind)).ok_or_else(|| UnknownKind(word.trim().to_owned()))
        })
    }
}

/// A word in a list of kinds that names none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownKind(String);

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Kind::ALL.map(Kind::name).join(", ");
        write!(f, "'{}' is no kind of event; the kinds are {known}", self.0)
    }
}

impl std::error::Error for UnknownKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_set() {
        let kinds: Kinds = "calls, faults".parse().unwrap();
        assert!(kinds.contains(Kind::Calls) && kinds.contains(Kind::Faults));
        assert!(!kinds.contains(Kind::Areas));
        assert!(Kinds::NONE.is_empty());
        assert!(Kind::ALL.iter().all(|kind| Kinds::ALL.contains(*kind)));
        assert_eq!(Kinds::from_bits(kinds.bits()), kinds);
    }

    #[test]
    fn a_wrong_word_is_named_with_the_right_ones() {
        let error = "calls,moods".parse::<Kinds>().unwrap_err();
        assert_eq!(error.to_string(), "'moods' is no kind of event; the kinds are faults, areas, calls, switches");
    }
}
