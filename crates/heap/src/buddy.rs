//! The binary buddy system: every block is a power of two and lies at a multiple of its size.
//!
//! ```text
//!   allocated   | header | payload ................................ padding |   2^order bytes
//!   free        | header | next | prev | (nothing)                          |
//!
//!   order 6     | 64                                                        |
//!   order 5     | 32                          | 32: buddy of the left one   |
//!   order 4     | 16           | 16           |
//! ```
//! The two halves of a split block are buddies, and their offsets differ in one bit: so `free` finds the only block it
//! may merge with by an exclusive or. There is one list of free blocks for each order; an operation takes at most as many
//! steps as there are orders. The price is internal fragmentation: a request of 2^k bytes and its header takes 2^(k+1).

use crate::allocator::round_up;
use crate::list::List;
use crate::words::{Places, Words};
use crate::*;

/// Headers are this, the state and the order.
const HEADER_MARK: u64 = 0x0bdd_0000;
const ALLOCATED: u64 = 1 << 8;
const ORDER: u64 = 0x3f;
/// The word before a payload that was moved up for its alignment: this and the distance to the header, in alignments.
const MOVED_MARK: u64 = 0x8000_0000;
const ORDERS: usize = 48;

/// The binary buddy system (`buddy`).
pub(crate) struct Buddy<A, const WORD: u64> {
    words: Words<A, WORD>,
    align: u64,
    /// Where the first block begins: just so that payloads are aligned.
    base: u64,
    /// The bytes of all blocks.
    bytes: u64,
    min_order: u32,
    chunk_order: u32,
    /// The free blocks of each order.
    free: [List; ORDERS],
    counters: Counters,
}

impl<A: Arena, const WORD: u64> Buddy<A, WORD> {
    /// An empty heap in `arena`.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for the padding before the first block.
    pub fn new(mut arena: A, settings: Settings) -> Result<Self, Refusal> {
        let Settings { align, chunk, .. } = settings;
        let base = align - WORD;
        arena.grow(base).map_err(|_| Refusal::NoMemory)?;
        let min_order = (3 * WORD).max(align).next_power_of_two().ilog2();
        let chunk_order = chunk.ilog2().max(min_order);
        let counters = Counters::default();
        Ok(Self {
            words: Words { arena },
            align,
            base,
            bytes: 0,
            min_order,
            chunk_order,
            free: [List::default(); ORDERS],
            counters,
        })
    }

    /// A block of this order, allocated: from the smallest free block that is large enough, halved until it fits.
    fn take(&mut self, order: u32) -> Result<u64, Refusal> {
        let mut have = order;
        while self.free[have as usize].is_empty() {
            self.counters.searched += 1;
            have += 1;
            if have > self.largest_order() {
                self.extend(order)?;
                have = order;
            }
        }
        self.counters.searched += 1;
        let at = self.free[have as usize].head() - WORD;
        self.unlink(at, have)?;
        while have > order {
            have -= 1;
            self.counters.splits += 1;
            self.push(at + (1 << have), have);
        }
        self.set(at, order, ALLOCATED);
        Ok(at)
    }

    /// No block of the heap has a larger order.
    fn largest_order(&self) -> u32 {
        self.bytes.checked_ilog2().unwrap_or(0).min(ORDERS as u32 - 1)
    }

    /// Frees a block, merging it with its buddy as long as that is free and of the same size.
    fn release(&mut self, mut at: u64, mut order: u32) -> Result<(), Refusal> {
        self.set(at, order, 0);
        while let Some(buddy) = self.free_buddy(at, order) {
            self.unlink(buddy, order)?;
            self.counters.coalescings += 1;
            at = at.min(buddy);
            order += 1;
        }
        self.push(at, order);
        Ok(())
    }

    fn free_buddy(&self, at: u64, order: u32) -> Option<u64> {
        let buddy = self.base + ((at - self.base) ^ (1 << order));
        let same = buddy - self.base < self.bytes && self.header(buddy) == Some((order, 0));
        (same && (order as usize) < ORDERS - 1).then_some(buddy)
    }

    /// Grows the heap by a block of at least this order, and by what must lie before it for its alignment.
    fn extend(&mut self, order: u32) -> Result<(), Refusal> {
        self.extend_by(order.max(self.chunk_order)).or_else(|_| self.extend_by(order))
    }

