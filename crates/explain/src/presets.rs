//! The machines that come with pagewalk.

use crate::{Complaint, Source};

/// Every preset's name and text.
pub const ALL: &[(&str, &str)] = &[
    ("small", include_str!("../presets/small.toml")),
    ("i7", include_str!("../presets/i7.toml")),
    ("two-level", include_str!("../presets/two-level.toml")),
    ("zen4", include_str!("../presets/zen4.toml")),
    ("golden-cove", include_str!("../presets/golden-cove.toml")),
    ("skylake", include_str!("../presets/skylake.toml")),
    ("book-100", include_str!("../presets/book-100.toml")),
    ("dram-cache", include_str!("../presets/dram-cache.toml")),
    ("no-translation", include_str!("../presets/no-translation.toml")),
    ("protection", include_str!("../presets/protection.toml")),
    ("synonym", include_str!("../presets/synonym.toml")),
    ("shared", include_str!("../presets/shared.toml")),
];

const LEVELS: &str = "levels:K";
const LEVELS_SUMMARY: &str = "a 48-bit space of 4 KiB pages whose page number is shared out over K levels, 1 to 36";

/// A preset's file.
///
/// # Errors
/// There is none of that name.
pub fn source(name: &str) -> Result<Source, Complaint> {
    if let Some(count) = name.strip_prefix("levels:") {
        return Ok(Source::new(levels(name, count)?, name));
    }
    let preset = ALL.iter().find(|(preset, _)| *preset == name);
    preset.map(|(_, text)| Source::new(*text, name)).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|(preset, _)| *preset).chain([LEVELS]).collect();
        Complaint::new(format!("there is no preset {name}; there are {}, and --machine FILE.toml", names.join(", ")))
    })
}

/// Every preset's name and what it shows, in the order of `--list`.
///
/// # Errors
/// None, unless a preset's file is wrong.
pub fn summaries() -> Result<Vec<(&'static str, String)>, Complaint> {
    let summary = |&(name, _): &(&'static str, &str)| Ok((name, source(name)?.file()?.summary));
    let levels = Ok((LEVELS, LEVELS_SUMMARY.to_string()));
    ALL.iter().map(summary).chain([levels]).collect()
}

fn levels(name: &str, count: &str) -> Result<String, Complaint> {
    let geometry = count.parse().ok().and_then(paging::Geometry::levels);
    let geometry = geometry.ok_or_else(|| Complaint::new(format!("{name}: expected levels:K with K from 1 to 36")))?;
    let bits: Vec<String> =
        (1..=geometry.level_count()).rev().map(|level| geometry.table_entries(level).ilog2().to_string()).collect();
    Ok(format!(
        "name = \"{name}\"\nsummary = \"{LEVELS_SUMMARY}\"\nsource = \"CS:APP 3e, figure 9.18\"\nabsent-pages = \"map\"\n\n\
         [geometry]\npage-bytes = 4096\nlevels = [{}]\nphysical-bits = 52\nentries = \"x86-64\"\n\n\
         [story.table-cost]\nlayout = [\n    {{ pages = 2048, what = \"code and data\", allocated = true }},\n    \
         {{ pages = 34359736319, what = \"unallocated\", allocated = false }},\n    \
         {{ pages = 1, what = \"stack\", allocated = true }},\n]\n",
        bits.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tell;

    #[test]
    fn every_preset_can_be_built_and_tells_its_story() {
        let levels = (1..=36).map(|count| format!("levels:{count}"));
        for name in ALL.iter().map(|(name, _)| name.to_string()).chain(levels) {
            let source = source(&name).expect("it is a preset");
            assert_eq!(source.file().unwrap_or_else(|complaint| panic!("{complaint}")).name, name);
            let mut system = source.system().unwrap_or_else(|complaint| panic!("{complaint}"));
            if system.file.story.is_some() {
                assert!(
                    !tell(&source, &mut system, &[]).unwrap_or_else(|complaint| panic!("{complaint}")).steps.is_empty()
                );
            }
        }
    }
}
