//! Blocks that come from the store.

use super::{CodeCache, Landing};
use crate::block::{Block, BlockId, Liveness};
use crate::code_map;
use crate::source;
use crate::store::record;
use crate::store::{Content, ProgramId, Store};
use crate::translate::{Parts, Sharing, Variant};
use addr::{Page, Pfn, VirtAddr};
use mmu::Tables;

/// A block that is not in the cache yet.
#[derive(Default)]
pub(super) struct Recalled {
    parts: Parts,
    /// The pages that it depends on, and what they have to be.
    wanted: Vec<(Page, Content)>,
    sources: Vec<(Page, Pfn)>,
}

impl CodeCache {
    /// Keeps translations from now on.
    pub fn keep_in(&mut self, store: Store) {
        self.store = Some(store);
    }

    /// The block at an address, if the store has it and every byte that it was made of is as it was. Its pages are
    /// fetched from as if it was translated.
    pub(super) fn recall(
        &mut self,
        tables: &Tables,
        rip: VirtAddr,
        variant: Variant,
        landing: Landing,
    ) -> Option<BlockId> {
        let store = self.store.as_ref().filter(|_| Variant::KEPT.contains(&variant))?;
        let program = self.maps[&self.map_of(tables)].program?;
        if !store.knows(program, rip.page()) {
            return None;
        }
        let mut recalled = std::mem::take(&mut self.recalled);
        let block = self.read_kept(tables, program, (rip, variant, landing), &mut recalled);
        let id = block.map(|block| self.insert(block, &recalled.parts, &recalled.sources));
        self.counts.recalled += u64::from(id.is_some());
        self.recalled = recalled;
        id
    }

    fn read_kept(
        &mut self,
        tables: &Tables,
        program: ProgramId,
        (rip, variant, landing): (VirtAddr, Variant, Landing),
        into: &mut Recalled,
    ) -> Option<Block> {
        let pfn = self.frame_of(tables, rip.page())?;
        let content = self.content(pfn);
        let place = self.next_place(self.map_of(tables), rip, landing);
        // As in `alive`: most code reads no flags that a jump hands over.
        let candidates = if variant == Variant::FlagsParked { &[variant, Variant::Plain][..] } else { &[variant] };
        for candidate in candidates {
            let key = code_map::key(rip, *candidate);
            for nth in 0.. {
                let store = self.store.as_mut()?;
                let Some(record) = store.record(program, rip.page(), content, key, nth) else { break };
                into.wanted.clear();
                into.wanted.push((rip.page(), content));
                into.wanted.extend(record::other_sources(record)?);
                let block = record::read(record, rip, &place, &mut into.parts).filter(|_| store.is_whole(program))?;
                let serves = *candidate == variant || block.flags_live == Liveness::Dead;
                let may_share = place.sharing == Sharing::Yes || block.sharing == Sharing::No;
                if serves && may_share && self.are_as_wanted(tables, into) {
                    return Some(block);
                }
            }
        }
        None
    }

    /// Whether every page that a block depends on is as it was; then it is known where each is.
    fn are_as_wanted(&mut self, tables: &Tables, recalled: &mut Recalled) -> bool {
        recalled.sources.clear();
        for (page, wanted) in &recalled.wanted {
            match self.frame_of(tables, *page) {
                Some(pfn) if self.content(pfn) == *wanted => recalled.sources.push((*page, pfn)),
                _ => return false,
            }
        }
        true
    }

    /// Where a page of code is; walks to it as a fetch does, unless it is known.
    fn frame_of(&self, tables: &Tables, page: Page) -> Option<Pfn> {
        let map = &self.maps[&self.map_of(tables)];
        // A tree that shares its map may not have the page yet.
        let known = if map.users == 1 { map.by_page.get(&page) } else { None };
        known.map(|of_page| of_page.pfn).or_else(|| source::frame_of(tables, page.start()).ok())
    }

    /// What is in a frame; from now on, stores to it are noted.
    fn content(&mut self, pfn: Pfn) -> Content {
        if let Some(known) = self.known_content(pfn) {
            return known;
        }
        self.watch(std::iter::once(pfn));
        let content = Content::of(&self.memory, pfn);
        self.by_frame.entry(pfn).or_default().content = Some(content);
        content
    }

    /// What is in a frame now.
    pub(super) fn content_of(&self, pfn: Pfn) -> Content {
        self.known_content(pfn).unwrap_or_else(|| Content::of(&self.memory, pfn))
    }

    fn known_content(&self, pfn: Pfn) -> Option<Content> {
        self.by_frame.get(&pfn)?.content
    }
}
