//! Looking at a program's memory from outside: no fault happens, nothing is brought in, nothing is counted.

use super::area::{Area, AreaTraits, Backing};
use super::maps::AreaInfo;
use super::space::Space;
use super::{Mm, SpaceId};
use addr::{PAGE_BYTES, Page, PageRange, Perms, VirtAddr};
use mmu::Entry;

/// The bytes of a page.
pub type PageBytes = [u8; PAGE_BYTES as usize];

/// An area, and how much of it belongs into a core file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DumpedArea {
    /// The area.
    pub info: AreaInfo,
    /// So many bytes from its start.
    pub bytes: u64,
}

impl Mm {
    /// Copies bytes out, of whatever the rights allow; returns how many before one that is not there.
    pub fn peek(&self, id: SpaceId, from: VirtAddr, to: &mut [u8]) -> usize {
        let mut page = [0; PAGE_BYTES as usize];
        let mut done = 0;
        while done < to.len() {
            let at = from.checked_add(done as u64).filter(|at| *at < self.space(id).layout.task_size);
            let Some(at) = at else { break };
            if !self.peek_page(id, at.page(), &mut page) {
                break;
            }
            let offset = at.page_offset() as usize;
            let bytes = (to.len() - done).min(page.len() - offset);
            to[done..done + bytes].copy_from_slice(&page[offset..offset + bytes]);
            done += bytes;
        }
        done
    }

    /// Every area of a space, in order, with what of it belongs into a core file as Linux's default `coredump_filter`
    /// has it (core(5)): what is the program's own, and the first page of files, by which debuggers know them.
    pub fn dumped_areas(&self, id: SpaceId) -> Vec<DumpedArea> {
        let space = self.space(id);
        let areas = space.areas.iter();
        areas
            .map(|area| DumpedArea { info: AreaInfo::of(area, space, &self.store), bytes: self.dumped(area) })
            .collect()
    }

    /// Shows each page of a range that may hold something else than zeros, in order, until `show` says no more.
    pub fn peek_pages(&self, id: SpaceId, range: PageRange, show: &mut dyn FnMut(Page, &PageBytes) -> bool) {
        let space = self.space(id);
        let mut bytes = [0; PAGE_BYTES as usize];
        for area in space.areas.iter() {
            let pages = area.pages.intersection(range);
            let mut held = Held::of(area, pages, space);
            while let Some(page) = held.next() {
                if self.peek_page(id, page, &mut bytes) && !show(page, &bytes) {
                    return;
                }
            }
        }
    }

    fn peek_page(&self, id: SpaceId, page: Page, to: &mut PageBytes) -> bool {
        let space = self.space(id);
        let ram = self.store.frames.memory().ram();
        let met = space.tables.mapped(page);
        match (met.entry, space.areas.find(page)) {
            (Entry::Leaf(leaf), _) => ram.read((leaf.pfn + (page - met.page) as u32).start(), to),
            (Entry::Swapped(slot), _) => self.store.swap.peek(slot, to),
            (_, Some(Area { backing: Backing::Anonymous { .. }, .. })) => to.fill(0),
            (_, Some(area)) => {
                let object = area.backing.object().expect("what is not anonymous has an object");
                return self.store.peek_object_page(object.id(), area.index_of(page), to);
            }
            (_, None) => return false,
        }
        true
    }

    fn dumped(&self, area: &Area) -> u64 {
        let whole = area.pages.bytes().count();
        let is_file = area.backing.object().is_some_and(|object| self.store.objects.get(object.id()).is_file());
        match &area.backing {
            _ if area.traits.has(AreaTraits::DONT_DUMP) => 0,
            Backing::Shared { .. } if is_file => 0,
            Backing::Shared { .. } => whole,
            _ if area.family.is_some() => whole,
            Backing::File { first: 0, .. } if area.perms.contains(Perms::READ) => PAGE_BYTES,
            _ => 0,
        }
    }
}

/// Pages of an area that may hold something: those that were touched, or all where a file is behind them.
enum Held<'t> {
    Touched(mmu::Cursor<'t>, std::ops::Range<u64>),
    All(std::ops::Range<u64>),
}

impl<'t> Held<'t> {
    fn of(area: &Area, pages: PageRange, space: &'t Space) -> Self {
        match area.backing {
            Backing::Anonymous { .. } => Self::Touched(space.tables.cursor(pages), 0..0),
            _ => Self::All(pages.start.get()..pages.end.get()),
        }
    }

    fn next(&mut self) -> Option<Page> {
        match self {
            Self::All(pages) => pages.next().map(Page::new),
            Self::Touched(cursor, rest) => loop {
                if let Some(page) = rest.next() {
                    return Some(Page::new(page));
                }
                let met = cursor.next()?;
                *rest = met.page.get()..met.page.get() + met.page_count();
            },
        }
    }
}
