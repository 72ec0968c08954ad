//! Translations as bytes: sections of pages, each with a table of its records.
//!
//! ```text
//! section: page 8 | content 16 | records 4 | bytes of the section 4 | table | records
//! table:   key 4 | first byte of the record in the section 4           in the order of the keys
//! ```
//! All numbers are little-endian. Every read is checked.

use super::Content;
use super::field::{Reader, Writer, word};
use addr::Page;

const HEAD_BYTES: usize = 32;
const ENTRY_BYTES: usize = 8;

/// The translations of a page of a content.
pub struct Section {
    pub page: Page,
    pub content: Content,
    /// First byte in the volume.
    pub at: usize,
}

/// Writes a volume section by section.
#[derive(Default)]
pub struct VolumeWriter {
    volume: Vec<u8>,
    entries: Vec<(u16, usize)>,
    records: Vec<u8>,
}

impl VolumeWriter {
    /// Adds a record to the section that is ended next; keys come in their order.
    pub fn record(&mut self, key: u16, record: &[u8]) {
        self.entries.push((key, self.records.len()));
        self.records.extend_from_slice(record);
    }

    /// Ends the section of a page, unless it has no records.
    pub fn end_section(&mut self, page: Page, content: Content) {
        if self.entries.is_empty() {
            return;
        }
        let first = HEAD_BYTES + ENTRY_BYTES * self.entries.len();
        let mut to = Writer(&mut self.volume);
        to.page(page);
        to.content(content);
        to.u32(self.entries.len() as u32);
        to.u32((first + self.records.len()) as u32);
        for (key, at) in self.entries.drain(..) {
            to.u32(u32::from(key));
            to.u32((first + at) as u32);
        }
        self.volume.append(&mut self.records);
    }

    /// The bytes of all sections.
    pub fn finish(self) -> Vec<u8> {
        self.volume
    }
}

/// The sections of a volume, up to the first that is malformed.
pub fn sections(volume: &[u8]) -> impl Iterator<Item = Section> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let bytes = section(volume, at)?;
        let head = head(bytes, at)?;
        at += bytes.len();
        Some(head)
    })
}

/// What the section that begins at an offset of a volume says of itself.
pub fn head(section: &[u8], at: usize) -> Option<Section> {
    let mut from = Reader(section);
    Some(Section { page: from.page()?, content: from.content()?, at })
}

/// The bytes of the section at an offset.
pub fn section(volume: &[u8], at: usize) -> Option<&[u8]> {
    let rest = volume.get(at..)?;
    let bytes = number(rest, 28)?;
    rest.get(..bytes).filter(|section| section.len() >= HEAD_BYTES)
}

/// The record with a key in a section, and what follows it.
pub fn record(section: &[u8], key: u16) -> Option<&[u8]> {
    let entries = entries(section)?;
    let entry = entries.binary_search_by_key(&Some(usize::from(key)), |entry| number(entry, 0)).ok()?;
    section.get(number(&entries[entry], 4)?..)
}

/// Every record of a section, with its key.
pub fn records(section: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let entries = entries(section).unwrap_or_default();
    entries.iter().enumerate().filter_map(move |(index, entry)| {
        let end = entries.get(index + 1).map_or(Some(section.len()), |next| number(next, 4))?;
        Some((number(entry, 0)? as u16, section.get(number(entry, 4)?..end)?))
    })
}

fn entries(section: &[u8]) -> Option<&[[u8; ENTRY_BYTES]]> {
    let count = number(section, 24)?;
    let table = section.get(HEAD_BYTES..)?.get(..count.checked_mul(ENTRY_BYTES)?)?;
    Some(table.as_chunks().0)
}

/// A number of bytes or records.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    word(bytes, at).map(|number| number as usize)
}
