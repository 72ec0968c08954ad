//! One address space.

use super::area::{Area, AreaTraits, Backing};
use super::areas::Areas;
use super::counts::Usage;
use super::store::Store;
use super::{AreaInfo, Layout, Limits, SpaceId};
use addr::{PAGE_BYTES, PageRange, Pfn, VirtAddr};
use mmu::{Entry, Leaf, Origin, Shootdown, Tables};
use std::sync::Arc;

/// A tree of page tables and the areas that say what ought to be in it.
pub(crate) struct Space {
    pub id: SpaceId,
    /// How many processes have it: more than one after `CLONE_VM`.
    pub users: u32,
    pub tables: Arc<Tables>,
    pub areas: Areas,
    pub layout: Layout,
    pub limits: Limits,
    /// The heap: where it begins, and its end, which need not be a page boundary.
    pub heap: (VirtAddr, VirtAddr),
    pub usage: Usage,
    /// How areas to come are locked (`mlockall(MCL_FUTURE)`).
    pub lock_future: AreaTraits,
    /// The barriers that its processes have registered for: commands of membarrier(2). A fork inherits them.
    pub barriers: u64,
    /// The areas that were told of as events.
    pub told: Vec<AreaInfo>,
}

impl Space {
    /// A space without areas, or `None` without a frame for its root table.
    pub fn new(id: SpaceId, layout: Layout, store: &mut Store) -> Option<Self> {
        let tables = Arc::new(Tables::new(&store.upper, &mut store.frames)?);
        Some(Self {
            id,
            users: 1,
            tables,
            areas: Areas::default(),
            layout,
            limits: Limits::default(),
            heap: (VirtAddr::default(), VirtAddr::default()),
            usage: Usage::default(),
            lock_future: AreaTraits::default(),
            barriers: 0,
            told: Vec::new(),
        })
    }

    /// Takes everything out and gives every frame back.
    pub fn tear_down(&mut self, store: &mut Store) {
        let everything = PageRange::new(VirtAddr::new(0).page(), self.layout.task_size.page() + 1);
        self.remove(everything, store);
        self.tables.release(&mut store.frames);
    }

    /// Takes areas and pages out of a range. No large leaf may reach across its ends.
    pub fn remove(&mut self, range: PageRange, store: &mut Store) {
        let tables = Arc::clone(&self.tables);
        let mut shootdown = tables.shootdown();
        let taken = self.areas.take(range);
        for area in &taken {
            self.take_pages(area, area.pages, store, &mut shootdown);
        }
        // Tables are pruned over the holes around what was taken too: an entry there is absent.
        tables.prune(range, &mut shootdown);
        shootdown.complete(&mut store.frames);
        let objects: Vec<_> = taken.iter().filter_map(|area| area.backing.object()).map(|object| object.id()).collect();
        drop(taken);
        for id in objects.into_iter().filter(|id| store.objects.contains(*id)).collect::<Vec<_>>() {
            if store.objects.contains(id) {
                store.settle_object(id);
            }
        }
    }

    /// Takes the pages of a range of one area out of the tables; what was stored to a shared file reaches it.
    pub fn take_pages(&mut self, area: &Area, range: PageRange, store: &mut Store, shootdown: &mut Shootdown<'_>) {
        let tables = Arc::clone(&self.tables);
        let mut cursor = tables.cursor(range);
        while let Some(met) = cursor.next() {
            let old = cursor.take();
            shootdown.forget_range(met.pages());
            match old {
                Entry::Leaf(leaf) => {
                    if leaf.dirty && leaf.origin == Origin::Object {
                        write_back(area, met.pages(), store);
                    }
                    self.forget_leaf(leaf, met.page_count(), shootdown);
                }
                Entry::Swapped(slot) => {
                    self.usage.swapped_pages -= 1;
                    store.swap.release(slot);
                }
                Entry::Guard => {}
                Entry::Absent | Entry::Table { .. } => unreachable!("a cursor meets what is not absent"),
            }
        }
        if area.perms.contains(addr::Perms::EXECUTE) {
            tables.post_code_change(range);
        }
    }

    /// Counts a leaf of `pages` pages out, and hands its frames to a shootdown.
    pub fn forget_leaf(&mut self, leaf: Leaf, pages: u64, shootdown: &mut Shootdown<'_>) {
        match leaf.origin {
            Origin::Anonymous => self.usage.anonymous_pages -= pages,
            Origin::Object => self.usage.object_pages -= pages,
            Origin::Zero => return,
        }
        (0..pages as u32).for_each(|index| shootdown.own(leaf.pfn + index));
    }

    /// Splits the large leaves that reach across the ends of a range.
    ///
    /// # Errors
    /// No frame for a table.
    pub fn cut_leaves(&self, range: PageRange, store: &mut Store) -> Result<(), mmu::OutOfFrames> {
        for end in [range.start, range.end] {
            let met = self.tables.mapped(end);
            if met.level > 1 && met.entry != Entry::Absent && met.page != end {
                self.tables.split(end, &mut store.frames)?;
            }
        }
        Ok(())
    }

