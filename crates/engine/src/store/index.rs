//! The beginning of what an archive keeps of a program: which sections follow, so that only those that are needed are
//! ever read.
//!
//! ```text
//! "pagewalk code 1\n" | stamp 8 | sections 8 | checksum of the entries 8
//! entry: page 8 | content 16 | first byte, from the very first of all, 8 | checksum of the section 8
//! ```

use super::field::{Reader, Writer};
use super::volume::{self, Section};
use twox_hash::XxHash3_64;

const MAGIC: [u8; 16] = *b"pagewalk code 1\n";
const HEAD_BYTES: usize = MAGIC.len() + 24;
const ENTRY_BYTES: usize = 40;

/// A section, and what its bytes have to be.
pub struct Indexed {
    pub section: Section,
    pub checksum: u64,
}

/// The index of sections that follow it in this order.
pub fn write(stamp: u64, sections: &[&[u8]]) -> Vec<u8> {
    let mut entries = Vec::with_capacity(ENTRY_BYTES * sections.len());
    let mut to = Writer(&mut entries);
    let mut at = HEAD_BYTES + ENTRY_BYTES * sections.len();
    for bytes in sections {
        let section = volume::head(bytes, at).expect("what was made is whole");
        to.page(section.page);
        to.content(section.content);
        to.u64(at as u64);
        to.u64(XxHash3_64::oneshot(bytes));
        at += bytes.len();
    }
    let mut index = MAGIC.to_vec();
    let mut to = Writer(&mut index);
    to.u64(stamp);
    to.u64(sections.len() as u64);
    to.u64(XxHash3_64::oneshot(&entries));
    index.append(&mut entries);
    index
}

/// Reads an index, if it is one, whole, and of translations with a stamp.
pub fn read(bytes: &[u8], stamp: u64) -> Option<Vec<Indexed>> {
    let mut from = Reader(bytes);
    if from.take(MAGIC.len())? != MAGIC || from.u64()? != stamp {
        return None;
    }
    let (count, checksum) = (usize::try_from(from.u64()?).ok()?, from.u64()?);
    let entries = from.take(count.checked_mul(ENTRY_BYTES)?)?;
    if XxHash3_64::oneshot(entries) != checksum {
        return None;
    }
    let mut from = Reader(entries);
    let mut index = Vec::with_capacity(count);
    for _ in 0..count {
        let (page, content, at) = (from.page()?, from.content()?, from.u64()? as usize);
        index.push(Indexed { section: Section { page, content, at }, checksum: from.u64()? });
    }
    Some(index)
}
