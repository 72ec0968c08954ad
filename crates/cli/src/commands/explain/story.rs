//! What there is to show, before anyone decides how: steps of lines, bit fields and tables.

use serde::Serialize;

/// A sequence of steps under a title.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Story {
    pub title: String,
    /// Where the numbers come from, if anywhere.
    pub source: String,
    pub steps: Vec<Step>,
}

/// What is shown between two keys of `--step`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    pub title: String,
    pub blocks: Vec<Block>,
}

/// One thing in a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    Line(String),
    Bits(Vec<Field>),
    Table(Table),
}

/// Some bits of an address, the highest field first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Field {
    pub name: String,
    pub bits: u32,
    pub value: u64,
}

/// Rows under a head; some rows are marked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Table {
    pub caption: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub marked: Vec<usize>,
}

impl Step {
    /// A step with nothing in it yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), blocks: Vec::new() }
    }

    /// With one more line.
    pub fn line(mut self, line: impl Into<String>) -> Self {
        self.blocks.push(Block::Line(line.into()));
        self
    }

    /// With bits drawn.
    pub fn bits(mut self, fields: Vec<Field>) -> Self {
        self.blocks.push(Block::Bits(fields));
        self
    }

    /// With a table.
    pub fn table(mut self, table: Table) -> Self {
        self.blocks.push(Block::Table(table));
        self
    }
}

impl Field {
    /// `bits` bits called `name` that hold `value`.
    pub fn new(name: impl Into<String>, bits: u32, value: u64) -> Self {
        Self { name: name.into(), bits, value }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(caption: impl Into<String>, head: &[&str]) -> Self {
        Self { caption: caption.into(), head: head.iter().map(ToString::to_string).collect(), ..Self::default() }
    }

    /// With one more row.
    pub fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// With one more row, which is marked.
    pub fn push_marked(&mut self, row: Vec<String>) {
        self.marked.push(self.rows.len());
        self.rows.push(row);
    }
}
