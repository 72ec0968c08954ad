//! The page cache: files and shared memory, page by page.

use super::store::Store;
use super::swap::Swap;
use super::{FaultError, OpenMode, SpaceId};
use addr::{PAGE_BYTES, Pfn, PhysAddr};
use host::{FileBytes, FileIdentity, KeptFile, Ram};
use mmu::{Frames, SwapSlot};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use trace::Cost;

/// Pages in each of the windows that a file is read by: Linux's default (read_ahead_kb of sysfs-class-bdi: 128).
const READ_PAGES: u64 = 32;
/// How many files that nobody maps keep their pages.
const IDLE_FILES: usize = 256;

/// The number of an object; a file's is what [`super::Mm::adopt_file`] returns.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(u32);

/// One share in an object: areas and segments hold them, and an object without any can go.
#[derive(Clone, Debug)]
pub(crate) struct ObjectRef(Arc<FileId>);

impl ObjectRef {
    pub fn id(&self) -> FileId {
        *self.0
    }
}

impl PartialEq for ObjectRef {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// A file or shared memory, with those of its pages that are in RAM or in swap.
pub(crate) struct Object {
    share: ObjectRef,
    pub source: Source,
    pub size_bytes: u64,
    /// No byte of the file changes but by stores through maps that are older than its seals.
    pub is_sealed: bool,
    /// What maps shows.
    pub name: Arc<str>,
    pages: BTreeMap<u64, Cached>,
    /// How many of its pages, at most, the host has to find memory for once they are written back: the file lies in the
    /// host's memory, and they are of a hole in it.
    pub promised_pages: u64,
    /// Spaces that map it or did: the reverse map.
    pub spaces: Vec<SpaceId>,
}

pub(crate) enum Source {
    File(KnownFile),
    Memory { ino: u64 },
}

/// A host file in the cache.
pub(crate) struct KnownFile {
    pub kept: KeptFile,
    /// How the kept descriptor was opened.
    pub mode: OpenMode,
    /// What the file was when the cache last looked.
    pub identity: FileIdentity,
}

/// A page of an object; the object has one share in the frame or slot.
#[derive(Clone, Copy, Debug)]
enum Cached {
    Resident(Pfn),
    Swapped(SwapSlot),
}

impl Object {
    pub fn is_file(&self) -> bool {
        matches!(self.source, Source::File { .. })
    }

    /// Device and file number, as maps shows them. Shared memory lies on device 0:1.
    pub fn dev_ino(&self) -> (u64, u64) {
        match &self.source {
            Source::File(known) => (known.identity.dev, known.identity.ino),
            Source::Memory { ino } => (1, *ino),
        }
    }

    /// How many pages it has, the last one perhaps not full.
    pub fn page_count(&self) -> u64 {
        self.size_bytes.div_ceil(PAGE_BYTES)
    }

    /// The frame of a page, if it is in RAM.
    pub fn resident(&self, index: u64) -> Option<Pfn> {
        match self.pages.get(&index)? {
            Cached::Resident(pfn) => Some(*pfn),
            Cached::Swapped(_) => None,
        }
    }

    /// How many of its pages are in RAM, and how many in swap.
    pub fn page_counts(&self) -> (u64, u64) {
        let resident = self.pages.values().filter(|page| matches!(page, Cached::Resident(_))).count();
        (resident as u64, (self.pages.len() - resident) as u64)
    }

    fn is_mapped(&self) -> bool {
        Arc::strong_count(&self.share.0) > 1
    }

    /// Which bytes of the file a page shows.
    fn bytes_in_page(&self, index: u64) -> usize {
        self.size_bytes.saturating_sub(index * PAGE_BYTES).min(PAGE_BYTES) as usize
    }

    /// How many pages of each range the host has; none where it does not say.
    pub fn pages_on_host<const N: usize>(&self, ranges: [Range<u64>; N]) -> [u64; N] {
        match &self.source {
            Source::File(known) => known.kept.pages_present(ranges).unwrap_or([0; N]),
            Source::Memory { .. } => [0; N],
        }
    }

    /// A page that is not there yet, with those around it that are not either: as many as RAM has room for.
    fn window(&self, index: u64, frames: &Frames) -> Range<u64> {
        let window = index - index % READ_PAGES;
        let before = self.pages.range(window..index).next_back().map_or(window, |(last, _)| last + 1);
        let end = self.page_count().min(window + READ_PAGES);
        let end = self.pages.range(index..end).next().map_or(end, |(next, _)| *next);
        let has_room = u64::from(frames.free_frames()) >= end - before;
        if has_room { before..end } else { index..end }
    }

