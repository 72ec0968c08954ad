//! What one virtual CPU remembers of a tree of page tables.
//!
//! The memory of a [`CpuView`] is what generated code addresses through `gs`: the software TLB, the kick word and the
//! save area. All of it is atomic words, so that the kernel can drop an entry, and anybody can kick, without a lock
//! and without unsafe code. An entry is two words:
//! ```text
//! tag     minus the page's first byte: ea + tag is the offset in the page if, and only if, the entry is for the page
//! addend  the host address of the frame's first byte
//! ```
//! so that one unsigned comparison of `ea + tag` with `4096 - size` checks the tag and the page crossing at once. An
//! empty entry carries the tag of a page that belongs to the next index: no address that uses the entry matches it.
//!
//! Accesses through RSP have a small table of their own, or the stack and the top of the mmap area, whose page numbers
//! end in the same bits, would drive each other out of the direct-mapped one.

use addr::{PAGE_SHIFT, Page};
use host::Words;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries of the tables for loads and for stores; a power of two.
pub const TLB_ENTRIES: usize = 16384;
/// Entries of the tables for accesses through RSP; a power of two.
pub const STACK_TLB_ENTRIES: usize = 64;
/// Words of the save area; what they hold is the engine's business.
pub const SAVE_WORDS: usize = 66560;

// The words of a view: where its parts begin.
const KICK: usize = SAVE_WORDS;
const INSIDE: usize = KICK + 8;
const STACK_READ: usize = KICK + 16;
const STACK_WRITE: usize = STACK_READ + STACK_TLB_ENTRIES * 2;
const READ: usize = STACK_WRITE + STACK_TLB_ENTRIES * 2;
const WRITE: usize = READ + TLB_ENTRIES * 2;
const WORDS: usize = WRITE + TLB_ENTRIES * 2;
/// Parts of a table that are flushed or spared as one.
const FLUSH_PARTS: usize = 64;

/// Which of the four tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlbTable {
    /// Loads.
    Read,
    /// Stores and read-modify-writes.
    Write,
    /// Loads through RSP.
    StackRead,
    /// Stores through RSP.
    StackWrite,
}

impl TlbTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::StackRead, Self::StackWrite];

    /// How many entries it has.
    pub const fn entries(self) -> usize {
        match self {
            Self::Read | Self::Write => TLB_ENTRIES,
            Self::StackRead | Self::StackWrite => STACK_TLB_ENTRIES,
        }
    }

    /// Which entry serves a page.
    pub const fn index(self, page: Page) -> usize {
        page.get() as usize & (self.entries() - 1)
    }

    /// The word at which its first entry begins.
    const fn first_word(self) -> usize {
        match self {
            Self::Read => READ,
            Self::Write => WRITE,
            Self::StackRead => STACK_READ,
            Self::StackWrite => STACK_WRITE,
        }
    }

    /// Whether an entry here lets a store through.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Write | Self::StackWrite)
    }
}

/// The memory of one virtual CPU.
pub struct CpuView {
    words: Words,
    /// For each table: the parts of it that may have an entry.
    filled: [AtomicU64; 4],
}

impl CpuView {
    /// Byte offset of the save area from [`CpuView::base`].
    pub const SAVE_OFFSET: usize = 0;
    /// Byte offset of the kick word: non-zero asks generated code to leave at its next safepoint.
    pub const KICK_OFFSET: usize = KICK * 8;

    /// A view that remembers nothing.
    pub fn new() -> Arc<Self> {
        let view = Self { words: Words::zeroed(WORDS), filled: [const { AtomicU64::new(0) }; 4] };
        // A tag of zero is that of page 0, which uses no other entry than the first.
        for table in TlbTable::ALL {
            view.tag(table, 0).store(empty_tag(0, table.entries()), Ordering::Relaxed);
        }
        Arc::new(view)
    }

    /// The host address of its first byte: what generated code finds `gs` at.
    pub fn base(&self) -> u64 {
        self.words.as_ptr() as u64
    }

    /// Byte offset of a table's first entry from [`CpuView::base`]: 8 bytes of tag, 8 of addend.
    pub const fn table_offset(table: TlbTable) -> usize {
        table.first_word() * 8
    }

    /// A word of the save area: what generated code saves and loads; the engine's.
    #[inline]
    pub fn save(&self, word: usize) -> &AtomicU64 {
        assert!(word < SAVE_WORDS, "a word of the save area");
        &self.words[word]
    }

    /// Takes a kick, if there was one.
    pub fn take_kick(&self) -> Kicked {
        if self.words[KICK].swap(0, Ordering::AcqRel) != 0 { Kicked::Yes } else { Kicked::No }
    }

    /// Counts entries into and exits from generated code: odd while the CPU is inside.
    pub fn inside(&self) -> &AtomicU64 {
        &self.words[INSIDE]
    }

    /// Remembers that `page` is at `host_address`. Only the CPU's own thread fills.
    pub(crate) fn fill(&self, table: TlbTable, page: Page, host_address: u64) {
        let index = table.index(page);
        let part = index / (table.entries() / FLUSH_PARTS);
        self.filled[table as usize].fetch_or(1 << part, Ordering::Relaxed);
        self.tag(table, index).store(empty_tag(index, table.entries()), Ordering::Relaxed);
        self.addend(table, index).store(host_address, Ordering::Release);
        self.tag(table, index).store(tag(page), Ordering::Release);
    }

