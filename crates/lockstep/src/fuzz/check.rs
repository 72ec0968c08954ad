//! One case in two worlds, faults repaired on the way.

use super::arena::{self, ArenaPage};
use super::case::Case;
use super::compare;
use super::masks;
use super::outcome::{Ending, Exception, Outcome};
use super::world::World;
use crate::registers;
use addr::{Access, Perms, VirtAddr};
use std::io;

/// Repairs before a case is given up: a gather may fault in several places.
const MOST_REPAIRS: usize = 4;

/// Runs the case in both worlds, comparing at every fault and at the end. After a fault in a page of the arena that
/// page is repaired and the instruction re-executed, as a handler of the program would.
///
/// # Errors
/// The host's; never the case's.
pub fn differences(case: &Case, host: &mut dyn World, ours: &mut dyn World) -> io::Result<Vec<String>> {
    let mut repaired: Vec<ArenaPage> = Vec::new();
    let mut left = host.start(case)?;
    let mut right = ours.start(case)?;
    let found = loop {
        let is_open = is_open(case, &left, &right);
        let page = repairable(&left);
        if is_open && page != repairable(&right) {
            break Vec::new();
        }
        let mut found = Vec::new();
        if !is_open {
            found = compare::differences(case, &left, &right);
            found.extend(wrong_access(case, &left, &right));
        }
        if !found.is_empty() || page.is_none() || repaired.len() == MOST_REPAIRS {
            break found;
        }
        let page = page.expect("just checked");
        repaired.push(page);
        host.repair(page)?;
        ours.repair(page)?;
        left = host.resume()?;
        right = ours.resume()?;
    };
    for page in repaired {
        host.damage(page)?;
        ours.damage(page)?;
    }
    Ok(found)
}

/// What an instruction that the announced CPU does not have did but being refused.
///
/// # Errors
/// The host's; never the case's.
pub fn traces_of_refused(case: &Case, ours: &mut dyn World) -> io::Result<Vec<String>> {
    let outcome = ours.start(case)?;
    let refused = Ending::Exception(Exception::InvalidOpcode);
    let mut found = Vec::new();
    if outcome.ending != refused {
        found.push(format!("ended with {} rather than {refused}", outcome.ending));
    }
    let written = registers::differences(&case.registers, &outcome.registers, u64::MAX);
    found.extend(written.into_iter().map(|difference| difference.text));
    if outcome.memory != ours.start(&case.without_code())?.memory {
        found.push("memory was stored to".to_string());
    }
    Ok(found)
}

/// Whether both refused the same instruction, for reasons between which the architecture leaves the choice.
fn is_open(case: &Case, left: &Outcome, right: &Outcome) -> bool {
    let Some(instruction) = case.at(left.registers.rip) else { return false };
    match (left.ending, right.ending) {
        // Whether a store that its mask leaves out altogether can fault is the implementation's choice.
        (Ending::Fault { .. } | Ending::Exception(_), _) if masks::may_be_masked_out(instruction) => true,
        (Ending::Fault { .. } | Ending::Exception(_), Ending::Fault { .. } | Ending::Exception(_)) => {
            masks::order_is_open(instruction) && left.registers.rip == right.registers.rip
        }
        _ => false,
    }
}

/// The page that a fault was refused in, where a repair lets it through.
fn repairable(outcome: &Outcome) -> Option<ArenaPage> {
    let Ending::Fault { addr, .. } = outcome.ending else { return None };
    let page = arena::data_pages().find(|page| page.start == addr.page_floor())?;
    // A fetch from a page of data stays refused.
    (page.perms != Perms::READ_WRITE && outcome.registers.rip.page() != addr.page()).then_some(page)
}

/// The host does not say whether a load or a store was refused, but the instruction does, where it has one operand.
fn wrong_access(case: &Case, host: &Outcome, ours: &Outcome) -> Option<String> {
    let (Ending::Fault { addr, .. }, Ending::Fault { access: Some(access), .. }) = (host.ending, ours.ending) else {
        return None;
    };
    let expected = expected_access(case, host.registers.rip, addr)?;
    (access != expected).then(|| format!("the fault's access is {expected:?} and here {access:?}"))
}

fn expected_access(case: &Case, rip: VirtAddr, refused: VirtAddr) -> Option<Access> {
    let instruction = case.at(rip)?;
    let page = arena::data_pages().find(|page| page.start == refused.page_floor());
    if page.is_some_and(|page| page.perms == Perms::READ) {
        return Some(Access::Write);
    }
    (!masks::stores(instruction)).then_some(Access::Read)
}
