//! The explicit free list: free blocks hold the links of a list of their own.
//!
//! ```text
//!   allocated   | header | payload ....................... padding | footer |
//!   free        | header | next | prev | (nothing)                 | footer |
//! ```
//! A search walks free blocks only. New ones go in front (LIFO: constant time) or in order of address (linear, and first
//! fit then fragments about as little as best fit). The price is the smallest block: room for two links.

use crate::list::List;
use crate::tagged::{Index, Tagged};
use crate::tagged_check::same_blocks;
use crate::tags::Tags;
use crate::*;
use std::collections::BTreeMap;

/// The explicit doubly linked list (`explicit`).
///
/// # Errors
/// `NoMemory` when the arena has no room for prologue and epilogue.
#[expect(private_interfaces, reason = "the index is an allocator's own affair")]
pub fn explicit<A: Arena>(arena: A, settings: Settings) -> Result<Tagged<A, FreeList>, Refusal> {
    let list = FreeList { list: List::default(), fit: settings.fit, order: settings.order, rover: None };
    Tagged::with_index(arena, settings, list)
}

/// One list of all free blocks.
pub(crate) struct FreeList {
    list: List,
    fit: Fit,
    order: Order,
    /// Where the next search begins, for next fit: a free block, or the head.
    rover: Option<u64>,
}

impl FreeList {
    /// Walks at most the whole list from `start` to its end, and gives the first or the smallest block that fits.
    fn search<A: Arena>(
        &self,
        tags: &Tags<A>,
        start: Option<u64>,
        need: u64,
        counters: &mut Counters,
    ) -> Result<Option<(u64, u64)>, Refusal> {
        let mut best: Option<(u64, u64)> = None;
        let (mut next, mut steps) = (start, 0);
        while let Some(at) = next {
            counters.searched += 1;
            steps += 1;
            if steps > self.list.count {
                return Err(Refusal::Smashed(at));
            }
            let bytes = tags.block(at)?.bytes;
            if bytes >= need && best.is_none_or(|(_, best)| bytes < best) {
                best = Some((at, bytes));
                if self.fit != Fit::Best || bytes == need {
                    break;
                }
            }
            next = self.list.next(tags, at)?;
        }
        Ok(best)
    }
}

impl<A: Arena> Index<A> for FreeList {
    const LINKS: u64 = 2;
    const RESTS: bool = false;

    fn insert(&mut self, tags: &mut Tags<A>, at: u64, _: u64) -> Result<(), Refusal> {
        match self.order {
            Order::Lifo => self.list.push(tags, at),
            Order::Address => self.list.insert_by_address(tags, at)?,
        }
        Ok(())
    }

    fn remove(&mut self, tags: &mut Tags<A>, at: u64, _: u64) -> Result<(), Refusal> {
        if self.rover == Some(at) {
            self.rover = self.list.next(tags, at)?;
        }
        self.list.unlink(tags, at)
    }

    fn find(&mut self, tags: &Tags<A>, need: u64, counters: &mut Counters) -> Result<Option<(u64, u64)>, Refusal> {
        let head = self.list.first(tags)?;
        if self.fit == Fit::Next && self.rover.is_some() {
            let found = self.search(tags, self.rover, need, counters)?;
            if let Some((at, _)) = found {
                self.rover = Some(at);
                return Ok(found);
            }
        }
        let found = self.search(tags, head, need, counters)?;
        if self.fit == Fit::Next {
            self.rover = found.map(|(at, _)| at);
        }
        Ok(found)
    }

    fn check(&self, tags: &Tags<A>, free: &BTreeMap<u64, u64>, _: &BTreeMap<u64, u64>) -> Result<(), String> {
        let held = held_by(&self.list, tags)?;
        let places: Vec<u64> = held.iter().map(|&(at, _)| at).collect();
        if self.order == Order::Address && !places.is_sorted() {
            return Err("the list is not in order of address".into());
        }
        if self.rover.is_some_and(|rover| !places.contains(&rover)) {
            return Err("the rover is not in the list".into());
        }
        same_blocks("free", &held.into_iter().collect(), free)
    }
}

/// Every block of a list with its size, in the list's order.
pub(crate) fn held_by<A: Arena>(list: &List, tags: &Tags<A>) -> Result<Vec<(u64, u64)>, String> {
    let broken = |refusal: Refusal| format!("a free list: {refusal}");
    let mut held = Vec::new();
    let mut next = list.first(tags).map_err(broken)?;
    while let Some(at) = next {
        if held.len() as u64 == list.count {
            return Err("a free list is longer than its count".into());
        }
        held.push((at, tags.tag(at).bytes));
        next = list.next(tags, at).map_err(broken)?;
    }
    if held.len() as u64 == list.count { Ok(held) } else { Err("a free list is shorter than its count".into()) }
}