    /// Brings pages in, as many as RAM has room for, and says where one is.
    fn read_in(&mut self, index: u64, window: Range<u64>, frames: &mut Frames) -> Result<Pfn, FaultError> {
        let Source::File(known) = &self.source else { unreachable!("shared memory is not read in") };
        let Range { start: first, end } = window;
        let bytes = ((end - first) * PAGE_BYTES) as usize;
        let (ram, pages) = (Arc::clone(frames.memory()), &mut self.pages);
        let fill = |found: FileBytes<'_>| {
            for (at, offset) in (first..).zip((0..bytes).step_by(PAGE_BYTES as usize)) {
                let Some(frame) = frames.alloc_for_copy() else { break };
                let page = found.part(offset..offset + PAGE_BYTES as usize);
                show(page, PAGE_BYTES as usize, frame.pfn().start(), ram.ram());
                pages.insert(at, Cached::Resident(frame.into_pfn()));
            }
        };
        known.kept.read_with(bytes, first * PAGE_BYTES, fill).map_err(|_| FaultError::BusAdrErr)?;
        self.resident(index).ok_or(FaultError::OutOfMemory)
    }

    /// Writes a page's bytes to the file, as far as the file goes.
    pub fn write_back(&self, index: u64, frames: &Frames) {
        let (Source::File(known), Some(pfn)) = (&self.source, self.resident(index)) else { return };
        let mut bytes = [0; PAGE_BYTES as usize];
        let bytes = &mut bytes[..self.bytes_in_page(index)];
        frames.memory().ram().read(pfn.start(), bytes);
        // A full disk loses the bytes, as it does on Linux when nobody calls msync.
        let _ = known.kept.write_at(bytes, index * PAGE_BYTES);
    }

    /// Makes a hole of pages of the host's file, as far as it goes.
    pub fn punch_on_host(&self, pages: Range<u64>) -> io::Result<()> {
        let Source::File(known) = &self.source else { return Ok(()) };
        let end = pages.end.min(self.page_count());
        if pages.start >= end {
            return Ok(());
        }
        known.kept.punch(pages.start * PAGE_BYTES..end * PAGE_BYTES)
    }

    /// Gives back every page from `index` on.
    fn drop_pages(&mut self, index: u64, frames: &mut Frames, swap: &mut Swap) {
        for cached in self.pages.split_off(&index).into_values() {
            match cached {
                Cached::Resident(pfn) => _ = frames.release(pfn),
                Cached::Swapped(slot) => swap.release(slot),
            }
        }
    }

    /// Zeroes what the last page shows beyond the end.
    fn zero_tail(&self, frames: &Frames) {
        let (index, offset) = (self.size_bytes / PAGE_BYTES, self.size_bytes % PAGE_BYTES);
        let Some(pfn) = self.resident(index).filter(|_| offset > 0) else { return };
        let zeros = vec![0; (PAGE_BYTES - offset) as usize];
        frames.memory().ram().write(pfn.start() + offset, &zeros);
        frames.memory().code().note_write(pfn);
    }

    /// Reads a byte range again into the frames that hold it, and no byte beside it: a program may just have stored there.
    pub fn refresh(&mut self, from: u64, to: u64, frames: &Frames) {
        let Source::File(known) = &self.source else { return };
        // A write beyond the end, of nothing, changes nothing.
        let pages = from / PAGE_BYTES..to.div_ceil(PAGE_BYTES).max(from / PAGE_BYTES);
        for (index, cached) in self.pages.range(pages) {
            let Cached::Resident(pfn) = cached else { continue };
            let start = index * PAGE_BYTES;
            let (first, end) = (from.max(start), to.min(start + PAGE_BYTES));
            let bytes = end.saturating_sub(first) as usize;
            let to = pfn.start() + (first - start);
            let shown = known.kept.read_with(bytes, first, |found| show(found, bytes, to, frames.memory().ram()));
            if shown.is_ok() {
                frames.memory().code().note_write(*pfn);
            }
        }
    }
}

/// Puts so many bytes of a file into a frame; beyond the end of the file it shows zeros.
fn show(found: FileBytes<'_>, bytes: usize, to: PhysAddr, ram: &Ram) {
    ram.write_from(to, found);
    let rest = [0; PAGE_BYTES as usize];
    ram.write(to + found.len() as u64, &rest[..bytes - found.len()]);
}

