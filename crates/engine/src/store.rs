//! Translations of programs, kept for other processes and for later runs.
//!
//! A translation serves again wherever the same bytes lie at the same addresses. So it is kept by the program it was
//! made for and its guest address, together with the contents of every page that its translator read, and is taken
//! only where all of them are the same: nothing depends on names, dates or versions of files. To make it again costs
//! the copying of some hundred bytes.
//! ```text
//! program ─ page, content ─ address in the page, variant ─ record: code, lookups, links, marks, contents it depends on
//! ```
//! Bytes from an [`Archive`] are taken as they come: what is malformed is no translation.

mod field;
mod index;
pub mod record;
mod volume;

use addr::{PAGE_BYTES, Page, Pfn};
use host::MappedFile;
use mmu::Memory;
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hasher;
use std::io;
use twox_hash::{XxHash3_64, XxHash3_128};

pub use index::{FileWriter, WRITTEN_AT_ONCE};
use volume::Table;
pub use volume::{Tables, append};

/// Where translations are kept from run to run.
pub trait Archive: Send + Sync {
    /// What was saved last for a program that a translator of a kind has translated; `None` if nothing was.
    ///
    /// # Errors
    /// Where that cannot be seen: then nothing is saved in its place.
    fn load(&self, program: &[u8], translator: &str) -> io::Result<Option<MappedFile>>;

    /// An empty file without a name.
    ///
    /// # Errors
    /// Where there cannot be one.
    fn draft(&self) -> io::Result<File>;

    /// Puts a draft in place of what was saved last for a program, if that can be done: a run is as good without.
    fn publish(&self, program: &[u8], translator: &str, draft: &File);

    /// A number that differs from that of any pagewalk that may translate otherwise.
    fn build(&self) -> u64;
}

/// The bytes of a page, as a hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content(u128);

impl Content {
    /// Of the page in a frame.
    pub fn of(memory: &Memory, pfn: Pfn) -> Self {
        let mut bytes = [0; PAGE_BYTES as usize];
        memory.ram().read(pfn.start(), &mut bytes);
        Self(XxHash3_128::oneshot(&bytes))
    }
}

/// The number of a program in the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgramId(u32);

/// Most bytes saved of one program.
pub const MOST_SAVED_BYTES: usize = 128 << 20;

/// Most bytes of host memory for what is kept in a run.
const MOST_MADE_BYTES: usize = 256 << 20;

/// How many contents of one page are saved, the latest.
const MOST_CONTENTS: usize = 4;

/// What is new must be more than this part of what was there before, or it is not worth writing all of it.
const WORTH_SAVING: usize = 64;

/// All translations that are kept.
pub struct Store {
    archive: Option<Box<dyn Archive>>,
    translator: String,
    /// Differs where translations would.
    stamp: u64,
    programs: Vec<Program>,
}

/// The translations of one program.
struct Program {
    name: Box<[u8]>,
    saving: Saving,
    volumes: Vec<Volume>,
    /// Bytes of all volumes, and of those that were loaded.
    bytes: usize,
    loaded_bytes: usize,
    shelves: FxHashMap<Page, Vec<Shelf>>,
}

/// Whether what is kept of a program goes to the archive.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Saving {
    /// It does.
    Wanted,
    /// Nobody knows what there is already.
    Refused,
}

/// Bytes of translations.
enum Volume {
    /// Made in this run.
    Made(Vec<u8>),
    /// From the archive.
    Loaded(MappedFile),
}

impl Volume {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Made(bytes) => bytes,
            Self::Loaded(file) => file,
        }
    }

    /// Whether what was read of it so far was what was written.
    fn is_whole(&self) -> bool {
        match self {
            Self::Made(_) => true,
            Self::Loaded(file) => file.is_whole(),
        }
    }
}

/// Where the translations of a page of a certain content are.
#[derive(Clone, Copy)]
struct Shelf {
    volume: u32,
    table: Table,
    used: Used,
}

/// Where a record is.
#[derive(Clone, Copy)]
struct Place {
    volume: u32,
    /// Its first byte in the volume.
    at: usize,
}

/// What is to be saved of a page of a content.
struct Latest {
    page: Page,
    content: Content,
    /// In the order of their keys.
    records: Vec<(u16, Place)>,
}

/// Whether something was taken from a shelf in this run, or put there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Used {
    No,
    Yes,
}

