//! A small machine in some state: tables, TLBs, caches and the bytes that are known.

use crate::data::Data;
use crate::machine_file::{AbsentPages, MachineFile, WalkCacheFile, shape};
use crate::pager::Pager;
use crate::wrong::Wrong;
use addr::{Access, Perms, PhysAddr, Privilege, VirtAddr};
use model::{Caches, Marks, Tlbs, WalkCache, WalkCaches};
use paging::{AddressParts, EntrySource, Geometry, Marking, SparseMemory, peek, walk_observed};
use std::collections::{BTreeMap, BTreeSet};

/// The only address space there is.
pub const SPACE: u16 = 0;
/// Larger tables of one level are drawn beside memory, like the single ones.
const MOST_TABLE_FRAMES: u64 = 1 << 16;

/// The machine.
#[derive(Clone)]
pub struct System {
    pub(crate) file: MachineFile,
    pub(crate) geometry: Geometry,
    pub(crate) tables: SparseMemory,
    pub(crate) root: PhysAddr,
    pub(crate) tlbs: Tlbs,
    pub(crate) walk_caches: WalkCaches,
    pub(crate) caches: Caches,
    pub(crate) line_bytes: u64,
    pub(crate) data: Data,
    /// Tags that were given for invalid ways, by set and way.
    pub(crate) invalid_tags: BTreeMap<(usize, usize), u64>,
    /// The kernel's part, where absent pages are on disk.
    pub(crate) pager: Option<Pager>,
    pub(crate) frames_in_use: BTreeSet<u64>,
}

impl System {
    /// Builds the machine of a file.
    pub(crate) fn new(file: MachineFile) -> Result<Self, Wrong> {
        let geometry = file.geometry.geometry().map_err(|wrong| wrong.at("geometry"))?;
        let structures = each("tlbs", &file.tlbs, |tlb| tlb.structure(&geometry))?;
        let levels = each("caches", &file.caches, |cache| cache.level())?;
        let line_bytes = file.caches.first().map_or(1, |cache| cache.line_bytes);
        if let Some(item) = file.caches.iter().position(|cache| cache.line_bytes != line_bytes) {
            return Err(Wrong::new("expected the same at every level").at("line-bytes").item(item).at("caches"));
        }
        let walk_caches = each("walk-caches", &file.walk_caches, |cache| walk_cache(cache, &geometry))?;
        let mut system = Self {
            tables: SparseMemory::new(),
            root: PhysAddr::new(0),
            tlbs: Tlbs::new(&structures),
            walk_caches: WalkCaches::new(&walk_caches),
            caches: Caches::new(line_bytes, &levels),
            line_bytes,
            data: Data::new(line_bytes, &levels),
            invalid_tags: BTreeMap::new(),
            pager: None,
            frames_in_use: BTreeSet::new(),
            geometry,
            file,
        };
        // One table is drawn beside memory, as in the textbooks; several, and those that are cached, are in it.
        if system.geometry.level_count() > 1 || system.file.cached_walks {
            system.frames_in_use.insert(0);
            let root = system.take_table(system.geometry.level_count());
            system.root = root.ok_or_else(|| Wrong::new("expected room for the tables").at("geometry"))?;
        }
        let contents = system.file.contents.clone();
        let resident = system.fill(&contents, &levels).map_err(|wrong| wrong.at("contents"))?;
        if system.file.absent_pages == AbsentPages::PageIn {
            let pager = Pager::new(&system.file.paging, &resident).map_err(|wrong| wrong.at("paging"))?;
            system.pager = Some(pager);
        }
        Ok(system)
    }

    /// How many pages the space has, and how many frames memory.
    pub(crate) fn pages_and_frames(&self) -> (u64, u64) {
        let bytes = self.geometry.page_bytes();
        (self.geometry.virtual_bytes() / bytes, self.geometry.physical_bytes() / bytes)
    }

    /// The first address of a page.
    pub(crate) fn start_of(&self, page: u64) -> VirtAddr {
        self.geometry.join(&AddressParts { indices: Vec::new(), offset: page * self.geometry.page_bytes() })
    }

    /// Maps a page to a frame by a leaf of a level, with whatever tables that takes.
    pub(crate) fn map(
        &mut self,
        page: u64,
        frame: u64,
        level: usize,
        perms: Perms,
        lowest: Privilege,
    ) -> Result<(), Wrong> {
        let (pages, frames) = self.pages_and_frames();
        if page >= pages || frame >= frames {
            return Err(Wrong::new(format!("expected a page below {pages:#x} and a frame below {frames:#x}")));
        }
        if level == 0 || level > 1 && !self.geometry.has_large_leaves(level) {
            return Err(Wrong::new("expected level 1 or one of the large-leaves"));
        }
        let small = self.geometry.span_bytes(level) / self.geometry.page_bytes();
        if !page.is_multiple_of(small) || !frame.is_multiple_of(small) {
            return Err(Wrong::new(format!("expected a page and a frame that are multiples of {small:#x}")));
        }
        let addr = self.start_of(page);
        let bytes = self.geometry.entry_bytes();
        let mut table = self.root;
        for above in (level + 1..=self.geometry.level_count()).rev() {
            let at = table + self.geometry.index(addr, above) * bytes;
            let mut word = self.tables.load_entry(at, bytes);
            if word == 0 {
                let new = self.take_table(above - 1).ok_or_else(|| Wrong::new("expected room for the tables"))?;
                word = self.geometry.format().table(self.geometry.frame_number(new));
                self.tables.store_entry(at, bytes, word);
            } else if word & self.geometry.format().large != 0 {
                return Err(Wrong::new("expected a page that no large page covers"));
            }
            table = PhysAddr::new(self.geometry.format().frame_number(word) * self.geometry.page_bytes());
        }
        let large = if level > 1 { self.geometry.format().large } else { 0 };
        let at = table + self.geometry.index(addr, level) * bytes;
        self.tables.store_entry(at, bytes, self.geometry.format().leaf(frame, perms, lowest) | large);
        self.frames_in_use.extend(frame..frame + small.min(frames - frame));
        Ok(())
    }

