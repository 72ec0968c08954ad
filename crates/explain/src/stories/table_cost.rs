//! How many tables a layout takes, against one flat table.

use crate::story::{Step, Table};
use crate::system::System;
use crate::wrong::Wrong;
use schemars::JsonSchema;
use serde::Deserialize;

/// The story's data: runs of pages from address 0.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TableCostStory {
    /// The runs.
    pub layout: Vec<Run>,
}

/// Some pages after each other.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Run {
    /// How many.
    pub pages: u64,
    /// What they are.
    pub what: String,
    /// Whether they have entries.
    pub allocated: bool,
}

/// The steps.
pub fn tell(system: &System, story: &TableCostStory) -> Result<Vec<Step>, Wrong> {
    let geometry = &system.geometry;
    let (pages, _) = system.pages_and_frames();
    let mut left = pages;
    for (item, run) in story.layout.iter().enumerate() {
        left = left.checked_sub(run.pages).ok_or_else(|| {
            Wrong::new(format!("expected at most {left}, which are left of {pages}"))
                .at("pages")
                .item(item)
                .at("layout")
        })?;
    }
    let mut layout = Table::new("", &["pages", "what"]);
    for run in &story.layout {
        let row = vec![run.pages.to_string(), run.what.clone()];
        if run.allocated { layout.push_marked(row) } else { layout.push(row) }
    }
    let mut tables = Table::new("", &["level", "bytes of a table", "tables", "bytes"]);
    let (mut count, mut bytes) = (0, 0);
    for level in (1..=geometry.level_count()).rev() {
        let here = tables_of_level(system, story, level);
        let size = geometry.table_bytes(level);
        tables.push(vec![level.to_string(), size.to_string(), here.to_string(), (here * size).to_string()]);
        (count, bytes) = (count + here, bytes + here * size);
    }
    let flat = geometry.virtual_bytes() / geometry.page_bytes() * geometry.entry_bytes();
    Ok(vec![
        Step::new("The layout; marked runs are allocated").table(layout),
        Step::new(format!("The tables it takes: {count}, of {bytes} bytes in all")).table(tables),
        Step::new(format!("One flat table would take {flat} bytes, {} times as many", flat.div_ceil(bytes.max(1)))),
    ])
}

/// The root, and every table below it that has a page to serve. Runs ascend, so a table is new if it is not the last.
fn tables_of_level(system: &System, story: &TableCostStory, level: usize) -> u64 {
    let geometry = &system.geometry;
    if level == geometry.level_count() {
        return 1;
    }
    let span_pages = geometry.span_bytes(level + 1) / geometry.page_bytes();
    let (mut count, mut last, mut at) = (0, None, 0);
    for run in &story.layout {
        if run.allocated && run.pages > 0 {
            let (first, end) = (at / span_pages, (at + run.pages - 1) / span_pages);
            count += end - first + 1 - u64::from(last == Some(first));
            last = Some(end);
        }
        at += run.pages;
    }
    count
}
