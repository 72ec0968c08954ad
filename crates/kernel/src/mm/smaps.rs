//! /proc/PID/smaps, pagemap and statm, and the memory lines of status.

use super::area::{Area, AreaTraits};
use super::maps::AreaInfo;
use super::space::Space;
use super::store::Store;
use super::{Mm, SpaceId};
use addr::{PAGE_BYTES, Page, Perms};
use mmu::{Entry, Leaf, Mapped, Origin};
use std::fmt::{self, Write};

const KB_PER_PAGE: u64 = PAGE_BYTES / 1024;

/// What the pages of an area add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct PageSums {
    resident: u64,
    /// In 4096ths of a page, so that a share of a page is exact enough.
    proportional: u64,
    proportional_dirty: u64,
    shared_clean: u64,
    shared_dirty: u64,
    private_clean: u64,
    private_dirty: u64,
    referenced: u64,
    anonymous: u64,
    lazily_free: u64,
    large: u64,
    swapped: u64,
    /// By how many a page is mapped at most.
    most_mappers: u64,
}

impl PageSums {
    fn of(area: &Area, space: &Space, store: &Store) -> Self {
        let mut sums = Self::default();
        let mut cursor = space.tables.cursor(area.pages);
        while let Some(met) = cursor.next() {
            match met.entry {
                Entry::Leaf(leaf) if leaf.origin != Origin::Zero => sums.add(&met, leaf, store),
                Entry::Swapped(_) => sums.swapped += 1,
                _ => {}
            }
        }
        sums
    }

    fn add(&mut self, met: &Mapped, leaf: Leaf, store: &Store) {
        let pages = met.page_count();
        let is_own = leaf.origin == Origin::Anonymous;
        // The page cache has a share of its own, which does not make a page shared.
        let mappers = u64::from(store.frames.count(leaf.pfn)) - u64::from(!is_own);
        let counter = match (mappers > 1, leaf.dirty) {
            (true, false) => &mut self.shared_clean,
            (true, true) => &mut self.shared_dirty,
            (false, false) => &mut self.private_clean,
            (false, true) => &mut self.private_dirty,
        };
        *counter += pages;
        self.resident += pages;
        self.proportional += pages * PAGE_BYTES / mappers;
        self.proportional_dirty += if leaf.dirty { pages * PAGE_BYTES / mappers } else { 0 };
        self.referenced += if leaf.accessed { pages } else { 0 };
        self.anonymous += if is_own { pages } else { 0 };
        self.lazily_free += if is_own && !leaf.dirty { pages } else { 0 };
        self.large += if met.level > 1 { pages } else { 0 };
        self.most_mappers = self.most_mappers.max(mappers);
    }

    /// Kilobytes that are locked.
    fn locked(&self, area: &Area) -> u64 {
        if area.traits.is_locked() { self.proportional / 1024 } else { 0 }
    }

    fn merge(&mut self, other: &Self) {
        self.resident += other.resident;
        self.proportional += other.proportional;
        self.proportional_dirty += other.proportional_dirty;
        self.shared_clean += other.shared_clean;
        self.shared_dirty += other.shared_dirty;
        self.private_clean += other.private_clean;
        self.private_dirty += other.private_dirty;
        self.referenced += other.referenced;
        self.anonymous += other.anonymous;
        self.lazily_free += other.lazily_free;
        self.large += other.large;
        self.swapped += other.swapped;
    }

    /// The lines that smaps and smaps_rollup share, in kilobytes.
    fn lines(&self, locked: u64) -> Vec<(&'static str, u64)> {
        let kb = |pages: u64| pages * KB_PER_PAGE;
        vec![
            ("Rss", kb(self.resident)),
            ("Pss", self.proportional / 1024),
            ("Pss_Dirty", self.proportional_dirty / 1024),
            ("Shared_Clean", kb(self.shared_clean)),
            ("Shared_Dirty", kb(self.shared_dirty)),
            ("Private_Clean", kb(self.private_clean)),
            ("Private_Dirty", kb(self.private_dirty)),
            ("Referenced", kb(self.referenced)),
            ("Anonymous", kb(self.anonymous)),
            ("KSM", 0),
            ("LazyFree", kb(self.lazily_free)),
            ("AnonHugePages", kb(self.large)),
            ("ShmemPmdMapped", 0),
            ("FilePmdMapped", 0),
            ("Shared_Hugetlb", 0),
            ("Private_Hugetlb", 0),
            ("Swap", kb(self.swapped)),
            ("SwapPss", kb(self.swapped)),
            ("Locked", locked),
        ]
    }
}

/// The numbers of /proc/PID/statm, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statm {
    /// Pages of all areas.
    pub size: u64,
    /// Pages in RAM.
    pub resident: u64,
    /// Those of files and of shared memory.
    pub shared: u64,
    /// Pages of executable areas of files.
    pub text: u64,
    /// Pages of private writable areas and stacks.
    pub data: u64,
}

