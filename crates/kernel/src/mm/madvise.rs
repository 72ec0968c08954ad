//! madvise(2).

use super::area::{Area, AreaTraits, Backing};
use super::mmap::page_bytes;
use super::space::Space;
use super::store::Store;
use super::{FaultError, Mm, SpaceId};
use crate::Errno;
use addr::{Access, PAGE_BYTES, PageRange, Perms, VirtAddr};
use mmu::{Entry, Leaf, Origin};
use std::sync::Arc;

/// `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE`, since Linux 6.13.
const GUARD_INSTALL: i32 = 102;
const GUARD_REMOVE: i32 = 103;

/// A known advice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Advice {
    /// Changes the area's traits: these off, those on.
    Traits {
        off: AreaTraits,
        on: AreaTraits,
    },
    /// Changes nothing that can be seen.
    Nothing,
    Wipe,
    DontNeed,
    DontNeedLocked,
    Free,
    Remove,
    Cold,
    PageOut,
    Populate(Access),
    Collapse,
    InstallGuard,
    RemoveGuard,
    /// Only the administrator may break memory.
    Poison,
}

impl Advice {
    fn of(number: u64) -> Option<Self> {
        let none = AreaTraits::default();
        let order = AreaTraits::SEQUENTIAL.with(AreaTraits::RANDOM);
        let on = |on: AreaTraits, off: AreaTraits| Self::Traits { off, on };
        Some(match i32::try_from(number).ok()? {
            libc::MADV_NORMAL => on(none, order),
            libc::MADV_RANDOM => on(AreaTraits::RANDOM, order),
            libc::MADV_SEQUENTIAL => on(AreaTraits::SEQUENTIAL, order),
            libc::MADV_WILLNEED => Self::Nothing,
            libc::MADV_DONTNEED => Self::DontNeed,
            libc::MADV_FREE => Self::Free,
            libc::MADV_REMOVE => Self::Remove,
            libc::MADV_DONTFORK => on(AreaTraits::DONT_FORK, none),
            libc::MADV_DOFORK => on(none, AreaTraits::DONT_FORK),
            libc::MADV_MERGEABLE => on(AreaTraits::MERGEABLE, none),
            libc::MADV_UNMERGEABLE => on(none, AreaTraits::MERGEABLE),
            libc::MADV_HUGEPAGE => on(AreaTraits::HUGE, AreaTraits::NO_HUGE),
            libc::MADV_NOHUGEPAGE => on(AreaTraits::NO_HUGE, AreaTraits::HUGE),
            libc::MADV_DONTDUMP => on(AreaTraits::DONT_DUMP, none),
            libc::MADV_DODUMP => on(none, AreaTraits::DONT_DUMP),
            libc::MADV_WIPEONFORK => Self::Wipe,
            libc::MADV_KEEPONFORK => on(none, AreaTraits::WIPE_ON_FORK),
            libc::MADV_COLD => Self::Cold,
            libc::MADV_PAGEOUT => Self::PageOut,
            libc::MADV_POPULATE_READ => Self::Populate(Access::Read),
            libc::MADV_POPULATE_WRITE => Self::Populate(Access::Write),
            libc::MADV_DONTNEED_LOCKED => Self::DontNeedLocked,
            libc::MADV_COLLAPSE => Self::Collapse,
            GUARD_INSTALL => Self::InstallGuard,
            GUARD_REMOVE => Self::RemoveGuard,
            libc::MADV_HWPOISON | libc::MADV_SOFT_OFFLINE => Self::Poison,
            _ => return None,
        })
    }
}

impl Mm {
    /// madvise(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn madvise(&mut self, id: SpaceId, start: u64, bytes: u64, advice: u64) -> Result<(), Errno> {
        let advice = Advice::of(advice).ok_or(Errno::EINVAL)?;
        if advice == Advice::Poison {
            return Err(Errno::EPERM);
        }
        if !start.is_multiple_of(PAGE_BYTES) {
            return Err(Errno::EINVAL);
        }
        let bytes = page_bytes(bytes).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(bytes).ok_or(Errno::EINVAL)?;
        let range = PageRange::new(VirtAddr::new(start).page(), VirtAddr::new(end).page());
        if range.is_empty() {
            return Ok(());
        }
        if advice == Advice::Remove {
            return self.remove(id, range);
        }
        let (space, store) = self.both(id);
        match advice {
            Advice::Populate(access) => space.populate_for(range, access, store),
            _ => space.advise(range, advice, store),
        }
    }

    /// Drops the pages of shared memory together with their bytes, for all who map it.
    fn remove(&mut self, id: SpaceId, range: PageRange) -> Result<(), Errno> {
        let areas: Vec<_> = self.space(id).areas.overlapping(range).cloned().collect();
        for area in areas {
            let part = area.pages.intersection(range);
            if area.traits.is_locked() {
                return Err(Errno::EINVAL);
            }
            let Backing::Shared { object, .. } = &area.backing else {
                return Err(if area.backing.is_anonymous() { Errno::EINVAL } else { Errno::EACCES });
            };
            if !area.may.contains(Perms::WRITE) {
                return Err(Errno::EACCES);
            }
            if self.store.objects.get(object.id()).is_sealed {
                return Err(Errno::EPERM);
            }
            let first = area.index_of(part.start);
            self.punch(object.id(), first..first + part.count())?;
        }
        if self.space(id).areas.cover(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }
}

