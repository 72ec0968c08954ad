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
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Entries of the tables for loads and for stores; a power of two.
pub const TLB_ENTRIES: usize = 4096;
/// Entries of the tables for accesses through RSP; a power of two.
pub const STACK_TLB_ENTRIES: usize = 64;
/// Words of the save area; what they hold is the engine's business.
pub const SAVE_WORDS: usize = 32768;

/// One entry of a software TLB.
#[repr(C, align(16))]
pub struct TlbEntry {
    /// Minus the first byte of the page.
    pub tag: AtomicU64,
    /// The host address of the frame.
    pub addend: AtomicU64,
}

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

    /// Whether an entry here lets a store through.
    pub const fn is_writable(self) -> bool {
        matches!(self, Self::Write | Self::StackWrite)
    }
}

/// The memory of one virtual CPU.
#[repr(C, align(4096))]
pub struct CpuView {
    /// What generated code saves and loads; the engine's.
    pub save: [AtomicU64; SAVE_WORDS],
    /// Non-zero asks generated code to leave at its next safepoint.
    pub kick: AtomicU32,
    /// Counts entries into and exits from generated code: odd while the CPU is inside.
    pub inside: AtomicU64,
    /// Entries for loads through RSP.
    pub stack_read: [TlbEntry; STACK_TLB_ENTRIES],
    /// Entries for stores through RSP.
    pub stack_write: [TlbEntry; STACK_TLB_ENTRIES],
    /// Entries for loads.
    pub read: [TlbEntry; TLB_ENTRIES],
    /// Entries for stores.
    pub write: [TlbEntry; TLB_ENTRIES],
}

impl CpuView {
    /// A view that remembers nothing.
    pub fn new() -> Arc<Self> {
        fn empty<const N: usize>() -> [TlbEntry; N] {
            std::array::from_fn(|index| TlbEntry {
                tag: AtomicU64::new(empty_tag(index, N)),
                addend: AtomicU64::new(0),
            })
        }
        Arc::new(Self {
            save: [const { AtomicU64::new(0) }; SAVE_WORDS],
            kick: AtomicU32::new(0),
            inside: AtomicU64::new(0),
            stack_read: empty(),
            stack_write: empty(),
            read: empty(),
            write: empty(),
        })
    }

    /// The entries of one table.
    pub fn table(&self, table: TlbTable) -> &[TlbEntry] {
        match table {
            TlbTable::Read => &self.read,
            TlbTable::Write => &self.write,
            TlbTable::StackRead => &self.stack_read,
            TlbTable::StackWrite => &self.stack_write,
        }
    }

    /// Remembers that `page` is at `host_address`. Only the CPU's own thread fills.
    pub fn fill(&self, table: TlbTable, page: Page, host_address: u64) {
        let entry = &self.table(table)[table.index(page)];
        entry.tag.store(empty_tag(table.index(page), table.entries()), Ordering::Relaxed);
        entry.addend.store(host_address, Ordering::Release);
        entry.tag.store(tag(page), Ordering::Release);
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
            for (index, entry) in self.table(table).iter().enumerate() {
                entry.tag.store(empty_tag(index, table.entries()), Ordering::Release);
            }
        }
    }

    /// Forgets every entry whose frame lies at one of the host addresses that `drop` picks.
    pub fn flush_writes_where(&self, drop: impl Fn(u64) -> bool) {
        for table in TlbTable::ALL.into_iter().filter(|table| table.is_writable()) {
            for (index, entry) in self.table(table).iter().enumerate() {
                if drop(entry.addend.load(Ordering::Acquire)) {
                    entry.tag.store(empty_tag(index, table.entries()), Ordering::Release);
                }
            }
        }
    }

    /// Asks the CPU to leave generated code at its next safepoint.
    pub fn kick(&self) {
        self.kick.store(1, Ordering::Release);
    }

    /// The CPU is about to run generated code: from now on it may be on its way to any frame that it has an entry for.
    pub fn enter(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
    }

    /// The CPU has left generated code, and reaches no frame until it enters again.
    pub fn leave(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
    }

    fn invalidate_in(&self, table: TlbTable, page: Page) {
        let index = table.index(page);
        let entry = &self.table(table)[index];
        // A compare-exchange, so that an entry that its CPU has just given to another page stays.
        let _ = entry.tag.compare_exchange(
            tag(page),
            empty_tag(index, table.entries()),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
    }
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
        let entry = &view.table(table)[table.index(addr::VirtAddr::new(ea).page())];
        ea.wrapping_add(entry.tag.load(Ordering::Relaxed)) < 4096
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