/// The line of /proc/PID/statm; libraries and dirty pages are 0, as since Linux 2.6.
impl fmt::Display for Statm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, resident, shared, text, data } = self;
        writeln!(f, "{size} {resident} {shared} {text} 0 {data} 0")
    }
}

impl Mm {
    /// /proc/PID/smaps.
    pub fn smaps_text(&self, id: SpaceId) -> String {
        let space = self.space(id);
        let mut text = String::new();
        for area in space.areas.iter() {
            text.push_str(&AreaInfo::of(area, space, &self.store).line());
            let sums = PageSums::of(area, space, &self.store);
            let sizes = [("Size", area.pages.count()), ("KernelPageSize", 1), ("MMUPageSize", 1)];
            sizes.iter().for_each(|(name, pages)| write_line(&mut text, name, pages * KB_PER_PAGE));
            for (name, kb) in sums.lines(sums.locked(area)) {
                write_line(&mut text, name, kb);
            }
            let is_eligible = area.backing.is_anonymous() && area.traits.has(AreaTraits::HUGE);
            writeln!(text, "THPeligible:    {:>8}", u64::from(is_eligible)).expect("a string takes all text");
            writeln!(text, "VmFlags: {}", flags_of(area)).expect("a string takes all text");
        }
        text
    }

    /// /proc/PID/numa_maps: everything is on the machine's one node.
    pub fn numa_maps_text(&self, id: SpaceId) -> String {
        let space = self.space(id);
        let mut text = String::new();
        for area in space.areas.iter() {
            let sums = PageSums::of(area, space, &self.store);
            let name = AreaInfo::of(area, space, &self.store).name;
            let start = area.pages.bytes().start.get();
            write!(text, "{start:08x} default{}", numa_name(&name)).expect("a string takes all text");
            let dirty = sums.shared_dirty + sums.private_dirty;
            let is_mixed = sums.resident != sums.anonymous && sums.resident != dirty;
            let mapped = if is_mixed { sums.resident } else { 0 };
            let most = if sums.most_mappers > 1 { sums.most_mappers } else { 0 };
            let counts = [("anon", sums.anonymous), ("dirty", dirty), ("mapped", mapped), ("mapmax", most)];
            for (name, count) in counts.into_iter().chain([("N0", sums.resident)]).filter(|(_, count)| *count > 0) {
                write!(text, " {name}={count}").expect("a string takes all text");
            }
            text.push_str(if sums.resident > 0 { " kernelpagesize_kB=4\n" } else { "\n" });
        }
        text
    }

    /// /proc/PID/smaps_rollup: all areas in one.
    pub fn smaps_rollup_text(&self, id: SpaceId) -> String {
        let space = self.space(id);
        let (mut all, mut locked) = (PageSums::default(), 0);
        // Pss of anonymous memory, of files, and of shared memory.
        let mut parts = [0; 3];
        for area in space.areas.iter() {
            let sums = PageSums::of(area, space, &self.store);
            let own = sums.anonymous * PAGE_BYTES;
            let object = area.backing.object().map(|object| self.store.objects.get(object.id()).is_file());
            match object {
                None => parts[0] += sums.proportional,
                Some(is_file) => {
                    parts[0] += own.min(sums.proportional);
                    parts[if is_file { 1 } else { 2 }] += sums.proportional.saturating_sub(own);
                }
            }
            locked += sums.locked(area);
            all.merge(&sums);
        }
        let first = space.areas.iter().next().map_or(0, |area| area.pages.start.start().get());
        let last = space.areas.iter().next_back().map_or(0, |area| area.pages.end.start().get());
        let mut text = format!("{first:08x}-{last:08x} ---p 00000000 00:00 0 ");
        text = format!("{text:<73}[rollup]\n");
        let parts = ["Pss_Anon", "Pss_File", "Pss_Shmem"].into_iter().zip(parts.map(|bytes| bytes / 1024));
        let mut lines = all.lines(locked);
        let after_pss = lines.iter().position(|(name, _)| *name == "Pss_Dirty").map_or(0, |at| at + 1);
        lines.splice(after_pss..after_pss, parts);
        for (name, kb) in lines {
            write_line(&mut text, name, kb);
        }
        text
    }

    /// The numbers of /proc/PID/statm.
    pub fn statm(&self, id: SpaceId) -> Statm {
        let space = self.space(id);
        let pages = |picks: fn(&Area) -> bool| {
            space.areas.iter().filter(|area| picks(area)).map(|area| area.pages.count()).sum::<u64>()
        };
        Statm {
            size: space.areas.pages(),
            resident: space.usage.resident_pages(),
            shared: space.usage.object_pages,
            text: pages(|area| area.perms.contains(Perms::EXECUTE) && !area.perms.contains(Perms::WRITE)),
            data: pages(|area| area.is_data() || area.traits.has(AreaTraits::GROWS_DOWN)),
        }
    }

