//! What happens when a walk is refused.
//!
//! ```text
//! find the area, or grow a stack down to the page     none: MapErr       linux-mm: GROWSDOWN
//! check the access against the area                   no: AccErr
//! entry absent      anonymous   load: the frame of zeros          store: a zeroed frame
//!                   file        load: the cached page, read-only  store: a copy of it
//!                   shared      the cached page                   beyond the end: BusAdrErr
//! entry a guard     MapErr
//! entry swapped     read it in
//! leaf, store       a page nobody shares: allow stores   shared: copy it
//! leaf, otherwise   it was there all along, or AccErr
//! ```

use super::area::{Area, AreaTraits, Backing};
use super::areas::GUARD_PAGES;
use super::object::FileId;
use super::space::{Space, own_leaf};
use super::store::Store;
use addr::{Access, Page, PageRange, Perms, VirtAddr};
use mmu::{Entry, Leaf, Origin, OutOfFrames, SwapSlot};
use trace::{Cost, FaultKind};

/// Pages of a large leaf of level 2.
const LARGE_PAGES: u64 = 512;

/// How a fault was resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resolved {
    /// By doing what.
    pub kind: FaultKind,
    /// At what cost.
    pub cost: Cost,
}

/// Why a fault cannot be resolved.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultError {
    /// No area: SIGSEGV, `SEGV_MAPERR`.
    MapErr,
    /// The area does not allow it: SIGSEGV, `SEGV_ACCERR`.
    AccErr,
    /// Beyond the end of the file: SIGBUS, `BUS_ADRERR`.
    BusAdrErr,
    /// No frame is left.
    OutOfMemory,
}

impl From<OutOfFrames> for FaultError {
    fn from(_: OutOfFrames) -> Self {
        Self::OutOfMemory
    }
}

/// What a fault needs to know of its area.
struct Site {
    page: Page,
    area: PageRange,
    perms: Perms,
    behind: Behind,
    traits: AreaTraits,
    has_family: bool,
}

/// What is behind the page.
#[derive(Clone, Copy)]
enum Behind {
    Nothing,
    File { id: FileId, index: u64 },
    Shared { id: FileId, index: u64 },
}

impl Site {
    fn of(area: &Area, page: Page) -> Self {
        let index = area.index_of(page);
        Self {
            page,
            area: area.pages,
            perms: area.leaf_perms(),
            behind: match &area.backing {
                Backing::Anonymous { .. } => Behind::Nothing,
                Backing::File { object, .. } => Behind::File { id: object.id(), index },
                Backing::Shared { object, .. } => Behind::Shared { id: object.id(), index },
            },
            traits: area.traits,
            has_family: area.family.is_some(),
        }
    }
}

impl Space {
    /// Resolves a fault.
    pub fn resolve(&mut self, addr: VirtAddr, access: Access, store: &mut Store) -> Result<Resolved, FaultError> {
        store.make_ready();
        let page = addr.page();
        let grown = self.reach(addr, store)?;
        let area = self.areas.find(page).expect("the area was reached");
        let (site, is_allowed) = (Site::of(area, page), area.allows(access));
        // A fetch from a page that is absent brings it in like a load, and is refused once it is there.
        let is_late = access == Access::Execute && !area.perms.is_none();
        let done = match self.tables.entry(page) {
            _ if !is_allowed && !is_late => Err(FaultError::AccErr),
            Entry::Guard => Err(FaultError::MapErr),
            Entry::Absent => self.fill(&site, access, store),
            Entry::Swapped(slot) => self.swap_in(&site, slot, store),
            Entry::Leaf(_) if !is_allowed => Err(FaultError::AccErr),
            Entry::Leaf(leaf) if access == Access::Write && !leaf.perms.contains(Perms::WRITE) => {
                self.own(&site, leaf, store)
            }
            Entry::Leaf(_) | Entry::Table { .. } => Ok(Resolved { kind: FaultKind::Spurious, cost: Cost::Minor }),
        }?;
        self.usage.note_peaks(self.tables.table_frames());
        Ok(if grown { Resolved { kind: FaultKind::StackGrowth, ..done } } else { done })
    }