impl Store {
    /// An empty one, in front of an archive. `translator` says how translations are made.
    pub fn new(archive: Option<Box<dyn Archive>>, translator: &str) -> Self {
        let mut stamp = XxHash3_64::new();
        stamp.write(translator.as_bytes());
        stamp.write_u64(archive.as_ref().map_or(0, |archive| archive.build()));
        Self { archive, translator: translator.to_owned(), stamp: stamp.finish(), programs: Vec::new() }
    }

    /// The number of a program; what is in the archive of it is loaded when it is first asked for.
    pub fn program(&mut self, name: &[u8]) -> ProgramId {
        let known = self.programs.iter().position(|program| *program.name == *name);
        let number = known.unwrap_or_else(|| {
            let mut program = Program::new(name);
            match self.archive.as_ref().map_or(Ok(None), |archive| archive.load(name, &self.translator)) {
                Ok(archived) => {
                    let indexed = archived.and_then(|file| Some((index::read(&file, self.stamp)?, file)));
                    if let Some((index, file)) = indexed {
                        program.load(file, index);
                    }
                }
                Err(_) => program.saving = Saving::Refused,
            }
            self.programs.push(program);
            self.programs.len() - 1
        });
        ProgramId(number as u32)
    }

    /// Whether something is kept of a page, of whatever content.
    pub fn knows(&self, program: ProgramId, page: Page) -> bool {
        self.of(program).shelves.contains_key(&page)
    }

    /// The `nth` newest record of translations with a key in a page of a content: they differ in what else they depend
    /// on.
    pub fn record(&mut self, program: ProgramId, page: Page, content: Content, key: u16, nth: usize) -> Option<&[u8]> {
        let Program { volumes, shelves, .. } = &mut self.programs[program.0 as usize];
        let of_page = shelves.get_mut(&page)?.iter_mut().rev().filter(|shelf| shelf.table.content == content);
        let mut records = of_page.filter_map(|shelf| {
            let volume = volumes[shelf.volume as usize].bytes();
            let record = volume::translation(volume, shelf.table.find(volume, key)?)?;
            shelf.used = Used::Yes;
            Some(record)
        });
        records.nth(nth)
    }

    /// Whether it has just this record.
    pub fn has(&mut self, program: ProgramId, page: Page, content: Content, key: u16, record: &[u8]) -> bool {
        (0..)
            .map_while(|nth| self.record(program, page, content, key, nth).map(|known| known == record))
            .any(|same| same)
    }

    /// Whether everything that was read of a program so far was what was written.
    pub fn is_whole(&self, program: ProgramId) -> bool {
        self.of(program).is_whole()
    }

    /// Adds records of a program and their tables, unless too much is kept of it already.
    pub fn add(&mut self, program: ProgramId, records: Vec<u8>, tables: &Tables) {
        if !tables.is_empty() && self.bytes() + records.len() + tables.bytes().len() <= MOST_MADE_BYTES {
            self.programs[program.0 as usize].add(records, tables);
        }
    }

    /// A file for what this run has made of a program, if it is all there is to save of it: then it need not be in memory
    /// before.
    pub fn begin_file(&self, program: ProgramId) -> Option<FileWriter> {
        let is_first = self.of(program).volumes.is_empty() && self.of(program).saving == Saving::Wanted;
        let archive = self.archive.as_ref().filter(|_| is_first)?;
        FileWriter::new(archive.draft().ok()?).ok()
    }

    /// Saves such a file.
    pub fn end_file(&self, program: ProgramId, file: FileWriter, tables: &Tables) {
        if let (Some(archive), Ok(file)) = (&self.archive, file.finish(tables, self.stamp)) {
            archive.publish(&self.of(program).name, &self.translator, &file);
        }
    }

    /// Saves what is worth it.
    pub fn save(&self) {
        let Some(archive) = &self.archive else { return };
        for program in self.programs.iter().filter(|program| program.is_worth_saving() && program.is_whole()) {
            // If it fails, the next run translates again.
            if let Ok(file) = archive.draft().and_then(|draft| program.write(draft, self.stamp)) {
                archive.publish(&program.name, &self.translator, &file);
            }
        }
    }

    /// Bytes of host memory that it takes; those of files are the host's page cache's.
    pub fn bytes(&self) -> usize {
        self.programs.iter().map(|program| program.bytes - program.loaded_bytes).sum()
    }

    fn of(&self, program: ProgramId) -> &Program {
        &self.programs[program.0 as usize]
    }
}

