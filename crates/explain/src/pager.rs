//! The kernel's part in a page fault: which pages are on disk, who leaves, and what that takes.

use crate::machine_file::PagingFile;
use crate::system::System;
use crate::wrong::Wrong;
use addr::{Access, Perms, Privilege};
use model::{Outcome, PolicyKind, Reference, Settings};
use std::collections::BTreeSet;

/// What the kernel knows of the program's pages.
#[derive(Clone, Debug)]
pub struct Pager {
    policy: PolicyKind,
    frames: usize,
    /// `None`: every page that is not in memory.
    on_disk: Option<BTreeSet<u64>>,
    /// Every reference so far. The policy sees them all again at each fault, so that its state is never copied.
    references: Vec<Reference>,
}

/// The page that left to make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Victim {
    /// The page.
    pub page: u64,
    /// The frame that it had.
    pub frame: u64,
    /// Whether D was set in its entry, so that it had to be written to disk.
    pub was_dirty: bool,
}

impl Pager {
    /// For a program whose pages `resident`, in the order of their use, are in memory.
    pub fn new(file: &PagingFile, resident: &[u64]) -> Result<Self, Wrong> {
        let policy = PolicyKind::named(&file.policy).filter(|kind| kind.online(1, &Settings::default()).is_some());
        let policy = policy.ok_or_else(|| {
            Wrong::new(format!(
                "expected a policy of `pagewalk policies` that needs no future, not \"{}\"",
                file.policy
            ))
            .at("policy")
        })?;
        let used = file.used.clone().unwrap_or_else(|| resident.to_vec());
        let as_set = |pages: &[u64]| pages.iter().copied().collect::<BTreeSet<u64>>();
        if used.len() != resident.len() || as_set(&used) != as_set(resident) {
            return Err(Wrong::new("expected each page that is in memory, once").at("used"));
        }
        if let Some(item) = file.on_disk.iter().flatten().position(|page| resident.contains(page)) {
            return Err(Wrong::new("expected pages that are not in memory").item(item).at("on-disk"));
        }
        let references = used.iter().map(|&page| Reference::read(page)).collect();
        let on_disk = file.on_disk.as_deref().map(as_set);
        Ok(Self { policy, frames: resident.len(), on_disk, references })
    }

    /// The policy's name.
    pub fn policy(&self) -> &'static str {
        self.policy.name()
    }

    /// Whether a page that is not in memory is on disk.
    pub fn is_on_disk(&self, page: u64) -> bool {
        self.on_disk.as_ref().is_none_or(|pages| pages.contains(&page))
    }

    /// Gives a page that had none a place on disk.
    pub fn allocate(&mut self, page: u64) {
        if let Some(pages) = &mut self.on_disk {
            pages.insert(page);
        }
    }

    /// Notes an access to a page in memory.
    pub fn note(&mut self, page: u64, access: Access) {
        self.references.push(Reference::new(page, access));
    }

    /// The page that a fault on another one throws out; `None` if there is a free frame.
    fn victim(&self, page: u64, access: Access) -> Option<u64> {
        let mut policy = self.policy.online(self.frames.max(1), &Settings::default()).expect("it needs no future");
        policy.replay(&self.references);
        match policy.reference(Reference::new(page, access)) {
            Outcome::Replaced(victim) => Some(victim),
            Outcome::Hit | Outcome::Loaded => None,
        }
    }
}

/// First half of a page-in: finds a frame for a page on disk, and throws another page out if need be.
pub fn make_room(system: &mut System, page: u64, access: Access) -> Option<(u64, Option<Victim>)> {
    let Some(victim) = system.pager.as_ref()?.victim(page, access) else {
        return system.take_frames(1).map(|frame| (frame, None));
    };
    let (frame, marks) = system.marks(victim)?;
    let victim = Victim { page: victim, frame, was_dirty: marks.dirty };
    system.drop_lines(frame);
    if victim.was_dirty {
        system.page_out(victim.page, frame);
    }
    system.unmap(victim.page);
    if let Some(pager) = &mut system.pager {
        pager.allocate(victim.page);
    }
    Some((frame, Some(victim)))
}

/// Second half: reads the page from disk into the frame and updates its entry.
pub fn bring_in(system: &mut System, page: u64, frame: u64) -> Result<(), Wrong> {
    system.page_in(page, frame);
    system.map(page, frame, 1, Perms::ALL, Privilege::User)?;
    if let Some(pages) = system.pager.as_mut().and_then(|pager| pager.on_disk.as_mut()) {
        pages.remove(&page);
    }
    Ok(())
}
