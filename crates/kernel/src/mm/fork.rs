//! fork(2): a second space that looks the same, and copies as it is written to.

use super::area::{Area, AreaTraits, Backing};
use super::space::Space;
use super::store::Store;
use super::{Mm, SpaceId};
use crate::Errno;
use addr::{Access, VirtAddr};
use mmu::SharedPages;
use std::sync::Arc;

impl Mm {
    /// A copy of a space with one user.
    ///
    /// # Errors
    /// `ENOMEM`; the space is as it was then.
    pub fn fork_space(&mut self, id: SpaceId) -> Result<SpaceId, Errno> {
        let child_id = SpaceId(self.spaces.len() as u32);
        let (parent, store) = self.both(id);
        // The child has no more tables than the parent, so from here on frames do not run out.
        let wanted = parent.tables.table_frames() as u32;
        store.shrink(wanted);
        if store.frames.free_frames() < wanted {
            return Err(Errno::ENOMEM);
        }
        let mut child = Space::new(child_id, parent.layout, store).ok_or(Errno::ENOMEM)?;
        child.limits = parent.limits;
        child.heap = parent.heap;
        child.barriers = parent.barriers;
        if parent.share_with(&mut child, store).is_err() {
            child.tear_down(store);
            return Err(Errno::ENOMEM);
        }
        child.usage.note_peaks(child.tables.table_frames());
        self.spaces.push(Some(Box::new(child)));
        Ok(child_id)
    }
}

impl Space {
    /// Gives a child its areas, and the pages of those whose pages cannot be found again otherwise.
    fn share_with(&self, child: &mut Self, store: &mut Store) -> Result<(), mmu::OutOfFrames> {
        let mut shared = SharedPages::default();
        let inherited = self.areas.iter().filter(|area| !area.traits.has(AreaTraits::DONT_FORK));
        // The child may run the code translated for its parent, but not what it does not have.
        let is_lost = |area: &Area| area.traits.has(AreaTraits::DONT_FORK) || area.traits.has(AreaTraits::WIPE_ON_FORK);
        for area in self.areas.iter().filter(|area| is_lost(area) && area.allows(Access::Execute)) {
            child.tables.post_code_change(area.pages);
        }
        let mut outcome = Ok(());
        for area in inherited {
            child.add_area(inherited_area(area), store);
            if outcome.is_err() || area.traits.has(AreaTraits::WIPE_ON_FORK) {
                continue;
            }
            if has_own_pages(area) {
                outcome = self.tables.share_into(&child.tables, area.pages, &mut store.frames, &mut shared);
            } else if area.may_have_guards {
                outcome = self.share_guards(child, area, store);
            }
        }
        child.usage.anonymous_pages = shared.anonymous;
        child.usage.object_pages = shared.object;
        child.usage.swapped_pages = shared.swapped.len() as u64;
        shared.swapped.iter().for_each(|slot| store.swap.share(*slot));
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        shootdown.forget_range(addr::PageRange::new(VirtAddr::new(0).page(), self.layout.task_size.page()));
        shootdown.complete(&mut store.frames);
        outcome
    }
}

/// Whether pages of the area would be lost in a child that only had the area: a shared or merely read file is found
/// again by faults.
fn has_own_pages(area: &Area) -> bool {
    match area.backing {
        Backing::Anonymous { .. } => true,
        Backing::File { .. } => area.family.is_some(),
        Backing::Shared { .. } => false,
    }
}

/// Locks are not inherited, and what is wiped begins anew.
fn inherited_area(area: &Area) -> Area {
    let traits = area.traits.without(AreaTraits::LOCKED).without(AreaTraits::LOCKED_ON_FAULT);
    let family = area.family.filter(|_| !traits.has(AreaTraits::WIPE_ON_FORK));
    Area { traits, family, ..area.clone() }
}
