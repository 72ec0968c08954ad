//! mprotect(2).

use super::area::{Area, AreaTraits, is_data};
use super::mmap::{PROT_MASK, page_bytes, perms_of};
use super::space::Space;
use super::store::Store;
use crate::Errno;
use addr::{PAGE_BYTES, PageRange, Perms, VirtAddr};
use mmu::{Entry, Leaf, Origin};
use std::sync::Arc;

const GROWS_DOWN: u64 = libc::PROT_GROWSDOWN as u64;
const GROWS_UP: u64 = libc::PROT_GROWSUP as u64;

impl Space {
    /// mprotect(2). What lies before a hole or a refusal has changed.
    pub fn mprotect(&mut self, start: u64, bytes: u64, prot: u64, store: &mut Store) -> Result<(), Errno> {
        let grows = prot & (GROWS_DOWN | GROWS_UP);
        if grows == GROWS_DOWN | GROWS_UP || !start.is_multiple_of(PAGE_BYTES) {
            return Err(Errno::EINVAL);
        }
        if bytes == 0 {
            return Ok(());
        }
        let bytes = page_bytes(bytes).filter(|bytes| *bytes > 0).ok_or(Errno::ENOMEM)?;
        let end = start.checked_add(bytes).filter(|end| *end > start).ok_or(Errno::ENOMEM)?;
        if prot & !(PROT_MASK | GROWS_DOWN | GROWS_UP) != 0 {
            return Err(Errno::EINVAL);
        }
        let mut range = PageRange::new(VirtAddr::new(start).page(), VirtAddr::new(end).page());
        let first = self.areas.first_after(range.start).ok_or(Errno::ENOMEM)?;
        if grows == GROWS_UP {
            return Err(Errno::EINVAL);
        }
        if grows == GROWS_DOWN {
            if first.pages.start >= range.end {
                return Err(Errno::ENOMEM);
            }
            if !first.traits.has(AreaTraits::GROWS_DOWN) {
                return Err(Errno::EINVAL);
            }
            range.start = first.pages.start;
        }
        self.protect(range, perms_of(prot), store)
    }

    fn protect(&mut self, range: PageRange, perms: Perms, store: &mut Store) -> Result<(), Errno> {
        let mut next = range.start;
        while next < range.end {
            let area = self.areas.find(next).ok_or(Errno::ENOMEM)?;
            let piece = PageRange::new(next, area.pages.end.min(range.end));
            next = piece.end;
            if area.perms == perms {
                continue;
            }
            if !area.may.contains(perms) {
                return Err(Errno::EACCES);
            }
            let is_data_now = is_data(perms, area.backing.is_shared(), area.traits);
            if is_data_now && !area.is_data() && !self.may_have_more_data(piece.byte_count()) {
                return Err(Errno::ENOMEM);
            }
            let charged = Area { pages: piece, perms, ..area.clone() };
            if is_data_now && !area.traits.has(AreaTraits::ACCOUNTED) {
                store.may_commit(&charged)?;
            }
            self.may_cut(piece, store)?;
            let could_fetch = area.perms.contains(Perms::EXECUTE);
            let is_shared = area.backing.is_shared();
            // Locked pages that can be stored to now are made the program's own at once.
            let becomes_writable = perms.contains(Perms::WRITE) && !area.perms.contains(Perms::WRITE);
            let is_to_fill = becomes_writable && !is_shared && area.traits.is_filled();
            let traits = commitment(area, perms);
            self.areas.change(piece, |area| {
                area.perms = perms;
                area.traits = traits;
            });
            self.note_areas();
            self.protect_pages(piece, charged.leaf_perms(), is_shared, store);
            if is_to_fill {
                self.populate(piece, store);
            }
            if could_fetch && !perms.contains(Perms::EXECUTE) {
                self.tables.post_code_change(piece);
            }
        }
        Ok(())
    }

    /// Brings the leaves of a range in line with new rights.
    fn protect_pages(&mut self, range: PageRange, perms: Perms, is_shared: bool, store: &mut Store) {
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        let mut cursor = tables.cursor(range);
        while let Some(met) = cursor.next() {
            let Entry::Leaf(leaf) = met.entry else { continue };
            // A page that others have too, or that is a file's, stays read-only until it is copied.
            let is_own = leaf.origin == Origin::Anonymous
                && (0..met.page_count() as u32).all(|index| store.frames.count(leaf.pfn + index) == 1);
            let may_store = (is_shared || is_own) && !leaf.unchanged;
            let allowed = if may_store { perms } else { perms.without(Perms::WRITE) };
            cursor.replace(|entry| match entry {
                Entry::Leaf(leaf) => Entry::Leaf(Leaf { perms: allowed, ..leaf }),
                other => other,
            });
            if !allowed.contains(leaf.perms) {
                shootdown.forget_range(met.pages());
            }
        }
        shootdown.complete(&mut store.frames);
    }
}

/// The traits of an area whose rights change: what becomes writable is counted as committed, and what never was
/// written to no more.
fn commitment(area: &Area, perms: Perms) -> AreaTraits {
    let is_writable = perms.contains(Perms::WRITE);
    let was_writable = area.perms.contains(Perms::WRITE);
    let is_exempt = area.backing.is_shared() || area.traits.has(AreaTraits::NO_RESERVE);
    if is_writable && !was_writable && !is_exempt {
        area.traits.with(AreaTraits::ACCOUNTED)
    } else if !is_writable && area.backing.is_anonymous() && area.family.is_none() {
        area.traits.without(AreaTraits::ACCOUNTED)
    } else {
        area.traits
    }
}