impl Space {
    fn advise(&mut self, range: PageRange, advice: Advice, store: &mut Store) -> Result<(), Errno> {
        self.each_part(range, |space, area, part| space.advise_part(area, part, advice, store))
    }

    /// Visits what each area holds of a range; a hole is told of at the end.
    pub(super) fn each_part(
        &mut self,
        range: PageRange,
        mut visit: impl FnMut(&mut Self, &Area, PageRange) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut next = range.start;
        let mut has_hole = false;
        while next < range.end {
            let Some(area) = self.areas.first_after(next).filter(|area| area.pages.start < range.end) else {
                has_hole = true;
                break;
            };
            has_hole |= area.pages.start > next;
            let part = area.pages.intersection(range);
            let part = PageRange::new(part.start.max(next), part.end);
            let area = area.clone();
            visit(self, &area, part)?;
            next = part.end;
        }
        if has_hole { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn advise_part(&mut self, area: &Area, part: PageRange, advice: Advice, store: &mut Store) -> Result<(), Errno> {
        let is_locked = area.traits.is_locked();
        match advice {
            Advice::DontNeed | Advice::Free | Advice::Cold | Advice::PageOut if is_locked => {
                return Err(Errno::EINVAL);
            }
            Advice::Traits { off, on } => {
                return self.change_traits(area, part, area.traits.without(off).with(on), store);
            }
            Advice::Wipe if !area.backing.is_anonymous() => return Err(Errno::EINVAL),
            Advice::Wipe => return self.change_traits(area, part, area.traits.with(AreaTraits::WIPE_ON_FORK), store),
            Advice::Free if !area.backing.is_anonymous() => return Err(Errno::EINVAL),
            Advice::Collapse if part.count() < 512 => return Err(Errno::EINVAL),
            Advice::DontNeed | Advice::DontNeedLocked => {
                self.cut_leaves(part, store).map_err(|_| Errno::ENOMEM)?;
                self.drop_pages(area, part, store);
            }
            Advice::Free => self.mark_free(part, store),
            Advice::InstallGuard if is_locked => return Err(Errno::EINVAL),
            Advice::InstallGuard => self.install_guards(area, part, store)?,
            Advice::RemoveGuard => self.remove_guards(part, store),
            Advice::PageOut => part.iter().for_each(|page| self.evict(page, store)),
            Advice::Cold | Advice::Nothing | Advice::Collapse => {}
            Advice::Populate(_) | Advice::Poison | Advice::Remove => unreachable!("dealt with before"),
        }
        Ok(())
    }

    pub(super) fn change_traits(
        &mut self,
        area: &Area,
        part: PageRange,
        traits: AreaTraits,
        store: &mut Store,
    ) -> Result<(), Errno> {
        if area.traits == traits {
            return Ok(());
        }
        self.may_cut(part, store)?;
        self.areas.change(part, |area| area.traits = traits);
        self.note_areas();
        Ok(())
    }

    /// Makes sure that a range can become areas of its own: there is room for them, and no large leaf reaches out.
    pub(super) fn may_cut(&self, part: PageRange, store: &mut Store) -> Result<(), Errno> {
        if self.areas.count() + self.areas.cuts(part) > self.limits.areas {
            return Err(Errno::ENOMEM);
        }
        self.cut_leaves(part, store).map_err(|_| Errno::ENOMEM)
    }

    /// Pages of the program's own lose their D: until they are written to again they may be dropped.
    fn mark_free(&mut self, part: PageRange, store: &mut Store) {
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        let mut cursor = tables.cursor(part);
        while let Some(met) = cursor.next() {
            match met.entry {
                Entry::Leaf(Leaf { origin: Origin::Anonymous, pfn, .. })
                    if part.covers(met.pages()) && store.frames.count(pfn) == 1 =>
                {
                    cursor.replace(super::files::clean);
                    shootdown.forget_range(met.pages());
                }
                Entry::Swapped(slot) => {
                    cursor.take();
                    store.swap.release(slot);
                    self.usage.swapped_pages -= 1;
                }
                _ => {}
            }
        }
        shootdown.complete(&mut store.frames);
    }

    /// Brings pages in as if each were read or written.
    fn populate_for(&mut self, range: PageRange, access: Access, store: &mut Store) -> Result<(), Errno> {
        for page in range.iter() {
            let area = self.areas.find(page).ok_or(Errno::ENOMEM)?;
            let is_allowed = match access {
                Access::Write => area.perms.contains(Perms::WRITE),
                Access::Read | Access::Execute => area.perms.contains(Perms::READ),
            };
            if !is_allowed {
                return Err(Errno::EINVAL);
            }
            let is_there = match self.tables.entry(page) {
                Entry::Leaf(leaf) => leaf.perms.allows(access),
                _ => false,
            };
            if is_there {
                continue;
            }
            match self.resolve(page.start(), access, store) {
                Ok(resolved) => self.usage.faults.count(resolved.kind, resolved.cost),
                Err(FaultError::OutOfMemory) => return Err(Errno::ENOMEM),
                Err(FaultError::BusAdrErr | FaultError::MapErr | FaultError::AccErr) => return Err(Errno::EFAULT),
            }
        }
        Ok(())
    }
}
