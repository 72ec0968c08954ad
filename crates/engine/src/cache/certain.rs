//! Blocks that are translated before they are reached, because they will be.
//!
//! To be asked for a block costs: generated code is left, the block looked for, and the caches are full of other code by
//! then. So the translator goes on with what surely comes next: where a jump or a call leads, and where the call returns to.
//! It goes to no page that no block depends on: such a page may be absent, and a child must not come by a link to one that
//! its parent never had.

use super::{CodeCache, Landing};
use crate::Linking;
use crate::block::BlockId;
use crate::translate::{Extent, Onward, Variant};
use addr::VirtAddr;
use mmu::{CpuView, Tables};

/// How many are translated after one that was wanted. More would hardly be found.
const MOST: usize = 6;

/// A block that will be wanted.
#[derive(Clone, Copy)]
pub(super) struct Certain {
    rip: VirtAddr,
    variant: Variant,
    /// The link that leads there, if it is not by an indirect jump.
    link: Option<u32>,
}

impl CodeCache {
    /// Makes the blocks that are surely reached from one that was translated just now.
    pub(super) fn make_certain(&mut self, tables: &Tables, of: BlockId, view: &CpuView) {
        let map = self.map_of(tables);
        if self.linking == Linking::Off || self.plan.extent != Extent::Superblock || self.maps[&map].users > 1 {
            return;
        }
        let mut coming = std::mem::take(&mut self.certain);
        self.note_certain(of, &mut coming);
        let mut at = 0;
        let mut made = 0;
        while let Some(&Certain { rip, variant, link }) = coming.get(at) {
            at += 1;
            let Some(of_page) = self.maps[&map].by_page.get(&rip.page()) else { continue };
            let id = match self.alive(of_page, rip, variant) {
                Some(id) => id,
                None if made == MOST || !self.has_room() => continue,
                None => {
                    made += 1;
                    let landing = if link.is_some() { Landing::ByLink } else { Landing::ByWayIn };
                    let Some(id) = self.make(tables, (rip, variant, landing), &mut coming) else { continue };
                    id
                }
            };
            match link {
                Some(link) => self.link(link, id),
                None => self.expect_return_to(id, view),
            }
        }
        coming.clear();
        self.certain = coming;
    }

    /// Makes a block; notes where it leads if it had to be translated.
    fn make(
        &mut self,
        tables: &Tables,
        (rip, variant, landing): (VirtAddr, Variant, Landing),
        coming: &mut Vec<Certain>,
    ) -> Option<BlockId> {
        if let Some(id) = self.recall(tables, rip, variant, landing) {
            return Some(id);
        }
        let id = self.translate(tables, rip, variant, landing).ok()?;
        self.note_certain(id, coming);
        Some(id)
    }

    /// Notes what surely comes after the block that was translated last.
    fn note_certain(&self, of: BlockId, coming: &mut Vec<Certain>) {
        let Some(block) = self.block(of).filter(|block| matches!(block.variant, Variant::Plain | Variant::FlagsParked))
        else {
            return;
        };
        let Onward { to, back } = self.translator.onward();
        let leads_there = |link: &u32| {
            let link = self.link_record(*link);
            Some(link.target) == to && link.variant != Variant::Exact
        };
        if let Some(link) = block.parts.links.clone().rfind(leads_there) {
            let record = self.link_record(link);
            coming.push(Certain { rip: record.target, variant: record.variant, link: Some(link) });
        }
        coming.extend(back.map(|rip| Certain { rip, variant: Variant::Plain, link: None }));
    }
}
