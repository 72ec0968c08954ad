//! Robson's adversary: the program that no allocator which cannot move blocks serves without waste.
//!
//! It never has more than M units live, in blocks of 1, 2, 4 .. n units. In round i it keeps just those blocks that
//! cover a place f modulo 2^i, so that no gap of 2^i units is left between two of them, frees the others, and asks for
//! blocks of 2^i units, which must go to new places. Robson (1974) proved that every allocator then needs at least
//! M (log2(n)/2 + 1) - n + 1 units, and that some need no more.

use super::Writer;
use crate::{Allocator, Arena, ByteArena, Kind, Op, Order, Ptr, Refusal};

/// The size of the game.
#[derive(Clone, Copy, Debug)]
pub struct Robson {
    /// M: how many units are live at most.
    pub units: u64,
    /// log2(n): the largest block is two to this power.
    pub rounds: u32,
    /// Bytes of a unit, with tags; at least the smallest block.
    pub unit_bytes: u64,
}

impl Robson {
    /// The units that any allocator needs at least.
    pub fn lower_bound(&self) -> u64 {
        self.units * (u64::from(self.rounds) + 2) / 2 - (1 << self.rounds) + 1
    }
}

/// Plays the adversary against a heap, reports each call, and gives the units of heap that it took.
///
/// # Errors
/// The heap's.
pub fn robson<A: Arena>(heap: &mut dyn Allocator<A>, game: Robson, mut report: impl FnMut(Op)) -> Result<u64, Refusal> {
    let Robson { units, rounds, unit_bytes } = game;
    let mut live: Vec<Placed> = Vec::new();
    let (mut free_ids, mut ids) = (Vec::new(), 0);
    let (mut origin, mut top, mut place) = (None, 0, 0);
    for round in 0..=rounds {
        let size = 1 << round;
        if round > 0 {
            let choices = [place, place + size / 2];
            place = choices.into_iter().max_by_key(|&place| waste(&live, place, size)).expect("two choices");
            for block in live.extract_if(.., |block| !block.covers(place, size)) {
                heap.free(block.at)?;
                report(Op::Free { id: block.id });
                free_ids.push(block.id);
            }
        }
        let held: u64 = live.iter().map(|block| block.units).sum();
        for _ in 0..(units - held) / size {
            let bytes = size * unit_bytes - heap.tag_bytes();
            let at = heap.malloc(bytes)?;
            let id = free_ids.pop().unwrap_or(ids);
            ids = ids.max(id + 1);
            report(Op::Malloc { id, bytes });
            let first = (at.get() - *origin.get_or_insert(at.get())) / unit_bytes;
            top = top.max(first + size);
            live.push(Placed { id, at, first, units: size });
        }
    }
    live.iter().for_each(|block| report(Op::Free { id: block.id }));
    Ok(top)
}

struct Placed {
    id: u32,
    at: Ptr,
    /// The first unit, counted from the first block of all.
    first: u64,
    units: u64,
}

impl Placed {
    /// Whether one of its units is `place` modulo `size`.
    fn covers(&self, place: u64, size: u64) -> bool {
        (place + size - self.first % size) % size < self.units
    }
}

/// The units that blocks kept at `place` would spoil for blocks of `size`.
fn waste(live: &[Placed], place: u64, size: u64) -> u64 {
    live.iter().filter(|block| block.covers(place, size)).map(|block| size - block.units).sum()
}

/// The adversary's calls against first fit, about `ops` of them.
pub(super) fn trace(w: &mut Writer, ops: usize) {
    let units = (ops as u64 / 3).max(64);
    let game = Robson { units, rounds: units.ilog2().min(10), unit_bytes: 32 };
    let limit = units * 32 * 16;
    // A list in order of address is searched in less time than all blocks, and finds the same ones.
    let mut first_fit = Kind::Explicit.spec();
    first_fit.settings.order = Order::Address;
    let mut heap = first_fit.open(ByteArena::new(limit)).expect("an arena of this size has room");
    let mut next = 0;
    let report = |op: Op| {
        next = next.max(op.id() + 1);
        w.ops.push(op);
    };
    robson(heap.as_mut(), game, report).expect("sixteen times the live units are enough for first fit");
    w.ids = next;
}
