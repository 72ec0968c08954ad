//! LFU: the page used least often since it came in leaves; of several, the one not used for the longest time. K. Shah, A. Mitra and D. Matani, "An O(1) algorithm for implementing the LFU cache eviction scheme", 2010.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slots};
use addr::Access;

const NONE: u32 = u32::MAX;

/// Pages in groups of equal counts, the groups in ascending order.
pub struct Lfu {
    frames: usize,
    /// Each page's group.
    slots: Slots<u32>,
    groups: Vec<Group>,
    lowest: u32,
    free: u32,
}

/// The pages of one count, the one used longest ago in front.
struct Group {
    count: u64,
    pages: List,
    below: u32,
    above: u32,
}

impl Lfu {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        // One group more than pages: a page joins its new group before it leaves the old one.
        let groups = (0..=frames as u32).map(|number| Group {
            count: 0,
            pages: List::default(),
            below: NONE,
            above: if number == frames as u32 { NONE } else { number + 1 },
        });
        Self { frames, slots: Slots::new(frames), groups: groups.collect(), lowest: NONE, free: 0 }
    }

    /// The group of `count`, which belongs right above `below`.
    fn group_above(&mut self, below: u32, count: u64) -> u32 {
        let above = if below == NONE { self.lowest } else { self.groups[below as usize].above };
        if above != NONE && self.groups[above as usize].count == count {
            return above;
        }
        let new = self.free;
        self.free = self.groups[new as usize].above;
        self.groups[new as usize] = Group { count, pages: List::default(), below, above };
        match below {
            NONE => self.lowest = new,
            below => self.groups[below as usize].above = new,
        }
        if above != NONE {
            self.groups[above as usize].below = new;
        }
        new
    }

    fn leave(&mut self, slot: u32) {
        let group = self.slots[slot];
        self.groups[group as usize].pages.unlink(&mut self.slots, slot);
        if self.groups[group as usize].pages.count() > 0 {
            return;
        }
        let Group { below, above, .. } = self.groups[group as usize];
        match below {
            NONE => self.lowest = above,
            below => self.groups[below as usize].above = above,
        }
        if above != NONE {
            self.groups[above as usize].below = below;
        }
        self.groups[group as usize].above = self.free;
        self.free = group;
    }

    fn join(&mut self, slot: u32, group: u32) {
        self.slots[slot] = group;
        self.groups[group as usize].pages.push_back(&mut self.slots, slot);
    }
}

impl Policy for Lfu {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.slots.used()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        let old = self.slots[slot];
        let count = self.groups[old as usize].count + 1;
        let above = self.groups[old as usize].above;
        let is_alone = self.groups[old as usize].pages.count() == 1;
        if is_alone && (above == NONE || self.groups[above as usize].count != count) {
            self.groups[old as usize].count = count;
            return Residency::Resident;
        }
        let new = self.group_above(old, count);
        self.leave(slot);
        self.join(slot, new);
        Residency::Resident
    }

    fn evict(&mut self, _incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        let slot = self.groups.get(self.lowest as usize)?.pages.front()?;
        self.leave(slot);
        Some(self.slots.release(slot))
    }

    fn insert(&mut self, page: u64, _access: Access) {
        let group = self.group_above(NONE, 1);
        let slot = self.slots.add(page, group);
        self.join(slot, group);
    }

    fn remove(&mut self, page: u64) {
        if let Some(slot) = self.slots.find(page) {
            self.leave(slot);
            self.slots.release(slot);
        }
    }

    fn check(&self) {
        let (mut at, mut last, mut pages) = (self.lowest, 0, 0);
        while at != NONE {
            let group = &self.groups[at as usize];
            assert!(group.count > last, "counts ascend");
            assert!(group.pages.count() > 0, "no group is empty");
            (last, at) = (group.count, group.above);
            pages += group.pages.count();
        }
        assert_eq!(pages, self.slots.used(), "every page is in a group");
    }
}