    /// Whether an access to a page would be let through.
    pub fn remembers(&self, table: TlbTable, page: Page) -> bool {
        self.tag(table, table.index(page)).load(Ordering::Acquire) == tag(page)
    }

    /// Forgets a page: any later access to it walks. Any thread may call it.
    pub fn invalidate(&self, page: Page) {
        for table in TlbTable::ALL {
            self.invalidate_in(table, page);
        }
    }

    /// Forgets that a page may be stored to: its next store walks and sets D anew.
    pub fn invalidate_writes(&self, page: Page) {
        self.invalidate_in(TlbTable::Write, page);
        self.invalidate_in(TlbTable::StackWrite, page);
    }

    /// Forgets everything.
    pub fn flush(&self) {
        for table in TlbTable::ALL {
            self.filled_entries(table).for_each(|index| self.empty(table, index));
        }
    }

    /// Forgets everything, so thoroughly that the next time is cheap. Only the CPU's own thread may, and only while it is
    /// attached to no tables.
    pub fn reset(&self) {
        self.flush();
        self.filled.iter().for_each(|filled| filled.store(0, Ordering::Relaxed));
    }

    /// Forgets every entry whose frame lies at one of the host addresses that `drop` picks.
    pub fn flush_writes_where(&self, drop: impl Fn(u64) -> bool) {
        for table in TlbTable::ALL.into_iter().filter(|table| table.is_writable()) {
            for index in self.filled_entries(table) {
                if drop(self.addend(table, index).load(Ordering::Acquire)) {
                    self.empty(table, index);
                }
            }
        }
    }

    /// Asks the CPU to leave generated code at its next safepoint.
    pub fn kick(&self) {
        self.words[KICK].store(1, Ordering::Release);
    }

    /// The CPU is about to run generated code: from now on it may be on its way to any frame that it has an entry for.
    pub fn enter(&self) {
        self.inside().fetch_add(1, Ordering::SeqCst);
    }

    /// The CPU has left generated code, and reaches no frame until it enters again.
    pub fn leave(&self) {
        self.inside().fetch_add(1, Ordering::SeqCst);
    }

    fn invalidate_in(&self, table: TlbTable, page: Page) {
        let index = table.index(page);
        // A compare-exchange, so that an entry that its CPU has just given to another page stays.
        let _ = self.tag(table, index).compare_exchange(
            tag(page),
            empty_tag(index, table.entries()),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }

    /// The entries of a table that may be in use.
    fn filled_entries(&self, table: TlbTable) -> impl Iterator<Item = usize> {
        let filled = self.filled[table as usize].load(Ordering::Acquire);
        let part_entries = table.entries() / FLUSH_PARTS;
        (0..FLUSH_PARTS)
            .filter(move |part| filled & 1 << part != 0)
            .flat_map(move |part| part * part_entries..(part + 1) * part_entries)
    }

    fn empty(&self, table: TlbTable, index: usize) {
        self.tag(table, index).store(empty_tag(index, table.entries()), Ordering::Release);
    }

    fn tag(&self, table: TlbTable, index: usize) -> &AtomicU64 {
        &self.words[table.first_word() + index * 2]
    }

    fn addend(&self, table: TlbTable, index: usize) -> &AtomicU64 {
        &self.words[table.first_word() + index * 2 + 1]
    }
}

/// Whether a CPU had been kicked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kicked {
    /// It had.
    Yes,
    /// It had not.
    No,
}

/// What `ea + tag` is an offset with, for an `ea` in `page`.
fn tag(page: Page) -> u64 {
    (page.get() << PAGE_SHIFT).wrapping_neg()
}

/// The tag of a page that uses the neighbouring entry.
fn empty_tag(index: usize, entries: usize) -> u64 {
    tag(Page::new(((index ^ 1) & (entries - 1)) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(view: &CpuView, table: TlbTable, ea: u64) -> bool {
        let tag = view.tag(table, table.index(addr::VirtAddr::new(ea).page()));
        ea.wrapping_add(tag.load(Ordering::Relaxed)) < 4096
    }

    #[test]
    fn an_empty_view_hits_nothing() {
        let view = CpuView::new();
        for ea in [0, 0x1000, 0x7fff_f7fc_3010, u64::MAX, 1 << 63] {
            for table in TlbTable::ALL {
                assert!(!hits(&view, table, ea), "{ea:#x} in {table:?}");
            }
        }
    }

    #[test]
    fn a_filled_page_hits_until_it_is_invalidated() {
        let view = CpuView::new();
        let page = Page::new(0x7_ffff_7fc3);
        view.fill(TlbTable::Write, page, 0x5000);
        assert!(hits(&view, TlbTable::Write, 0x7fff_f7fc_3010));
        assert!(!hits(&view, TlbTable::Read, 0x7fff_f7fc_3010));
        assert!(!hits(&view, TlbTable::Write, 0x7fff_f6fc_3010), "another page of the same index");
        view.invalidate(Page::new(page.get() + TLB_ENTRIES as u64));
        assert!(hits(&view, TlbTable::Write, 0x7fff_f7fc_3010), "the entry is not that page's");
        view.invalidate_writes(page);
        assert!(!hits(&view, TlbTable::Write, 0x7fff_f7fc_3010));
    }
}
