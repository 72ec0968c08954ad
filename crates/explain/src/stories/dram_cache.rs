//! DRAM as a cache of virtual pages on disk: hit, fault, allocation.

use crate::pager::{self, Victim};
use crate::request::Request;
use crate::story::{Step, Table};
use crate::system::System;
use crate::translate::{attempt, thrown_out};
use crate::wrong::Wrong;
use addr::Access;
use paging::Cause;
use schemars::JsonSchema;
use serde::Deserialize;

/// The story's data; `contents` and `paging` say which pages are where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DramCacheStory {
    /// `read PAGE`, `write PAGE` or `allocate PAGE`, decimal.
    pub steps: Vec<String>,
}

/// The steps.
pub fn tell(system: &System, story: &DramCacheStory) -> Result<Vec<Step>, Wrong> {
    let pages = super::pages_to_draw(system)?;
    let mut system = system.clone();
    if system.pager.is_none() {
        return Err(Wrong::new("expected absent-pages = \"page-in\" for this story"));
    }
    let mut steps = vec![Step::new("At the beginning").table(table(&system, None))];
    for (item, step) in story.steps.iter().enumerate() {
        let (verb, page) = step.split_once(' ').unwrap_or((step, ""));
        let page = page.parse().ok().filter(|&page| page < pages);
        let (verb, page) = match (verb, page) {
            ("read" | "write" | "allocate", Some(page)) => (verb, page),
            _ => {
                let expected =
                    format!("expected \"read PAGE\", \"write PAGE\" or \"allocate PAGE\", pages below {pages}");
                return Err(Wrong::new(expected).item(item).at("steps"));
            }
        };
        match verb {
            "read" => access(&mut system, page, Access::Read, &mut steps)?,
            "write" => access(&mut system, page, Access::Write, &mut steps)?,
            _ => allocate(&mut system, page, &mut steps),
        }
    }
    Ok(steps)
}

fn access(system: &mut System, page: u64, access: Access, steps: &mut Vec<Step>) -> Result<(), Wrong> {
    let request = Request::new(system.start_of(page), access);
    let verb = if access == Access::Write { "write" } else { "read" };
    let done = attempt(system, request);
    if let Some(frame) = done.answer.ppn {
        let step = Step::new(format!("A {verb} of VP{page}: a hit, PP{frame}"));
        steps.push(
            step.line("The entry is valid; the MMU forms the physical address.").table(table(system, Some(page))),
        );
        return Ok(());
    }
    let is_absent = done.refusal.is_some_and(|refusal| matches!(refusal.cause, Cause::Absent { .. }));
    if !is_absent {
        let step = Step::new(format!("A {verb} of VP{page} is not allowed: the kernel sends SIGSEGV"));
        steps.push(step.table(table(system, Some(page))));
        return Ok(());
    }
    let fault = Step::new(format!("A {verb} of VP{page}: its entry is not valid, a page fault"))
        .table(table(system, Some(page)));
    if !system.pager.as_ref().is_some_and(|pager| pager.is_on_disk(page)) {
        steps.push(fault.line("The page is not allocated: the kernel sends SIGSEGV."));
        return Ok(());
    }
    steps.push(fault);
    let (frame, victim) =
        pager::make_room(system, page, access).ok_or_else(|| Wrong::new("expected a frame that can be freed"))?;
    if let Some(victim) = victim {
        let Victim { page, .. } = victim;
        steps.push(thrown_out(system, victim).table(table(system, Some(page))));
    }
    pager::bring_in(system, page, frame)?;
    let loaded = Step::new(format!("VP{page} is read from disk into PP{frame}, and its entry is updated"));
    steps.push(loaded.table(table(system, Some(page))));
    attempt(system, request);
    steps.push(Step::new(format!("The instruction starts again: a hit in PP{frame}")).table(table(system, Some(page))));
    Ok(())
}

fn allocate(system: &mut System, page: u64, steps: &mut Vec<Step>) {
    steps.push(Step::new(format!("VP{page} is allocated: before")).table(table(system, Some(page))));
    let is_there = system.entry(page).is_some();
    if let Some(pager) = system.pager.as_mut().filter(|_| !is_there) {
        pager.allocate(page);
    }
    let title = format!("The kernel makes room on disk, and entry {page} points to it: after");
    steps.push(Step::new(title).table(table(system, Some(page))));
}

fn table(system: &System, marked: Option<u64>) -> Table {
    let mut table = Table::new("", &["page", "valid", "where", "D"]);
    for page in 0..system.pages_and_frames().0 {
        let is_on_disk = system.pager.as_ref().is_some_and(|pager| pager.is_on_disk(page));
        let (valid, place, dirty) = match system.marks(page) {
            Some((frame, marks)) => ("1", format!("PP{frame}"), if marks.dirty { "1" } else { "0" }),
            None if is_on_disk => ("0", "disk".to_string(), "-"),
            None => ("0", "unallocated".to_string(), "-"),
        };
        let row = vec![format!("VP{page}"), valid.to_string(), place, dirty.to_string()];
        if marked == Some(page) { table.push_marked(row) } else { table.push(row) }
    }
    table
}
