//! The invariants of a heap of tagged blocks.

use crate::tagged::{FreeBlocks, Sizes, Tagged};
use crate::tags::Tag;
use crate::words::Places;
use crate::*;

impl<A: Arena, F: FreeBlocks<A, WORD>, const WORD: u64> Tagged<A, F, WORD> {
    /// 1. Blocks fill the heap from the first one to the epilogue, each of a size that can be.
    /// 2. A block that has a footer has the header's size in it; prologue and epilogue are as they were made.
    /// 3. Where headers keep it, the bit for the block before says what that block is.
    /// 4. No two neighbours are free, where coalescing is immediate.
    /// 5. The lists hold exactly the free blocks, and the quick lists exactly the resting ones.
    pub(crate) fn check_tags(&self) -> Result<(), String> {
        let tags = &self.blocks.tags;
        let (mut free, mut resting) = (Sizes::new(), Sizes::new());
        self.check_ends()?;
        let mut at = tags.first;
        let mut before_allocated = true;
        while at < tags.end {
            let tag = tags.block(at).map_err(|_| format!("block {at:#x}: a header that cannot be"))?;
            self.check_block(at, tag, before_allocated)?;
            match (tag.allocated, tag.quick) {
                (true, true) => resting.insert(at, tag.bytes),
                (true, false) => None,
                (false, _) => free.insert(at, tag.bytes),
            };
            before_allocated = tag.allocated;
            at += tag.bytes;
        }
        if tags.keeps_before() && tags.tag(tags.end).before_allocated != before_allocated {
            return Err("the epilogue says the wrong thing of the last block".into());
        }
        self.free.check(tags, &free, &resting)
    }

    fn check_block(&self, at: u64, tag: Tag, before_allocated: bool) -> Result<(), String> {
        let tags = &self.blocks.tags;
        let footer_at = at + tag.bytes - WORD;
        let has_footer = !tag.allocated || !tags.keeps_before();
        let footer = tags.tag(footer_at);
        if has_footer && (footer.bytes != tag.bytes || footer.allocated != tag.allocated) {
            return Err(format!("block {at:#x}: the footer is not the header"));
        }
        if tags.keeps_before() && tag.before_allocated != before_allocated {
            return Err(format!("block {at:#x}: the bit for the block before is wrong"));
        }
        if !tag.allocated && !before_allocated && self.blocks.settings.coalesce == Coalesce::Immediate {
            return Err(format!("block {at:#x} and the one before are both free"));
        }
        Ok(())
    }

    fn check_ends(&self) -> Result<(), String> {
        let tags = &self.blocks.tags;
        if !tags.keeps_before() {
            let prologue = Tag { bytes: 2 * WORD, allocated: true, before_allocated: false, quick: false }.encode();
            if [2 * WORD, WORD].iter().any(|back| tags.get(tags.first - back) != prologue) {
                return Err("the prologue was overwritten".into());
            }
        }
        let epilogue = tags.tag(tags.end);
        if epilogue.bytes != 0 || !epilogue.allocated {
            return Err("the epilogue was overwritten".into());
        }
        if tags.end + WORD > tags.words.arena.bytes() {
            return Err("the epilogue lies past the arena".into());
        }
        Ok(())
    }
}