/// All objects.
#[derive(Default)]
pub(crate) struct Objects {
    by_id: FxHashMap<FileId, Object>,
    by_file: FxHashMap<(u64, u64), FileId>,
    /// Files that nobody maps, the longest idle first.
    idle: Vec<FileId>,
    next: u32,
}

impl Objects {
    pub fn get(&self, id: FileId) -> &Object {
        self.by_id.get(&id).expect("an object lives while somebody has a share in it")
    }

    pub fn get_mut(&mut self, id: FileId) -> &mut Object {
        self.by_id.get_mut(&id).expect("an object lives while somebody has a share in it")
    }

    pub fn contains(&self, id: FileId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Pages in RAM: of files, and of shared memory.
    pub fn resident_pages(&self) -> (u64, u64) {
        self.by_id.values().fold((0, 0), |(files, memory), object| match object.is_file() {
            true => (files + object.page_counts().0, memory),
            false => (files, memory + object.page_counts().0),
        })
    }

    /// How many pages in RAM the host has to find memory for, at most, once they are written back to files in its memory.
    pub fn promised_pages(&mut self) -> u64 {
        let promising = self.by_id.values_mut().filter(|object| object.promised_pages > 0);
        let settled = promising.map(|object| {
            let all = 0..object.page_count();
            let [present] = object.pages_on_host([all.clone()]);
            object.promised_pages = object.promised_pages.min(object.pages.len() as u64).min(all.end - present);
            object.promised_pages
        });
        settled.sum()
    }

    /// A new share in an object.
    pub fn share(&mut self, id: FileId) -> ObjectRef {
        self.idle.retain(|idle| *idle != id);
        self.get(id).share.clone()
    }

    /// The object of a file that is known.
    pub fn file(&self, dev: u64, ino: u64) -> Option<FileId> {
        self.by_file.get(&(dev, ino)).copied()
    }

    pub fn add_file(&mut self, known: KnownFile, name: &str) -> FileId {
        let identity = known.identity;
        let id = self.add(Source::File(known), identity.size, name);
        self.by_file.insert((identity.dev, identity.ino), id);
        self.idle.push(id);
        id
    }

    /// Memory of its own, as large as asked, to be shared.
    pub fn add_memory(&mut self, size_bytes: u64, name: &str) -> ObjectRef {
        let ino = u64::from(self.next) + 1;
        let id = self.add(Source::Memory { ino }, size_bytes, name);
        self.get(id).share.clone()
    }

    fn add(&mut self, source: Source, size_bytes: u64, name: &str) -> FileId {
        let id = FileId(self.next);
        self.next += 1;
        let share = ObjectRef(Arc::new(id));
        let (pages, spaces) = (BTreeMap::new(), Vec::new());
        self.by_id.insert(
            id,
            Object { share, source, size_bytes, is_sealed: false, name: name.into(), pages, promised_pages: 0, spaces },
        );
        id
    }
}

impl Store {
    /// The frame of an object's page, brought in if need be, and what that cost.
    pub fn object_page(&mut self, id: FileId, index: u64) -> Result<(Pfn, Cost), FaultError> {
        let cold = self.config.cold_cost();
        let object = self.objects.get_mut(id);
        if index >= object.page_count() {
            return Err(FaultError::BusAdrErr);
        }
        match object.pages.get(&index) {
            Some(Cached::Resident(pfn)) => Ok((*pfn, Cost::Minor)),
            Some(&Cached::Swapped(slot)) => {
                let pfn = self.frames.alloc_for_copy().ok_or(FaultError::OutOfMemory)?.into_pfn();
                self.swap.load(slot, self.frames.memory().ram(), pfn);
                self.swap.release(slot);
                object.pages.insert(index, Cached::Resident(pfn));
                Ok((pfn, Cost::Major))
            }
            None if object.is_file() => {
                let window = object.window(index, &self.frames);
                let window = self.window_with_room(id, index, window).ok_or(FaultError::BusAdrErr)?;
                Ok((self.objects.get_mut(id).read_in(index, window, &mut self.frames)?, cold))
            }
            None => {
                let pfn = self.frames.alloc_zeroed(0).ok_or(FaultError::OutOfMemory)?.into_pfn();
                object.pages.insert(index, Cached::Resident(pfn));
                Ok((pfn, Cost::Minor))
            }
        }
    }

