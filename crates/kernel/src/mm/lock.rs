//! mlock(2), mlock2(2), munlock(2), mlockall(2), munlockall(2).

use super::area::AreaTraits;
use super::space::Space;
use super::store::Store;
use super::{Mm, SpaceId};
use crate::Errno;
use addr::{Access, PAGE_BYTES, PageRange, Perms, VirtAddr};

const CURRENT: u64 = libc::MCL_CURRENT as u64;
const FUTURE: u64 = libc::MCL_FUTURE as u64;
const ON_FAULT: u64 = libc::MCL_ONFAULT as u64;

impl Mm {
    /// mlock2(2); mlock(2) with no flags.
    ///
    /// # Errors
    /// Linux's.
    pub fn mlock(&mut self, id: SpaceId, start: u64, bytes: u64, flags: u64) -> Result<(), Errno> {
        if flags & !u64::from(libc::MLOCK_ONFAULT) != 0 {
            return Err(Errno::EINVAL);
        }
        let (space, store) = self.both(id);
        if space.limits.locked == 0 {
            return Err(Errno::EPERM);
        }
        let range = lock_range(start, bytes)?;
        let already = space.areas.overlapping(range).filter(|area| area.traits.is_locked());
        let already: u64 = already.map(|area| area.pages.intersection(range).byte_count()).sum();
        if space.locked_bytes() - already + range.byte_count() > space.limits.locked {
            return Err(Errno::ENOMEM);
        }
        let how = if flags == 0 { AreaTraits::LOCKED } else { AreaTraits::LOCKED.with(AreaTraits::LOCKED_ON_FAULT) };
        space.set_lock(range, how, store)?;
        if flags == 0 { space.fill_locked(range, store) } else { Ok(()) }
    }

    /// munlock(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn munlock(&mut self, id: SpaceId, start: u64, bytes: u64) -> Result<(), Errno> {
        let (space, store) = self.both(id);
        space.set_lock(lock_range(start, bytes)?, AreaTraits::default(), store)
    }

    /// mlockall(2).
    ///
    /// # Errors
    /// Linux's.
    pub fn mlockall(&mut self, id: SpaceId, flags: u64) -> Result<(), Errno> {
        if flags == 0 || flags & !(CURRENT | FUTURE | ON_FAULT) != 0 || flags == ON_FAULT {
            return Err(Errno::EINVAL);
        }
        let (space, store) = self.both(id);
        if space.limits.locked == 0 {
            return Err(Errno::EPERM);
        }
        if flags & CURRENT != 0 && space.mapped_bytes() > space.limits.locked {
            return Err(Errno::ENOMEM);
        }
        let late = if flags & ON_FAULT != 0 { AreaTraits::LOCKED_ON_FAULT } else { AreaTraits::default() };
        let how = AreaTraits::LOCKED.with(late);
        space.lock_future = if flags & FUTURE != 0 { how } else { AreaTraits::default() };
        if flags & CURRENT != 0 {
            let areas: Vec<_> = space.areas.iter().map(|area| area.pages).collect();
            for range in areas {
                space.set_lock(range, how, store)?;
                if flags & ON_FAULT == 0 {
                    space.populate(range, store);
                }
            }
        }
        Ok(())
    }

    /// munlockall(2).
    pub fn munlockall(&mut self, id: SpaceId) {
        let space = self.space_mut(id);
        space.lock_future = AreaTraits::default();
        let areas: Vec<_> = space.areas.iter().map(|area| area.pages).collect();
        for range in areas {
            space.areas.change(range, |area| area.traits = unlocked(area.traits));
        }
    }
}

impl Space {
    /// Locks or unlocks what areas hold of a range; what lies before a hole is done.
    fn set_lock(&mut self, range: PageRange, how: AreaTraits, store: &mut Store) -> Result<(), Errno> {
        let mut next = range.start;
        while next < range.end {
            let area = self.areas.find(next).ok_or(Errno::ENOMEM)?.clone();
            let part = PageRange::new(next, area.pages.end.min(range.end));
            self.change_traits(&area, part, unlocked(area.traits).with(how), store)?;
            next = part.end;
        }
        Ok(())
    }

    /// Brings locked pages in; what cannot be brought in is told of as Linux does.
    fn fill_locked(&mut self, range: PageRange, store: &mut Store) -> Result<(), Errno> {
        for page in range.iter() {
            let area = self.areas.find(page).expect("the range was just locked");
            let access = match area.perms {
                perms if perms.contains(Perms::WRITE) && !area.backing.is_shared() => Access::Write,
                _ => Access::Read,
            };
            let is_there = matches!(self.tables.entry(page), mmu::Entry::Leaf(leaf) if leaf.perms.allows(access));
            if is_there {
                continue;
            }
            match self.resolve(page.start(), access, store) {
                Ok(resolved) => self.usage.faults.count(resolved.kind, resolved.cost),
                Err(super::FaultError::OutOfMemory) => return Err(Errno::EAGAIN),
                Err(_) => return Err(Errno::ENOMEM),
            }
        }
        Ok(())
    }
}

fn unlocked(traits: AreaTraits) -> AreaTraits {
    traits.without(AreaTraits::LOCKED).without(AreaTraits::LOCKED_ON_FAULT)
}

/// The pages of a range of bytes; a length that wraps when it is rounded up is none.
fn lock_range(start: u64, bytes: u64) -> Result<PageRange, Errno> {
    let bytes = bytes.wrapping_add(start % PAGE_BYTES).wrapping_add(PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    let start = VirtAddr::new(start).page_floor();
    let end = start.checked_add(bytes).ok_or(Errno::EINVAL)?;
    Ok(PageRange::new(start.page(), end.page()))
}
