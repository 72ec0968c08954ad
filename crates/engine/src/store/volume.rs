//! Translations as bytes: records, and after them a table for each page that says where the page's records are.
//!
//! ```text
//! record: checksum 8 | bytes of the translation 4 | the translation
//! table:  key 4 | first byte of the record in the volume 4           in the order of the keys
//! ```
//! Records lie in the order in which they were made, so that a run that needs them again in that order reads on and on.
//! All numbers are little-endian. Every read is checked.

use super::Content;
use super::field::{Reader, Writer, word};
use addr::Page;
use twox_hash::XxHash3_64;

const CHECKSUM_BYTES: usize = 8;
const RECORD_HEAD_BYTES: usize = CHECKSUM_BYTES + 4;
const ENTRY_BYTES: usize = 8;

/// The table of a page of a content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table {
    pub page: Page,
    pub content: Content,
    /// Its first byte in the volume.
    pub at: usize,
    pub records: usize,
}

impl Table {
    /// Where the record with a key is.
    pub fn find(&self, volume: &[u8], key: u16) -> Option<usize> {
        let entries = self.entries(volume)?;
        let entry = entries.binary_search_by_key(&Some(usize::from(key)), |entry| number(entry, 0)).ok()?;
        number(&entries[entry], 4)
    }

    /// Every key, and where its record is.
    pub fn records(&self, volume: &[u8]) -> impl Iterator<Item = (u16, usize)> {
        let entries = self.entries(volume).unwrap_or_default();
        entries.iter().filter_map(|entry| Some((number(entry, 0)? as u16, number(entry, 4)?)))
    }

    fn entries<'v>(&self, volume: &'v [u8]) -> Option<&'v [[u8; ENTRY_BYTES]]> {
        let bytes = self.records.checked_mul(ENTRY_BYTES)?;
        Some(volume.get(self.at..)?.get(..bytes)?.as_chunks().0)
    }
}

/// The tables of a volume that is being made.
#[derive(Default)]
pub struct Tables {
    bytes: Vec<u8>,
    /// Their first bytes count from the first byte of the first.
    tables: Vec<Table>,
}

impl Tables {
    /// Adds that of a page, unless it would be empty: keys in their order, and where their records are.
    pub fn add(&mut self, page: Page, content: Content, records: impl IntoIterator<Item = (u16, usize)>) {
        let at = self.bytes.len();
        let mut to = Writer(&mut self.bytes);
        for (key, record) in records {
            to.u32(u32::from(key));
            to.u32(record as u32);
        }
        let records = (self.bytes.len() - at) / ENTRY_BYTES;
        if records > 0 {
            self.tables.push(Table { page, content, at, records });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The tables in a volume in which their bytes begin at an offset.
    pub fn in_volume(&self, first: usize) -> impl Iterator<Item = Table> {
        self.tables.iter().map(move |table| Table { at: first + table.at, ..*table })
    }
}

/// Appends a record to a volume; `write` appends the translation, or answers `None`: then there is no such record. Where it
/// is.
pub fn append(volume: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<usize> {
    let at = volume.len();
    volume.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
    if write(volume).is_none() {
        volume.truncate(at);
        return None;
    }
    let (head, translation) = volume[at..].split_at_mut(RECORD_HEAD_BYTES);
    let (checksum, bytes) = head.split_at_mut(CHECKSUM_BYTES);
    checksum.copy_from_slice(&XxHash3_64::oneshot(translation).to_le_bytes());
    bytes.copy_from_slice(&(translation.len() as u32).to_le_bytes());
    Some(at)
}

/// The record at an offset of a volume, whatever its bytes are.
pub fn record(volume: &[u8], at: usize) -> Option<&[u8]> {
    let record = volume.get(at..)?;
    let bytes = number(record, CHECKSUM_BYTES)?;
    record.get(..RECORD_HEAD_BYTES.checked_add(bytes)?)
}

/// The translation of the record at an offset of a volume, if it is what was written.
pub fn translation(volume: &[u8], at: usize) -> Option<&[u8]> {
    let (head, translation) = record(volume, at)?.split_at_checked(RECORD_HEAD_BYTES)?;
    let checksum = Reader(head).u64()?;
    (XxHash3_64::oneshot(translation) == checksum).then_some(translation)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    word(bytes, at).map(|number| number as usize)
}
