//! The file that an archive keeps of a program: a volume, whose tables are found by an index, so that only those records that
//! are needed are ever read.
//!
//! ```text
//! "pagewalk code 3\n" | stamp 8 | first byte of the tables 8 | tables 8 | checksum of tables and index 8 | records | tables | index
//! index: page 8 | content 16 | first byte of the table in the file 8 | its records 8                  for each table
//! ```

use super::field::{Reader, Writer};
use super::volume::{Table, Tables};
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use twox_hash::XxHash3_64;

const MAGIC: [u8; 16] = *b"pagewalk code 3\n";
const HEAD_BYTES: usize = MAGIC.len() + 32;
const ENTRY_BYTES: usize = 40;

/// As many bytes are worth a call of the host's.
pub const WRITTEN_AT_ONCE: usize = 1 << 18;

/// Writes a file.
pub struct FileWriter {
    file: BufWriter<File>,
    /// Bytes written.
    at: usize,
}

impl FileWriter {
    /// Begins an empty file.
    ///
    /// # Errors
    /// The host's.
    pub fn new(file: File) -> io::Result<Self> {
        let mut file = BufWriter::with_capacity(WRITTEN_AT_ONCE, file);
        file.write_all(&[0; HEAD_BYTES])?;
        Ok(Self { file, at: HEAD_BYTES })
    }

    /// How long the file is so far.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Appends records; where the first is.
    ///
    /// # Errors
    /// The host's.
    pub fn append(&mut self, records: &[u8]) -> io::Result<usize> {
        let at = self.at;
        self.file.write_all(records)?;
        self.at += records.len();
        Ok(at)
    }

    /// Ends the file, whose translations have a stamp.
    ///
    /// # Errors
    /// The host's.
    pub fn finish(mut self, tables: &Tables, stamp: u64) -> io::Result<File> {
        let mut index = Vec::new();
        let mut to = Writer(&mut index);
        let mut count = 0;
        for Table { page, content, at, records } in tables.in_volume(self.at) {
            to.page(page);
            to.content(content);
            to.u64(at as u64);
            to.u64(records as u64);
            count += 1;
        }
        self.file.write_all(tables.bytes())?;
        self.file.write_all(&index)?;
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let mut checksum = XxHash3_64::new();
        checksum.write(tables.bytes());
        checksum.write(&index);
        let mut head = MAGIC.to_vec();
        let mut to = Writer(&mut head);
        to.u64(stamp);
        to.u64(self.at as u64);
        to.u64(count);
        to.u64(checksum.finish());
        file.write_all_at(&head, 0)?;
        Ok(file)
    }
}

/// Reads the index of a file, if it is one, whole, and of translations with a stamp.
pub fn read(file: &[u8], stamp: u64) -> Option<Vec<Table>> {
    let mut from = Reader(file);
    if from.take(MAGIC.len())? != MAGIC || from.u64()? != stamp {
        return None;
    }
    let (first, count) = (usize::try_from(from.u64()?).ok()?, usize::try_from(from.u64()?).ok()?);
    let checksum = from.u64()?;
    let end = file.get(first..)?;
    if XxHash3_64::oneshot(end) != checksum {
        return None;
    }
    let (_, index) = end.split_at_checked(end.len().checked_sub(count.checked_mul(ENTRY_BYTES)?)?)?;
    let mut from = Reader(index);
    let mut tables = Vec::with_capacity(count);
    for _ in 0..count {
        let (page, content) = (from.page()?, from.content()?);
        tables.push(Table { page, content, at: from.u64()? as usize, records: from.u64()? as usize });
    }
    Some(tables)
}
