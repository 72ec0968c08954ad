//! Memory calls: numbers for `Mm`, and files for what is mapped.

use super::{Args, Flow, answered};
use crate::Errno;
use crate::kernel::Kernel;
use crate::mm::{FileId, MappedFile, MmapRequest, Mount, MremapRequest, OpenMode};
use addr::{PAGE_BYTES, VirtAddr};
use host::FileIdentity;
use std::os::fd::BorrowedFd;
use trace::{AreaChange, AreaVerb, Kind, What};

/// The rights of a protection key: no access, no stores.
const KEY_RIGHTS: u64 = 3;
/// The device number of /dev/zero.
const DEV_ZERO: u64 = 0x105;

impl Kernel {
    pub(super) fn memory_call(&mut self, args: &Args) -> Option<Result<Flow, Errno>> {
        let space = self.space_of(args.tid);
        let (start, bytes) = (args.at(0), args.at(1));
        let done = |result: Result<(), Errno>| result.map(|()| 0);
        answered(match args.nr as i64 {
            libc::SYS_mmap => self.mmap(args),
            libc::SYS_munmap => {
                let unmapped = done(self.mm.munmap(space, start, bytes));
                self.note_area(args, AreaVerb::Unmapped, start, bytes, unmapped.is_ok());
                unmapped
            }
            // The processor has no protection keys. That is found out after what needs none.
            libc::SYS_pkey_alloc if start != 0 || bytes & !KEY_RIGHTS != 0 => Err(Errno::EINVAL),
            libc::SYS_pkey_alloc => Err(Errno::ENOSPC),
            libc::SYS_pkey_mprotect if args.int(3) != -1 && bytes != 0 => Err(Errno::EINVAL),
            libc::SYS_mprotect | libc::SYS_pkey_mprotect => {
                let changed = done(self.mm.mprotect(space, start, bytes, args.at(2)));
                self.note_area(args, AreaVerb::Changed, start, bytes, changed.is_ok());
                changed
            }
            libc::SYS_brk => Ok(self.mm.brk(space, start).get()),
            libc::SYS_mremap => {
                let (new_bytes, flags, new_addr) = (args.at(2), args.at(3), args.at(4));
                let request = MremapRequest { addr: start, old_bytes: bytes, new_bytes, flags, new_addr };
                self.mm.mremap(space, &request).map(VirtAddr::get)
            }
            libc::SYS_madvise => done(self.mm.madvise(space, start, bytes, args.at(2))),
            libc::SYS_msync => done(self.mm.msync(space, start, bytes, args.at(2))),
            libc::SYS_mincore => done(self.mm.mincore(space, start, bytes, VirtAddr::new(args.at(2)))),
            libc::SYS_mlock => done(self.mm.mlock(space, start, bytes, 0)),
            libc::SYS_mlock2 => done(self.mm.mlock(space, start, bytes, args.at(2))),
            libc::SYS_munlock => done(self.mm.munlock(space, start, bytes)),
            libc::SYS_mlockall => done(self.mm.mlockall(space, start)),
            libc::SYS_munlockall => {
                self.mm.munlockall(space);
                Ok(0)
            }
            _ => return None,
        })
    }

    fn mmap(&mut self, args: &Args) -> Result<u64, Errno> {
        let [addr, bytes, prot, mut flags, descriptor, offset] = args.words;
        if !offset.is_multiple_of(PAGE_BYTES) {
            return Err(Errno::EINVAL);
        }
        let mut file = None;
        if flags & libc::MAP_ANONYMOUS as u64 == 0 {
            file = self.mapped_file(descriptor as i32)?;
            if file.is_none() {
                // A device has no last byte but the last of all numbers.
                let room = bytes.checked_next_multiple_of(PAGE_BYTES);
                if room.is_some_and(|room| offset.checked_add(room).is_none()) {
                    return Err(Errno::EOVERFLOW);
                }
                flags |= libc::MAP_ANONYMOUS as u64;
            }
        }
        let space = self.space_of(args.tid);
        let mapped = self.mm.mmap(space, &MmapRequest { addr, bytes, prot, flags, offset, file })?;
        self.note_area(args, AreaVerb::Mapped, mapped.get(), bytes, true);
        Ok(mapped.get())
    }

    /// The file of a descriptor; `None` for /dev/zero, which is memory of its own.
    fn mapped_file(&mut self, descriptor: i32) -> Result<Option<MappedFile>, Errno> {
        let described = host::files::describe(descriptor).map_err(|_| Errno::EBADF)?;
        if self.has_stand_ins && self.stand_ins.path_of(descriptor).is_some() {
            return Err(Errno::ENODEV);
        }
        match described.kind {
            libc::S_IFREG | libc::S_IFBLK => {}
            libc::S_IFCHR if described.rdev == DEV_ZERO => return Ok(None),
            _ => return Err(Errno::ENODEV),
        }
        if described.flags & libc::O_PATH != 0 {
            return Err(Errno::EBADF);
        }
        let mode = match described.flags & libc::O_ACCMODE {
            libc::O_RDONLY => OpenMode::ReadOnly,
            libc::O_WRONLY => OpenMode::WriteOnly,
            _ => OpenMode::ReadWrite,
        };
        let mount = if host::files::allows_execution(descriptor) { Mount::Exec } else { Mount::NoExec };
        let name = String::from_utf8_lossy(&host::files::path_of(descriptor)).into_owned();
        let borrowed = host::files::borrow(&descriptor).map_err(|_| Errno::EBADF)?;
        let id = self.cached_file(borrowed, &described.identity, &name, mode)?;
        let is_sealed = mode == OpenMode::ReadWrite && host::files::is_sealed(descriptor);
        let mode = if is_sealed { OpenMode::Sealed } else { mode };
        Ok(Some(MappedFile { id, mode, mount }))
    }

    /// The number in the page cache of what a descriptor of the calling thread's table refers to.
    pub(crate) fn cached_file(
        &mut self,
        descriptor: BorrowedFd<'_>,
        identity: &FileIdentity,
        name: &str,
        mode: OpenMode,
    ) -> Result<FileId, Errno> {
        if let Some(id) = self.mm.unchanged_file(identity, name, mode) {
            return Ok(id);
        }
        let kept = self.vault.keep(descriptor).map_err(|_| Errno::ENFILE)?;
        self.mm.adopt_file(kept, name, mode).map_err(|_| Errno::EIO)
    }

    fn note_area(&mut self, args: &Args, verb: AreaVerb, start: u64, bytes: u64, succeeded: bool) {
        if !succeeded || !self.config.events.contains(Kind::Areas) {
            return;
        }
        let space = self.space_of(args.tid);
        let area = self.mm.area_at(space, VirtAddr::new(start));
        let (perms, name) = area.map_or_else(Default::default, |area| (area.perms, area.name));
        let (start, end) = (VirtAddr::new(start), VirtAddr::new(start).wrapping_add(bytes));
        self.note(args.tid, Kind::Areas, |_| What::Area(AreaChange { verb, start, end, perms, name }));
    }
}
