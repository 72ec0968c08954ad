//! mremap(2).

use super::area::{Area, AreaTraits, Backing};
use super::mmap::page_bytes;
use super::place::{Alignment, Wish};
use super::space::Space;
use super::store::Store;
use crate::Errno;
use addr::{PAGE_BYTES, Page, PageRange, VirtAddr};
use mmu::{Entry, OutOfFrames};
use std::sync::Arc;

const MAY_MOVE: u64 = libc::MREMAP_MAYMOVE as u64;
const FIXED: u64 = libc::MREMAP_FIXED as u64;
const DONT_UNMAP: u64 = libc::MREMAP_DONTUNMAP as u64;

/// What a program passes to mremap, as it passes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MremapRequest {
    /// Where the old range begins.
    pub addr: u64,
    /// How many bytes it has.
    pub old_bytes: u64,
    /// How many it shall have.
    pub new_bytes: u64,
    /// `MREMAP_*`.
    pub flags: u64,
    /// Where it shall begin.
    pub new_addr: u64,
}

/// A checked request, in pages.
struct Move {
    from: PageRange,
    new_pages: u64,
    flags: u64,
    new_addr: VirtAddr,
}

impl Space {
    /// mremap(2).
    pub fn mremap(&mut self, request: &MremapRequest, store: &mut Store) -> Result<VirtAddr, Errno> {
        let mut plan = self.check_request(request)?;
        let start = plan.from.start;
        let has_target = plan.flags & (FIXED | DONT_UNMAP) != 0;
        if plan.flags & FIXED != 0 && plan.from.count() == plan.new_pages {
            return self.move_all(&plan, store);
        }
        let mut area = self.areas.find(start).cloned().ok_or(Errno::EFAULT)?;
        if has_target && self.areas.count() + 2 >= self.limits.areas - 3 {
            return Err(Errno::ENOMEM);
        }
        if plan.from.is_empty() && !area.backing.is_shared() {
            return Err(Errno::EINVAL);
        }
        if plan.from.count() > plan.new_pages && !has_target {
            self.unmap(PageRange::new(start + plan.new_pages, plan.from.end), store)?;
            return Ok(start.start());
        }
        if plan.from.count() == plan.new_pages && !has_target {
            return Ok(start.start());
        }
        self.may_remap(&area, &plan)?;
        if plan.flags & FIXED != 0 {
            let target = PageRange::from_count(plan.new_addr.page(), plan.new_pages);
            self.unmap(target, store)?;
            // The target may have held the old range itself, if that was empty.
            area = self.areas.find(start).cloned().ok_or(Errno::EFAULT)?;
        }
        if plan.from.count() > plan.new_pages {
            self.unmap(PageRange::new(start + plan.new_pages, plan.from.end), store)?;
            plan.from.end = start + plan.new_pages;
            area = self.areas.find(start).cloned().ok_or(Errno::EFAULT)?;
        }
        if !has_target && self.grow_in_place(&area, &plan, store)? {
            return Ok(start.start());
        }
        if plan.flags & MAY_MOVE == 0 {
            return Err(Errno::ENOMEM);
        }
        let target = self.target(&area, &plan, store)?;
        self.move_area(&area, &plan, target, store)?;
        Ok(target.start())
    }

    /// Moves all that a range holds, be it several areas with holes between them (since Linux 6.17). Pieces before one
    /// that cannot be moved have moved.
    fn move_all(&mut self, plan: &Move, store: &mut Store) -> Result<VirtAddr, Errno> {
        let target = |page: Page| plan.new_addr.page() + (page - plan.from.start);
        self.areas.find(plan.from.start).ok_or(Errno::EFAULT)?;
        let areas: Vec<_> = self.areas.overlapping(plan.from).cloned().collect();
        for area in areas {
            if self.areas.count() + 2 >= self.limits.areas - 3 {
                return Err(Errno::ENOMEM);
            }
            let from = area.pages.intersection(plan.from);
            let piece = Move { from, new_pages: from.count(), new_addr: target(from.start).start(), ..*plan };
            self.unmap(PageRange::from_count(target(from.start), from.count()), store)?;
            let to = self.target(&area, &piece, store)?;
            self.move_area(&area, &piece, to, store)?;
        }
        Ok(plan.new_addr)
    }

    fn check_request(&self, request: &MremapRequest) -> Result<Move, Errno> {
        let MremapRequest { addr, flags, new_addr, .. } = *request;
        let limit = self.layout.task_size.get();
        let old_bytes = page_bytes(request.old_bytes).unwrap_or(0);
        let new_bytes = page_bytes(request.new_bytes).unwrap_or(0);
        let is_wrong = flags & !(MAY_MOVE | FIXED | DONT_UNMAP) != 0
            || !addr.is_multiple_of(PAGE_BYTES)
            || new_bytes == 0
            || new_bytes > limit
            || old_bytes > limit;
        if is_wrong {
            return Err(Errno::EINVAL);
        }
        if flags & (FIXED | DONT_UNMAP) != 0 {
            let is_wrong = !new_addr.is_multiple_of(PAGE_BYTES)
                || flags & MAY_MOVE == 0
                || flags & DONT_UNMAP != 0 && old_bytes != new_bytes
                || new_addr > limit - new_bytes
                || addr.saturating_add(old_bytes) > new_addr && new_addr + new_bytes > addr;
            if is_wrong {
                return Err(Errno::EINVAL);
            }
        }
        let from = VirtAddr::new(addr).page();
        if addr > limit || old_bytes > limit - addr {
            return Err(Errno::EFAULT);
        }
        Ok(Move {
            from: PageRange::from_count(from, old_bytes / PAGE_BYTES),
            new_pages: new_bytes / PAGE_BYTES,
            flags,
            new_addr: VirtAddr::new(new_addr),
        })
    }

