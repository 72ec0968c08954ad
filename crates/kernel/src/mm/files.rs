//! Host files in the page cache, and what happens when they change.
//!
//! The host's file is the truth. Before a system call reads or writes a file that is in the cache, [`Mm::sync_file`]
//! brings what programs stored through shared maps to it; after one wrote or resized it, [`Mm::file_changed`] brings
//! the cache in line. Reading and writing pages under the kernel lock is accepted: the host has them in its own cache.

use super::area::Backing;
use super::object::{FileId, KnownFile, Source};
use super::{Mm, OpenMode, SpaceId};
use crate::Errno;
use addr::{PAGE_BYTES, Page, PageRange, Perms};
use host::{FileIdentity, KeptFile};
use mmu::{Entry, Leaf, Origin};
use std::io;
use std::ops::Range;
use std::sync::Arc;

impl Mm {
    /// The number of a file of the host by device and file number, if it is in the cache.
    pub fn known_file(&self, dev: u64, ino: u64) -> Option<FileId> {
        self.store.objects.file(dev, ino)
    }

    /// The number of a file that is in the cache with this very content, through a descriptor that can do no less than
    /// one opened in `mode`; `name` is what maps shows from now on.
    pub fn unchanged_file(&mut self, identity: &FileIdentity, name: &str, mode: OpenMode) -> Option<FileId> {
        let id = self.known_file(identity.dev, identity.ino)?;
        let object = self.store.objects.get_mut(id);
        let Source::File(known) = &object.source else { return None };
        if known.identity != *identity || mode.use_rank() > known.mode.use_rank() {
            return None;
        }
        object.name = name.into();
        Some(id)
    }

    /// Takes a file into the cache, empty at first; `name` is what maps shows. A file that is there already keeps its
    /// number, and its pages if its content is the same. `mode` is how the descriptor was opened: of several the one
    /// that lets more be done is kept.
    ///
    /// # Errors
    /// The host's.
    pub fn adopt_file(&mut self, kept: KeptFile, name: &str, mode: OpenMode) -> io::Result<FileId> {
        let identity = kept.identity()?;
        if self.store.memory_files.knows(identity.dev).is_none() {
            self.store.memory_files.note_device(identity.dev, kept.memory_unit()?.1);
        }
        let Some(id) = self.known_file(identity.dev, identity.ino) else {
            return Ok(self.store.objects.add_file(KnownFile { kept, mode, identity }, name));
        };
        let object = self.store.objects.get_mut(id);
        object.name = name.into();
        let Source::File(known) = &mut object.source else { unreachable!("it was found as a file") };
        let was_same = known.identity == identity;
        if mode.use_rank() > known.mode.use_rank() {
            *known = KnownFile { kept, mode, identity };
        }
        if !was_same {
            // Pages that we wrote back changed the identity too: what programs have stored since must not be lost.
            self.resize(id, identity.size);
            self.sync_file(id);
            self.file_changed(id);
        }
        Ok(id)
    }

    /// Brings what programs stored through shared maps to the host's file.
    pub fn sync_file(&mut self, id: FileId) {
        let spaces = self.store.objects.get(id).spaces.clone();
        for space in spaces {
            self.sync_in(space, id, None);
        }
    }

    /// Before a file gets seals: the host maps it for writing exactly if a program has a map that it may store through. So it
    /// refuses to seal the file against all writing when Linux would, and what is stored through that map later still
    /// reaches a file that is sealed against future writing.
    ///
    /// # Errors
    /// `ENOMEM` if the host cannot map it.
    pub fn before_sealing(&mut self, id: FileId) -> Result<(), Errno> {
        let may_store = self.has_writable_map(id);
        let Source::File(known) = &self.store.objects.get(id).source else { return Ok(()) };
        known.kept.map_for_writing(may_store).map_err(|_| Errno::ENOMEM)
    }

    /// Keeps a file that no program stores to through a map by a descriptor that is open for reading only; whether that is
    /// so. The one that the cache had, which may be open for writing, is closed then.
    pub fn only_read(&mut self, id: FileId, reader: KeptFile) -> bool {
        if self.has_writable_map(id) {
            return false;
        }
        let Source::File(known) = &mut self.store.objects.get_mut(id).source else { return false };
        (known.kept, known.mode) = (reader, OpenMode::ReadOnly);
        // The vault does one thing after the other: when it has answered, the descriptor is closed.
        known.kept.identity().is_ok()
    }

    /// A file has been sealed against writing.
    pub fn note_sealed(&mut self, id: FileId) {
        self.store.objects.get_mut(id).is_sealed = true;
    }

    /// Whether a space has a shared map of a file that it stores through or could be allowed to.
    fn has_writable_map(&self, id: FileId) -> bool {
        let spaces = self.store.objects.get(id).spaces.iter();
        let mut areas =
            spaces.filter_map(|space| self.spaces[space.0 as usize].as_ref()).flat_map(|space| space.areas.iter());
        areas.any(|area| {
            let shows = area.backing.object().is_some_and(|object| object.id() == id);
            shows && area.backing.is_shared() && area.may.contains(Perms::WRITE)
        })
    }

    /// The host's file was written to or resized: cached pages show its content now, and what lies beyond its end is
    /// gone from every map, private copies too.
    pub fn file_changed(&mut self, id: FileId) {
        let object = self.store.objects.get_mut(id);
        let Source::File(known) = &mut object.source else { return };
        let Ok(now) = known.kept.identity() else { return };
        known.identity = now;
        self.store.promise_all(id);
        self.resize(id, now.size);
        self.store.objects.get_mut(id).refresh(0, now.size, &self.store.frames);
    }

