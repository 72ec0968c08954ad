//! msync(2) and mincore(2).

use super::mmap::page_bytes;
use super::{FileCache, Mm, SpaceId};
use crate::Errno;
use addr::{PAGE_BYTES, Page, PageRange, VirtAddr};
use mmu::Entry;

const ASYNC: u64 = libc::MS_ASYNC as u64;
const INVALIDATE: u64 = libc::MS_INVALIDATE as u64;
const SYNC: u64 = libc::MS_SYNC as u64;

impl Mm {
    /// msync(2): what was stored to shared files reaches the host's files, whether it was asked to wait or not.
    ///
    /// # Errors
    /// Linux's.
    pub fn msync(&mut self, id: SpaceId, start: u64, bytes: u64, flags: u64) -> Result<(), Errno> {
        let is_wrong = flags & !(ASYNC | INVALIDATE | SYNC) != 0
            || !start.is_multiple_of(PAGE_BYTES)
            || flags & (ASYNC | SYNC) == ASYNC | SYNC;
        if is_wrong {
            return Err(Errno::EINVAL);
        }
        // A length that wraps when it is rounded up is none.
        let end = start.checked_add(page_bytes(bytes).unwrap_or(0)).ok_or(Errno::ENOMEM)?;
        let range = PageRange::new(VirtAddr::new(start).page(), VirtAddr::new(end).page());
        let areas: Vec<_> = self.space(id).areas.overlapping(range).cloned().collect();
        for area in areas {
            if flags & INVALIDATE != 0 && area.traits.is_locked() {
                return Err(Errno::EBUSY);
            }
            if let (true, Some(object)) = (area.backing.is_shared(), area.backing.object()) {
                self.sync_in(id, object.id(), Some(range));
            }
        }
        if range.is_empty() || self.space(id).areas.cover(range) { Ok(()) } else { Err(Errno::ENOMEM) }
    }

    /// mincore(2): a byte a page, 1 for those in RAM.
    ///
    /// # Errors
    /// Linux's.
    pub fn mincore(&mut self, id: SpaceId, start: u64, bytes: u64, to: VirtAddr) -> Result<(), Errno> {
        if !start.is_multiple_of(PAGE_BYTES) {
            return Err(Errno::EINVAL);
        }
        let limit = self.layout(id).task_size.get();
        if start > limit || bytes > limit - start {
            return Err(Errno::ENOMEM);
        }
        let range = PageRange::from_count(VirtAddr::new(start).page(), bytes.div_ceil(PAGE_BYTES));
        if to.get() > limit || range.count() > limit - to.get() {
            return Err(Errno::EFAULT);
        }
        let hole = self.space(id).areas.first_hole(range);
        // As far as memory goes: Linux answers page by page of the answer.
        for first in (range.start.get()..hole.unwrap_or(range.end).get()).step_by(PAGE_BYTES as usize) {
            let last = hole.unwrap_or(range.end).get().min(first + PAGE_BYTES);
            let answer: Vec<u8> = (first..last).map(|page| u8::from(self.is_in_core(id, Page::new(page)))).collect();
            let offset = first - range.start.get();
            self.write_all(id, to.wrapping_add(offset), &answer)?;
        }
        if hole.is_some() { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    fn is_in_core(&self, id: SpaceId, page: Page) -> bool {
        let space = self.space(id);
        if let Entry::Leaf(_) = space.tables.entry(page) {
            return true;
        }
        let area = space.areas.find(page).expect("a page before the first hole lies in an area");
        let Some(object) = area.backing.object().map(|object| self.store.objects.get(object.id())) else {
            return false;
        };
        let index = area.index_of(page);
        let is_warm = object.is_file() && self.store.config.file_cache == FileCache::Warm;
        object.resident(index).is_some() || is_warm && index < object.page_count()
    }
}
