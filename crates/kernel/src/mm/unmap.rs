//! munmap(2) and brk(2).

use super::area::{Area, AreaTraits, Backing};
use super::mmap::page_bytes;
use super::space::Space;
use super::store::Store;
use crate::Errno;
use addr::{PAGE_BYTES, PageRange, Perms, VirtAddr};

impl Space {
    /// munmap(2).
    pub fn munmap(&mut self, start: u64, bytes: u64, store: &mut Store) -> Result<(), Errno> {
        let limit = self.layout.task_size.get();
        if !start.is_multiple_of(PAGE_BYTES) || start > limit || bytes > limit - start {
            return Err(Errno::EINVAL);
        }
        let bytes = page_bytes(bytes).filter(|bytes| *bytes > 0).ok_or(Errno::EINVAL)?;
        self.unmap(PageRange::from_count(VirtAddr::new(start).page(), bytes / PAGE_BYTES), store)
    }

    /// Takes a range out. A hole in the middle of an area makes one area more, for which there may be no room.
    pub fn unmap(&mut self, range: PageRange, store: &mut Store) -> Result<(), Errno> {
        let is_hole = self
            .areas
            .find(range.start)
            .is_some_and(|area| area.pages.start < range.start && range.end < area.pages.end);
        if is_hole && self.areas.count() >= self.limits.areas {
            return Err(Errno::ENOMEM);
        }
        if self.areas.overlapping(range).next().is_none() {
            return Ok(());
        }
        self.cut_leaves(range, store).map_err(|_| Errno::ENOMEM)?;
        self.remove(range, store);
        Ok(())
    }

    /// brk(2): moves the heap's end, or says where it is.
    pub fn brk(&mut self, wanted: u64, store: &mut Store) -> VirtAddr {
        let (start, end) = self.heap;
        let unchanged = end;
        let Some(wanted) = page_bytes(wanted).map(|_| VirtAddr::new(wanted)).filter(|wanted| *wanted >= start) else {
            return unchanged;
        };
        if (wanted - start) > self.limits.data {
            return unchanged;
        }
        let (old_top, new_top) = (page_end(end), page_end(wanted));
        let moved = if new_top <= old_top {
            self.unmap(PageRange::new(new_top.page(), old_top.page()), store).is_ok()
        } else {
            self.grow_heap(PageRange::new(old_top.page(), new_top.page()), store).is_ok()
        };
        if moved {
            self.heap.1 = wanted;
        }
        self.heap.1
    }

    fn grow_heap(&mut self, pages: PageRange, store: &mut Store) -> Result<(), Errno> {
        // A page stays free between the heap and whatever comes next.
        let has_room = self.areas.is_free(PageRange::new(pages.start, pages.end + 1));
        if !has_room || pages.end.start() > self.layout.task_size {
            return Err(Errno::ENOMEM);
        }
        if self.areas.count() > self.limits.areas {
            return Err(Errno::ENOMEM);
        }
        let traits = self.lock_future.with(AreaTraits::ACCOUNTED);
        if traits.is_locked() {
            self.may_lock(pages.byte_count(), Errno::EAGAIN)?;
        }
        let area = Area {
            pages,
            perms: Perms::READ_WRITE,
            may: Perms::ALL,
            backing: Backing::Anonymous { first: pages.start.get() },
            traits,
            name: None,
            family: None,
            may_have_guards: false,
        };
        self.may_map(&area, false, store)?;
        self.add_area(area, store);
        if traits.is_filled() {
            self.populate(pages, store);
        }
        Ok(())
    }
}

/// The end of the page that an end lies in.
fn page_end(end: VirtAddr) -> VirtAddr {
    end.checked_page_ceil().expect("a heap's end was checked when it was set")
}
