//! Blocks that go to the store, and from there or at once to the archive.

use super::{CodeCache, part};
use crate::block::{BlockId, Keeping};
use crate::code_map::{Entry, PageOfBlocks};
use crate::store::record::{self, Whole};
use crate::store::{Content, FileWriter, MOST_SAVED_BYTES, VolumeWriter, WRITTEN_AT_ONCE, of_volume};
use addr::{Page, Pfn};
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most threads that write at a time, and the pages that one takes at a time.
const MOST_WRITERS: usize = 4;
const TAKEN_AT_ONCE: usize = 64;

/// The pages of a map, and what is to be known of them besides.
struct Pages<'a> {
    /// In order.
    pages: Vec<(Page, &'a PageOfBlocks)>,
    /// Which pages blocks depend on besides the one that they begin in; in order.
    elsewhere: Vec<(BlockId, Page, Pfn)>,
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
        let file = self.store.as_ref()?.begin_file(program)?;
        if let Some(file) = self.write_all(&self.pages(map), file) {
            self.store.as_ref()?.end_file(program, file);
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
        let mut volume = VolumeWriter::default();
        let pages = self.pages(map);
        for (page, of_page) in &pages.pages {
            self.write_page(&pages, *page, of_page, &mut volume, |content, key, record| {
                !store.has(program, *page, content, key, record)
            });
        }
        store.add(program, volume.finish());
        self.store = Some(store);
        for id in self.maps[&map].blocks() {
            if let Some(block) = self.blocks[id as usize].as_mut().filter(|block| block.keeping == Keeping::Fresh) {
                block.keeping = Keeping::Kept;
            }
        }
    }

    fn pages(&self, map: u64) -> Pages<'_> {
        let by_page = &self.maps[&map].by_page;
        let mut pages: Vec<_> = by_page.iter().map(|(page, of_page)| (*page, &**of_page)).collect();
        pages.sort_unstable_by_key(|(page, _)| *page);
        let others = |(page, of_page): &(Page, &PageOfBlocks)| {
            let (page, pfn) = (*page, of_page.pfn);
            of_page.others.iter().map(move |id| (*id, page, pfn)).collect::<Vec<_>>()
        };
        let mut elsewhere: Vec<_> = pages.iter().flat_map(others).collect();
        elsewhere.sort_unstable();
        Pages { pages, elsewhere }
    }

    /// Writes the section of a page: the records of its fresh blocks that are wanted.
    fn write_page(
        &self,
        pages: &Pages<'_>,
        page: Page,
        of_page: &PageOfBlocks,
        volume: &mut VolumeWriter,
        mut is_wanted: impl FnMut(Content, u16, &[u8]) -> bool,
    ) {
        let is_fresh = |entry: &&Entry| self.block(entry.block).is_some_and(|block| block.keeping == Keeping::Fresh);
        let mut entries = of_page.entries().iter().filter(is_fresh).peekable();
        if entries.peek().is_none() {
            return;
        }
        let content = self.content_now(of_page.pfn);
        volume.begin_section(page, content);
        for Entry { key, block } in entries {
            let elsewhere = pages.elsewhere(*block).iter().map(|(_, page, pfn)| (*page, self.content_now(*pfn)));
            volume.record(*key, |bytes| {
                let first = bytes.len();
                record::write(bytes, &self.whole(*block)?, elsewhere)?;
                is_wanted(content, *key, &bytes[first..]).then_some(())
            });
        }
        volume.end_section();
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

    /// Writes everything to a file, by several threads; `None` if there is nothing, or the host refuses.
    fn write_all(&self, pages: &Pages<'_>, file: FileWriter) -> Option<FileWriter> {
        let file = Mutex::new(Some(file));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut volume = VolumeWriter::default();
            loop {
                let first = next.fetch_add(TAKEN_AT_ONCE, Ordering::Relaxed);
                for (page, of_page) in pages.pages.iter().skip(first).take(TAKEN_AT_ONCE) {
                    self.write_page(pages, *page, of_page, &mut volume, |_, _, _| true);
                }
                let is_over = first >= pages.pages.len();
                if is_over || volume.bytes().len() >= WRITTEN_AT_ONCE {
                    append(&file, volume.bytes());
                    volume.clear();
                }
                if is_over {
                    return;
                }
            }
        };
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let writers = cpus.min(MOST_WRITERS).min(pages.pages.len() / TAKEN_AT_ONCE + 1);
        std::thread::scope(|scope| {
            // Where the host has no thread to spare, the others do its work.
            (1..writers).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, work)));
            work();
        });
        file.into_inner().unwrap_or_else(PoisonError::into_inner).filter(|file| !file.is_empty())
    }
}

impl Pages<'_> {
    /// The pages that a block depends on besides the one that it begins in.
    fn elsewhere(&self, id: BlockId) -> &[(BlockId, Page, Pfn)] {
        let first = self.elsewhere.partition_point(|(block, ..)| *block < id);
        let rest = &self.elsewhere[first..];
        &rest[..rest.iter().take_while(|(block, ..)| *block == id).count()]
    }
}

/// Appends a volume to a file, unless it is long enough; there is no file any more when the host refuses.
fn append(file: &Mutex<Option<FileWriter>>, volume: &[u8]) {
    let sections = of_volume(volume);
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = file.as_mut().filter(|open| open.len() < MOST_SAVED_BYTES)
        && open.append(volume, &sections).is_err()
    {
        *file = None;
    }
}
