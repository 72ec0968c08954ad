//! The stories that presets tell when no address is given; each is data of the machine file and steps computed from it.

mod dram_cache;
mod process;
mod programs;
mod sharing;
mod table_cost;

use crate::request::Request;
use crate::story::{Step, numbered};
use crate::system::System;
use crate::translate::translate;
use crate::wrong::Wrong;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which story, and its data.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StoryFile {
    /// Reads that hit and fault, a process made from an executable, more memory.
    Process(process::ProcessStory),
    /// DRAM as a cache of the disk.
    DramCache(dram_cache::DramCacheStory),
    /// Two programs with and without translation.
    Programs(programs::ProgramsStory),
    /// One frame under two spaces; copy-on-write.
    Sharing(sharing::SharingStory),
    /// Some accesses, one after the other.
    Accesses(Vec<String>),
    /// How many tables a layout takes.
    TableCost(table_cost::TableCostStory),
}

/// Larger spaces are not drawn page by page.
const MOST_PAGES_DRAWN: u64 = 256;

/// Tells the story of a machine that has one.
pub fn tell(system: &System, story: &StoryFile) -> Result<Vec<Step>, Wrong> {
    let steps = match story {
        StoryFile::Process(story) => process::tell(system, story).map_err(|wrong| wrong.at("process"))?,
        StoryFile::DramCache(story) => dram_cache::tell(system, story).map_err(|wrong| wrong.at("dram-cache"))?,
        StoryFile::Programs(story) => programs::tell(system, story).map_err(|wrong| wrong.at("programs"))?,
        StoryFile::Sharing(story) => sharing::tell(system, story).map_err(|wrong| wrong.at("sharing"))?,
        StoryFile::TableCost(story) => table_cost::tell(system, story).map_err(|wrong| wrong.at("table-cost"))?,
        StoryFile::Accesses(words) => return accesses(system, words).map_err(|wrong| wrong.at("accesses")),
    };
    Ok(numbered(steps))
}

fn accesses(system: &System, words: &[String]) -> Result<Vec<Step>, Wrong> {
    let mut system = system.clone();
    let mut steps = Vec::new();
    for (item, word) in words.iter().enumerate() {
        let request = Request::parse(word).map_err(|complaint| Wrong::new(complaint.to_string()).item(item))?;
        steps.extend(translate(&mut system, request).steps);
    }
    Ok(steps)
}

/// The pages of a space that is small enough to draw each.
fn pages_to_draw(system: &System) -> Result<u64, Wrong> {
    let (pages, _) = system.pages_and_frames();
    if pages > MOST_PAGES_DRAWN {
        return Err(Wrong::new(format!(
            "expected a space of at most {MOST_PAGES_DRAWN} pages, as this story draws each"
        )));
    }
    Ok(pages)
}
