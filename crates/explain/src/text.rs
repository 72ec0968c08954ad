//! A story as text.

use super::story::{Block, Field, Step, Story, Table};
use std::fmt::Write;

/// Whether to use colours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ink {
    /// Plain text.
    Plain,
    /// Bold titles and coloured marks, for a terminal.
    Coloured,
}

/// The whole story.
pub fn story(story: &Story, ink: Ink) -> String {
    let mut text = heading(story, ink);
    for (place, one) in story.steps.iter().enumerate() {
        // Steps are numbered anew with each access.
        text.push_str(if place > 0 && one.number == 1 { "\n---\n\n" } else { "\n" });
        text.push_str(&step(one, ink));
    }
    text
}

/// What stands above the steps.
pub fn heading(story: &Story, ink: Ink) -> String {
    let source = if story.source.is_empty() { String::new() } else { format!("({})\n", story.source) };
    format!("{}\n{source}", paint(&story.title, "1", ink))
}

/// One step, numbered.
pub fn step(step: &Step, ink: Ink) -> String {
    let Step { number, title, blocks } = step;
    let mut text = format!("{}\n", paint(&format!("{number}. {title}"), "1", ink));
    for block in blocks {
        match block {
            Block::Line(line) => {
                writeln!(text, "   {line}").expect("a string takes any text");
            }
            Block::Bits(fields) => text.push_str(&bits(fields, ink)),
            Block::Table(rows) => text.push_str(&table(rows, ink)),
        }
    }
    text
}

/// Each field as its name, its bits and its value, under each other.
fn bits(fields: &[Field], ink: Ink) -> String {
    if fields.is_empty() {
        return String::new();
    }
    let mut lines = ["   ".to_string(), "   ".to_string(), "   ".to_string()];
    for field in fields {
        let digits: String =
            (0..field.bits).rev().map(|bit| if field.value >> bit & 1 == 1 { '1' } else { '0' }).collect();
        let value = format!("{:#x}", field.value);
        let width = digits.len().max(value.len()).max(field.name.chars().count());
        let cells = [paint(&centred(&field.name, width), "36", ink), centred(&digits, width), centred(&value, width)];
        for (line, cell) in lines.iter_mut().zip(cells) {
            write!(line, "| {cell} ").expect("a string takes any text");
        }
    }
    lines.iter().map(|line| format!("{line}|\n")).collect()
}

/// Columns as wide as their widest cell; `>` before marked rows.
fn table(table: &Table, ink: Ink) -> String {
    let columns = table.head.len();
    let width = |column: usize| {
        let cells = table.rows.iter().filter_map(|row| row.get(column));
        cells.chain([&table.head[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |mark: &str, row: &[String]| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| padded(cell, width)).collect();
        format!("   {mark} {}", cells.join("  ")).trim_end().to_string() + "\n"
    };
    let mut text = if table.caption.is_empty() { String::new() } else { format!("   {}\n", table.caption) };
    text.push_str(&paint(&line(" ", &table.head), "36", ink));
    for (number, row) in table.rows.iter().enumerate() {
        let is_marked = table.marked.contains(&number);
        let row = line(if is_marked { ">" } else { " " }, row);
        text.push_str(&if is_marked { paint(&row, "32", ink) } else { row });
    }
    text
}

fn paint(text: &str, code: &str, ink: Ink) -> String {
    match ink {
        Ink::Plain => text.to_string(),
        Ink::Coloured => {
            let bare = text.trim_end_matches('\n');
            format!("\x1b[{code}m{bare}\x1b[0m{}", &text[bare.len()..])
        }
    }
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.chars().count())))
}

fn centred(text: &str, width: usize) -> String {
    let free = width.saturating_sub(text.chars().count());
    format!("{}{text}{}", " ".repeat(free / 2), " ".repeat(free - free / 2))
}
