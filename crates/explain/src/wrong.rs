//! A value of a machine file that makes no sense, and where it stands in the text.

use crate::Complaint;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What was expected of which value. Whoever finds it names the value; each caller puts its own place before that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wrong {
    path: Vec<Part>,
    expected: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Key(&'static str),
    Item(usize),
}

impl Wrong {
    /// A sentence such as "expected a power of two".
    pub fn new(expected: impl Into<String>) -> Self {
        Self { path: Vec::new(), expected: expected.into() }
    }

    /// It is the value of a key, or in it.
    pub fn at(mut self, key: &'static str) -> Self {
        self.path.insert(0, Part::Key(key));
        self
    }

    /// It is an element of a list, or in one.
    pub fn item(mut self, index: usize) -> Self {
        self.path.insert(0, Part::Item(index));
        self
    }

    /// `FILE:LINE:COLUMN: KEY: expected ...`
    pub fn in_text(&self, text: &str, file: &Path) -> Complaint {
        let keys: Vec<&str> =
            self.path.iter().filter_map(|part| if let Part::Key(key) = part { Some(*key) } else { None }).collect();
        let sentence = if keys.is_empty() { String::new() } else { format!("{}: ", keys.join(".")) };
        located(text, file, self.find(text), &format!("{sentence}{}", self.expected))
    }

    /// Where the value starts; a value that is absent, where the one that should hold it does.
    fn find(&self, text: &str) -> usize {
        let Ok(document) = DeTable::parse(text) else { return 0 };
        let start = document.span().start;
        let mut found: Option<&Spanned<DeValue<'_>>> = None;
        for part in &self.path {
            let next = match (part, found.map(Spanned::get_ref)) {
                (Part::Key(key), None) => document.get_ref().get(*key),
                (Part::Key(key), Some(DeValue::Table(table))) => table.get(*key),
                (Part::Item(index), Some(DeValue::Array(items))) => items.get(*index),
                _ => None,
            };
            let Some(next) = next else { break };
            found = Some(next);
        }
        found.map_or(start, |value| value.span().start)
    }
}

/// A complaint about the byte at `at`.
pub fn located(text: &str, file: &Path, at: usize, sentence: &str) -> Complaint {
    let before = text.get(..at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|&character| character != '\n').count() + 1;
    Complaint::new(format!("{}:{line}:{column}: {sentence}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a = 1\n[b]\nlist = [1,\n  7]\n[[c]]\nx = 1\n[[c]]\nx = \"é\"\ny = 2\n";

    fn told(wrong: Wrong) -> String {
        wrong.in_text(TEXT, Path::new("m")).to_string()
    }

    #[test]
    fn a_value_is_found_by_its_path() {
        assert_eq!(told(Wrong::new("no").at("a")), "m:1:5: a: no");
        assert_eq!(told(Wrong::new("no").item(1).at("list").at("b")), "m:4:3: b.list: no");
        assert_eq!(told(Wrong::new("no").at("y").item(1).at("c")), "m:9:5: c.y: no");
        assert_eq!(told(Wrong::new("no").at("z").item(1).at("c")).split(": ").next(), Some("m:7:1"), "its table");
        assert_eq!(told(Wrong::new("no")), "m:1:1: no");
    }
}