    /// The lowest run of free frames, if there is one; it is in use from now on.
    pub fn take_frames(&mut self, count: u64) -> Option<u64> {
        let frames = self.geometry.physical_bytes() / self.geometry.page_bytes();
        let mut first = 0;
        while first + count <= frames {
            match (first..first + count).rev().find(|frame| self.frames_in_use.contains(frame)) {
                Some(taken) => first = taken + 1,
                None => {
                    self.frames_in_use.extend(first..first + count);
                    return Some(first);
                }
            }
        }
        None
    }

    /// Room for a table of a level, if there is some.
    fn take_table(&mut self, level: usize) -> Option<PhysAddr> {
        let page_bytes = self.geometry.page_bytes();
        let frames = self.geometry.table_bytes(level).div_ceil(page_bytes);
        if frames > MOST_TABLE_FRAMES {
            return Some(PhysAddr::new(self.geometry.physical_bytes() / 2));
        }
        self.take_frames(frames).map(|first| PhysAddr::new(first * page_bytes))
    }

    /// The frame of a page and its rights, if the page has an entry.
    pub(crate) fn entry(&self, page: u64) -> Option<(u64, Perms)> {
        let found = self.peek(page)?;
        Some((self.geometry.frame_number(found.phys), found.perms))
    }

    fn peek(&self, page: u64) -> Option<paging::Translation> {
        let addr = self.start_of(page);
        peek(&self.tables, &self.geometry, self.root, addr, Access::Read, Privilege::Supervisor).ok()
    }

    /// The frame of a page and the marks in its entry.
    pub(crate) fn marks(&self, page: u64) -> Option<(u64, Marks)> {
        let (frame, _) = self.entry(page)?;
        let word = self.leaf(page).map_or(0, |(_, word)| word);
        let format = self.geometry.format();
        Some((frame, Marks { accessed: word & format.accessed != 0, dirty: word & format.dirty != 0 }))
    }

    /// Takes a page's entry away.
    pub(crate) fn unmap(&mut self, page: u64) {
        if let Some((at, _)) = self.leaf(page) {
            self.tables.store_entry(at, self.geometry.entry_bytes(), 0);
        }
        self.tlbs.invalidate_page(self.start_of(page), SPACE);
    }

    /// The last entry on the way to a page, and where it is.
    pub(crate) fn leaf(&self, page: u64) -> Option<(PhysAddr, u64)> {
        let addr = self.start_of(page);
        let mut last = None;
        let see = |entry: paging::Step| last = Some((entry.at, entry.word));
        let (access, privilege, marking) = (Access::Read, Privilege::Supervisor, Marking::LeaveAlone);
        // Only the entries matter, not what the walk makes of them.
        let _ = walk_observed(&self.tables, &self.geometry, self.root, addr, access, privilege, marking, see);
        last
    }

    /// Takes a frame's lines out of the caches; dirty ones go to memory.
    pub(crate) fn drop_lines(&mut self, frame: u64) {
        let (start, end) = (frame * self.geometry.page_bytes(), (frame + 1) * self.geometry.page_bytes());
        let mut at = start - start % self.line_bytes;
        while at < end {
            let data = &mut self.data;
            self.caches.invalidate(PhysAddr::new(at), |movement| data.follow(movement, 0, 0));
            at += self.line_bytes;
        }
    }

    /// Writes a page's bytes to disk.
    pub(crate) fn page_out(&mut self, page: u64, frame: u64) {
        let bytes = self.geometry.page_bytes();
        self.data.page_out(page, frame * bytes, bytes);
    }

    /// Reads a page's bytes from disk.
    pub(crate) fn page_in(&mut self, page: u64, frame: u64) {
        let bytes = self.geometry.page_bytes();
        self.data.page_in(page, frame * bytes, bytes);
    }
}

/// Makes something of each element of a list; what is wrong with one is said with its place.
pub(crate) fn each<T, U>(
    key: &'static str,
    list: &[T],
    mut make: impl FnMut(&T) -> Result<U, Wrong>,
) -> Result<Vec<U>, Wrong> {
    list.iter().enumerate().map(|(item, one)| make(one).map_err(|wrong| wrong.item(item).at(key))).collect()
}

fn walk_cache(cache: &WalkCacheFile, geometry: &Geometry) -> Result<WalkCache, Wrong> {
    if !(2..=geometry.level_count()).contains(&cache.level) {
        return Err(Wrong::new("expected a level from 2 up to the root's").at("level"));
    }
    let shape = shape("entries", cache.entries as u64, cache.ways, Default::default())?;
    Ok(WalkCache { level: cache.level, span_bytes: geometry.span_bytes(cache.level), shape })
}
