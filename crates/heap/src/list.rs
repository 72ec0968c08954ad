//! A doubly linked list threaded through free blocks.
//!
//! ```text
//!   +--------+------+------+---------- - - ----------+--------+
//!   | header | next | prev | the rest of the payload | footer |
//!   +--------+------+------+---------- - - ----------+--------+
//! ```
//! A link is the offset of the other block's payload, which is never 0; 0 ends the list. A payload that was written to
//! after it was freed may have destroyed links, so each is verified before it is followed.

use crate::tags::{Free, Tags};
use crate::words::Places;
use crate::{Arena, Refusal};

/// The list: the payload offset of its first block, or 0.
#[derive(Clone, Copy, Default)]
pub(crate) struct List {
    head: u64,
}

impl List {
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.head == 0
    }

    /// The payload offset of the first block, or 0.
    pub fn head(&self) -> u64 {
        self.head
    }

    /// The first block, verified.
    #[inline(always)]
    pub fn first<A: Arena, const WORD: u64>(&self, tags: &Tags<A, WORD>) -> Result<Option<Free>, Refusal> {
        follow(tags, self.head, tags.first)
    }

    /// The block after `at`.
    #[inline(always)]
    pub fn next<A: Arena, const WORD: u64>(&self, tags: &Tags<A, WORD>, at: u64) -> Result<Option<Free>, Refusal> {
        let link = at + WORD;
        follow(tags, tags.get(link), link)
    }

    /// Puts a block in front.
    #[inline(always)]
    pub fn push<P: Places>(&mut self, places: &mut P, at: u64) {
        self.link(places, at, 0, self.head);
    }

    /// Puts a block between its neighbours in address order.
    pub fn insert_by_address<A: Arena, const WORD: u64>(
        &mut self,
        tags: &mut Tags<A, WORD>,
        at: u64,
    ) -> Result<(), Refusal> {
        let (mut prev, mut next) = (0, self.head);
        while let Some(block) = follow(tags, next, at)?.filter(|block| block.at < at) {
            // A destroyed link may lead back; addresses that do not grow end the walk.
            if block.at + WORD <= prev {
                return Err(Refusal::Smashed(prev));
            }
            prev = next;
            next = tags.get(block.at + WORD);
        }
        self.link(tags, at, prev, next);
        Ok(())
    }

    #[inline(always)]
    fn link<P: Places>(&mut self, places: &mut P, at: u64, prev: u64, next: u64) {
        let payload = at + P::WORD;
        places.put(payload, next);
        places.put(payload + P::WORD, prev);
        if prev == 0 {
            self.head = payload;
        } else {
            places.put(prev, payload);
        }
        if next != 0 {
            places.put(next + P::WORD, payload);
        }
    }

    /// Takes a block out.
    #[inline(always)]
    pub fn unlink<P: Places>(&mut self, places: &mut P, at: u64) -> Result<(), Refusal> {
        let payload = at + P::WORD;
        let (next, prev) = (places.get(payload), places.get(payload + P::WORD));
        let next_agrees =
            next == 0 || (places.is_place(next.wrapping_sub(P::WORD)) && places.get(next + P::WORD) == payload);
        let prev_agrees = if prev == 0 {
            self.head == payload
        } else {
            places.is_place(prev.wrapping_sub(P::WORD)) && places.get(prev) == payload
        };
        if !next_agrees || !prev_agrees {
            return Err(Refusal::Smashed(payload));
        }
        if next != 0 {
            places.put(next + P::WORD, prev);
        }
        if prev == 0 {
            self.head = next;
        } else {
            places.put(prev, next);
        }
        Ok(())
    }

    /// Every block, in the list's order.
    ///
    /// # Errors
    /// One sentence, when a link was destroyed.
    pub fn held<A: Arena, const WORD: u64>(&self, tags: &Tags<A, WORD>) -> Result<Vec<Free>, String> {
        let broken = |refusal: Refusal| format!("a free list: {refusal}");
        let mut held = Vec::new();
        let mut next = self.first(tags).map_err(broken)?;
        while let Some(free) = next {
            if held.len() as u64 == tags.most_blocks() {
                return Err("a free list leads back into itself".into());
            }
            held.push(free);
            next = self.next(tags, free.at).map_err(broken)?;
        }
        Ok(held)
    }
}

/// The free block that a link, read at `from`, leads to.
#[inline(always)]
fn follow<A: Arena, const WORD: u64>(tags: &Tags<A, WORD>, link: u64, from: u64) -> Result<Option<Free>, Refusal> {
    if link == 0 {
        return Ok(None);
    }
    let at = link.wrapping_sub(WORD);
    match tags.block(at) {
        Ok(tag) if !tag.allocated => Ok(Some(Free { at, bytes: tag.bytes })),
        _ => Err(Refusal::Smashed(from)),
    }
}
