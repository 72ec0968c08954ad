//! Which blocks there are: bits for each place where a block may begin.

use super::bits::{Bits, first_set, from_bit, to_bit};

/// The blocks of a heap, found from any address inside them.
///
/// ```text
///   heap   | block            | block  | free block      | block |
///   live     1 0 0 0 0 0 0 0 0  1 0 0 0  0 0 0 0 0 0 0 0   1 0 0     one bit a unit
///   free     0 0 0 0 0 0 0 0 0  0 0 0 0  1 0 0 0 0 0 0 0   0 0 0
/// ```
/// A block begins at a bit in either and ends at the next one in either. The bits lie beside the heap, so that looking
/// an address up touches no block; those of one KiB lie side by side in one row.
#[derive(Clone, Default)]
pub struct BlockMap {
    /// The offset of the first unit.
    pub(super) first: u64,
    /// The offset past the last block.
    pub(super) end: u64,
    rows: Vec<Row>,
}

/// Blocks begin at multiples of this many bytes from the first one.
pub(super) const UNIT: u64 = 16;
/// What a row covers.
pub(super) const ROW_BYTES: u64 = UNIT * 64;

/// The bits of 64 units.
#[derive(Clone, Copy, Default)]
struct Row {
    /// An allocated block begins.
    live: u64,
    /// A free block begins.
    free: u64,
    /// The allocated block that begins has no pointers in it.
    atomic: u64,
    /// If none begins here: in which row, so many before this one, the block around it begins.
    back: usize,
}

impl Row {
    #[inline(always)]
    fn starts(&self) -> u64 {
        self.live | self.free
    }
}

impl BlockMap {
    /// A map of no blocks, from offset `first` on.
    pub fn new(first: u64) -> Self {
        Self { first, end: first, rows: Vec::new() }
    }

    /// Enters a block where none begins; blocks are entered in any order, and cover the heap up to `end` when it is used.
    pub fn insert(&mut self, at: u64, bytes: u64, contents: Contents) {
        self.cover(at + bytes);
        self.insert_small(at, contents);
        self.lead_back(at, bytes);
    }

    /// Enters a block that is free.
    pub fn insert_free(&mut self, at: u64, bytes: u64) {
        self.cover(at + bytes);
        let unit = self.unit(at);
        self.rows[unit / 64].free |= 1 << (unit % 64);
        self.lead_back(at, bytes);
    }

    /// Enters an allocated block of less than `ROW_BYTES` below `end`.
    #[inline(always)]
    pub(super) fn insert_small(&mut self, at: u64, contents: Contents) {
        let unit = self.unit(at);
        let row = &mut self.rows[unit / 64];
        row.live |= 1 << (unit % 64);
        if contents == Contents::Atomic {
            row.atomic |= 1 << (unit % 64);
        }
    }

    /// The allocated block that holds this offset.
    #[inline(always)]
    pub fn find(&self, at: u64) -> Option<usize> {
        let offset = at.wrapping_sub(self.first);
        if offset >= self.end - self.first {
            return None;
        }
        let unit = (offset / UNIT) as usize;
        let row = &self.rows[unit / 64];
        let before = row.starts() & to_bit(unit);
        if before == 0 {
            return self.find_before(unit / 64);
        }
        let bit = before.ilog2() as usize;
        (row.live >> bit & 1 == 1).then_some(unit / 64 * 64 + bit)
    }

    /// The last block that begins before this row, if it is allocated.
    fn find_before(&self, row: usize) -> Option<usize> {
        let mut index = row.checked_sub(1)?;
        let row = loop {
            let row = &self.rows[index];
            if row.starts() != 0 {
                break row;
            }
            index = index.checked_sub(row.back.max(1))?;
        };
        let bit = row.starts().ilog2();
        (row.live >> bit & 1 == 1).then_some(index * 64 + bit as usize)
    }

    /// Where the block at a unit begins and ends.
    #[inline(always)]
    pub fn range(&self, unit: usize) -> (u64, u64) {
        let next = first_set(unit + 1, |row| Some(self.rows.get(row)?.starts()));
        (self.at(unit), next.map_or(self.end, |next| self.at(next)))
    }

    /// Whether the block at a unit has no pointers in it.
    #[inline(always)]
    pub fn is_atomic(&self, unit: usize) -> bool {
        self.rows[unit / 64].atomic >> (unit % 64) & 1 == 1
    }

