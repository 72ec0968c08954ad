//! DRAM as a cache of virtual pages on disk: hit, fault, allocation.

use crate::story::{Step, Table};
use crate::system::System;
use addr::{Access, Perms, Privilege};
use model::{Outcome, Policy, PolicyKind, Reference, Settings};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The story's data; `contents` says which pages are in memory.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DramCacheStory {
    /// Pages that are allocated on disk and not in memory.
    pub on_disk: Vec<u64>,
    /// Pages that were modified in memory.
    pub dirty: Vec<u64>,
    /// In which order the pages in memory were used, the latest last.
    pub used: Vec<u64>,
    /// Who chooses victims.
    pub policy: String,
    /// `read PAGE`, `write PAGE` or `allocate PAGE`.
    pub steps: Vec<String>,
}

struct Dram {
    system: System,
    on_disk: BTreeSet<u64>,
    dirty: BTreeSet<u64>,
    policy: Box<dyn Policy>,
}

/// The steps.
pub fn tell(system: &System, story: &DramCacheStory) -> Result<Vec<Step>, String> {
    let frames = (system.geometry.physical_bytes() / system.geometry.page_bytes()) as usize;
    let kind = PolicyKind::named(&story.policy).ok_or_else(|| format!("story: there is no policy {}", story.policy))?;
    let policy =
        kind.online(frames, &Settings::default()).ok_or("story: a policy that knows the future is of no use")?;
    let mut dram = Dram {
        system: system.clone(),
        on_disk: story.on_disk.iter().copied().collect(),
        dirty: story.dirty.iter().copied().collect(),
        policy,
    };
    for &page in &story.used {
        if dram.system.entry(page).is_none() || dram.policy.reference(Reference::read(page)) != Outcome::Loaded {
            return Err(format!("story: used expects each page in memory once, not {page}"));
        }
    }
    let mut steps = vec![Step::new("At the beginning").table(dram.table(None))];
    for step in &story.steps {
        let (verb, page) = step.split_once(' ').unwrap_or((step, ""));
        let page = page.parse().ok().filter(|&page| page < dram.pages());
        let page = page.ok_or_else(|| {
            format!("story: expected \"read PAGE\", \"write PAGE\" or \"allocate PAGE\", not \"{step}\"")
        })?;
        match verb {
            "read" => dram.access(page, Access::Read, &mut steps)?,
            "write" => dram.access(page, Access::Write, &mut steps)?,
            "allocate" => dram.allocate(page, &mut steps),
            _ => return Err(format!("story: expected read, write or allocate, not \"{verb}\"")),
        }
    }
    Ok(steps)
}

impl Dram {
    fn pages(&self) -> u64 {
        self.system.geometry.virtual_bytes() / self.system.geometry.page_bytes()
    }

    fn access(&mut self, page: u64, access: Access, steps: &mut Vec<Step>) -> Result<(), String> {
        let verb = if access == Access::Write { "write" } else { "read" };
        if let Some((frame, _)) = self.system.entry(page) {
            self.hit(page, access);
            steps.push(
                Step::new(format!("A {verb} of VP{page}: a hit, PP{frame}"))
                    .line("The entry is valid; the MMU forms the physical address.")
                    .table(self.table(Some(page))),
            );
            return Ok(());
        }
        let before = Step::new(format!("A {verb} of VP{page}: its entry is not valid, a page fault"))
            .table(self.table(Some(page)));
        if !self.on_disk.contains(&page) {
            steps.push(before.line("The page is not allocated: the kernel sends SIGSEGV."));
            return Ok(());
        }
        steps.push(before);
        let outcome = self.policy.reference(Reference::new(page, access));
        let frame = match outcome {
            Outcome::Replaced(victim) => self.push_out(victim, steps),
            _ => self.system.take_frames(1),
        };
        let frame = frame.ok_or("story: no frame is free")?;
        self.system.map(page, frame, Perms::ALL, Privilege::User)?;
        self.on_disk.remove(&page);
        let mut loaded = Step::new(format!("VP{page} is read from disk into PP{frame}, and its entry is updated"));
        loaded = loaded.table(self.table(Some(page)));
        steps.push(loaded);
        self.hit(page, access);
        steps.push(Step::new(format!("The instruction runs again: a hit in PP{frame}")).table(self.table(Some(page))));
        Ok(())
    }

    fn hit(&mut self, page: u64, access: Access) {
        self.policy.touch(page, access);
        if access == Access::Write {
            self.dirty.insert(page);
        }
    }

    fn push_out(&mut self, victim: u64, steps: &mut Vec<Step>) -> Option<u64> {
        let (frame, _) = self.system.entry(victim)?;
        let written = if self.dirty.remove(&victim) {
            "it was modified, so it is written to disk"
        } else {
            "it was not modified"
        };
        self.system.unmap(victim);
        self.on_disk.insert(victim);
        let title = format!("The victim is VP{victim} in PP{frame}: {written}");
        steps.push(Step::new(title).table(self.table(Some(victim))));
        Some(frame)
    }

    fn allocate(&mut self, page: u64, steps: &mut Vec<Step>) {
        steps.push(Step::new(format!("VP{page} is allocated: before")).table(self.table(Some(page))));
        self.on_disk.insert(page);
        let title = format!("The kernel makes room on disk, and entry {page} points to it: after");
        steps.push(Step::new(title).table(self.table(Some(page))));
    }

    fn table(&self, marked: Option<u64>) -> Table {
        let mut table = Table::new("", &["page", "valid", "where", "modified"]);
        for page in 0..self.pages() {
            let (valid, place) = match self.system.entry(page) {
                Some((frame, _)) => ("1", format!("PP{frame}")),
                None if self.on_disk.contains(&page) => ("0", "disk".to_string()),
                None => ("0", "unallocated".to_string()),
            };
            let dirty = if self.dirty.contains(&page) { "yes" } else { "" };
            let row = vec![format!("VP{page}"), valid.to_string(), place, dirty.to_string()];
            if marked == Some(page) { table.push_marked(row) } else { table.push(row) }
        }
        table
    }
}
