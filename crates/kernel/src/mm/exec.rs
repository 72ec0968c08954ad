//! What a new program's space begins with.

use super::area::{Area, AreaTraits, Backing};
use super::{Mm, SpaceId};
use crate::Errno;
use addr::{PAGE_BYTES, PageRange, Perms, VirtAddr, VirtRange};

impl Mm {
    /// Maps a stack of `bytes` bytes, rounded up to pages, that ends at the layout's top and grows down.
    ///
    /// # Errors
    /// `ENOMEM` if the limits do not allow it.
    pub fn map_stack(&mut self, id: SpaceId, bytes: u64, perms: Perms) -> Result<VirtRange, Errno> {
        let (space, store) = self.both(id);
        let top = space.layout.stack_top;
        let bytes = super::mmap::page_bytes(bytes).filter(|bytes| *bytes < top.get()).ok_or(Errno::ENOMEM)?;
        let pages = PageRange::new((top - bytes).page(), top.page());
        let area = Area {
            pages,
            perms,
            may: Perms::ALL,
            backing: Backing::Anonymous { first: pages.start.get() },
            traits: AreaTraits::GROWS_DOWN.with(AreaTraits::ACCOUNTED),
            name: None,
            family: None,
            may_have_guards: false,
        };
        space.may_map(&area, false, store)?;
        space.replace(area, store)?;
        Ok(pages.bytes())
    }

    /// Says where the heap begins: after the program's last byte, plus what the layout adds. It is empty until brk.
    pub fn set_heap(&mut self, id: SpaceId, start: VirtAddr) {
        let space = self.space_mut(id);
        let start = start.checked_page_ceil().and_then(|start| start.checked_add(space.layout.brk_offset));
        let start = start.expect("a program lies below the top of its space");
        space.heap = (start, start);
    }

    /// Where the heap begins and ends.
    pub fn heap(&self, id: SpaceId) -> VirtRange {
        let (start, end) = self.space(id).heap;
        VirtRange::new(start, end)
    }

    /// A free place for `bytes` bytes where mmap would put them.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn free_place(&self, id: SpaceId, bytes: u64) -> Result<VirtAddr, Errno> {
        let bytes = bytes.checked_next_multiple_of(PAGE_BYTES).ok_or(Errno::ENOMEM)?;
        let (wish, alignment) = (super::place::Wish::Hint(VirtAddr::new(0)), super::place::Alignment::Page);
        self.space(id).place(wish, bytes, alignment)
    }
}
