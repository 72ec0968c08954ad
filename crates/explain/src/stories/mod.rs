//! The stories that presets tell when no address is given; each is data of the machine file and steps computed from it.

mod dram_cache;
mod process;
mod programs;
mod sharing;
mod table_cost;

use super::story::Step;
use super::system::System;
use super::translate::translate;
use crate::address;
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

/// Tells the story of a machine that has one.
pub fn tell(system: &System, story: &StoryFile) -> Result<Vec<Step>, String> {
    match story {
        StoryFile::Process(story) => process::tell(system, story),
        StoryFile::DramCache(story) => dram_cache::tell(system, story),
        StoryFile::Programs(story) => programs::tell(system, story),
        StoryFile::Sharing(story) => sharing::tell(system, story),
        StoryFile::Accesses(words) => accesses(system, words),
        StoryFile::TableCost(story) => table_cost::tell(system, story),
    }
}

fn accesses(system: &System, words: &[String]) -> Result<Vec<Step>, String> {
    let mut system = system.clone();
    let mut steps = Vec::new();
    for word in words {
        let (addr, access) = address(word).map_err(|complaint| complaint.to_string())?;
        steps.extend(translate(&mut system, addr, access).0);
    }
    Ok(steps)
}