    /// Every allocated block, in order of address.
    pub fn live_blocks(&self) -> impl Iterator<Item = usize> {
        let next = |from| first_set(from, |row| Some(self.rows.get(row)?.live));
        std::iter::successors(next(0), move |&unit| next(unit + 1))
    }

    /// Whether an allocated block begins at a unit.
    pub(super) fn is_live(&self, unit: usize) -> bool {
        self.rows[unit / 64].live >> (unit % 64) & 1 == 1
    }

    /// The first block from a unit on that is free or not marked.
    pub(super) fn next_unmarked(&self, from: usize, marks: &Bits) -> Option<usize> {
        first_set(from, |row| {
            let bits = self.rows.get(row)?;
            Some(bits.live & !marks.word(row) | bits.free)
        })
    }

    /// Makes free blocks of all from an offset on that are not marked.
    pub(super) fn bury(&mut self, from: u64, marks: &Bits) {
        let from = self.unit(from);
        let mut mask = from_bit(from);
        for (index, row) in self.rows.iter_mut().enumerate().skip(from / 64) {
            let dead = row.live & !marks.word(index) & mask;
            row.free |= dead;
            row.live &= !dead;
            row.atomic &= !dead;
            mask = u64::MAX;
        }
    }

    /// Forgets the blocks that begin in a range of offsets.
    pub(super) fn remove_all(&mut self, from: u64, to: u64) {
        let (mut unit, end) = (self.unit(from), self.unit(to));
        while unit < end {
            let count = (64 - unit % 64).min(end - unit);
            let keep = !((u64::MAX >> (64 - count)) << (unit % 64));
            let row = &mut self.rows[unit / 64];
            row.live &= keep;
            row.free &= keep;
            row.atomic &= keep;
            unit += count;
        }
    }

    /// Makes room for blocks up to `end`.
    pub(super) fn cover(&mut self, end: u64) {
        self.end = self.end.max(end);
        let rows = (self.end - self.first).div_ceil(ROW_BYTES) as usize;
        if rows > self.rows.len() {
            self.rows.resize(rows, Row::default());
        }
    }

    /// Tells each row that lies inside a block where that begins, so that a pointer into the end of a large block finds
    /// its start without walking over all of it.
    fn lead_back(&mut self, at: u64, bytes: u64) {
        let home = self.unit(at) / 64;
        let end = self.unit(at + bytes) / 64;
        for row in home + 1..end {
            self.rows[row].back = row - home;
        }
    }

    /// How many units there are.
    pub(super) fn units(&self) -> usize {
        self.unit(self.end)
    }

    #[inline(always)]
    pub(super) fn unit(&self, at: u64) -> usize {
        ((at - self.first) / UNIT) as usize
    }

    #[inline(always)]
    pub(super) fn at(&self, unit: usize) -> u64 {
        self.first + unit as u64 * UNIT
    }
}

/// What a block may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Any word may be a pointer.
    Pointers,
    /// No pointers: text, numbers. It is never looked into.
    Atomic,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_in_a_block_finds_it() {
        let mut map = BlockMap::new(8);
        map.insert(8, 32, Contents::Pointers);
        map.insert_free(40, 2048);
        map.insert(2088, 40_960, Contents::Atomic);
        map.insert(43_048, 16, Contents::Pointers);
        assert_eq!([7, 8, 39, 40, 2087].map(|at| map.find(at)), [None, Some(0), Some(0), None, None]);
        assert_eq!([2088, 9000, 43_047].map(|at| map.find(at)), [Some(130); 3]);
        assert_eq!([43_048, 43_064].map(|at| map.find(at)), [Some(2690), None]);
        assert_eq!((map.range(0), map.range(130)), ((8, 40), (2088, 43_048)));
        assert_eq!(map.live_blocks().collect::<Vec<_>>(), [0, 130, 2690]);
    }

    #[test]
    fn what_is_not_marked_is_buried() {
        let mut map = BlockMap::new(0);
        (0..100).for_each(|block| map.insert(block * 32, 32, Contents::Atomic));
        let mut marks = Bits::default();
        marks.cover(map.units());
        assert!([4, 70, 150].into_iter().all(|unit| marks.set(unit)));
        assert_eq!(map.next_unmarked(4, &marks), Some(6));
        map.bury(1040, &marks);
        assert_eq!(map.live_blocks().collect::<Vec<_>>(), [(0..=64).step_by(2).collect(), vec![70, 150]].concat());
        map.remove_all(32, 70 * 16);
        assert_eq!(map.live_blocks().collect::<Vec<_>>(), [0, 70, 150]);
        assert_eq!(map.range(0), (0, 70 * 16));
    }
}