    /// Makes sure that an area holds the address; says whether one had to grow.
    fn reach(&mut self, addr: VirtAddr, store: &mut Store) -> Result<bool, FaultError> {
        let page = addr.page();
        let above = self.areas.first_after(page).ok_or(FaultError::MapErr)?;
        if above.pages.contains(page) {
            return Ok(false);
        }
        if !above.traits.has(AreaTraits::GROWS_DOWN) {
            return Err(FaultError::MapErr);
        }
        let (start, bytes) = (above.pages.start, (above.pages.end - page) * addr::PAGE_BYTES);
        let is_locked = above.traits.is_locked();
        let is_crowded = self.areas.last_before(start).is_some_and(|below| {
            !below.traits.has(AreaTraits::GROWS_DOWN)
                && !below.perms.is_none()
                && page - below.pages.end.min(page) < GUARD_PAGES
        });
        let grown_bytes = (start - page) * addr::PAGE_BYTES;
        let limits = &self.limits;
        if is_crowded
            || page.start().get() < limits.lowest_address
            || bytes > limits.stack
            || self.mapped_bytes() + grown_bytes > limits.address_space
            || is_locked && self.locked_bytes() + grown_bytes > limits.locked
        {
            return Err(FaultError::MapErr);
        }
        self.join_family(start, store);
        self.areas.grow_down(start, page);
        self.note_areas();
        Ok(true)
    }

    /// Fills an absent entry.
    fn fill(&mut self, site: &Site, access: Access, store: &mut Store) -> Result<Resolved, FaultError> {
        match (site.behind, access) {
            (Behind::Nothing, Access::Write) => self.zero_fill(site, store),
            (Behind::Nothing, _) => {
                let leaf = Leaf::user(store.zero, site.perms.without(Perms::WRITE), Origin::Zero);
                self.tables.set(site.page, Entry::Leaf(leaf), &mut store.frames)?;
                Ok(Resolved { kind: FaultKind::ZeroFill, cost: Cost::Minor })
            }
            (Behind::File { id, index }, Access::Write) => {
                // Linux sees to the family before it looks for the page, which may lie beyond the end.
                self.see_to_family(site, store);
                let (cached, cost) = store.object_page(id, index)?;
                let pfn = store.copied_frame(cached)?;
                self.install_own(site, own_leaf(pfn, site.perms), store)?;
                Ok(Resolved { kind: FaultKind::File, cost })
            }
            (Behind::File { id, index }, _) => {
                self.map_cached(site, id, index, site.perms.without(Perms::WRITE), store)
            }
            (Behind::Shared { id, index }, _) => self.map_cached(site, id, index, site.perms, store),
        }
    }

    /// A frame of zeros of the page's own, or 512 of them where large pages are wanted and fit.
    fn zero_fill(&mut self, site: &Site, store: &mut Store) -> Result<Resolved, FaultError> {
        let done = Ok(Resolved { kind: FaultKind::ZeroFill, cost: Cost::Minor });
        if site.traits.has(AreaTraits::HUGE) && self.large_zero_fill(site, store) {
            return done;
        }
        let pfn = store.zeroed_frame()?;
        self.install_own(site, own_leaf(pfn, site.perms), store)?;
        done
    }

    fn large_zero_fill(&mut self, site: &Site, store: &mut Store) -> bool {
        let first = Page::new(site.page.get() & !(LARGE_PAGES - 1));
        let range = PageRange::from_count(first, LARGE_PAGES);
        if !site.area.covers(range) || self.tables.cursor(range).next().is_some() {
            return false;
        }
        let Some(block) = store.frames.alloc_zeroed(9) else { return false };
        let leaf = own_leaf(block.into_pfn(), site.perms);
        if self.tables.set_large(first, leaf, 2, &mut store.frames).is_err() {
            for index in 0..LARGE_PAGES as u32 {
                store.frames.release(leaf.pfn + index);
            }
            return false;
        }
        self.usage.anonymous_pages += LARGE_PAGES;
        self.see_to_family(site, store);
        true
    }

    /// Maps a cached page, and those around it that are cached too.
    fn map_cached(
        &mut self,
        site: &Site,
        id: FileId,
        index: u64,
        perms: Perms,
        store: &mut Store,
    ) -> Result<Resolved, FaultError> {
        let (pfn, cost) = store.object_page(id, index)?;
        self.tables.reserve(site.page, &mut store.frames)?;
        self.map_object_page(site.page, pfn, perms, store);
        let around = store.config.fault_around_pages.max(1);
        let first = Page::new(site.page.get() / around * around);
        let window = PageRange::from_count(first, around).intersection(site.area);
        for page in window.iter().filter(|page| *page != site.page) {
            // Index arithmetic modulo 2^64: the window lies in the area.
            let near = index.wrapping_add(page.get()).wrapping_sub(site.page.get());
            let object = store.objects.get(id);
            let Some(pfn) = object.resident(near).filter(|_| near < object.page_count()) else { continue };
            if self.tables.entry(page) == Entry::Absent {
                self.map_object_page(page, pfn, perms, store);
            }
        }
        Ok(Resolved { kind: FaultKind::File, cost })
    }