    fn extend_by(&mut self, order: u32) -> Result<(), Refusal> {
        let start = round_up(self.bytes, 1 << order).ok_or(Refusal::NoMemory)?;
        let end = start.checked_add(1 << order).filter(|&end| self.base + end <= Words::<A, WORD>::MAX);
        let end = end.ok_or(Refusal::NoMemory)?;
        self.words.arena.grow(end - self.bytes).map_err(|_| Refusal::NoMemory)?;
        self.counters.extensions += 1;
        while self.bytes < end {
            let fits = if self.bytes == start { order } else { self.bytes.trailing_zeros() };
            let at = self.base + self.bytes;
            self.bytes += 1 << fits;
            self.release(at, fits)?;
        }
        Ok(())
    }

    fn order_for(&self, bytes: u64) -> Result<u32, Refusal> {
        let block = bytes.checked_add(WORD).and_then(u64::checked_next_power_of_two);
        let order = block.ok_or(Refusal::NoMemory)?.ilog2().max(self.min_order);
        Some(order).filter(|&order| (order as usize) < ORDERS).ok_or(Refusal::NoMemory)
    }

    /// The block of a payload and its order.
    fn block_of(&self, payload: Ptr) -> Result<(u64, u32), Refusal> {
        let invalid = Refusal::InvalidFree(payload);
        let tag_at = payload.get().checked_sub(WORD).filter(|&at| self.is_place(at)).ok_or(invalid)?;
        let tag = self.words.get(tag_at);
        let moved = tag & MOVED_MARK != 0 && tag >> 32 == 0;
        let distance = if moved { (tag & !MOVED_MARK) * self.align } else { 0 };
        let at = tag_at.checked_sub(distance).filter(|&at| self.is_place(at));
        match at.and_then(|at| Some((at, self.header(at)?))) {
            Some((at, (order, ALLOCATED))) if payload.get() < at + (1 << order) => Ok((at, order)),
            _ => Err(self.diagnose(payload)),
        }
    }

    /// Walks the blocks to say what is wrong with a pointer.
    fn diagnose(&self, payload: Ptr) -> Refusal {
        let mut at = self.base;
        while at < self.base + self.bytes {
            let Some((order, state)) = self.header(at) else { return Refusal::Smashed(at) };
            if payload.get() < at + (1 << order) {
                return match state {
                    ALLOCATED => Refusal::InteriorPointer(payload),
                    _ => Refusal::DoubleFree(payload),
                };
            }
            at += 1 << order;
        }
        Refusal::InvalidFree(payload)
    }

    /// The order and the state in a block's header, if it is one.
    fn header(&self, at: u64) -> Option<(u32, u64)> {
        let tag = self.words.get(at);
        let (order, state) = ((tag & ORDER) as u32, tag & ALLOCATED);
        let marked = tag == HEADER_MARK | state | u64::from(order);
        let offset = at - self.base;
        let sound = marked
            && (self.min_order..ORDERS as u32).contains(&order)
            && offset.is_multiple_of(1 << order)
            && offset + (1 << order) <= self.bytes;
        sound.then_some((order, state))
    }

    fn set(&mut self, at: u64, order: u32, state: u64) {
        self.words.put(at, HEADER_MARK | state | u64::from(order));
    }

    fn push(&mut self, at: u64, order: u32) {
        self.set(at, order, 0);
        let mut list = self.free[order as usize];
        list.push(self, at);
        self.free[order as usize] = list;
    }

    fn unlink(&mut self, at: u64, order: u32) -> Result<(), Refusal> {
        if self.header(at) != Some((order, 0)) {
            return Err(Refusal::Smashed(at));
        }
        let mut list = self.free[order as usize];
        list.unlink(self, at)?;
        self.free[order as usize] = list;
        Ok(())
    }

    /// Cuts an allocated block down to a smaller order.
    fn shrink(&mut self, at: u64, from: u32, to: u32) -> Result<(), Refusal> {
        self.set(at, to, ALLOCATED);
        for order in to..from {
            self.counters.splits += 1;
            self.release(at + (1 << order), order)?;
        }
        Ok(())
    }

    /// Merges an allocated block with the buddies above it until it has a larger order, if they are all free.
    fn lengthen(&mut self, at: u64, from: u32, to: u32) -> Result<bool, Refusal> {
        let free_above = |order| self.free_buddy(at, order).is_some_and(|buddy| buddy > at);
        if !(from..to).all(free_above) {
            return Ok(false);
        }
        for order in from..to {
            self.unlink(at + (1 << order), order)?;
            self.counters.coalescings += 1;
        }
        self.set(at, to, ALLOCATED);
        Ok(true)
    }
}

