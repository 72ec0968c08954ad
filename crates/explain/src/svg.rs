//! A story as one SVG picture, for slides.

use super::story::{Block, Field, Story, Table};
use std::fmt::Write;

const LINE: u32 = 20;
const CHARACTER: u32 = 8;
const MARGIN: u32 = 20;

/// A picture under construction: shapes, and how far down and right they reach.
struct Canvas {
    shapes: String,
    y: u32,
    right: u32,
}

/// The picture.
pub fn story(story: &Story) -> String {
    let mut canvas = Canvas { shapes: String::new(), y: MARGIN, right: 0 };
    canvas.text(MARGIN, &story.title, "title");
    canvas.y += LINE;
    if !story.source.is_empty() {
        canvas.text(MARGIN, &story.source, "line");
        canvas.y += LINE;
    }
    for (place, step) in story.steps.iter().enumerate() {
        // Steps are numbered anew with each access.
        canvas.y += if place > 0 && step.number == 1 { 2 * LINE } else { LINE / 2 };
        canvas.text(MARGIN, &format!("{}. {}", step.number, step.title), "step");
        canvas.y += LINE;
        for block in &step.blocks {
            match block {
                Block::Line(line) => {
                    canvas.text(2 * MARGIN, line, "line");
                    canvas.y += LINE;
                }
                Block::Bits(fields) => canvas.bits(fields),
                Block::Table(table) => canvas.table(table),
            }
        }
    }
    let (width, height) = (canvas.right + MARGIN, canvas.y + MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <style>text{{font:13px monospace;dominant-baseline:middle;fill:#222}}.title,.step{{font-weight:bold}}\
         text.name{{fill:#06c}}rect{{fill:#fff;stroke:#888}}rect.name{{fill:#eee}}rect.marked{{fill:#dfd}}rect.bits{{fill:#eef}}</style>\n\
         <rect width=\"100%\" height=\"100%\" stroke=\"none\"/>\n{}</svg>\n",
        canvas.shapes
    )
}

impl Canvas {
    fn text(&mut self, x: u32, text: &str, class: &str) {
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let y = self.y + LINE / 2;
        writeln!(self.shapes, "<text x=\"{x}\" y=\"{y}\" class=\"{class}\" xml:space=\"preserve\">{escaped}</text>")
            .expect("a string takes any text");
        self.right = self.right.max(x + characters(text) * CHARACTER);
    }

    fn cell(&mut self, x: u32, width: u32, text: &str, class: &str) {
        let y = self.y;
        writeln!(self.shapes, "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{LINE}\" class=\"{class}\"/>")
            .expect("a string takes any text");
        self.text(x + CHARACTER / 2, text, class);
        self.right = self.right.max(x + width);
    }

    /// Names over a row of boxes of bits over values.
    fn bits(&mut self, fields: &[Field]) {
        if fields.is_empty() {
            return;
        }
        let mut x = 2 * MARGIN;
        let top = self.y;
        for field in fields {
            let digits = if field.bits == 0 {
                String::new()
            } else {
                format!("{:0width$b}", field.value, width = field.bits as usize)
            };
            let value = format!("{:#x}", field.value);
            let widest = characters(&digits).max(characters(&value)).max(characters(&field.name));
            let width = (widest + 1) * CHARACTER;
            self.y = top;
            self.text(x + CHARACTER / 2, &field.name, "name");
            self.y += LINE;
            self.cell(x, width, &digits, "bits");
            self.y += LINE;
            self.text(x + CHARACTER / 2, &value, "line");
            x += width;
        }
        self.y = top + 3 * LINE;
    }

    fn table(&mut self, table: &Table) {
        if !table.caption.is_empty() {
            self.text(2 * MARGIN, &table.caption, "line");
            self.y += LINE;
        }
        let width = |column: usize| {
            let cells = table.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.chain([&table.head[column]]).map(|cell| characters(cell)).max().unwrap_or(0);
            (widest + 1) * CHARACTER
        };
        let widths: Vec<u32> = (0..table.head.len()).map(width).collect();
        let mut row = |cells: &[String], class: &str| {
            let mut x = 2 * MARGIN;
            for (cell, &width) in cells.iter().zip(&widths) {
                self.cell(x, width, cell, class);
                x += width;
            }
            self.y += LINE;
        };
        row(&table.head, "name");
        for (number, cells) in table.rows.iter().enumerate() {
            row(cells, if table.marked.contains(&number) { "marked" } else { "line" });
        }
        self.y += LINE / 2;
    }
}

fn characters(text: &str) -> u32 {
    text.chars().count() as u32
}
