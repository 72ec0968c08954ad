//! shmget, shmat, shmdt, shmctl: segments are objects of the page cache, which areas of several spaces show.

use super::{IPC_64, Ipc, PERMS_BYTES, READ, WRITE, now, put_words};
use crate::Errno;
use crate::calls::Args;
use crate::kernel::Kernel;
use crate::mm::{MappedFile, MmapRequest, Mount, ObjectRef, OpenMode};
use addr::{PAGE_BYTES, VirtAddr};

const SHM_DEST: u32 = 0o1000;
const SHM_LOCKED: u32 = 0o2000;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;
/// struct shmid64_ds.
const STRUCTURE_BYTES: usize = 112;
/// The largest segment (SHMMAX).
const MAX_BYTES: u64 = (1 << 63) - (1 << 24);

/// A segment.
pub(super) struct Segment {
    pub(super) object: ObjectRef,
    pub(super) bytes: u64,
    pub(super) creator: u32,
    pub(super) last: u32,
    pub(super) attached: u64,
    pub(super) detached: u64,
}

impl Ipc {
    fn segment_of(&self, object: &ObjectRef) -> Option<i32> {
        self.segments.by_id.iter().find(|(_, segment)| segment.inner.object == *object).map(|(id, _)| *id)
    }
}

impl Kernel {
    pub(super) fn shmget(&mut self, args: &Args) -> Result<u64, Errno> {
        let (key, bytes, flags) = (args.int(0), args.at(1), args.int(2));
        self.drop_removed_segments();
        let pid = self.pid_of(args.tid).get();
        let Self { ipc, mm, .. } = self;
        let make = || {
            if bytes == 0 || bytes > MAX_BYTES {
                return Err(Errno::EINVAL);
            }
            if flags & libc::SHM_HUGETLB != 0 {
                // The pool of huge pages is empty.
                return Err(Errno::ENOMEM);
            }
            let whole = bytes.checked_next_multiple_of(PAGE_BYTES).ok_or(Errno::EINVAL)?;
            if flags & libc::SHM_NORESERVE == 0 && whole / PAGE_BYTES > u64::from(mm.memory().ram().frame_count()) {
                return Err(Errno::ENOMEM);
            }
            let object = mm.add_shared_memory(whole, &format!("/SYSV{key:08x} (deleted)"));
            Ok(Segment { object, bytes, creator: pid, last: 0, attached: 0, detached: 0 })
        };
        let fits = |segment: &Segment| if bytes > segment.bytes { Err(Errno::EINVAL) } else { Ok(()) };
        ipc.segments.get(key, flags, fits, make).map(|id| id as u64)
    }

    pub(super) fn shmat(&mut self, args: &Args) -> Result<u64, Errno> {
        let (mut addr, flags) = (args.at(1), args.int(2));
        if args.int(0) < 0 {
            return Err(Errno::EINVAL);
        }
        if addr != 0 && !addr.is_multiple_of(PAGE_BYTES) {
            if flags & libc::SHM_RND == 0 {
                return Err(Errno::EINVAL);
            }
            addr -= addr % PAGE_BYTES;
        }
        if addr == 0 && flags & libc::SHM_REMAP != 0 {
            return Err(Errno::EINVAL);
        }
        let is_read_only = flags & libc::SHM_RDONLY != 0;
        let pid = self.pid_of(args.tid).get();
        let segment = self.ipc.segments.at(args.int(0))?;
        segment.perms.allow(if is_read_only { READ } else { READ | WRITE })?;
        let (id, bytes) = (segment.inner.object.id(), segment.inner.bytes);
        let mode = if is_read_only { OpenMode::ReadOnly } else { OpenMode::ReadWrite };
        let mut prot = if is_read_only { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_WRITE };
        if flags & libc::SHM_EXEC != 0 {
            prot |= libc::PROT_EXEC;
        }
        let place = match (addr, flags & libc::SHM_REMAP) {
            (0, _) => 0,
            (_, 0) => libc::MAP_FIXED_NOREPLACE,
            _ => libc::MAP_FIXED,
        };
        let request = MmapRequest {
            addr,
            bytes,
            prot: prot as u64,
            flags: (libc::MAP_SHARED | place) as u64,
            offset: 0,
            file: Some(MappedFile { id, mode, mount: Mount::Exec }),
        };
        let space = self.space_of(args.tid);
        let mapped = self.mm.mmap(space, &request);
        // Where something is mapped already, shmat says EINVAL.
        let mapped = mapped.map_err(|errno| if errno == Errno::EEXIST { Errno::EINVAL } else { errno })?;
        let segment = &mut self.ipc.segments.at(args.int(0))?.inner;
        (segment.attached, segment.last) = (now(), pid);
        Ok(mapped.get())
    }