impl<A: Arena, const WORD: u64> Places for Buddy<A, WORD> {
    const WORD: u64 = WORD;

    fn get(&self, at: u64) -> u64 {
        self.words.get(at)
    }

    fn put(&mut self, at: u64, value: u64) {
        self.words.put(at, value);
    }

    fn is_place(&self, at: u64) -> bool {
        at >= self.base && at - self.base < self.bytes && (at - self.base).is_multiple_of(self.align)
    }
}

impl<A: Arena, const WORD: u64> Allocator<A> for Buddy<A, WORD> {
    fn malloc(&mut self, bytes: u64) -> Result<Ptr, Refusal> {
        let order = self.order_for(bytes)?;
        Ok(Ptr::new(self.take(order)? + WORD))
    }

    fn free(&mut self, at: Ptr) -> Result<(), Refusal> {
        if at.is_null() {
            return Ok(());
        }
        let (at, order) = self.block_of(at)?;
        self.release(at, order)
    }

    fn usable_bytes(&self, at: Ptr) -> Result<u64, Refusal> {
        let (block, order) = self.block_of(at)?;
        Ok(block + (1 << order) - at.get())
    }

    fn aligned_alloc(&mut self, alignment: u64, bytes: u64) -> Result<Ptr, Refusal> {
        if !alignment.is_power_of_two() || alignment >= MOVED_MARK {
            return Err(Refusal::BadAlignment(alignment));
        }
        if alignment <= self.align {
            return self.malloc(bytes);
        }
        let order = self.order_for(bytes.checked_add(alignment).ok_or(Refusal::NoMemory)?)?;
        let at = self.take(order)?;
        let first = at + WORD;
        let payload = round_up(first, alignment).ok_or(Refusal::NoMemory)?;
        if payload != first {
            self.words.put(payload - WORD, MOVED_MARK | ((payload - first) / self.align));
        }
        Ok(Ptr::new(payload))
    }

    fn resize(&mut self, at: Ptr, bytes: u64) -> Result<bool, Refusal> {
        let (block, order) = self.block_of(at)?;
        let moved = at.get() - WORD - block;
        let need = self.order_for(bytes.checked_add(moved).ok_or(Refusal::NoMemory)?)?;
        if need > order {
            return self.lengthen(block, order, need);
        }
        self.shrink(block, order, need)?;
        Ok(true)
    }

    fn block_bytes(&self, at: Ptr) -> u64 {
        self.block_of(at).map_or(0, |(_, order)| 1 << order)
    }

    fn tag_bytes(&self) -> u64 {
        WORD
    }

    fn table_bytes(&self) -> u64 {
        size_of_val(&self.free) as u64
    }

    fn alignment(&self) -> u64 {
        self.align
    }

    fn blocks(&self) -> Result<Vec<Block>, Refusal> {
        let mut blocks = Vec::new();
        let mut at = self.base;
        while at < self.base + self.bytes {
            let (order, state) = self.header(at).ok_or(Refusal::Smashed(at))?;
            let used = if state == ALLOCATED { Use::Allocated } else { Use::Free };
            blocks.push(Block { at, bytes: 1 << order, used });
            at += 1 << order;
        }
        Ok(blocks)
    }

    /// Blocks lie at multiples of their sizes and fill the heap; no two buddies are free; each order's list holds
    /// exactly its free blocks.
    fn check(&self) -> Result<(), String> {
        let blocks = self.blocks().map_err(|refusal| refusal.to_string())?;
        let mut free: Vec<(u64, u64)> = Vec::new();
        for block in blocks.iter().filter(|block| block.used == Use::Free) {
            let order = block.bytes.ilog2();
            if let Some(buddy) = self.free_buddy(block.at, order) {
                return Err(format!("buddies {:#x} and {buddy:#x} are both free", block.at));
            }
            free.push((block.at, block.bytes));
        }
        let mut listed = Vec::new();
        for (order, list) in self.free.iter().enumerate() {
            let mut payload = list.head();
            while payload != 0 && listed.len() <= blocks.len() {
                let at = payload.wrapping_sub(WORD);
                if !self.is_place(at) {
                    return Err(format!("the list of order {order} leads to {payload:#x}"));
                }
                listed.push((at, 1 << order));
                payload = self.words.get(payload);
            }
        }
        listed.sort_unstable();
        if listed == free { Ok(()) } else { Err("the lists do not hold exactly the free blocks".into()) }
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn arena(&self) -> &A {
        &self.words.arena
    }

    fn arena_mut(&mut self) -> &mut A {
        &mut self.words.arena
    }
}
