//! Translations as bytes: sections of pages, each with a table of its records.
//!
//! ```text
//! section: page 8 | content 16 | records 4 | bytes of the section 4 | table | records
//! table:   key 4 | first byte of the record in the section 4           in the order of the keys
//! ```
//! All numbers are little-endian. Every read is checked.

use super::Content;
use super::field::Reader;
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
        let volume = &mut self.volume;
        volume.extend(page.get().to_le_bytes());
        volume.extend(content.0.to_le_bytes());
        volume.extend((self.entries.len() as u32).to_le_bytes());
        volume.extend(((first + self.records.len()) as u32).to_le_bytes());
        for (key, at) in self.entries.drain(..) {
            volume.extend(u32::from(key).to_le_bytes());
            volume.extend(((first + at) as u32).to_le_bytes());
        }
        volume.append(&mut self.records);
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
    let bytes = word(rest, 28)?;
    rest.get(..bytes).filter(|section| section.len() >= HEAD_BYTES)
}

/// The record with a key in a section, and what follows it.
pub fn record(section: &[u8], key: u16) -> Option<&[u8]> {
    let entries = entries(section)?;
    let entry = entries.binary_search_by_key(&Some(usize::from(key)), |entry| word(entry, 0)).ok()?;
    section.get(word(&entries[entry], 4)?..)
}

/// Every record of a section, with its key.
pub fn records(section: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let entries = entries(section).unwrap_or_default();
    entries.iter().enumerate().filter_map(move |(number, entry)| {
        let end = entries.get(number + 1).map_or(Some(section.len()), |next| word(next, 4))?;
        Some((word(entry, 0)? as u16, section.get(word(entry, 4)?..end)?))
    })
}

fn entries(section: &[u8]) -> Option<&[[u8; ENTRY_BYTES]]> {
    let count = word(section, 24)?;
    let table = section.get(HEAD_BYTES..)?.get(..count.checked_mul(ENTRY_BYTES)?)?;
    Some(table.as_chunks().0)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    array(bytes, at).map(|word| u32::from_le_bytes(word) as usize)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
