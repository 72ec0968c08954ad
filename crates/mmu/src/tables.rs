//! One tree of page tables.
//!
//! ```text
//! root (CR3) ─ level 4 ─ level 3 ─ level 2 ─ level 1 ─ frame       each table is a frame of 512 words; with five
//!      [0xff]    [0x1ff]   [0x1bf]   [0x1c3]                       levels the root is one higher
//! ```
//! Entries are atomic words in RAM, so that a CPU walks while the kernel edits. Only the kernel edits, under its lock;
//! what may need a frame for a table takes the [`Frames`], which only the holder of that lock has.

use crate::cursor::Cursor;
use crate::entry::Word;
use crate::{CodeChanges, CpuView, Entry, Frames, Geometry, Leaf, Memory, Refusal, Shootdown, Translation, UpperHalf};
use addr::{Access, Page, PageRange, Pfn, PhysAddr, Privilege, VirtAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bits of a page number that one level uses.
pub(crate) const INDEX_BITS: u32 = 9;
/// Words of a table.
pub(crate) const TABLE_WORDS: u64 = 1 << INDEX_BITS;

/// Every tree has a number of its own, also across machines: translations are keyed by it.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// How many levels of tables a machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Levels {
    /// 48-bit addresses.
    #[default]
    Four,
    /// 57-bit addresses.
    Five,
}

impl Levels {
    /// The number.
    pub const fn count(self) -> u32 {
        match self {
            Self::Four => 4,
            Self::Five => 5,
        }
    }
}

/// There is no free frame for a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfFrames;

/// One tree: what CR3 points to. Shared by the kernel, which edits it, and the CPUs, which walk it.
pub struct Tables {
    id: u64,
    memory: Arc<Memory>,
    levels: Levels,
    root: Pfn,
    table_frames: AtomicU64,
    views: Mutex<Vec<Arc<CpuView>>>,
    changes: CodeChanges,
}

/// What stands for a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// The page; the first one of a large leaf.
    pub page: Page,
    /// The level of the table that holds the entry.
    pub level: u32,
    /// The entry.
    pub entry: Entry,
}

impl Mapped {
    /// How many pages the entry stands for.
    pub fn page_count(&self) -> u64 {
        span_pages(self.level)
    }

    /// The pages the entry stands for.
    pub fn pages(&self) -> PageRange {
        PageRange::from_count(self.page, self.page_count())
    }
}

impl Tables {
    /// A tree that maps nothing but the upper half, or `None` without a frame for its root.
    pub fn new(upper: &UpperHalf, frames: &mut Frames) -> Option<Self> {
        let tables = Self::bare(upper.levels(), frames)?;
        upper.copy_into(&tables);
        Some(tables)
    }

