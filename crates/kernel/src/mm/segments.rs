//! Shared memory that lives without being mapped: what System V's segments need.

use super::area::Backing;
use super::object::{FileId, ObjectRef};
use super::{Mm, SpaceId};
use crate::Errno;
use addr::{PAGE_BYTES, PageRange, VirtAddr};

impl Mm {
    /// Shared memory of this many bytes, under the name that maps shows; it lives as long as the share is kept.
    pub(crate) fn add_shared_memory(&mut self, bytes: u64, name: &str) -> ObjectRef {
        self.store.objects.add_memory(bytes, name)
    }

    /// Gives a share back; with the last one the memory goes.
    pub(crate) fn drop_shared_memory(&mut self, object: ObjectRef) {
        let id = object.id();
        drop(object);
        self.store.settle_object(id);
    }

    /// How many areas of all spaces show an object.
    pub(crate) fn areas_of(&self, id: FileId) -> u64 {
        let areas = self.spaces.iter().flatten().flat_map(|space| space.areas.iter());
        areas.filter(|area| area.backing.object().is_some_and(|object| object.id() == id)).count() as u64
    }

    /// How many pages of an object are in RAM, and how many in swap.
    pub(crate) fn pages_of(&self, id: FileId) -> (u64, u64) {
        self.store.objects.get(id).page_counts()
    }

    /// The object whose beginning is mapped at an address, shared.
    pub(crate) fn shared_area(&self, space: SpaceId, at: VirtAddr) -> Option<ObjectRef> {
        let area = self.space(space).areas.find(at.page()).filter(|area| area.pages.start == at.page())?;
        match &area.backing {
            Backing::Shared { object, first: 0 } => Some(object.clone()),
            _ => None,
        }
    }

    /// Takes out what shows an object in a range, and nothing else.
    ///
    /// # Errors
    /// munmap's.
    pub(crate) fn unmap_shared(
        &mut self,
        space: SpaceId,
        start: VirtAddr,
        bytes: u64,
        object: &ObjectRef,
    ) -> Result<(), Errno> {
        let range = PageRange::from_count(start.page(), bytes.div_ceil(PAGE_BYTES));
        let shows = |backing: &Backing| backing.object().is_some_and(|found| found == object);
        let areas = self.space(space).areas.overlapping(range).filter(|area| shows(&area.backing));
        let parts: Vec<PageRange> = areas.map(|area| area.pages.intersection(range)).collect();
        for part in parts {
            self.munmap(space, part.start.start().get(), part.byte_count())?;
        }
        Ok(())
    }
}
