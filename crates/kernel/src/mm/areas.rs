//! The areas of one address space, in order.

use super::area::{Area, AreaTraits};
use addr::{Page, PageRange};
use std::collections::BTreeMap;

/// Pages below a growing area that are not handed out, so that it does not run into its neighbour (256 pages).
pub(crate) const GUARD_PAGES: u64 = 256;

/// A set of areas that do not overlap. Where one is put in or changed, it becomes one with neighbours that are alike.
#[derive(Clone, Debug, Default)]
pub(crate) struct Areas {
    by_start: BTreeMap<Page, Area>,
    pages: u64,
}

impl Areas {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_start.len()
    }

    /// How many pages they hold.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Area> {
        self.by_start.values()
    }

    /// The area that holds a page.
    pub fn find(&self, page: Page) -> Option<&Area> {
        self.by_start.range(..=page).next_back().map(|(_, area)| area).filter(|area| area.pages.contains(page))
    }

    /// The area that holds a page, for changes that merge nothing and move nothing.
    pub fn find_mut(&mut self, page: Page) -> Option<&mut Area> {
        self.by_start.range_mut(..=page).next_back().map(|(_, area)| area).filter(|area| area.pages.contains(page))
    }

    /// The first area that ends after a page.
    pub fn first_after(&self, page: Page) -> Option<&Area> {
        self.find(page).or_else(|| self.by_start.range(page..).next().map(|(_, area)| area))
    }

    /// The last area that begins before a page.
    pub fn last_before(&self, page: Page) -> Option<&Area> {
        self.by_start.range(..page).next_back().map(|(_, area)| area)
    }

    /// Those that share a page with a range, in order.
    pub fn overlapping(&self, range: PageRange) -> impl Iterator<Item = &Area> {
        let start = self.find(range.start).map_or(range.start, |area| area.pages.start);
        self.by_start
            .range(start..)
            .map(|(_, area)| area)
            .take_while(move |area| area.pages.start < range.end && !range.is_empty())
    }

    /// Whether areas hold every page of a range.
    pub fn cover(&self, range: PageRange) -> bool {
        self.first_hole(range).is_none()
    }

    /// The first page of a range that no area holds.
    pub fn first_hole(&self, range: PageRange) -> Option<Page> {
        let mut next = range.start;
        for area in self.overlapping(range) {
            if area.pages.start > next {
                return Some(next);
            }
            next = area.pages.end;
        }
        (next < range.end).then_some(next)
    }

    /// How many more areas there are once `range` has been cut out of those that hold its ends.
    pub fn cuts(&self, range: PageRange) -> usize {
        let cut = |page: Page| self.find(page).is_some_and(|area| area.pages.start < page);
        usize::from(cut(range.start)) + usize::from(cut(range.end))
    }

    /// Takes out what lies in a range, cutting the areas at its ends.
    pub fn take(&mut self, range: PageRange) -> Vec<Area> {
        self.cut(range.start);
        self.cut(range.end);
        let starts: Vec<_> = self.by_start.range(range.start..range.end).map(|(start, _)| *start).collect();
        let taken: Vec<_> = starts.into_iter().filter_map(|start| self.by_start.remove(&start)).collect();
        self.pages -= taken.iter().map(|area| area.pages.count()).sum::<u64>();
        taken
    }

    /// Puts an area where nothing is, as one with its neighbours if they are alike.
    pub fn insert(&mut self, mut area: Area) {
        debug_assert!(!area.pages.is_empty() && self.overlapping(area.pages).next().is_none(), "areas do not overlap");
        self.pages += area.pages.count();
        if let Some(before) = self.last_before(area.pages.start).filter(|before| before.merges_with(&area)) {
            let start = before.pages.start;
            let before = self.by_start.remove(&start).expect("it was just found");
            area = join(before, area);
        }
        if let Some(after) = self.by_start.get(&area.pages.end).filter(|after| area.merges_with(after)) {
            let start = after.pages.start;
            let after = self.by_start.remove(&start).expect("it was just found");
            area = join(area, after);
        }
        self.by_start.insert(area.pages.start, area);
    }

    /// Changes what lies in a range, cutting at its ends and joining what became alike.
    pub fn change(&mut self, range: PageRange, change: impl Fn(&mut Area)) {
        for mut area in self.take(range) {
            change(&mut area);
            self.insert(area);
        }
    }

    /// Moves the first page of a growing area down.
    pub fn grow_down(&mut self, start: Page, to: Page) {
        let mut area = self.by_start.remove(&start).expect("the growing area was just found");
        self.pages += start - to;
        area.pages.start = to;
        if let super::area::Backing::Anonymous { first } = &mut area.backing {
            *first = first.wrapping_sub(start - to);
        }
        self.by_start.insert(to, area);
    }

    /// The highest place for `count` pages in `window`, or `None`. Room that areas need to grow is left.
    pub fn highest_gap(&self, count: u64, window: PageRange) -> Option<Page> {
        let mut end = window.end;
        for area in self.by_start.range(..window.end).rev().map(|(_, area)| area) {
            let start = area.pages.end.max(window.start);
            if end >= start && end - start >= count {
                return Some(end - count);
            }
            end = end.min(start_with_guard(area));
            if end <= window.start {
                return None;
            }
        }
        (end >= window.start && end - window.start >= count).then(|| end - count)
    }

    /// The lowest place for `count` pages in `window`, or `None`.
    pub fn lowest_gap(&self, count: u64, window: PageRange) -> Option<Page> {
        let mut start = window.start;
        for area in self.overlapping(window) {
            let end = start_with_guard(area);
            if end >= start && end - start >= count {
                return Some(start);
            }
            start = start.max(area.pages.end);
        }
        (window.end >= start && window.end - start >= count).then_some(start)
    }

    /// Whether a range holds no area, and no room that one needs to grow.
    pub fn is_free(&self, range: PageRange) -> bool {
        self.first_after(range.start).is_none_or(|area| start_with_guard(area) >= range.end)
    }

    /// Proves that the areas are in order and apart.
    ///
    /// # Panics
    /// When they are not.
    pub fn check(&self) {
        let mut before: Option<&Area> = None;
        for (start, area) in &self.by_start {
            assert_eq!(*start, area.pages.start, "an area is found by its start");
            assert!(!area.pages.is_empty(), "an area holds a page");
            assert!(area.may.contains(area.perms), "rights are among those that may be");
            if let Some(before) = before {
                assert!(before.pages.end <= area.pages.start, "areas do not overlap");
            }
            before = Some(area);
        }
        assert_eq!(self.pages, self.iter().map(|area| area.pages.count()).sum::<u64>(), "pages are counted");
    }

    fn cut(&mut self, page: Page) {
        let Some(area) = self.find(page).filter(|area| area.pages.start < page) else { return };
        let start = area.pages.start;
        let area = self.by_start.remove(&start).expect("it was just found");
        let (first, second) = area.split(page);
        self.by_start.insert(start, first);
        self.by_start.insert(page, second);
    }
}

/// Where an area begins, with the room below it that it may grow into.
fn start_with_guard(area: &Area) -> Page {
    let guard = if area.traits.has(AreaTraits::GROWS_DOWN) { GUARD_PAGES } else { 0 };
    Page::new(area.pages.start.get().saturating_sub(guard))
}

fn join(mut first: Area, second: Area) -> Area {
    first.pages.end = second.pages.end;
    first.family = first.family.or(second.family);
    first.may_have_guards |= second.may_have_guards;
    first
}
