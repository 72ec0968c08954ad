//! Sharing a range of one tree with another, for fork.

use crate::entry::Word;
use crate::tables::{TABLE_WORDS, Tables, slot, span_floor, span_pages};
use crate::{Frames, Origin, OutOfFrames, SwapSlot};
use addr::{PageRange, Pfn};

/// What [`Tables::share_into`] shared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SharedPages {
    /// Pages of the program's own memory.
    pub anonymous: u64,
    /// Pages of files and of shared memory.
    pub object: u64,
    /// Pages in swap; each slot gained a share.
    pub swapped: Vec<SwapSlot>,
}

impl Tables {
    /// Gives another tree the same entries in a range, a table at a time, and takes the right to store from both: the
    /// first store to a page copies it. Each frame gains a share.
    ///
    /// # Errors
    /// No frame for a table. What was shared until then stays shared; the other tree is to be torn down as usual, and
    /// `shared` says what it got.
    pub fn share_into(
        &self,
        child: &Tables,
        range: PageRange,
        frames: &mut Frames,
        shared: &mut SharedPages,
    ) -> Result<(), OutOfFrames> {
        let mut page = range.start;
        while page < range.end {
            let mut level = self.levels().count();
            let mut at = slot(self.root(), page, level);
            while let (2.., Some(table)) = (level, self.load(at).table()) {
                level -= 1;
                at = slot(table, page, level);
                if level == 1 {
                    let part = PageRange::new(page, (span_floor(page, 2) + TABLE_WORDS).min(range.end));
                    self.share_table(table, child, part, frames, shared)?;
                }
            }
            if level > 1 && self.load(at).is_large_leaf() {
                let word = self.update(at, Word::without_write).without_write();
                child.store(child.grow(page, level, frames)?, word);
                share_block(word, level, frames, shared);
            }
            page = span_floor(page, level.max(2)) + span_pages(level.max(2));
        }
        Ok(())
    }

    /// Shares the part of one table of level 1.
    fn share_table(
        &self,
        table: Pfn,
        child: &Tables,
        part: PageRange,
        frames: &mut Frames,
        shared: &mut SharedPages,
    ) -> Result<(), OutOfFrames> {
        let mut to = None;
        let first = slot(table, part.start, 1);
        for offset in (0..part.count()).map(|index| index * 8) {
            let word = self.load(first + offset);
            if word.is_absent() {
                continue;
            }
            let to = match to {
                Some(to) => to,
                None => *to.insert(child.grow(part.start, 1, frames)?),
            };
            if !word.is_page() {
                child.store(to + offset, word);
                if let crate::Entry::Swapped(slot) = word.decode(1) {
                    shared.swapped.push(slot);
                }
                continue;
            }
            let word = match word.without_write() {
                same if same == word => word,
                _ => self.update(first + offset, Word::without_write).without_write(),
            };
            child.store(to + offset, word);
            match word.origin() {
                Origin::Anonymous => shared.anonymous += 1,
                Origin::Object => shared.object += 1,
                Origin::Zero => continue,
            }
            frames.share(word.pfn());
        }
        Ok(())
    }
}

fn share_block(word: Word, level: u32, frames: &mut Frames, shared: &mut SharedPages) {
    let pages = span_pages(level);
    match word.origin() {
        Origin::Anonymous => shared.anonymous += pages,
        Origin::Object => shared.object += pages,
        Origin::Zero => return,
    }
    (0..pages as u32).for_each(|index| frames.share(word.pfn() + index));
}
