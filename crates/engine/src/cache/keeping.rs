//! Blocks that go to the store, and from there or at once to the archive.

use super::{CodeCache, part};
use crate::block::{Block, BlockId, Keeping};
use crate::code_map::PageOfBlocks;
use crate::store::record::{self, Whole};
use crate::store::{self, Content, FileWriter, MOST_SAVED_BYTES, Tables, WRITTEN_AT_ONCE};
use addr::Page;
use std::num::NonZero;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Most threads that write at a time, and the blocks that one takes at a time.
const MOST_WRITERS: usize = 4;
const TAKEN_AT_ONCE: u32 = 1024;

/// The pages of a map, and what is to be known of them besides.
struct Pages<'a> {
    /// In order.
    pages: Vec<OfPage<'a>>,
    /// On which pages, by their place in `pages`, blocks depend besides the one that they begin in; in order.
    elsewhere: Vec<(BlockId, usize)>,
}

/// A page, and what is in it, once somebody has asked.
struct OfPage<'a> {
    page: Page,
    blocks: &'a PageOfBlocks,
    content: OnceLock<Content>,
}

impl CodeCache {
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
    fn save_map(&self, map: u64) -> Option<()> {
        let program = self.maps[&map].program?;
        let store = self.store.as_ref()?;
        let file = store.begin_file(program)?;
        let pages = self.pages(map);
        let (file, records) = self.write_all(map, &pages, file);
        let mut tables = Tables::default();
        for of_page in &pages.pages {
            let written = of_page.blocks.entries().filter_map(|(key, block)| {
                let at = records[block as usize].load(Ordering::Relaxed);
                (at != 0).then_some((key, at as usize))
            });
            tables.add(of_page.page, self.content_now(of_page), written);
        }
        if let Some(file) = file.filter(|_| !tables.is_empty()) {
            store.end_file(program, file, &tables);
        }
        Some(())
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

    /// Puts the fresh blocks of a map into the store, but those that another process has put there meanwhile.
    pub(super) fn keep(&mut self, map: u64) {
        let Some(program) = self.maps[&map].program else { return };
        let Some(mut store) = self.store.take() else { return };
        let pages = self.pages(map);
        let (mut volume, mut tables) = (Vec::new(), Tables::default());
        let mut records = Vec::new();
        for of_page in &pages.pages {
            records.clear();
            for (key, block) in of_page.blocks.entries().filter(|(_, id)| self.fresh(*id).is_some()) {
                let at = store::append(&mut volume, |to| {
                    let first = to.len();
                    self.write(&pages, block, pages.elsewhere(block), to)?;
                    let (page, content) = (of_page.page, self.content_now(of_page));
                    (!store.has(program, page, content, key, &to[first..])).then_some(())
                });
                records.extend(at.map(|at| (key, at)));
            }
            if !records.is_empty() {
                tables.add(of_page.page, self.content_now(of_page), records.iter().copied());
            }
        }
        store.add(program, volume, &tables);
        self.store = Some(store);
        for id in self.maps[&map].blocks() {
            if let Some(block) = self.blocks[id as usize].as_mut().filter(|block| block.keeping == Keeping::Fresh) {
                block.keeping = Keeping::Kept;
            }
        }
    }

    fn pages(&self, map: u64) -> Pages<'_> {
        let by_page = self.maps[&map].by_page.iter();
        let mut pages: Vec<_> =
            by_page.map(|(page, blocks)| OfPage { page: *page, blocks, content: OnceLock::new() }).collect();
        pages.sort_unstable_by_key(|of_page| of_page.page);
        let others =
            pages.iter().enumerate().flat_map(|(at, of_page)| of_page.blocks.others.iter().map(move |id| (*id, at)));
        let mut elsewhere: Vec<_> = others.collect();
        elsewhere.sort_unstable();
        Pages { pages, elsewhere }
    }

    fn content_now(&self, of_page: &OfPage<'_>) -> Content {
        *of_page.content.get_or_init(|| self.content_of(of_page.blocks.pfn))
    }

    /// A block that may go to the store and has not.
    fn fresh(&self, id: BlockId) -> Option<&Block> {
        self.block(id).filter(|block| block.keeping == Keeping::Fresh)
    }