    /// As [`Mm::file_changed`], for a write of `bytes` bytes at `offset`.
    pub fn file_written(&mut self, id: FileId, offset: u64, bytes: u64) {
        let object = self.store.objects.get_mut(id);
        let Source::File(known) = &mut object.source else { return };
        let Ok(now) = known.kept.identity() else { return };
        known.identity = now;
        if now.size != object.size_bytes {
            self.resize(id, now.size);
        }
        let object = self.store.objects.get_mut(id);
        object.refresh(offset, offset.saturating_add(bytes).min(now.size), &self.store.frames);
    }

    fn resize(&mut self, id: FileId, size_bytes: u64) {
        let object = self.store.objects.get_mut(id);
        if size_bytes < object.size_bytes {
            // Before pages go, so that nothing is written back beyond the new end.
            let spaces = object.spaces.clone();
            let old_bytes = std::mem::replace(&mut object.size_bytes, size_bytes);
            for space in spaces {
                self.take_in(space, id, size_bytes.div_ceil(PAGE_BYTES)..u64::MAX);
            }
            self.store.objects.get_mut(id).size_bytes = old_bytes;
        }
        self.store.resize_object(id, size_bytes);
    }

    /// Drops pages of shared memory with their bytes, out of every map; those of a file become zero.
    ///
    /// # Errors
    /// The host's.
    pub(super) fn punch(&mut self, id: FileId, gone: Range<u64>) -> Result<(), Errno> {
        if self.store.objects.get(id).is_file() {
            // What is dirty would fill the hole again.
            self.sync_file(id);
            let punched = self.store.objects.get(id).punch_on_host(gone.clone());
            punched.map_err(|error| Errno::of_host(&error))?;
            self.store.promise_all(id);
            self.file_written(id, gone.start * PAGE_BYTES, (gone.end - gone.start) * PAGE_BYTES);
            return Ok(());
        }
        for space in self.store.objects.get(id).spaces.clone() {
            self.take_in(space, id, gone.clone());
        }
        self.store.remove_object_pages(id, gone);
        Ok(())
    }

    /// The parts of a space's areas that show some pages of an object.
    fn parts_showing(&self, space: SpaceId, id: FileId, wanted: Range<u64>) -> Vec<PageRange> {
        let Some(space) = self.spaces[space.0 as usize].as_ref() else { return Vec::new() };
        let showing = space.areas.iter().filter(|area| area.backing.object().is_some_and(|object| object.id() == id));
        let parts = showing.filter_map(|area| {
            let first = area.backing.first();
            let count = area.pages.count();
            let (skipped, end) = (wanted.start.saturating_sub(first), wanted.end.saturating_sub(first).min(count));
            (skipped < end).then(|| PageRange::new(area.pages.start + skipped, area.pages.start + end))
        });
        parts.collect()
    }

    fn take_in(&mut self, space: SpaceId, id: FileId, gone: Range<u64>) {
        for part in self.parts_showing(space, id, gone.clone()) {
            let (space, store) = self.both(space);
            let area = space.areas.find(part.start).expect("the part is of an area").clone();
            space.drop_pages(&area, part, store);
        }
    }

    /// Writes back what a space stored to a shared file, and forgets that it did. Of one range of pages only, or all.
    pub(super) fn sync_in(&mut self, space: SpaceId, id: FileId, only: Option<PageRange>) {
        for part in self.parts_showing(space, id, 0..u64::MAX) {
            let part = only.map_or(part, |range| part.intersection(range));
            let (space, store) = self.both(space);
            let Some(area) = space.areas.find(part.start).filter(|area| area.backing.is_shared()).cloned() else {
                continue;
            };
            let tables = Arc::clone(&space.tables);
            let mut shootdown = tables.shootdown();
            let mut cursor = tables.cursor(part);
            while let Some(met) = cursor.next() {
                let Entry::Leaf(Leaf { dirty: true, origin: Origin::Object, .. }) = met.entry else { continue };
                cursor.replace(clean);
                shootdown.forget(met.page);
                super::space::write_back(&area, PageRange::from_count(met.page, 1), store);
            }
            shootdown.complete(&mut store.frames);
        }
    }

    /// A page of a file that a system call is about to change or replace belongs to these spaces.
    pub fn spaces_mapping(&self, id: FileId) -> Vec<SpaceId> {
        let spaces = &self.store.objects.get(id).spaces;
        spaces.iter().copied().filter(|space| !self.parts_showing(*space, id, 0..u64::MAX).is_empty()).collect()
    }

    /// What a program's futex word in shared memory is known by everywhere: the object and the offset in it. `None`
    /// for memory of the space's own.
    pub fn shared_place(&self, space: SpaceId, page: Page) -> Option<(FileId, u64)> {
        let area = self.space(space).areas.find(page)?;
        match &area.backing {
            Backing::Shared { object, .. } => Some((object.id(), area.index_of(page))),
            Backing::Anonymous { .. } | Backing::File { .. } => None,
        }
    }
}

/// The same leaf, not dirty.
pub(super) fn clean(entry: Entry) -> Entry {
    match entry {
        Entry::Leaf(leaf) => Entry::Leaf(Leaf { dirty: false, ..leaf }),
        other => other,
    }
}