    /// Pages of areas that grow down: stacks.
    pub fn stack_pages(&self, id: SpaceId) -> u64 {
        let stacks = self.space(id).areas.iter().filter(|area| area.traits.has(AreaTraits::GROWS_DOWN));
        stacks.map(|area| area.pages.count()).sum()
    }

    /// Pages of shared memory in RAM, as opposed to pages of files.
    pub fn shared_memory_pages(&self, id: SpaceId) -> u64 {
        let space = self.space(id);
        let is_memory =
            |area: &&Area| area.backing.object().is_some_and(|object| !self.store.objects.get(object.id()).is_file());
        space.areas.iter().filter(is_memory).map(|area| PageSums::of(area, space, &self.store).resident).sum()
    }

    /// Bytes of locked areas.
    pub fn locked_bytes(&self, id: SpaceId) -> u64 {
        self.space(id).locked_bytes()
    }

    /// Bytes of page tables, the root not counted, as Linux counts them.
    pub fn table_bytes(&self, id: SpaceId) -> u64 {
        (self.space(id).tables.table_frames() - 1) * PAGE_BYTES
    }

    /// A page's word in /proc/PID/pagemap, with its frame number.
    pub fn pagemap_word(&self, id: SpaceId, page: Page) -> u64 {
        const SOFT_DIRTY: u64 = 1 << 55;
        const EXCLUSIVE: u64 = 1 << 56;
        const GUARD: u64 = 1 << 58;
        const OBJECT: u64 = 1 << 61;
        const SWAPPED: u64 = 1 << 62;
        const PRESENT: u64 = 1 << 63;
        let space = self.space(id);
        let met = space.tables.mapped(page);
        match met.entry {
            Entry::Leaf(leaf) => {
                let pfn = leaf.pfn + (page - met.page) as u32;
                let is_own = leaf.origin == Origin::Anonymous;
                let shares = self.store.frames.count(pfn);
                let is_exclusive = is_own && shares == 1 || leaf.origin == Origin::Object && shares == 2;
                let object = if leaf.origin == Origin::Object { OBJECT } else { 0 };
                let changed = if leaf.unchanged { 0 } else { SOFT_DIRTY };
                u64::from(pfn.get()) | PRESENT | changed | object | if is_exclusive { EXCLUSIVE } else { 0 }
            }
            Entry::Swapped(slot) => slot.get() << 5 | SWAPPED | SOFT_DIRTY,
            Entry::Guard => GUARD,
            Entry::Absent | Entry::Table { .. } => 0,
        }
    }
}

fn write_line(text: &mut String, name: &str, kb: u64) {
    writeln!(text, "{:<16}{kb:>8} kB", format!("{name}:")).expect("a string takes all text");
}

/// The letters of VmFlags.
fn flags_of(area: &Area) -> String {
    let has = |traits: AreaTraits| area.traits.has(traits);
    let is_shared = area.backing.is_shared();
    let letters = [
        (area.perms.contains(Perms::READ), "rd"),
        (area.perms.contains(Perms::WRITE), "wr"),
        (area.perms.contains(Perms::EXECUTE), "ex"),
        (is_shared, "sh"),
        (area.may.contains(Perms::READ), "mr"),
        (area.may.contains(Perms::WRITE), "mw"),
        (area.may.contains(Perms::EXECUTE), "me"),
        (is_shared, "ms"),
        (has(AreaTraits::GROWS_DOWN), "gd"),
        (area.traits.is_locked(), "lo"),
        (has(AreaTraits::SEQUENTIAL), "sr"),
        (has(AreaTraits::RANDOM), "rr"),
        (has(AreaTraits::DONT_FORK), "dc"),
        (has(AreaTraits::ACCOUNTED), "ac"),
        (has(AreaTraits::NO_RESERVE), "nr"),
        (has(AreaTraits::WIPE_ON_FORK), "wf"),
        (has(AreaTraits::DONT_DUMP), "dd"),
        (has(AreaTraits::HUGE), "hg"),
        (has(AreaTraits::NO_HUGE), "nh"),
        (has(AreaTraits::MERGEABLE), "mg"),
    ];
    letters.iter().filter(|(is_on, _)| *is_on).fold(String::new(), |text, (_, letters)| text + letters + " ")
}

/// What an area is in numa_maps.
fn numa_name(name: &str) -> String {
    match name {
        "[heap]" => " heap".to_owned(),
        "[stack]" => " stack".to_owned(),
        _ if name.starts_with('/') => format!(" file={}", name.replace(' ', "\\040")),
        _ => String::new(),
    }
}