    /// A tree that maps nothing.
    pub(crate) fn bare(levels: Levels, frames: &mut Frames) -> Option<Self> {
        Some(Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            memory: Arc::clone(frames.memory()),
            levels,
            root: frames.alloc_zeroed(0)?.into_pfn(),
            table_frames: AtomicU64::new(1),
            views: Mutex::new(Vec::new()),
            changes: CodeChanges::default(),
        })
    }

    /// A number that no other tree of this process has or had.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The RAM that the tables lie in.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// How many levels there are.
    pub fn levels(&self) -> Levels {
        self.levels
    }

    /// The root table: CR3.
    pub fn root(&self) -> Pfn {
        self.root
    }

    /// How many frames hold tables of this tree, the root included and the shared upper half not.
    pub fn table_frames(&self) -> u64 {
        self.table_frames.load(Ordering::Relaxed)
    }

    /// Which executable mappings changed; the engine drains it.
    pub fn changes(&self) -> &CodeChanges {
        &self.changes
    }

    /// Says that fetches from a range may find other bytes now, and kicks the CPUs so that they look.
    pub fn post_code_change(&self, range: PageRange) {
        self.changes.post(range);
        self.views().iter().for_each(|view| view.kick());
    }

    /// From now on the CPU may hold entries of this tree.
    pub fn attach(&self, view: &Arc<CpuView>) {
        self.views().push(Arc::clone(view));
    }

    /// The CPU holds no entry of this tree any more.
    pub fn detach(&self, view: &Arc<CpuView>) {
        self.views().retain(|attached| !Arc::ptr_eq(attached, view));
    }

    /// Walks as the CPU does: sets A on the way, and D for a store.
    ///
    /// # Errors
    /// Why the access is refused.
    #[inline]
    pub fn walk(&self, addr: VirtAddr, access: Access, privilege: Privilege) -> Result<Translation, Refusal> {
        crate::walk(&*self.memory, self.geometry(), self.root.start(), addr, access, privilege)
    }

    /// The geometry of the tree.
    #[inline]
    pub fn geometry(&self) -> &'static Geometry {
        match self.levels {
            Levels::Four => &Geometry::X86_64,
            Levels::Five => &Geometry::X86_64_FIVE_LEVEL,
        }
    }

    /// The entry that stands for a page: of level 1, or a larger leaf.
    pub fn entry(&self, page: Page) -> Entry {
        self.mapped(page).entry
    }

    /// The entry that stands for a page, and where it is.
    pub fn mapped(&self, page: Page) -> Mapped {
        let (at, level) = self.descend(page);
        let page = span_floor(page, level);
        let entry = match self.load(at).decode(level) {
            Entry::Table { .. } => unreachable!("the descent ends at a leaf or an absent entry"),
            entry => entry,
        };
        Mapped { page, level, entry }
    }

    /// Each entry in a range that is not absent; absent subtrees cost nothing.
    pub fn cursor(&self, range: PageRange) -> Cursor<'_> {
        Cursor::new(self, range)
    }

    /// Writes the entry of a page, and returns the one that was there. Makes the tables on the way.
    ///
    /// # Errors
    /// No frame for a table; nothing has changed then but empty tables.
    pub fn set(&self, page: Page, entry: Entry, frames: &mut Frames) -> Result<Entry, OutOfFrames> {
        let at = self.grow(page, 1, frames)?;
        Ok(self.swap(at, Word::encode(entry, 1)).decode(1))
    }

    /// Writes a leaf of 2 MiB (level 2) or 1 GiB (level 3) where nothing is mapped. Panics if something is.
    ///
    /// # Errors
    /// No frame for a table.
    pub fn set_large(&self, page: Page, leaf: Leaf, level: u32, frames: &mut Frames) -> Result<(), OutOfFrames> {
        assert_eq!(span_floor(page, level), page, "a large leaf is aligned");
        let at = self.grow(page, level, frames)?;
        if let Some(table) = self.load(at).table() {
            assert!(self.is_empty(table), "nothing is mapped under a new large leaf");
            self.store(at, Word::ABSENT);
            self.free_table(table, frames);
        }
        let old = self.swap(at, Word::encode(Entry::Leaf(leaf), level));
        assert!(old.is_absent(), "nothing is mapped where a new large leaf goes");
        Ok(())
    }

    /// Turns a large leaf that stands for the page into a table of smaller ones, and those again, down to level 1.
    /// Does nothing where there is none. Each frame of a block has a count of its own, so none changes.
    ///
    /// # Errors
    /// No frame for a table; larger leaves may have been split by then, which changes no translation.
    pub fn split(&self, page: Page, frames: &mut Frames) -> Result<(), OutOfFrames> {
        loop {
            let (at, level) = self.descend(page);
            if level == 1 || !self.load(at).is_large_leaf() {
                return Ok(());
            }
            let table = self.new_table(frames)?;
            let word = self.load(at);
            let Entry::Leaf(leaf) = word.decode(level) else { unreachable!("a large leaf was seen") };
            for index in 0..TABLE_WORDS {
                let pfn = leaf.pfn + (index * span_pages(level - 1)) as u32;
                let part = Entry::Leaf(Leaf { pfn, ..leaf });
                self.store(table.start() + index * 8, Word::encode(part, level - 1));
            }
            self.store(at, Word::encode(Entry::Table { pfn: table }, level));
        }
    }

    /// Makes the table of level 1 for a page, so that a later [`Tables::set`] there cannot fail.
    ///
    /// # Errors
    /// No frame for a table.
    pub fn reserve(&self, page: Page, frames: &mut Frames) -> Result<(), OutOfFrames> {
        self.grow(page, 1, frames).map(drop)
    }

    /// Starts to collect what the CPUs must forget.
    pub fn shootdown(&self) -> Shootdown<'_> {
        Shootdown::new(self)
    }

    /// Takes the empty tables out of the tree that stand for pages of a range.
    pub fn prune(&self, range: PageRange, shootdown: &mut Shootdown<'_>) {
        if !range.is_empty() {
            self.prune_below(self.root, self.levels.count(), range, shootdown);
        }
    }

    /// Gives the tables back. Panics if a page of the lower half is still mapped: its frame would be lost.
    pub fn release(&self, frames: &mut Frames) {
        let lower = PageRange::from_count(Page::new(0), span_pages(self.levels.count()) * TABLE_WORDS / 2);
        assert!(self.cursor(lower).next().is_none(), "an emptied space maps nothing");
        let mut shootdown = self.shootdown();
        self.prune(lower, &mut shootdown);
        shootdown.complete(frames);
        debug_assert_eq!(self.table_frames(), 1, "only the root is left");
        frames.release(self.root);
    }

    pub(crate) fn views(&self) -> MutexGuard<'_, Vec<Arc<CpuView>>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn load(&self, at: PhysAddr) -> Word {
        Word(self.memory.ram().load(at))
    }

    pub(crate) fn store(&self, at: PhysAddr, word: Word) {
        self.memory.ram().store(at, word.0);
    }

    /// Replaces a word by what `new` makes of it, though a CPU may mark it at any time; returns the old one.
    pub(crate) fn update(&self, at: PhysAddr, new: impl Fn(Word) -> Word) -> Word {
        let mut old = self.load(at);
        loop {
            match self.memory.ram().compare_exchange(at, old.0, new(old).0) {
                Ok(_) => return old,
                Err(marked) => old = Word(marked),
            }
        }
    }

    /// Where the word for a page is in a table of the level, making the tables on the way.
    pub(crate) fn grow(&self, page: Page, level: u32, frames: &mut Frames) -> Result<PhysAddr, OutOfFrames> {
        let mut at = slot(self.root, page, self.levels.count());
        for above in (level + 1..=self.levels.count()).rev() {
            let word = self.load(at);
            let table = match word.table() {
                Some(table) => table,
                None => {
                    assert!(word.is_absent(), "no larger leaf is in the way of a smaller one");
                    let table = self.new_table(frames)?;
                    self.store(at, Word::encode(Entry::Table { pfn: table }, above));
                    table
                }
            };
            at = slot(table, page, above - 1);
        }
        Ok(at)
    }

    fn swap(&self, at: PhysAddr, word: Word) -> Word {
        self.update(at, |_| word)
    }

    /// The lowest word that there is for a page, and its level.
    fn descend(&self, page: Page) -> (PhysAddr, u32) {
        let mut level = self.levels.count();
        let mut at = slot(self.root, page, level);
        while level > 1 {
            let Some(table) = self.load(at).table() else { break };
            level -= 1;
            at = slot(table, page, level);
        }
        (at, level)
    }

    fn new_table(&self, frames: &mut Frames) -> Result<Pfn, OutOfFrames> {
        let table = frames.alloc_zeroed(0).ok_or(OutOfFrames)?.into_pfn();
        self.table_frames.fetch_add(1, Ordering::Relaxed);
        Ok(table)
    }

    fn free_table(&self, table: Pfn, frames: &mut Frames) {
        self.table_frames.fetch_sub(1, Ordering::Relaxed);
        frames.release(table);
    }

    fn is_empty(&self, table: Pfn) -> bool {
        (0..TABLE_WORDS).all(|index| self.load(table.start() + index * 8).is_absent())
    }

    /// Prunes the part of a range that lies in one table of a level.
    fn prune_below(&self, table: Pfn, level: u32, range: PageRange, shootdown: &mut Shootdown<'_>) {
        let mut page = range.start;
        while page < range.end {
            let next = (span_floor(page, level) + span_pages(level)).min(range.end);
            let at = slot(table, page, level);
            if let Some(below) = self.load(at).table() {
                if level > 2 {
                    self.prune_below(below, level - 1, PageRange::new(page, next), shootdown);
                }
                if self.is_empty(below) {
                    self.store(at, Word::ABSENT);
                    self.table_frames.fetch_sub(1, Ordering::Relaxed);
                    shootdown.own(below);
                }
            }
            page = next;
        }
    }
}

/// How many pages an entry of a level stands for.
pub(crate) fn span_pages(level: u32) -> u64 {
    1 << (INDEX_BITS * (level - 1))
}

/// The first page that shares its entry of a level with `page`.
pub(crate) fn span_floor(page: Page, level: u32) -> Page {
    Page::new(page.get() & !(span_pages(level) - 1))
}

/// Where the word for a page is in a table of a level.
pub(crate) fn slot(table: Pfn, page: Page, level: u32) -> PhysAddr {
    let index = page.get() >> (INDEX_BITS * (level - 1)) & (TABLE_WORDS - 1);
    table.start() + index * 8
}

#[cfg(test)]
mod tests;
