//! Translations as bytes: sections of pages, each with a table of its records.
//!
//! ```text
//! section: page 8 | content 16 | records 4 | bytes of the section 4 | records | table
//! table:   key 4 | first byte of the record in the section 4           in the order of the keys
//! ```
//! All numbers are little-endian. Every read is checked.

use super::Content;
use super::field::{Reader, Writer, word};
use addr::Page;

const RECORDS_AT: usize = 24;
const BYTES_AT: usize = 28;
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
    /// First byte of the section that was begun last.
    section: usize,
    /// Its records: the keys, and their first bytes in it.
    entries: Vec<(u16, usize)>,
}

impl VolumeWriter {
    /// Begins the section of a page of a content.
    pub fn begin_section(&mut self, page: Page, content: Content) {
        self.section = self.volume.len();
        let mut to = Writer(&mut self.volume);
        to.page(page);
        to.content(content);
        to.u64(0);
    }

    /// Adds a record to the section; keys come in their order. `write` appends its bytes to those of the volume, or
    /// answers `None`: then there is no such record.
    pub fn record(&mut self, key: u16, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) {
        let at = self.volume.len();
        match write(&mut self.volume) {
            Some(()) => self.entries.push((key, at - self.section)),
            None => self.volume.truncate(at),
        }
    }

    /// Ends the section: there is none if it has no records.
    pub fn end_section(&mut self) {
        if self.entries.is_empty() {
            self.volume.truncate(self.section);
            return;
        }
        let records = self.entries.len() as u32;
        let mut to = Writer(&mut self.volume);
        for (key, at) in self.entries.drain(..) {
            to.u32(u32::from(key));
            to.u32(at as u32);
        }
        let section = &mut self.volume[self.section..];
        let bytes = section.len() as u32;
        section[RECORDS_AT..][..4].copy_from_slice(&records.to_le_bytes());
        section[BYTES_AT..][..4].copy_from_slice(&bytes.to_le_bytes());
    }

    /// The bytes of all sections.
    pub fn bytes(&self) -> &[u8] {
        &self.volume
    }

    /// Begins another volume, where this one was.
    pub fn clear(&mut self) {
        self.volume.clear();
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
    let bytes = number(rest, BYTES_AT)?;
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
    let end_of_records = section.len() - size_of_val(entries);
    entries.iter().enumerate().filter_map(move |(index, entry)| {
        let end = entries.get(index + 1).map_or(Some(end_of_records), |next| number(next, 4))?;
        Some((number(entry, 0)? as u16, section.get(number(entry, 4)?..end)?))
    })
}

fn entries(section: &[u8]) -> Option<&[[u8; ENTRY_BYTES]]> {
    let bytes = number(section, RECORDS_AT)?.checked_mul(ENTRY_BYTES)?;
    let first = section.len().checked_sub(bytes).filter(|first| *first >= HEAD_BYTES)?;
    Some(section[first..].as_chunks().0)
}

/// A number of bytes or records.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    word(bytes, at).map(|number| number as usize)
}
