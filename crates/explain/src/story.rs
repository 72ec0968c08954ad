//! What there is to show, before anyone decides how: steps of lines, bit fields and tables.

use serde::Serialize;

/// A sequence of steps under a title.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Story {
    /// What it is about.
    pub title: String,
    /// Where the numbers come from, if anywhere.
    pub source: String,
    /// What happens, in order.
    pub steps: Vec<Step>,
}

/// What is shown between two keys of `--step`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// Its number in its sequence, from 1; an access begins a new sequence.
    pub number: usize,
    /// What happens in it.
    pub title: String,
    /// What there is to see.
    pub blocks: Vec<Block>,
}

/// One thing in a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// A line of text.
    Line(String),
    /// An address, cut into fields of bits, the highest first.
    Bits(Vec<Field>),
    /// A table.
    Table(Table),
}

/// Numbers steps from 1.
pub(crate) fn numbered(steps: Vec<Step>) -> Vec<Step> {
    steps.into_iter().enumerate().map(|(place, step)| Step { number: place + 1, ..step }).collect()
}

/// Some bits of an address, the highest field first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Field {
    /// What the field is called.
    pub name: String,
    /// How many bits it has.
    pub bits: u32,
    /// What they hold.
    pub value: u64,
}

/// Rows under a head; some rows are marked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Table {
    /// A line above the table; empty for none.
    pub caption: String,
    /// The names of the columns.
    pub head: Vec<String>,
    /// The rows, each with as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
    /// The numbers of the marked rows.
    pub marked: Vec<usize>,
}

impl Step {
    /// A step with nothing in it yet.
    pub fn new(title: impl Into<String>) -> Self {
        Self { number: 0, title: title.into(), blocks: Vec::new() }
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
