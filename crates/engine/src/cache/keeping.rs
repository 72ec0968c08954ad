//! Blocks that go to the store, and blocks that come from there.

use super::{CodeCache, part};
use crate::block::{Block, BlockId, Keeping, Liveness};
use crate::code_map::Entry;
use crate::source;
use crate::store::record::{self, Whole};
use crate::store::{Content, ProgramId, Store, VolumeWriter};
use crate::translate::{Parts, Sharing, Variant};
use crate::trap;
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
        // Files of the archive may be shortened under our hands.
        trap::prepare_process();
        self.store = Some(store);
    }

    /// Puts everything into the archive.
    pub fn save(&mut self) {
        self.forget_written();
        self.keep_all();
        if let Some(store) = &self.store {
            store.save();
        }
    }

    /// The block at an address, if the store has it and every byte that it was made of is as it was. Its pages are
    /// fetched from as if it was translated.
    pub(super) fn recall(&mut self, tables: &Tables, rip: VirtAddr, variant: Variant) -> Option<BlockId> {
        let program = self.maps[&self.map_of(tables)].program?;
        if !Variant::KEPT.contains(&variant) || !self.store.as_ref()?.knows(program, rip.page()) {
            return None;
        }
        let mut recalled = std::mem::take(&mut self.recalled);
        let block = self.read_kept(tables, program, rip, variant, &mut recalled);
        let id = block.map(|block| self.insert(block, &recalled.parts, &recalled.sources));
        self.counts.recalled += u64::from(id.is_some());
        self.recalled = recalled;
        id
    }

    fn read_kept(
        &mut self,
        tables: &Tables,
        program: ProgramId,
        rip: VirtAddr,
        variant: Variant,
        into: &mut Recalled,
    ) -> Option<Block> {
        let pfn = self.frame_of(tables, rip.page())?;
        let content = self.content(pfn);
        let place = self.next_place(self.map_of(tables), rip);
        let store = self.store.as_mut()?;
        // As in `find`: most code reads no flags that a jump hands over.
        let candidates = if variant == Variant::FlagsParked { &[variant, Variant::Plain][..] } else { &[variant] };
        let block = candidates.iter().find_map(|candidate| {
            let record = store.record(program, rip.page(), content, Entry::key(rip, *candidate))?;
            into.wanted.clear();
            into.wanted.extend(record::sources(record)?);
            let block = record::read(record, rip, &place, &mut into.parts)?;
            let serves = *candidate == variant || block.flags_live == Liveness::Dead;
            serves.then_some(block)
        })?;
        if !store.is_whole(program) {
            return None;
        }
        if place.sharing == Sharing::No && block.sharing == Sharing::Yes {
            return None;
        }
        into.sources.clear();
        for (page, wanted) in &into.wanted {
            let pfn = self.frame_of(tables, *page)?;
            if self.content(pfn) != *wanted {
                return None;
            }
            into.sources.push((*page, pfn));
        }
        Some(block)
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
        if let Some(known) = self.contents.get(&pfn) {
            return *known;
        }
        self.watch(std::iter::once(pfn));
        let content = Content::of(&self.memory, pfn);
        self.contents.insert(pfn, content);
        content
    }

    /// Puts the fresh blocks of every map into the store.
    pub(super) fn keep_all(&mut self) {
        let maps: Vec<u64> = self.maps.keys().copied().collect();
        maps.into_iter().for_each(|map| self.keep(map));
    }

    /// Puts the fresh blocks of a map into the store.
    pub(super) fn keep(&mut self, map: u64) {
        let Some(program) = self.maps[&map].program.filter(|_| self.store.is_some()) else { return };
        let by_page = &self.maps[&map].by_page;
        let is_fresh = |id: BlockId| self.block(id).is_some_and(|block| block.keeping == Keeping::Fresh);
        let mut pages: Vec<(Page, Pfn)> = Vec::new();
        let mut dependencies: Vec<(BlockId, Page, Pfn)> = Vec::new();
        for (page, of_page) in by_page {
            let fresh = of_page.dependents.iter().filter(|id| is_fresh(**id));
            let before = dependencies.len();
            dependencies.extend(fresh.map(|id| (*id, *page, of_page.pfn)));
            if dependencies.len() > before {
                pages.push((*page, of_page.pfn));
            }
        }
        pages.sort_unstable();
        dependencies.sort_unstable();
        let mut volume = VolumeWriter::default();
        for (page, pfn) in pages {
            self.keep_page(map, page, &dependencies, &mut volume);
            volume.end_section(page, self.content(pfn));
        }
        if let Some(store) = &mut self.store {
            store.add(program, volume.finish());
        }
    }

    /// Writes the fresh blocks that begin in a page.
    fn keep_page(&mut self, map: u64, page: Page, dependencies: &[(BlockId, Page, Pfn)], volume: &mut VolumeWriter) {
        let entries = self.maps[&map].by_page[&page].entries().to_vec();
        let mut sources = Vec::new();
        let mut code = Vec::new();
        for Entry { key, block: id } in entries {
            let first = dependencies.partition_point(|(block, ..)| *block < id);
            let own = dependencies[first..].iter().take_while(|(block, ..)| *block == id);
            sources.clear();
            sources.extend(own.map(|(_, page, pfn)| (*page, self.content(*pfn))));
            let Some(block) = self.blocks[id as usize].as_mut().filter(|block| block.keeping == Keeping::Fresh) else {
                continue;
            };
            block.keeping = Keeping::Kept;
            let block = &*block;
            code.clear();
            self.code.append_to(&mut code, block.host as usize, block.host_bytes as usize);
            let whole = Whole {
                block,
                code: &code,
                sites: part(&self.sites, &block.parts.sites),
                links: part(&self.links, &block.parts.links),
                helpers: part(&self.helpers, &block.parts.helpers),
                marks: part(&self.marks, &block.parts.marks),
                fixups: part(&self.fixups, &block.parts.fixups),
                sources: &sources,
            };
            volume.record(key, |out| record::write(out, &whole));
        }
    }
}
