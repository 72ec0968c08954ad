//! Going through the entries of a range.

use crate::Entry;
use crate::entry::Word;
use crate::tables::{Mapped, Tables, slot, span_floor, span_pages};
use addr::{Page, PageRange, Pfn, PhysAddr};

/// A place in a range of pages of one tree; [`Cursor::next`] moves it to the next entry that is not absent.
///
/// A large leaf that begins before the range is met too, with its own first page.
pub struct Cursor<'t> {
    tables: &'t Tables,
    at: Page,
    end: Page,
    /// The table of level 1 for `at`, while it is known.
    leaf_table: Option<Pfn>,
    /// Where the last entry met is.
    met: Option<(PhysAddr, u32)>,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(tables: &'t Tables, range: PageRange) -> Self {
        Self { tables, at: range.start, end: range.end, leaf_table: None, met: None }
    }

    /// The next entry that is not absent.
    #[inline]
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Mapped> {
        while self.at < self.end {
            let (place, level) = match self.leaf_table {
                Some(table) => (slot(table, self.at, 1), 1),
                None => self.descend(),
            };
            let word = self.tables.load(place);
            let page = span_floor(self.at, level);
            self.advance(page + span_pages(level));
            if word != Word::ABSENT {
                self.met = Some((place, level));
                return Some(Mapped { page, level, entry: word.decode(level) });
            }
        }
        None
    }

    /// Replaces the entry that was met last; returns it as it was just before, with the marks that a CPU may have
    /// set since.
    #[inline]
    pub fn replace(&mut self, new: impl Fn(Entry) -> Entry) -> Entry {
        let (place, level) = self.met.expect("an entry was met");
        let old = self.tables.update(place, |word| Word::encode(new(word.decode(level)), level));
        old.decode(level)
    }

    /// Makes the last entry met absent; returns it as it was.
    #[inline]
    pub fn take(&mut self) -> Entry {
        self.replace(|_| Entry::Absent)
    }

    fn descend(&mut self) -> (PhysAddr, u32) {
        let mut level = self.tables.levels().count();
        let mut place = slot(self.tables.root(), self.at, level);
        while level > 1 {
            let Some(table) = self.tables.load(place).table() else { return (place, level) };
            level -= 1;
            place = slot(table, self.at, level);
            if level == 1 {
                self.leaf_table = Some(table);
            }
        }
        (place, level)
    }

    fn advance(&mut self, to: Page) {
        if span_floor(to, 2) != span_floor(self.at, 2) {
            self.leaf_table = None;
        }
        self.at = to;
    }
}
