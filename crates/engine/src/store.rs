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
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::File;
use std::hash::Hasher;
use std::io;
use twox_hash::{XxHash3_64, XxHash3_128};

use index::Indexed;
pub use index::{FileWriter, WRITTEN_AT_ONCE, of_volume};
use volume::Section;
pub use volume::VolumeWriter;

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
    content: Content,
    volume: u32,
    /// First byte of its section in the volume.
    at: usize,
    used: Used,
    check: Check,
}

/// Whether the bytes of a section are known to be those that were written.
#[derive(Clone, Copy)]
enum Check {
    /// They are.
    Passed,
    /// They are if this is their checksum.
    Pending(u64),
    /// They are not.
    Failed,
}

impl Shelf {
    /// The section in its volume, if it is what was written; looked at once.
    fn checked<'v>(&mut self, volume: &'v [u8]) -> Option<&'v [u8]> {
        let section = volume::section(volume, self.at)?;
        if let Check::Pending(checksum) = self.check {
            self.check = if XxHash3_64::oneshot(section) == checksum { Check::Passed } else { Check::Failed };
        }
        matches!(self.check, Check::Passed).then_some(section)
    }
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
                        program.load(file, &index);
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

    /// The `nth` newest record of translations with a key in a page of a content, and what follows it: they differ in
    /// what else they depend on.
    pub fn record(&mut self, program: ProgramId, page: Page, content: Content, key: u16, nth: usize) -> Option<&[u8]> {
        let Program { volumes, shelves, .. } = &mut self.programs[program.0 as usize];
        let of_page = shelves.get_mut(&page)?.iter_mut().rev().filter(|shelf| shelf.content == content);
        let mut records = of_page.filter_map(|shelf| {
            let section = shelf.checked(volumes[shelf.volume as usize].bytes())?;
            shelf.used = Used::Yes;
            volume::record(section, key)
        });
        records.nth(nth)
    }

    /// Whether it has just this record.
    pub fn has(&mut self, program: ProgramId, page: Page, content: Content, key: u16, record: &[u8]) -> bool {
        (0..).map_while(|nth| Some(self.record(program, page, content, key, nth)?.starts_with(record))).any(|same| same)
    }

    /// Whether everything that was read of a program so far was what was written.
    pub fn is_whole(&self, program: ProgramId) -> bool {
        self.of(program).is_whole()
    }

    /// Adds what a [`VolumeWriter`] wrote of a program, unless too much is kept of it already.
    pub fn add(&mut self, program: ProgramId, volume: Vec<u8>) {
        if !volume.is_empty() && self.bytes() + volume.len() <= MOST_MADE_BYTES {
            self.programs[program.0 as usize].add(volume);
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
    pub fn end_file(&self, program: ProgramId, file: FileWriter) {
        if let (Some(archive), Ok(file)) = (&self.archive, file.finish(self.stamp)) {
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
    fn add(&mut self, volume: Vec<u8>) {
        for Section { page, content, at } in volume::sections(&volume) {
            self.put(page, Shelf { content, volume: 0, at, used: Used::Yes, check: Check::Passed });
        }
        self.bytes += volume.len();
        self.volumes.push(Volume::Made(volume));
    }

    /// Adds what is in a file of the archive.
    fn load(&mut self, file: MappedFile, index: &[Indexed]) {
        for Indexed { section: Section { page, content, at }, checksum } in index {
            let check = Check::Pending(*checksum);
            self.put(*page, Shelf { content: *content, volume: 0, at: *at, used: Used::No, check });
        }
        self.bytes += file.len();
        self.loaded_bytes += file.len();
        self.volumes.push(Volume::Loaded(file));
    }

    /// Puts a shelf up whose section is in the volume that is added next.
    fn put(&mut self, page: Page, shelf: Shelf) {
        let volume = self.volumes.len() as u32;
        self.shelves.entry(page).or_default().push(Shelf { volume, ..shelf });
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
        let mut file = FileWriter::new(draft)?;
        self.latest_sections().iter().try_for_each(|section| file.append(section, &of_volume(section)))?;
        file.finish(stamp)
    }

    /// A section for each of the latest contents of every page, oldest first; pages that this run needed come first, and
    /// others as far as there is room.
    fn latest_sections(&self) -> Vec<Cow<'_, [u8]>> {
        let mut pages: Vec<_> = self.shelves.iter().collect();
        pages.sort_by_key(|(page, shelves)| (Reverse(shelves.iter().map(|shelf| shelf.used).max()), **page));
        let mut latest = Vec::new();
        let mut bytes = 0;
        for (page, shelves) in pages {
            let mut by_age = shelves.clone();
            by_age.sort_by_key(|shelf| shelf.used);
            let mut contents = Vec::new();
            for shelf in by_age.iter().rev() {
                if !contents.contains(&shelf.content) && contents.len() < MOST_CONTENTS {
                    contents.push(shelf.content);
                }
            }
            for content in contents.into_iter().rev() {
                let section = self.merged(*page, content, &mut by_age);
                bytes += section.len();
                if bytes > MOST_SAVED_BYTES {
                    return latest;
                }
                latest.extend((!section.is_empty()).then_some(section));
            }
        }
        latest
    }

    /// One section of what is on several shelves: of records with the same key the newest.
    fn merged(&self, page: Page, content: Content, shelves: &mut [Shelf]) -> Cow<'_, [u8]> {
        let of_content = shelves.iter_mut().filter(|shelf| shelf.content == content);
        let sections: Vec<&[u8]> =
            of_content.filter_map(|shelf| shelf.checked(self.volumes[shelf.volume as usize].bytes())).collect();
        if let [only] = sections[..] {
            return Cow::Borrowed(only);
        }
        let newest: BTreeMap<u16, &[u8]> = sections.into_iter().flat_map(volume::records).collect();
        let mut volume = VolumeWriter::default();
        volume.begin_section(page, content);
        for (key, record) in newest {
            volume.record(key, |to| {
                to.extend_from_slice(record);
                Some(())
            });
        }
        volume.end_section();
        Cow::Owned(volume.finish())
    }
}

#[cfg(test)]
mod tests;
