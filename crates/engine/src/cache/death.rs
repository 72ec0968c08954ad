//! How blocks end: their code changed, or the cache is full.

use super::{CodeCache, FrameOfCode, ways_in};
use crate::block::{BlockId, Linked};
use crate::context;
use addr::{PageRange, Pfn};
use mmu::Tables;

impl CodeCache {
    /// Follows what the kernel said of a tree and of frames since the last call.
    pub fn drain(&mut self, tables: &Tables) {
        if tables.changes().has_pending() {
            self.translator.forget_peeked();
            let ranges = tables.changes().take();
            if self.maps[&self.map_of(tables)].users > 1 {
                self.split(tables);
            }
            let map = self.map_of(tables);
            ranges.into_iter().for_each(|range| self.forget_pages(map, range));
        }
        self.forget_written();
    }

    /// Forgets the code in frames that have been written to or freed.
    pub(super) fn forget_written(&mut self) {
        if self.memory.code().has_written() {
            self.translator.forget_peeked();
            for pfn in self.memory.code().take_written() {
                self.forget_frame(pfn);
            }
        }
    }

    fn forget_pages(&mut self, map: u64, range: PageRange) {
        let Some(pages) = self.maps.get_mut(&map).map(|map| &mut map.by_page) else { return };
        let mut dead = Vec::new();
        if range.count() < pages.len() as u64 {
            range.iter().filter_map(|page| pages.remove(&page)).for_each(|of_page| dead.extend(of_page.dependents()));
        } else {
            pages.retain(|page, of_page| {
                let kept = !range.contains(*page);
                if !kept {
                    dead.extend(of_page.dependents());
                }
                kept
            });
        }
        dead.into_iter().for_each(|id| self.kill(id));
    }

    fn forget_frame(&mut self, pfn: Pfn) {
        self.memory.code().unmark(pfn);
        let Some(FrameOfCode { pages, .. }) = self.by_frame.remove(&pfn) else { return };
        for (map, page) in pages {
            // The page may be elsewhere by now; here it is not any more, as far as anybody knows without a walk.
            let of_page = self.maps.get_mut(&map).and_then(|map| map.take_page(page, pfn));
            of_page.iter().flat_map(|of_page| of_page.dependents()).for_each(|id| self.kill(id));
        }
    }

    /// A block dies: nothing leads to it any more.
    pub(super) fn kill(&mut self, id: BlockId) {
        let Some(block) = self.blocks[id as usize].take() else { return };
        if let Some(map) = self.maps.get_mut(&block.map) {
            map.forget(block.rip, block.variant, id);
        }
        let mut incoming = block.incoming;
        while let Some(number) = incoming {
            let link = &mut self.links[number.get() as usize - 1];
            link.linked = Linked::No;
            incoming = link.before.take();
            let (jump, cold) = (link.jump, link.cold);
            self.lead(jump, cold);
        }
        if let Some(way_in) = block.way_in {
            self.close(way_in);
        }
    }

    /// Empties the whole cache.
    pub(super) fn empty(&mut self) {
        self.keep_all();
        self.by_frame.drain().for_each(|(pfn, _)| self.memory.code().unmark(pfn));
        self.translator.forget_peeked();
        for map in self.maps.values_mut() {
            map.by_page.clear();
            map.unshared.clear();
        }
        self.chain_lengths = ways_in::ChainLengths::default();
        self.blocks.clear();
        self.starts.clear();
        self.sites.clear();
        self.links.clear();
        self.helpers.clear();
        self.marks.clear();
        self.fixups.clear();
        self.live_views().for_each(|view| context::flush_jump_cache(&view, self.gate.nowhere));
        self.used = (self.gate.bytes as u32).next_multiple_of(64);
        self.generation += 1;
        self.counts.flushes += 1;
        self.counts.host_bytes = 0;
    }
}