impl Program {
    fn new(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            saving: Saving::Wanted,
            volumes: Vec::new(),
            bytes: 0,
            loaded_bytes: 0,
            shelves: FxHashMap::default(),
        }
    }

    /// Adds what was made in this run.
    fn add(&mut self, mut records: Vec<u8>, tables: &Tables) {
        tables.in_volume(records.len()).for_each(|table| self.put(table, Used::Yes));
        records.extend_from_slice(tables.bytes());
        self.bytes += records.len();
        self.volumes.push(Volume::Made(records));
    }

    /// Adds what is in a file of the archive.
    fn load(&mut self, file: MappedFile, tables: Vec<Table>) {
        tables.into_iter().for_each(|table| self.put(table, Used::No));
        self.bytes += file.len();
        self.loaded_bytes += file.len();
        self.volumes.push(Volume::Loaded(file));
    }

    /// Puts a shelf up whose table is in the volume that is added next.
    fn put(&mut self, table: Table, used: Used) {
        let volume = self.volumes.len() as u32;
        self.shelves.entry(table.page).or_default().push(Shelf { volume, table, used });
    }

    /// Only what was loaded, first of all, can be anything else.
    fn is_whole(&self) -> bool {
        self.volumes.first().is_none_or(Volume::is_whole)
    }

    fn is_worth_saving(&self) -> bool {
        self.saving == Saving::Wanted && (self.bytes - self.loaded_bytes) * WORTH_SAVING > self.loaded_bytes
    }

    /// Writes a file of everything that is to be saved.
    fn write(&self, draft: File, stamp: u64) -> io::Result<File> {
        let mut latest = self.latest();
        let mut places: Vec<&mut Place> =
            latest.iter_mut().flat_map(|page| page.records.iter_mut().map(|(_, place)| place)).collect();
        // As they were made, also those that were made by earlier runs.
        places.sort_unstable_by_key(|place| (place.volume, place.at));
        let mut file = FileWriter::new(draft)?;
        for place in places {
            // They were looked at just now; in a file that somebody changes meanwhile, their checksums will tell.
            let record = volume::record(self.volumes[place.volume as usize].bytes(), place.at);
            place.at = file.append(record.ok_or(io::ErrorKind::InvalidData)?)?;
        }
        let mut tables = Tables::default();
        for Latest { page, content, records } in latest {
            tables.add(page, content, records.into_iter().map(|(key, place)| (key, place.at)));
        }
        file.finish(&tables, stamp)
    }

    /// The latest contents of every page, oldest first, and of records with the same key the newest; pages that this run
    /// needed come first, and others as far as there is room.
    fn latest(&self) -> Vec<Latest> {
        let mut pages: Vec<_> = self.shelves.iter().collect();
        pages.sort_by_key(|(page, shelves)| (Reverse(shelves.iter().map(|shelf| shelf.used).max()), **page));
        let mut latest = Vec::new();
        let mut bytes = 0;
        for (page, shelves) in pages {
            let mut by_age = shelves.clone();
            by_age.sort_by_key(|shelf| shelf.used);
            let mut contents = Vec::new();
            for Shelf { table, .. } in by_age.iter().rev() {
                if !contents.contains(&table.content) && contents.len() < MOST_CONTENTS {
                    contents.push(table.content);
                }
            }
            for content in contents.into_iter().rev() {
                let records = self.newest(by_age.iter().filter(|shelf| shelf.table.content == content));
                bytes += records.values().map(|(_, bytes)| bytes).sum::<usize>();
                if bytes > MOST_SAVED_BYTES {
                    return latest;
                }
                let records = records.into_iter().map(|(key, (place, _))| (key, place)).collect();
                latest.push(Latest { page: *page, content, records });
            }
        }
        latest
    }

    /// Of the records with each key on some shelves the newest that is what was written, and its length.
    fn newest<'s>(&self, shelves: impl Iterator<Item = &'s Shelf>) -> BTreeMap<u16, (Place, usize)> {
        let mut newest = BTreeMap::new();
        for Shelf { volume, table, .. } in shelves {
            for (key, at) in table.records(self.volumes[*volume as usize].bytes()) {
                let place = Place { volume: *volume, at };
                if let Some(translation) = self.translation(place) {
                    newest.insert(key, (place, translation.len()));
                }
            }
        }
        newest
    }

    fn translation(&self, Place { volume, at }: Place) -> Option<&[u8]> {
        volume::translation(self.volumes[volume as usize].bytes(), at)
    }
}

#[cfg(test)]
mod tests;