    /// Whether what is kept of the old range lies in one area, and limits allow what is added to it.
    fn may_remap(&self, area: &Area, plan: &Move) -> Result<(), Errno> {
        let kept_pages = plan.from.count().min(plan.new_pages);
        if plan.from.start + kept_pages > area.pages.end {
            return Err(Errno::EFAULT);
        }
        let added = (plan.new_pages - kept_pages) * PAGE_BYTES;
        if added == 0 {
            return Ok(());
        }
        if area.traits.is_locked() && self.locked_bytes() + added > self.limits.locked {
            return Err(Errno::EAGAIN);
        }
        let is_over = self.mapped_bytes().saturating_add(added) > self.limits.address_space
            || area.is_data() && !self.may_have_more_data(added);
        if is_over { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// Makes an area longer where it is, if the old range ends with it and there is room.
    fn grow_in_place(&mut self, area: &Area, plan: &Move, store: &mut Store) -> Result<bool, Errno> {
        let added = PageRange::new(plan.from.end, plan.from.start + plan.new_pages);
        if area.pages.end != plan.from.end
            || added.end.start() > self.layout.task_size
            || self.areas.overlapping(added).next().is_some()
        {
            return Ok(false);
        }
        let extension = Area { pages: added, backing: area.backing.skipping(area.pages.count()), ..area.clone() };
        store.may_commit(&extension)?;
        self.add_area(extension, store);
        if area.traits.is_filled() {
            self.populate(added, store);
        }
        Ok(true)
    }

    fn target(&self, area: &Area, plan: &Move, store: &Store) -> Result<Page, Errno> {
        if plan.flags & FIXED != 0 {
            return match plan.new_addr.get() < self.limits.lowest_address {
                true => Err(Errno::EPERM),
                false => Ok(plan.new_addr.page()),
            };
        }
        let hint = if plan.flags & DONT_UNMAP != 0 { plan.new_addr } else { VirtAddr::new(0) };
        let alignment = match area.backing.object() {
            Some(object) if !store.objects.get(object.id()).is_file() => Alignment::Page,
            Some(_) => Alignment::File(area.index_of(plan.from.start) * PAGE_BYTES),
            None => Alignment::Whole,
        };
        self.place(Wish::Hint(hint), plan.new_pages * PAGE_BYTES, alignment).map(VirtAddr::page)
    }

    /// Moves the old range, area and pages. What can fail comes first.
    fn move_area(&mut self, area: &Area, plan: &Move, target: Page, store: &mut Store) -> Result<(), Errno> {
        let keeps_old = plan.flags & DONT_UNMAP != 0;
        let pages = PageRange::from_count(target, plan.new_pages);
        let skipped = plan.from.start - area.pages.start;
        let backing = match &area.backing {
            // Never touched: it may as well have been born there.
            Backing::Anonymous { .. } if area.family.is_none() => Backing::Anonymous { first: target.get() },
            backing => backing.skipping(skipped),
        };
        let moved = Area { pages, backing, ..area.clone() };
        store.may_commit(&moved)?;
        self.reserve_move(plan.from, target, store).map_err(|_| Errno::ENOMEM)?;
        self.move_pages(plan.from, target, store);
        self.add_area(moved, store);
        if keeps_old {
            let is_whole = plan.from == area.pages;
            // Linux unlocks all of the old area, not only what moved, and does not merge it with its neighbours.
            let old = self.areas.find_mut(plan.from.start).expect("the old area stays");
            old.traits = old.traits.without(AreaTraits::LOCKED).without(AreaTraits::LOCKED_ON_FAULT);
            old.family = old.family.filter(|_| !is_whole);
        } else if !plan.from.is_empty() {
            self.remove(plan.from, store);
        }
        if area.traits.is_filled() {
            self.populate(pages, store);
        }
        Ok(())
    }

    /// Makes small leaves of the large ones, and the tables that the entries of a range need where they go.
    fn reserve_move(&self, from: PageRange, target: Page, store: &mut Store) -> Result<(), OutOfFrames> {
        self.cut_leaves(from, store)?;
        let mut cursor = self.tables.cursor(from);
        let mut large = Vec::new();
        while let Some(met) = cursor.next() {
            if met.level > 1 {
                large.push(met.pages());
            }
        }
        for page in &large {
            self.tables.split(page.start, &mut store.frames)?;
        }
        let mut cursor = self.tables.cursor(from);
        while let Some(met) = cursor.next() {
            self.tables.reserve(target + (met.page - from.start), &mut store.frames)?;
        }
        Ok(())
    }

    fn move_pages(&mut self, from: PageRange, target: Page, store: &mut Store) {
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        let mut cursor = tables.cursor(from);
        while let Some(met) = cursor.next() {
            let entry = cursor.take();
            shootdown.forget(met.page);
            let old = tables.set(target + (met.page - from.start), entry, &mut store.frames);
            debug_assert_eq!(old, Ok(Entry::Absent), "tables were reserved and the target is free");
        }
        tables.prune(from, &mut shootdown);
        shootdown.complete(&mut store.frames);
        if self.areas.find(from.start).is_some_and(|area| area.perms.contains(addr::Perms::EXECUTE)) {
            tables.post_code_change(from);
        }
    }
}
