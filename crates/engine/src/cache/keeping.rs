//! Blocks that go to the store, and from there or at once to the archive.

use super::{CodeCache, part};
use crate::block::{BlockId, Keeping};
use crate::code_map::Entry;
use crate::store::record::{self, Whole};
use crate::store::{Content, FileWriter, MOST_SAVED_BYTES, VolumeWriter, WRITTEN_AT_ONCE};
use addr::{Page, Pfn};
use std::num::NonZero;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Most threads that write at a time, and the pages that one takes at a time.
const MOST_WRITERS: usize = 4;
const TAKEN_AT_ONCE: usize = 64;

/// The fresh blocks of a map.
#[derive(Default)]
struct Fresh {
    pages: Vec<FreshPage>,
    /// Those of each page in the order of their keys.
    entries: Vec<Entry>,
    /// Which pages blocks depend on besides the one that they begin in; in order.
    elsewhere: Vec<(BlockId, Page, Content)>,
}

/// A page that fresh blocks begin in.
struct FreshPage {
    page: Page,
    content: Content,
    entries: Range<usize>,
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
    fn save_map(&mut self, map: u64) -> Option<()> {
        let program = self.maps[&map].program?;
        let file = self.store.as_ref()?.begin_file(program)?;
        let fresh = self.fresh(map);
        if let Some(file) = self.write_all(&fresh, file) {
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
        let fresh = self.fresh(map);
        let mut volume = VolumeWriter::default();
        for of_page in &fresh.pages {
            self.write_page(&fresh, of_page, &mut volume, |key, record| {
                !store.has(program, of_page.page, of_page.content, key, record)
            });
        }
        store.add(program, volume.finish());
        self.store = Some(store);
    }

    /// The fresh blocks of a map, which are kept from now on.
    fn fresh(&mut self, map: u64) -> Fresh {
        let mut fresh = Fresh::default();
        let mut pages: Vec<(Page, Pfn, Range<usize>)> = Vec::new();
        let mut elsewhere: Vec<(BlockId, Page, Pfn)> = Vec::new();
        let is_fresh = |id: BlockId| self.block(id).is_some_and(|block| block.keeping == Keeping::Fresh);
        for (page, of_page) in &self.maps[&map].by_page {
            let first = fresh.entries.len();
            fresh.entries.extend(of_page.entries().iter().filter(|entry| is_fresh(entry.block)));
            if fresh.entries.len() > first {
                pages.push((*page, of_page.pfn, first..fresh.entries.len()));
            }
            let others = of_page.others.iter().filter(|id| is_fresh(**id));
            elsewhere.extend(others.map(|id| (*id, *page, of_page.pfn)));
        }
        pages.sort_unstable_by_key(|(page, ..)| *page);
        elsewhere.sort_unstable();
        for Entry { block, .. } in &fresh.entries {
            if let Some(block) = &mut self.blocks[*block as usize] {
                block.keeping = Keeping::Kept;
            }
        }
        let pages =
            pages.into_iter().map(|(page, pfn, entries)| FreshPage { page, content: self.content(pfn), entries });
        fresh.pages = pages.collect();
        fresh.elsewhere = elsewhere.into_iter().map(|(id, page, pfn)| (id, page, self.content(pfn))).collect();
        fresh
    }

    /// Writes the section of a page: the records that are wanted.
    fn write_page(
        &self,
        fresh: &Fresh,
        of_page: &FreshPage,
        volume: &mut VolumeWriter,
        mut is_wanted: impl FnMut(u16, &[u8]) -> bool,
    ) {
        volume.begin_section(of_page.page, of_page.content);
        for Entry { key, block } in &fresh.entries[of_page.entries.clone()] {
            volume.record(*key, |bytes| {
                let first = bytes.len();
                record::write(bytes, &self.whole(*block)?, fresh.elsewhere(*block))?;
                is_wanted(*key, &bytes[first..]).then_some(())
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
    fn write_all(&self, fresh: &Fresh, file: FileWriter) -> Option<FileWriter> {
        let file = Mutex::new(Some(file));
        let next = AtomicUsize::new(0);
        let work = || {
            let mut volume = VolumeWriter::default();
            loop {
                let first = next.fetch_add(TAKEN_AT_ONCE, Ordering::Relaxed);
                let pages = fresh.pages.iter().skip(first).take(TAKEN_AT_ONCE);
                pages.for_each(|of_page| self.write_page(fresh, of_page, &mut volume, |_, _| true));
                let is_over = first >= fresh.pages.len();
                if is_over || volume.bytes().len() >= WRITTEN_AT_ONCE {
                    append(&file, &volume);
                    volume.clear();
                }
                if is_over {
                    return;
                }
            }
        };
        let cpus = std::thread::available_parallelism().map_or(1, NonZero::get);
        let writers = cpus.min(MOST_WRITERS).min(fresh.pages.len() / TAKEN_AT_ONCE + 1);
        std::thread::scope(|scope| {
            // Where the host has no thread to spare, the others do its work.
            (1..writers).for_each(|_| drop(std::thread::Builder::new().spawn_scoped(scope, work)));
            work();
        });
        file.into_inner().unwrap_or_else(PoisonError::into_inner).filter(|file| !file.is_empty())
    }
}

impl Fresh {
    /// The pages that a block depends on besides the one that it begins in.
    fn elsewhere(&self, id: BlockId) -> &[(BlockId, Page, Content)] {
        let first = self.elsewhere.partition_point(|(block, ..)| *block < id);
        let rest = &self.elsewhere[first..];
        &rest[..rest.iter().take_while(|(block, ..)| *block == id).count()]
    }
}

/// Appends a volume to a file, unless it is long enough; there is no file any more when the host refuses.
fn append(file: &Mutex<Option<FileWriter>>, volume: &VolumeWriter) {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(open) = file.as_mut().filter(|open| open.len() < MOST_SAVED_BYTES)
        && open.append(volume.bytes()).is_err()
    {
        *file = None;
    }
}
