//! The file that an archive keeps of a program: its sections, and an index of them, so that only those that are needed are
//! ever read.
//!
//! ```text
//! "pagewalk code 2\n" | stamp 8 | first byte of the index 8 | sections 8 | checksum of the index 8 | sections | index
//! index: page 8 | content 16 | first byte of the section in the file 8 | checksum of the section 8       for each
//! ```

use super::field::{Reader, Writer};
use super::volume::{self, Section};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use twox_hash::XxHash3_64;

const MAGIC: [u8; 16] = *b"pagewalk code 2\n";
const HEAD_BYTES: usize = MAGIC.len() + 32;
const ENTRY_BYTES: usize = 40;

/// As many bytes are worth a call of the host's.
pub const WRITTEN_AT_ONCE: usize = 1 << 18;

/// A section, and what its bytes have to be.
pub struct Indexed {
    pub section: Section,
    pub checksum: u64,
}

/// Writes a file section by section.
pub struct FileWriter {
    file: BufWriter<File>,
    /// Bytes written.
    at: usize,
    sections: u64,
    index: Vec<u8>,
}

impl FileWriter {
    /// Begins an empty file.
    ///
    /// # Errors
    /// The host's.
    pub fn new(file: File) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(WRITTEN_AT_ONCE, file);
        file.write_all(&[0; HEAD_BYTES])?;
        Ok(Self { file, at: HEAD_BYTES, sections: 0, index: Vec::new() })
    }

    /// Whether there is no section in it.
    pub fn is_empty(&self) -> bool {
        self.sections == 0
    }

    /// How long the file is so far, without its index.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Adds a volume, whose sections [`of_volume`] found.
    ///
    /// # Errors
    /// The host's.
    pub fn append(&mut self, volume: &[u8], sections: &[Indexed]) -> io::Result<()> {
        let mut to = Writer(&mut self.index);
        for Indexed { section, checksum } in sections {
            to.page(section.page);
            to.content(section.content);
            to.u64((self.at + section.at) as u64);
            to.u64(*checksum);
        }
        self.sections += sections.len() as u64;
        self.at += volume.len();
        self.file.write_all(volume)
    }

    /// Ends the file, whose translations have a stamp.
    ///
    /// # Errors
    /// The host's.
    pub fn finish(mut self, stamp: u64) -> io::Result<File> {
        self.file.write_all(&self.index)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut head = MAGIC.to_vec();
        let mut to = Writer(&mut head);
        to.u64(stamp);
        to.u64(self.at as u64);
        to.u64(self.sections);
        to.u64(XxHash3_64::oneshot(&self.index));
        file.write_all_at(&head, 0)?;
        Ok(file)
    }
}

/// The sections of a volume that was made in this run.
pub fn of_volume(volume: &[u8]) -> Vec<Indexed> {
    let checksum = |at| XxHash3_64::oneshot(volume::section(volume, at).expect("what was made is whole"));
    volume::sections(volume).map(|section| Indexed { checksum: checksum(section.at), section }).collect()
}

/// Reads the index of a file, if it is one, whole, and of translations with a stamp.
pub fn read(file: &[u8], stamp: u64) -> Option<Vec<Indexed>> {
    let mut from = Reader(file);
    if from.take(MAGIC.len())? != MAGIC || from.u64()? != stamp {
        return None;
    }
    let (first, count) = (usize::try_from(from.u64()?).ok()?, usize::try_from(from.u64()?).ok()?);
    let checksum = from.u64()?;
    let index = file.get(first..)?.get(..count.checked_mul(ENTRY_BYTES)?)?;
    if XxHash3_64::oneshot(index) != checksum {
        return None;
    }
    let mut from = Reader(index);
    let mut sections = Vec::with_capacity(count);
    for _ in 0..count {
        let (page, content, at) = (from.page()?, from.content()?, from.u64()? as usize);
        sections.push(Indexed { section: Section { page, content, at }, checksum: from.u64()? });
    }
    Some(sections)
}
