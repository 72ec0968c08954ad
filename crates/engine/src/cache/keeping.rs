//! Blocks that go to the store, and blocks that come from there.

use super::{CodeCache, part};
use crate::block::{Block, BlockId, Keeping, Liveness};
use crate::code_map::Entry;
use crate::source;
use crate::store::record::{self, Whole};
use crate::store::{Content, MOST_SAVED_BYTES, ProgramId, Store, VolumeWriter, WRITTEN_AT_ONCE};
use crate::translate::{Parts, Sharing, Variant};
use crate::trap;
use addr::{Page, Pfn, VirtAddr};
use mmu::Tables;
use std::io;

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

    /// Puts everything into the archive, at the end of the machine.
    pub fn save(&mut self) {
        let maps = self.living_maps();
        for map in &maps {
            let program = self.maps[map].program;
            let is_only = maps.iter().filter(|other| self.maps[other].program == program).count() == 1;
            let saved = if is_only { self.save_map(*map) } else { None };
            if saved.is_none() {
                self.keep(*map);
            }
        }
        if let Some(store) = &self.store {
            store.save();
        }
    }

    /// Saves the fresh blocks of a map, if they are all there is to save of a program; `None` if they are not.
    fn save_map(&mut self, map: u64) -> Option<()> {
        let program = self.maps[&map].program?;
        let mut file = self.store.as_ref()?.begin_file(program)?;
        let mut move_to_file = |volume: &mut VolumeWriter| {
            if file.len() < MOST_SAVED_BYTES {
                file.append(volume.bytes())?;
            }
            volume.clear();
            Ok(())
        };
        let mut volume = VolumeWriter::default();
        let written = self.write_fresh(program, map, &mut volume, |volume| {
            if volume.bytes().len() < WRITTEN_AT_ONCE { Ok(()) } else { move_to_file(volume) }
        });
        if written.and_then(|()| move_to_file(&mut volume)).is_ok() && !file.is_empty() {
            self.store.as_ref()?.end_file(program, file);
        }
        Some(())
    }

    /// The block at an address, if the store has it and every byte that it was made of is as it was. Its pages are
    /// fetched from as if it was translated.
    pub(super) fn recall(&mut self, tables: &Tables, rip: VirtAddr, variant: Variant) -> Option<BlockId> {
        let store = self.store.as_ref().filter(|_| Variant::KEPT.contains(&variant))?;
        let program = self.maps[&self.map_of(tables)].program?;
        if !store.knows(program, rip.page()) {
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
        // As in `alive`: most code reads no flags that a jump hands over.
        let candidates = if variant == Variant::FlagsParked { &[variant, Variant::Plain][..] } else { &[variant] };
        for candidate in candidates {
            let key = Entry::key(rip, *candidate);
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
        if let Some(known) = self.by_frame.get(&pfn).and_then(|of_frame| of_frame.content) {
            return known;
        }
        self.watch(std::iter::once(pfn));
        let content = Content::of(&self.memory, pfn);
        self.by_frame.entry(pfn).or_default().content = Some(content);
        content
    }

    /// Puts the fresh blocks of every map into the store.
    pub(super) fn keep_all(&mut self) {
        self.living_maps().into_iter().for_each(|map| self.keep(map));
    }

    /// Every map, of whose blocks those are dead whose code has changed.
    fn living_maps(&mut self) -> Vec<u64> {
        self.forget_written();
        self.maps.keys().copied().collect()
    }

    /// Puts the fresh blocks of a map into the store.
    pub(super) fn keep(&mut self, map: u64) {
        let Some(program) = self.maps[&map].program.filter(|_| self.store.is_some()) else { return };
        let mut volume = VolumeWriter::default();
        let written = self.write_fresh(program, map, &mut volume, |_| Ok(()));
        if let (Some(store), Ok(())) = (&mut self.store, written) {
            store.add(program, volume.finish());
        }
    }

    /// Writes the fresh blocks of a map, a section for each page, after which `and_then` is called.
    fn write_fresh(
        &mut self,
        program: ProgramId,
        map: u64,
        volume: &mut VolumeWriter,
        mut and_then: impl FnMut(&mut VolumeWriter) -> io::Result<()>,
    ) -> io::Result<()> {
        let by_page = &self.maps[&map].by_page;
        let is_fresh = |id: BlockId| self.block(id).is_some_and(|block| block.keeping == Keeping::Fresh);
        let mut pages: Vec<(Page, Pfn)> = Vec::new();
        let mut elsewhere: Vec<(BlockId, Page, Pfn)> = Vec::new();
        for (page, of_page) in by_page {
            if of_page.entries().iter().any(|entry| is_fresh(entry.block)) {
                pages.push((*page, of_page.pfn));
            }
            let others = of_page.others.iter().filter(|id| is_fresh(**id));
            elsewhere.extend(others.map(|id| (*id, *page, of_page.pfn)));
        }
        pages.sort_unstable();
        elsewhere.sort_unstable();
        for (page, pfn) in pages {
            let content = self.content(pfn);
            volume.begin_section(page, content);
            self.keep_page(program, map, (page, content), &elsewhere, volume);
            volume.end_section();
            and_then(volume)?;
        }
        Ok(())
    }

    /// Writes the fresh blocks that begin in a page, but those that another process has put into the store meanwhile.
    /// `elsewhere` says, in order, which other pages blocks depend on.
    fn keep_page(
        &mut self,
        program: ProgramId,
        map: u64,
        (page, content): (Page, Content),
        elsewhere: &[(BlockId, Page, Pfn)],
        volume: &mut VolumeWriter,
    ) {
        let entries = self.maps[&map].by_page[&page].entries().to_vec();
        let mut other_sources = Vec::new();
        for Entry { key, block: id } in entries {
            let first = elsewhere.partition_point(|(block, ..)| *block < id);
            let own = elsewhere[first..].iter().take_while(|(block, ..)| *block == id);
            other_sources.clear();
            other_sources.extend(own.map(|(_, page, pfn)| (*page, self.content(*pfn))));
            let Some(block) = self.blocks[id as usize].as_mut().filter(|block| block.keeping == Keeping::Fresh) else {
                continue;
            };
            block.keeping = Keeping::Kept;
            let block = &*block;
            let whole = Whole {
                block,
                code: self.code.read(block.host as usize, block.host_bytes as usize),
                sites: part(&self.sites, &block.parts.sites),
                links: part(&self.links, &block.parts.links),
                helpers: part(&self.helpers, &block.parts.helpers),
                marks: part(&self.marks, &block.parts.marks),
                fixups: part(&self.fixups, &block.parts.fixups),
                other_sources: &other_sources,
            };
            let store = self.store.as_mut().expect("who keeps has a store");
            volume.record(key, |bytes| {
                let first = bytes.len();
                record::write(bytes, &whole)?;
                (!store.has(program, page, content, key, &bytes[first..])).then_some(())
            });
        }
    }
}
