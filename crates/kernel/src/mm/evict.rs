//! Taking a page out of RAM that a program has not given up.

use super::space::{Space, write_back};
use super::store::Store;
use super::{Mm, SpaceId};
use addr::{Page, PageRange, Perms};
use mmu::{Entry, Leaf, Origin};
use std::sync::Arc;

impl Mm {
    /// Evicts a page from a space: its own to swap; a file's is written back if it was stored to, and dropped. A
    /// locked page stays, and so does one for which no table can be split off a large leaf, or swap has no room.
    pub fn evict(&mut self, id: SpaceId, page: Page) {
        let (space, store) = self.both(id);
        space.evict(page, store);
    }
}

impl Space {
    pub(super) fn evict(&mut self, page: Page, store: &mut Store) {
        let Some(area) = self.areas.find(page).cloned() else { return };
        if area.traits.is_locked() || self.tables.split(page, &mut store.frames).is_err() {
            return;
        }
        let Entry::Leaf(leaf) = self.tables.entry(page) else { return };
        if leaf.origin == Origin::Anonymous && leaf.dirty && store.unused_swap() == 0 {
            return;
        }
        let only = PageRange::from_count(page, 1);
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        let mut cursor = tables.cursor(only);
        cursor.next().expect("the leaf was just seen");
        // The CPUs forget the page before its bytes are read, or a store in between would be lost.
        cursor.take();
        let mut unseen = tables.shootdown();
        unseen.forget(page);
        unseen.complete(&mut store.frames);
        self.forget_leaf(leaf, 1, &mut shootdown);
        match leaf.origin {
            Origin::Anonymous if leaf.dirty => self.swap_out(page, leaf, store),
            Origin::Object if leaf.dirty => write_back(&area, only, store),
            Origin::Anonymous | Origin::Object | Origin::Zero => {}
        }
        shootdown.complete(&mut store.frames);
        if let (Origin::Object, Some(object)) = (leaf.origin, area.backing.object()) {
            store.evict_object_page(object.id(), area.index_of(page));
        }
        if area.perms.contains(Perms::EXECUTE) {
            tables.post_code_change(only);
        }
    }

    fn swap_out(&mut self, page: Page, leaf: Leaf, store: &mut Store) {
        let slot = store.swap.store(store.frames.memory().ram(), leaf.pfn);
        let old = self.tables.set(page, Entry::Swapped(slot), &mut store.frames);
        debug_assert_eq!(old, Ok(Entry::Absent), "the leaf was just taken out, and its table is there");
        self.usage.swapped_pages += 1;
    }
}
