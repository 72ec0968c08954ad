//! Guards: pages that are never there, without an area of their own (`MADV_GUARD_INSTALL`).

use super::area::Area;
use super::space::Space;
use super::store::Store;
use crate::Errno;
use addr::{Page, PageRange};
use mmu::{Entry, OutOfFrames};
use std::sync::Arc;

impl Space {
    /// Drops the pages of a part of an area and leaves a guard in each place.
    pub(super) fn install_guards(&mut self, area: &Area, part: PageRange, store: &mut Store) -> Result<(), Errno> {
        self.cut_leaves(part, store).map_err(|_| Errno::ENOMEM)?;
        for table in (part.start.get()..part.end.get()).step_by(512).chain([part.end.get() - 1]) {
            self.split_large(Page::new(table), store)?;
        }
        self.drop_pages(area, part, store);
        for page in part.iter() {
            self.tables.set(page, Entry::Guard, &mut store.frames).expect("the tables were reserved");
        }
        // A guard is the space's own, as a page that was written to is: a child gets it. But it makes no family of what
        // is not anonymous (measured on Linux 6.18).
        self.areas.find_mut(part.start).expect("the area was reached").may_have_guards = true;
        if area.backing.is_anonymous() {
            self.join_family(part.start, store);
        }
        Ok(())
    }

    /// Takes the guards of a range away.
    pub(super) fn remove_guards(&mut self, part: PageRange, store: &mut Store) {
        let tables = Arc::clone(&self.tables);
        let mut cursor = tables.cursor(part);
        while let Some(met) = cursor.next() {
            if met.entry == Entry::Guard {
                cursor.take();
            }
        }
        let mut shootdown = tables.shootdown();
        tables.prune(part, &mut shootdown);
        shootdown.complete(&mut store.frames);
    }

    /// Takes the pages of a part of an area out of the tables; guards stay.
    pub(super) fn drop_pages(&mut self, area: &Area, part: PageRange, store: &mut Store) {
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        let mut first = part.start;
        for guard in self.guards(part).into_iter().chain([part.end]) {
            self.take_pages(area, PageRange::new(first, guard), store, &mut shootdown);
            first = if guard < part.end { guard + 1 } else { guard };
        }
        shootdown.complete(&mut store.frames);
    }

    /// Gives a child the guards of an area whose pages it finds by itself.
    pub(super) fn share_guards(&self, child: &Self, area: &Area, store: &mut Store) -> Result<(), OutOfFrames> {
        for page in self.guards(area.pages) {
            child.tables.set(page, Entry::Guard, &mut store.frames)?;
        }
        Ok(())
    }

    fn guards(&self, part: PageRange) -> Vec<Page> {
        let mut cursor = self.tables.cursor(part);
        let met = std::iter::from_fn(|| cursor.next());
        met.filter(|met| met.entry == Entry::Guard).map(|met| met.page).collect()
    }

    /// Makes sure that there is a table of level 1 for a page.
    fn split_large(&self, page: Page, store: &mut Store) -> Result<(), Errno> {
        self.tables.split(page, &mut store.frames).map_err(|_| Errno::ENOMEM)?;
        self.tables.reserve(page, &mut store.frames).map_err(|_| Errno::ENOMEM)
    }
}