    /// Bytes of all areas.
    pub fn mapped_bytes(&self) -> u64 {
        self.areas.pages() * PAGE_BYTES
    }

    /// Whether so many more bytes of data are within [`RLIMIT_DATA`](Limits::data). All areas are only counted where
    /// there is a limit: programs have tens of thousands.
    pub fn may_have_more_data(&self, bytes: u64) -> bool {
        let data = || self.areas.iter().filter(|area| area.is_data()).map(|area| area.pages.byte_count()).sum::<u64>();
        self.limits.data == u64::MAX || data().saturating_add(bytes) <= self.limits.data
    }

    /// Bytes of the areas that are locked.
    pub fn locked_bytes(&self) -> u64 {
        let locked = self.areas.iter().filter(|area| area.traits.is_locked());
        locked.map(|area| area.pages.byte_count()).sum()
    }

    /// Puts an area in, and remembers the space in its object's reverse map.
    pub fn add_area(&mut self, area: Area, store: &mut Store) {
        if let Some(object) = area.backing.object() {
            let spaces = &mut store.objects.get_mut(object.id()).spaces;
            if !spaces.contains(&self.id) {
                spaces.push(self.id);
            }
        }
        self.areas.insert(area);
        self.note_areas();
    }

    /// Remembers how many areas and pages there were at once.
    pub fn note_areas(&mut self) {
        self.usage.peak_areas = self.usage.peak_areas.max(self.areas.count() as u64);
        self.usage.peak_mapped_pages = self.usage.peak_mapped_pages.max(self.areas.pages());
    }

    /// Proves that the tables hold what the areas say, and that the counts are right.
    ///
    /// # Panics
    /// When that is not so.
    pub fn check(&self, store: &Store) {
        self.areas.check();
        let mut seen = Usage::default();
        let lower = PageRange::new(VirtAddr::new(0).page(), self.layout.task_size.page() + 1);
        let mut cursor = self.tables.cursor(lower);
        while let Some(met) = cursor.next() {
            let area = self.areas.find(met.page).expect("what is mapped lies in an area");
            assert!(area.pages.covers(met.pages()), "a leaf does not reach out of its area");
            match met.entry {
                Entry::Leaf(leaf) => {
                    assert!(area.leaf_perms().contains(leaf.perms), "a leaf allows what its area allows, or less");
                    assert_eq!(leaf.perms.is_none(), area.perms.is_none(), "no access is as the area says");
                    check_leaf(area, leaf, met.page, store);
                    match leaf.origin {
                        Origin::Anonymous => seen.anonymous_pages += met.page_count(),
                        Origin::Object => seen.object_pages += met.page_count(),
                        Origin::Zero => {}
                    }
                }
                Entry::Swapped(_) => seen.swapped_pages += 1,
                Entry::Guard => {}
                Entry::Absent | Entry::Table { .. } => unreachable!("a cursor meets what is not absent"),
            }
        }
        assert_eq!(seen.anonymous_pages, self.usage.anonymous_pages, "anonymous pages are counted");
        assert_eq!(seen.object_pages, self.usage.object_pages, "pages of objects are counted");
        assert_eq!(seen.swapped_pages, self.usage.swapped_pages, "swapped pages are counted");
    }
}

fn check_leaf(area: &Area, leaf: Leaf, page: addr::Page, store: &Store) {
    let writable = leaf.perms.contains(addr::Perms::WRITE);
    match (&area.backing, leaf.origin) {
        (Backing::Shared { object, .. } | Backing::File { object, .. }, Origin::Object) => {
            let cached = store.objects.get(object.id()).resident(area.index_of(page));
            assert_eq!(cached, Some(leaf.pfn), "a page of an object is the one that is cached");
            assert!(!writable || area.backing.is_shared(), "a private map does not change its file");
        }
        (_, Origin::Anonymous) => {
            assert!(!area.backing.is_shared(), "what is shared is nobody's own");
            assert!(!writable || store.frames.count(leaf.pfn) == 1, "a page that two have is not stored to");
        }
        (Backing::Anonymous { .. }, Origin::Zero) => {
            assert!(leaf.pfn == store.zero && !writable, "the frame of zeros stays so");
        }
        (backing, origin) => panic!("{origin:?} behind {backing:?}"),
    }
}

/// Writes pages that were stored to back to the file that they show.
pub(crate) fn write_back(area: &Area, pages: PageRange, store: &Store) {
    if let Backing::Shared { object, .. } = &area.backing {
        let object = store.objects.get(object.id());
        for page in pages.iter() {
            object.write_back(area.index_of(page), &store.frames);
        }
    }
}

/// The leaf of a frame of a program's own, which has just been written.
pub(crate) fn own_leaf(pfn: Pfn, area_perms: addr::Perms) -> Leaf {
    Leaf::user(pfn, area_perms, Origin::Anonymous).written()
}