    /// Maps a cached page where the table of level 1 is there and its entry absent.
    fn map_object_page(&mut self, page: Page, pfn: addr::Pfn, perms: Perms, store: &mut Store) {
        store.frames.share(pfn);
        let leaf = Leaf::user(pfn, perms, Origin::Object);
        let old = self.tables.set(page, Entry::Leaf(leaf), &mut store.frames).expect("the table was reserved");
        debug_assert_eq!(old, Entry::Absent, "nothing was mapped there");
        self.usage.object_pages += 1;
    }

    fn swap_in(&mut self, site: &Site, slot: SwapSlot, store: &mut Store) -> Result<Resolved, FaultError> {
        let pfn = store.frames.alloc_for_copy().ok_or(FaultError::OutOfMemory)?.into_pfn();
        store.swap.load(slot, store.frames.memory().ram(), pfn);
        store.swap.release(slot);
        self.usage.swapped_pages -= 1;
        self.install_own(site, own_leaf(pfn, site.perms), store)?;
        Ok(Resolved { kind: FaultKind::SwapIn, cost: Cost::Major })
    }

    /// Lets a program store to a page: its own if nobody else has it, else a copy.
    fn own(&mut self, site: &Site, leaf: Leaf, store: &mut Store) -> Result<Resolved, FaultError> {
        let done = Ok(Resolved { kind: FaultKind::CopyOnWrite, cost: Cost::Minor });
        self.tables.split(site.page, &mut store.frames)?;
        let Entry::Leaf(leaf) = self.tables.entry(site.page) else { unreachable!("{leaf:?} was there") };
        let is_shared = matches!(site.behind, Behind::Shared { .. });
        if is_shared || leaf.origin == Origin::Anonymous && store.frames.count(leaf.pfn) == 1 {
            let leaf = Entry::Leaf(leaf.with_perms(site.perms).written());
            self.tables.set(site.page, leaf, &mut store.frames)?;
            return done;
        }
        let pfn = match leaf.origin {
            Origin::Zero => store.zeroed_frame()?,
            Origin::Anonymous | Origin::Object => store.copied_frame(leaf.pfn)?,
        };
        let tables = std::sync::Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        shootdown.forget(site.page);
        self.forget_leaf(leaf, 1, &mut shootdown);
        self.install_own(site, own_leaf(pfn, site.perms), store)?;
        shootdown.complete(&mut store.frames);
        if site.perms.contains(Perms::EXECUTE) {
            tables.post_code_change(PageRange::from_count(site.page, 1));
        }
        done
    }

    /// Writes the leaf of a page of the program's own; takes its frame over, or gives it back if there is no table.
    fn install_own(&mut self, site: &Site, leaf: Leaf, store: &mut Store) -> Result<(), FaultError> {
        if let Err(out) = self.tables.set(site.page, Entry::Leaf(leaf), &mut store.frames) {
            store.frames.release(leaf.pfn);
            return Err(out.into());
        }
        self.usage.anonymous_pages += 1;
        self.see_to_family(site, store);
        Ok(())
    }

    /// Gives the area of a fault a family if it had none then.
    fn see_to_family(&mut self, site: &Site, store: &mut Store) {
        if !site.has_family {
            self.join_family(site.page, store);
        }
    }

    /// Gives the area a family when its first own page appears: a neighbour's if the two could be one but for their
    /// rights, so that they can merge when those become equal.
    pub(super) fn join_family(&mut self, page: Page, store: &mut Store) {
        let area = self.areas.find(page).expect("the area was reached");
        if area.family.is_some() {
            return;
        }
        let alike = |one: &Area, next: &Area| Area { perms: next.perms, ..one.clone() }.merges_with(next);
        let after = self.areas.find(area.pages.end).filter(|after| alike(area, after));
        let before = self.areas.last_before(area.pages.start).filter(|before| alike(before, area));
        let family = after.and_then(|area| area.family).or_else(|| before.and_then(|area| area.family));
        let family = family.unwrap_or_else(|| store.new_family());
        self.areas.find_mut(page).expect("the area was reached").family = Some(family);
    }
}