    /// Appends a block.
    fn write(&self, pages: &Pages<'_>, id: BlockId, elsewhere: &[(BlockId, usize)], to: &mut Vec<u8>) -> Option<()> {
        let whole = self.whole(id)?;
        let other_sources = elsewhere.iter().map(|(_, at)| {
            let of_page = &pages.pages[*at];
            (of_page.page, self.content_now(of_page))
        });
        record::write(to, &whole, other_sources)
    }

    /// A block with everything that belongs to it.
    fn whole(&self, id: BlockId) -> Option<Whole<'_>> {
        let block = self.block(id)?;
        Some(Whole {
            block,
            code: self.code.read(block.host as usize, block.host_bytes as usize),
            sites: part(&self.sites, &block.parts.sites),
            links: part(&self.links, &block.parts.links),
            helpers: part(&self.helpers, &block.parts.helpers),
            marks: part(&self.marks, &block.parts.marks),
            fixups: part(&self.fixups, &block.parts.fixups),
        })
    }

    /// Writes the fresh blocks of a map to a file, by several threads, in the order in which they were made: the file, unless
    /// the host refuses, and where in it each block is, or 0.
    fn write_all(&self, map: u64, pages: &Pages<'_>, file: FileWriter) -> (Option<FileWriter>, Vec<AtomicU32>) {
        let mut records = Vec::new();
        records.resize_with(self.blocks.len(), AtomicU32::default);
        let file = Mutex::new(Some(file));
        let next = AtomicU32::new(0);
        let work = || {
            let mut volume = Vec::new();
            let mut written = Vec::new();
            loop {
                let first = next.fetch_add(TAKEN_AT_ONCE, Ordering::Relaxed);
                let is_over = first as usize >= self.blocks.len();
                let mut elsewhere = pages.elsewhere_from(first);
                for id in first..(first + TAKEN_AT_ONCE).min(self.blocks.len() as u32) {
                    let (of_block, rest) = elsewhere.split_at(of_first(elsewhere, id));
                    elsewhere = rest;
                    let at = match self.fresh(id) {
                        Some(block) if block.map == map => {
                            store::append(&mut volume, |to| self.write(pages, id, of_block, to))
                        }
                        _ => None,
                    };
                    written.extend(at.map(|at| (id, at as u32)));
                }
                if is_over || volume.len() >= WRITTEN_AT_ONCE {
                    if let Some(first) = append(&file, &volume) {
                        for (id, at) in &written {
                            records[*id as usize].store(first as u32 + at, Ordering::Relaxed);
                        }
                    }
                    volume.clear();
                    written.clear();
                }
                if is_over {
                    return;
                }
            }
        };
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let writers = cpus.min(MOST_WRITERS).min(self.blocks.len() / TAKEN_AT_ONCE as usize + 1);
        std::thread::scope(|scope| {
            // Where the host has no thread to spare, the others do its work.
            (1..writers).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, work)));
            work();
        });
        (file.into_inner().unwrap_or_else(PoisonError::into_inner), records)
    }
}

impl Pages<'_> {
    /// What blocks depend on elsewhere, from a block on.
    fn elsewhere_from(&self, id: BlockId) -> &[(BlockId, usize)] {
        &self.elsewhere[self.elsewhere.partition_point(|(block, _)| *block < id)..]
    }

    /// What a block depends on elsewhere.
    fn elsewhere(&self, id: BlockId) -> &[(BlockId, usize)] {
        let from = self.elsewhere_from(id);
        &from[..of_first(from, id)]
    }
}

/// How many are of a block that none comes before.
fn of_first(elsewhere: &[(BlockId, usize)], id: BlockId) -> usize {
    elsewhere.iter().take_while(|(block, _)| *block == id).count()
}

/// Appends records to a file, unless it is long enough: where the first is. There is no file any more when the host refuses.
fn append(file: &Mutex<Option<FileWriter>>, records: &[u8]) -> Option<usize> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let appended = file.as_mut().filter(|open| open.len() < MOST_SAVED_BYTES)?.append(records);
    if appended.is_err() {
        *file = None;
    }
    appended.ok()
}