    /// Copies a page of an object out and leaves the object as it is; whether there is such a page.
    pub fn peek_object_page(&self, id: FileId, index: u64, to: &mut [u8; PAGE_BYTES as usize]) -> bool {
        let object = self.objects.get(id);
        to.fill(0);
        match (object.pages.get(&index), &object.source) {
            _ if index >= object.page_count() => return false,
            (Some(Cached::Resident(pfn)), _) => self.frames.memory().ram().read(pfn.start(), to),
            (Some(Cached::Swapped(slot)), _) => self.swap.peek(*slot, to),
            (None, Source::File(known)) => return known.kept.read_at(to, index * PAGE_BYTES).is_ok(),
            (None, Source::Memory { .. }) => {}
        }
        true
    }

    /// Lets a page of an object go that nobody maps any more: to swap, or to the file that it came from.
    pub fn evict_object_page(&mut self, id: FileId, index: u64) {
        let has_swap = self.unused_swap() > 0;
        let object = self.objects.get_mut(id);
        let Some(pfn) = object.resident(index).filter(|pfn| self.frames.count(*pfn) == 1) else { return };
        if object.is_file() {
            object.pages.remove(&index);
        } else if !has_swap {
            return;
        } else {
            let slot = self.swap.store(self.frames.memory().ram(), pfn);
            object.pages.insert(index, Cached::Swapped(slot));
        }
        self.frames.release(pfn);
    }

    /// Lets pages go whatever they hold, with what they held: `MADV_REMOVE`.
    pub fn remove_object_pages(&mut self, id: FileId, gone: Range<u64>) {
        let object = self.objects.get_mut(id);
        let there: Vec<u64> = object.pages.range(gone).map(|(index, _)| *index).collect();
        for cached in there.iter().filter_map(|index| object.pages.remove(index)) {
            match cached {
                Cached::Resident(pfn) => _ = self.frames.release(pfn),
                Cached::Swapped(slot) => self.swap.release(slot),
            }
        }
    }

    /// The host's file may have holes now where pages are in RAM.
    pub fn promise_all(&mut self, id: FileId) {
        let object = self.objects.get_mut(id);
        if self.memory_files.holds(object.dev_ino().0) {
            object.promised_pages = object.pages.len() as u64;
        }
    }

    /// Looks at an object after a share in it was given back: shared memory that nobody has goes, a file becomes idle.
    pub fn settle_object(&mut self, id: FileId) {
        let Some(object) = self.objects.by_id.get(&id).filter(|object| !object.is_mapped()) else { return };
        if !object.is_file() {
            return self.drop_object(id);
        }
        self.objects.get_mut(id).spaces.clear();
        self.objects.idle.retain(|idle| *idle != id);
        self.objects.idle.push(id);
        if self.objects.idle.len() > IDLE_FILES {
            let oldest = self.objects.idle.remove(0);
            self.drop_object(oldest);
        }
    }

    /// Gives back frames of files until `wanted` frames are free or no page can go.
    pub fn shrink(&mut self, wanted: u32) {
        // The files themselves stay known: one may be about to be mapped.
        for id in &self.objects.idle {
            if self.frames.free_frames() >= wanted {
                return;
            }
            let object = self.objects.by_id.get_mut(id).expect("an idle file is known");
            object.drop_pages(0, &mut self.frames, &mut self.swap);
        }
        let frames = &mut self.frames;
        for object in self.objects.by_id.values_mut().filter(|object| object.is_file()) {
            object.pages.retain(|_, cached| match cached {
                Cached::Resident(pfn) if frames.count(*pfn) == 1 && frames.free_frames() < wanted => {
                    frames.release(*pfn);
                    false
                }
                _ => true,
            });
        }
    }

    /// Forgets every page of a file that nobody maps.
    pub fn drop_caches(&mut self) {
        self.shrink(u32::MAX);
    }

    /// Gives an object that nobody has a share in back.
    fn drop_object(&mut self, id: FileId) {
        let mut object = self.objects.by_id.remove(&id).expect("the object is known");
        object.drop_pages(0, &mut self.frames, &mut self.swap);
        if let Source::File(KnownFile { identity, .. }) = object.source {
            self.objects.by_file.remove(&(identity.dev, identity.ino));
        }
    }

    /// Sets an object's size. The caller has taken what lies beyond out of every space.
    pub fn resize_object(&mut self, id: FileId, size_bytes: u64) {
        let object = self.objects.get_mut(id);
        if size_bytes < object.size_bytes {
            object.size_bytes = size_bytes;
            object.drop_pages(size_bytes.div_ceil(PAGE_BYTES), &mut self.frames, &mut self.swap);
        } else {
            // What was stored beyond the old end was never the file's.
            object.zero_tail(&self.frames);
            object.size_bytes = size_bytes;
        }
        object.zero_tail(&self.frames);
    }
}
