//! The kernel's part: steps 5 to 7 of a page fault.

use crate::machine_file::AbsentPages;
use crate::pager::{self, Victim};
use crate::request::Request;
use crate::story::Step;
use crate::system::System;
use addr::{Perms, Privilege};
use paging::{Cause, Refusal};

/// What the exception is called.
pub fn name(refusal: Refusal) -> &'static str {
    match refusal.cause {
        Cause::OutsideSpace => "a general protection",
        Cause::Protection => "a protection",
        Cause::Absent { .. } | Cause::ReservedBit { .. } => "a page fault",
    }
}

/// Adds what the handler does. Whether the instruction starts again.
pub fn handle(system: &mut System, request: Request, refusal: Refusal, steps: &mut Vec<Step>) -> bool {
    let page = system.geometry.page_number(request.addr);
    let is_absent = matches!(refusal.cause, Cause::Absent { .. });
    let outcome = match system.file.absent_pages {
        AbsentPages::Map if is_absent => map(system, page),
        AbsentPages::PageIn if is_absent => page_in(system, request, page),
        _ => Err("The kernel sends SIGSEGV".to_string()),
    };
    let (more, is_repaired) = match outcome {
        Ok([room, update]) => {
            let again = "The handler returns; the instruction starts again, and the processor sends the same address";
            (vec![room, update, Step::new(again)], true)
        }
        Err(end) => (vec![Step::new(end)], false),
    };
    for step in more {
        steps.push(Step { number: steps.len() + 1, ..step });
    }
    is_repaired
}

fn map(system: &mut System, page: u64) -> Result<[Step; 2], String> {
    let frame = system.take_frames(1).ok_or("No frame is free: the kernel kills the process")?;
    let mapped = system.map(page, frame, 1, Perms::ALL, Privilege::User);
    mapped.map_err(|_| "Memory has no room for the tables: the kernel kills the process")?;
    Ok([
        Step::new(format!("The handler takes frame {frame:#x}, which is free")),
        Step::new(format!("The handler maps page {page:#x} to frame {frame:#x}, with the tables that takes")),
    ])
}

fn page_in(system: &mut System, request: Request, page: u64) -> Result<[Step; 2], String> {
    if !system.pager.as_ref().is_some_and(|pager| pager.is_on_disk(page)) {
        return Err(format!("Page {page:#x} is not on disk either: the kernel sends SIGSEGV"));
    }
    let (frame, victim) =
        pager::make_room(system, page, request.access).ok_or("No frame can be freed: the kernel kills the process")?;
    let room = match victim {
        None => Step::new(format!("The handler takes frame {frame:#x}, which is free")),
        Some(victim) => thrown_out(system, victim),
    };
    pager::bring_in(system, page, frame)
        .map_err(|_| "Memory has no room for the tables: the kernel kills the process")?;
    let update = format!("The handler reads page {page:#x} from disk into frame {frame:#x} and updates its entry");
    Ok([room, Step::new(update)])
}

/// Step 5 where a page has to leave.
pub fn thrown_out(system: &System, victim: Victim) -> Step {
    let Victim { page, frame, was_dirty } = victim;
    let policy = system.pager.as_ref().map_or("", |pager| pager.policy());
    let written = if was_dirty {
        "it was modified (D is set), so it is written to disk"
    } else {
        "it was not modified (D is 0), so nothing is written"
    };
    Step::new(format!("The handler picks a victim by {policy}: page {page:#x} in frame {frame:#x}; {written}"))
        .line("Its entry becomes invalid, its TLB entry is dropped, and its lines leave the caches.")
}
