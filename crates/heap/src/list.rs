//! A doubly linked list threaded through free blocks.
//!
//! ```text
//!   +--------+------+------+---------- - - ----------+--------+
//!   | header | next | prev | the rest of the payload | footer |
//!   +--------+------+------+---------- - - ----------+--------+
//! ```
//! A link is the offset of the other block's payload, which is never 0; 0 ends the list. A payload that was written to
//! after it was freed may have destroyed links, so each is verified before it is followed.

use crate::tags::Tags;
use crate::{Arena, Refusal};

/// The list: the payload offset of its first block, or 0.
#[derive(Clone, Copy, Default)]
pub(crate) struct List {
    head: u64,
    /// How many blocks, so that a destroyed link cannot make a walk endless.
    pub count: u64,
}

impl List {
    pub fn is_empty(&self) -> bool {
        self.head == 0
    }

    pub fn first<A: Arena>(&self, tags: &Tags<A>) -> Result<Option<u64>, Refusal> {
        follow(tags, self.head, tags.first)
    }

    /// The block after `at`.
    #[inline]
    pub fn next<A: Arena>(&self, tags: &Tags<A>, at: u64) -> Result<Option<u64>, Refusal> {
        let link = at + tags.word();
        follow(tags, tags.get(link), link)
    }

    #[inline]
    pub fn push<A: Arena>(&mut self, tags: &mut Tags<A>, at: u64) {
        self.link(tags, at, 0, self.head);
    }

    /// Puts `at` between its neighbours in address order.
    pub fn insert_by_address<A: Arena>(&mut self, tags: &mut Tags<A>, at: u64) -> Result<(), Refusal> {
        let (mut prev, mut next, mut steps) = (0, self.head, 0);
        while let Some(block) = follow(tags, next, at)? {
            if block > at {
                break;
            }
            steps += 1;
            if steps > self.count {
                return Err(Refusal::Smashed(block));
            }
            prev = next;
            next = tags.get(block + tags.word());
        }
        self.link(tags, at, prev, next);
        Ok(())
    }

    fn link<A: Arena>(&mut self, tags: &mut Tags<A>, at: u64, prev: u64, next: u64) {
        let word = tags.word();
        let payload = at + word;
        tags.put(payload, next);
        tags.put(payload + word, prev);
        if prev == 0 {
            self.head = payload;
        } else {
            tags.put(prev, payload);
        }
        if next != 0 {
            tags.put(next + word, payload);
        }
        self.count += 1;
    }

    #[inline]
    pub fn unlink<A: Arena>(&mut self, tags: &mut Tags<A>, at: u64) -> Result<(), Refusal> {
        let word = tags.word();
        let payload = at + word;
        let (next, prev) = (tags.get(payload), tags.get(payload + word));
        let next_agrees = next == 0 || (tags.is_place(next.wrapping_sub(word)) && tags.get(next + word) == payload);
        let prev_agrees = if prev == 0 {
            self.head == payload
        } else {
            tags.is_place(prev.wrapping_sub(word)) && tags.get(prev) == payload
        };
        if !next_agrees || !prev_agrees {
            return Err(Refusal::Smashed(payload));
        }
        if next != 0 {
            tags.put(next + word, prev);
        }
        if prev == 0 {
            self.head = next;
        } else {
            tags.put(prev, next);
        }
        self.count -= 1;
        Ok(())
    }
}

/// The block that a link, read at `from`, leads to.
#[inline]
fn follow<A: Arena>(tags: &Tags<A>, link: u64, from: u64) -> Result<Option<u64>, Refusal> {
    if link == 0 {
        return Ok(None);
    }
    let at = link.wrapping_sub(tags.word());
    let sound = tags.is_place(at) && !tags.tag(at).allocated;
    if sound { Ok(Some(at)) } else { Err(Refusal::Smashed(from)) }
}