    pub(super) fn shmdt(&mut self, args: &Args) -> Result<u64, Errno> {
        let (space, at) = (self.space_of(args.tid), VirtAddr::new(args.at(0)));
        let found = self.mm.shared_area(space, at).filter(|_| at.is_page_aligned());
        let id = found.as_ref().and_then(|object| self.ipc.segment_of(object)).ok_or(Errno::EINVAL)?;
        let object = found.ok_or(Errno::EINVAL)?;
        let pid = self.pid_of(args.tid).get();
        let segment = &mut self.ipc.segments.at(id)?.inner;
        (segment.detached, segment.last) = (now(), pid);
        let bytes = segment.bytes;
        self.mm.unmap_shared(space, at, bytes, &object)?;
        self.drop_removed_segments();
        Ok(0)
    }

    pub(super) fn shmctl(&mut self, args: &Args) -> Result<u64, Errno> {
        let (id, command, to) = (args.int(0), args.int(1) & !IPC_64, args.at(2));
        self.drop_removed_segments();
        let space = self.space_of(args.tid);
        match command {
            libc::IPC_RMID => {
                let segment = self.ipc.segments.at(id)?;
                segment.perms.is_owner()?;
                segment.key = libc::IPC_PRIVATE;
                segment.perms.mode |= SHM_DEST;
                self.drop_removed_segments();
            }
            libc::IPC_SET => {
                let bytes = self.bytes_in(space, to, PERMS_BYTES)?;
                self.ipc.segments.at(id)?.set_perms(&bytes)?;
            }
            libc::IPC_STAT | SHM_STAT | SHM_STAT_ANY => {
                if command != SHM_STAT_ANY {
                    self.ipc.segments.at(id)?.perms.allow(READ)?;
                }
                let bytes = self.segment_bytes(id)?;
                self.mm.write_all(space, VirtAddr::new(to), &bytes)?;
                return Ok(if command == libc::IPC_STAT { 0 } else { id as u64 });
            }
            libc::SHM_LOCK | libc::SHM_UNLOCK => {
                let segment = self.ipc.segments.at(id)?;
                segment.perms.is_owner()?;
                let locked = if command == libc::SHM_LOCK { SHM_LOCKED } else { 0 };
                segment.perms.mode = segment.perms.mode & !SHM_LOCKED | locked;
            }
            libc::IPC_INFO => {
                let mut bytes = [0; 72];
                put_words(&mut bytes, &[(0, MAX_BYTES), (8, 1), (16, 4096), (24, 4096), (32, MAX_BYTES / PAGE_BYTES)]);
                self.mm.write_all(space, VirtAddr::new(to), &bytes)?;
                return Ok(self.ipc.segments.by_id.keys().next_back().map_or(0, |id| *id as u64));
            }
            SHM_INFO => {
                // used_ids, then pages: of all segments, in RAM, in swap.
                let segments = self.ipc.segments.by_id.values();
                let mut sums = [segments.len() as u64, 0, 0, 0];
                for segment in segments {
                    let (resident, swapped) = self.mm.pages_of(segment.inner.object.id());
                    sums[1] += segment.inner.bytes.div_ceil(PAGE_BYTES);
                    sums[2] += resident;
                    sums[3] += swapped;
                }
                let mut bytes = [0; 48];
                put_words(&mut bytes, &[(0, sums[0]), (8, sums[1]), (16, sums[2]), (24, sums[3])]);
                self.mm.write_all(space, VirtAddr::new(to), &bytes)?;
                return Ok(self.ipc.segments.by_id.keys().next_back().map_or(0, |id| *id as u64));
            }
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    /// struct shmid_ds.
    fn segment_bytes(&mut self, id: i32) -> Result<[u8; STRUCTURE_BYTES], Errno> {
        let segment = self.ipc.segments.at(id)?;
        let Segment { bytes: size, creator, last, attached, detached, .. } = segment.inner;
        let (changed, object) = (segment.changed, segment.inner.object.id());
        let mut bytes = [0; STRUCTURE_BYTES];
        bytes[..PERMS_BYTES].copy_from_slice(&segment.perms_bytes());
        let pids = u64::from(creator) | u64::from(last) << 32;
        let attaches = self.mm.areas_of(object);
        put_words(&mut bytes, &[(48, size), (56, attached), (64, detached), (72, changed), (80, pids), (88, attaches)]);
        Ok(bytes)
    }

    /// Segments that were removed go when nobody is attached any more.
    pub(super) fn drop_removed_segments(&mut self) {
        let Self { ipc, mm, .. } = self;
        let is_gone = |segment: &super::Object<Segment>| {
            segment.perms.mode & SHM_DEST != 0 && mm.areas_of(segment.inner.object.id()) == 0
        };
        let gone: Vec<i32> =
            ipc.segments.by_id.iter().filter(|(_, object)| is_gone(object)).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(segment) = ipc.segments.by_id.remove(&id) {
                mm.drop_shared_memory(segment.inner.object);
            }
        }
    }

    /// Gives the memory of all segments back: the machine has ended.
    pub(crate) fn drop_segments(&mut self) {
        for segment in std::mem::take(&mut self.ipc.segments).by_id.into_values() {
            self.mm.drop_shared_memory(segment.inner.object);
        }
    }
}
