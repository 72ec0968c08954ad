//! mmap(2).

use super::area::{Area, AreaTraits, Backing};
use super::limits::LOWEST_HINT;
use super::object::FileId;
use super::place::{Alignment, Wish};
use super::space::Space;
use super::store::Store;
use crate::Errno;
use addr::{Access, PAGE_BYTES, PageRange, Perms, VirtAddr};

/// What a program passes to mmap, as it passes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MmapRequest {
    /// The hint, or the place.
    pub addr: u64,
    /// How many bytes.
    pub bytes: u64,
    /// `PROT_*`.
    pub prot: u64,
    /// `MAP_*`.
    pub flags: u64,
    /// The offset in the file.
    pub offset: u64,
    /// The file of the descriptor; `None` with `MAP_ANONYMOUS`.
    pub file: Option<MappedFile>,
}

/// A file that a program maps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MappedFile {
    /// Which one.
    pub id: FileId,
    /// How the descriptor was opened.
    pub mode: OpenMode,
    /// Whether programs on its filesystem may be run.
    pub mount: Mount,
}

/// How a descriptor was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenMode {
    /// `O_RDONLY`.
    ReadOnly,
    /// `O_WRONLY`.
    WriteOnly,
    /// `O_RDWR`.
    ReadWrite,
    /// `O_RDWR`, and the file is sealed against writing.
    Sealed,
}

impl OpenMode {
    /// Which of two descriptors serves the page cache better: it has to read, and would like to write.
    pub(crate) fn use_rank(self) -> u32 {
        match self {
            Self::WriteOnly => 0,
            Self::ReadOnly => 1,
            Self::ReadWrite | Self::Sealed => 2,
        }
    }
}

/// Whether the filesystem of a file lets programs be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mount {
    /// It does.
    Exec,
    /// `noexec`.
    NoExec,
}

pub(crate) const PROT_MASK: u64 = (libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC) as u64;
const TYPE_MASK: u64 = 0xf;
const PRIVATE: u64 = libc::MAP_PRIVATE as u64;
const SHARED: u64 = libc::MAP_SHARED as u64;
const SHARED_VALIDATE: u64 = libc::MAP_SHARED_VALIDATE as u64;
const FIXED: u64 = libc::MAP_FIXED as u64;
const NO_REPLACE: u64 = libc::MAP_FIXED_NOREPLACE as u64;
const ANONYMOUS: u64 = libc::MAP_ANONYMOUS as u64;
const LOW: u64 = libc::MAP_32BIT as u64;
const GROWS_DOWN: u64 = libc::MAP_GROWSDOWN as u64;
const LOCKED: u64 = libc::MAP_LOCKED as u64;
const NO_RESERVE: u64 = libc::MAP_NORESERVE as u64;
const POPULATE: u64 = libc::MAP_POPULATE as u64;
const NON_BLOCK: u64 = libc::MAP_NONBLOCK as u64;
const HUGE_TLB: u64 = libc::MAP_HUGETLB as u64;
const SYNC: u64 = libc::MAP_SYNC as u64;
/// Flags that MAP_SHARED_VALIDATE knows: those above, MAP_DENYWRITE, MAP_EXECUTABLE, MAP_STACK, MAP_UNINITIALIZED's
/// place and the size of huge pages.
const KNOWN: u64 = SHARED_VALIDATE
    | FIXED
    | ANONYMOUS
    | LOW
    | GROWS_DOWN
    | LOCKED
    | NO_RESERVE
    | POPULATE
    | NON_BLOCK
    | HUGE_TLB
    | 0x80
    | 0x800
    | 0x1000
    | 0x2_0000
    | 0x3f << 26
    | NO_REPLACE;

/// No file is longer: offsets are signed.
const LARGEST_FILE: u64 = i64::MAX as u64;

/// The rights that `PROT_*` bits ask for.
pub(crate) fn perms_of(prot: u64) -> Perms {
    [(libc::PROT_READ, Perms::READ), (libc::PROT_WRITE, Perms::WRITE), (libc::PROT_EXEC, Perms::EXECUTE)]
        .into_iter()
        .filter(|(bit, _)| prot & *bit as u64 != 0)
        .fold(Perms::NONE, |perms, (_, right)| perms.union(right))
}

/// Rounds a length up to pages; `None` if that wraps.
pub(crate) fn page_bytes(bytes: u64) -> Option<u64> {
    bytes.checked_next_multiple_of(PAGE_BYTES)
}

impl Space {
    /// mmap(2), in the order of Linux's checks (linux-mm.md, section 1).
    pub fn mmap(&mut self, request: &MmapRequest, store: &mut Store) -> Result<VirtAddr, Errno> {
        let MmapRequest { bytes, flags, offset, .. } = *request;
        let is_fixed = flags & (FIXED | NO_REPLACE) != 0;
        if !offset.is_multiple_of(PAGE_BYTES) || bytes == 0 {
            return Err(Errno::EINVAL);
        }
        if flags & HUGE_TLB != 0 {
            // The pool of huge pages is empty.
            return Err(if request.file.is_none() { Errno::ENOMEM } else { Errno::EINVAL });
        }
        let bytes = page_bytes(bytes).filter(|bytes| *bytes > 0).ok_or(Errno::ENOMEM)?;
        if self.areas.count() > self.limits.areas {
            return Err(Errno::ENOMEM);
        }
        let start = self.find_place(request, bytes)?;
        let range = PageRange::from_count(start.page(), bytes / PAGE_BYTES);
        if flags & NO_REPLACE != 0 && self.areas.overlapping(range).next().is_some() {
            return Err(Errno::EEXIST);
        }
        let mut traits = self.lock_future;
        if flags & LOCKED != 0 {
            traits = traits.with(AreaTraits::LOCKED);
        }
        if traits.is_locked() {
            self.may_lock(bytes, if flags & LOCKED != 0 { Errno::EPERM } else { Errno::EAGAIN })?;
        }
        if request.file.is_some() && offset.checked_add(bytes).is_none_or(|end| end > LARGEST_FILE) {
            return Err(Errno::EOVERFLOW);
        }
        let area = new_area(request, range, traits, store)?;
        self.may_map(&area, is_fixed, store)?;
        let must_fill = area.traits.is_filled() || flags & (POPULATE | NON_BLOCK) == POPULATE;
        self.replace(area, store)?;
        if must_fill {
            self.populate(range, store);
        }
        Ok(start)
    }

    /// Puts a new area where others may have been.
    pub fn replace(&mut self, area: Area, store: &mut Store) -> Result<(), Errno> {
        self.cut_leaves(area.pages, store).map_err(|_| Errno::ENOMEM)?;
        if self.areas.overlapping(area.pages).next().is_some() {
            self.remove(area.pages, store);
        }
        self.add_area(area, store);
        Ok(())
    }

    /// Brings every page of a range in, as far as that goes; as many faults as a program would take.
    pub fn populate(&mut self, range: PageRange, store: &mut Store) {
        for page in range.iter() {
            let Some(area) = self.areas.find(page) else { continue };
            let access = match area.perms {
                perms if perms.is_none() => continue,
                perms if perms.contains(Perms::WRITE) && !area.backing.is_shared() => Access::Write,
                _ => Access::Read,
            };
            match self.resolve(page.start(), access, store) {
                Ok(resolved) => self.usage.faults.count(resolved.kind, resolved.cost),
                Err(_) => return,
            }
        }
    }

    /// Whether `bytes` more may be locked.
    pub fn may_lock(&self, bytes: u64, refusal: Errno) -> Result<(), Errno> {
        if self.limits.locked == 0 {
            return Err(refusal);
        }
        match self.locked_bytes().saturating_add(bytes) > self.limits.locked {
            true => Err(Errno::EAGAIN),
            false => Ok(()),
        }
    }

    /// Whether the limits allow an area; what it replaces does not count.
    pub fn may_map(&self, area: &Area, is_fixed: bool, store: &Store) -> Result<(), Errno> {
        let bytes = area.pages.byte_count();
        let replaced = |counts: fn(&Area) -> bool| {
            let parts = self.areas.overlapping(area.pages).filter(|area| is_fixed && counts(area));
            parts.map(|old| old.pages.intersection(area.pages).byte_count()).sum::<u64>()
        };
        let all = self.mapped_bytes() - replaced(|_| true);
        if all.saturating_add(bytes) > self.limits.address_space {
            return Err(Errno::ENOMEM);
        }
        if area.is_data() && !self.may_have_more_data(bytes.saturating_sub(replaced(Area::is_data))) {
            return Err(Errno::ENOMEM);
        }
        store.may_commit(area)
    }

    fn find_place(&self, request: &MmapRequest, bytes: u64) -> Result<VirtAddr, Errno> {
        let hint = VirtAddr::new(request.addr);
        if request.flags & (FIXED | NO_REPLACE) == 0 {
            let alignment = match request.file {
                Some(_) => Alignment::File(request.offset),
                None if request.flags & TYPE_MASK == PRIVATE => Alignment::Whole,
                None => Alignment::Page,
            };
            let hint = if hint.get() >= PAGE_BYTES { hint.max(VirtAddr::new(LOWEST_HINT)) } else { hint };
            let wish = if request.flags & LOW != 0 { Wish::Low(hint) } else { Wish::Hint(hint) };
            return self.place(wish, bytes, alignment);
        }
        if bytes > self.layout.task_size.get() || hint.get() > self.layout.task_size.get() - bytes {
            return Err(Errno::ENOMEM);
        }
        if !hint.is_page_aligned() {
            return Err(Errno::EINVAL);
        }
        if hint.get() < self.limits.lowest_address {
            return Err(Errno::EPERM);
        }
        Ok(hint)
    }
}

/// The area that a request describes, or what is wrong with it.
fn new_area(request: &MmapRequest, pages: PageRange, traits: AreaTraits, store: &mut Store) -> Result<Area, Errno> {
    let MmapRequest { flags, prot, .. } = *request;
    let perms = perms_of(prot);
    let mut traits = traits;
    if flags & NO_RESERVE != 0 {
        traits = traits.with(AreaTraits::NO_RESERVE);
    }
    let (backing, may) = match request.file {
        Some(file) => {
            let is_shared = file_is_shared(flags)?;
            let may = file_rights(file, perms, is_shared)?;
            let object = store.objects.share(file.id);
            let first = request.offset / PAGE_BYTES;
            match is_shared {
                true => (Backing::Shared { object, first }, may),
                false => (Backing::File { object, first }, may),
            }
        }
        None if flags & TYPE_MASK == PRIVATE => (Backing::Anonymous { first: pages.start.get() }, Perms::ALL),
        None if flags & TYPE_MASK == SHARED => {
            if flags & GROWS_DOWN != 0 {
                return Err(Errno::EINVAL);
            }
            let object = store.objects.add_memory(pages.byte_count(), "/dev/zero (deleted)");
            (Backing::Shared { object, first: 0 }, Perms::ALL)
        }
        None => return Err(Errno::EINVAL),
    };
    if flags & GROWS_DOWN != 0 {
        if request.file.is_some() {
            return Err(Errno::EINVAL);
        }
        traits = traits.with(AreaTraits::GROWS_DOWN);
    }
    if perms.contains(Perms::WRITE) && !backing.is_shared() && !traits.has(AreaTraits::NO_RESERVE) {
        traits = traits.with(AreaTraits::ACCOUNTED);
    }
    Ok(Area { pages, perms, may, backing, traits, name: None, family: None, may_have_guards: false })
}

/// Whether a map of a file is shared, or what is wrong with its type.
fn file_is_shared(flags: u64) -> Result<bool, Errno> {
    match flags & TYPE_MASK {
        SHARED_VALIDATE if flags & !KNOWN != 0 => Err(Errno::EOPNOTSUPP),
        SHARED | SHARED_VALIDATE if flags & SYNC != 0 => Err(Errno::EOPNOTSUPP),
        SHARED | SHARED_VALIDATE => Ok(true),
        PRIVATE => Ok(false),
        _ => Err(Errno::EINVAL),
    }
}

/// What a map of a file may ever allow, or why it is refused.
fn file_rights(file: MappedFile, perms: Perms, is_shared: bool) -> Result<Perms, Errno> {
    if is_shared && perms.contains(Perms::WRITE) {
        match file.mode {
            OpenMode::ReadWrite => {}
            OpenMode::Sealed => return Err(Errno::EPERM),
            OpenMode::ReadOnly | OpenMode::WriteOnly => return Err(Errno::EACCES),
        }
    }
    if file.mode == OpenMode::WriteOnly {
        return Err(Errno::EACCES);
    }
    let mut may = Perms::ALL;
    if is_shared && matches!(file.mode, OpenMode::ReadOnly | OpenMode::Sealed) {
        may = may.without(Perms::WRITE);
    }
    if file.mount == Mount::NoExec {
        if perms.contains(Perms::EXECUTE) {
            return Err(Errno::EPERM);
        }
        may = may.without(Perms::EXECUTE);
    }
    Ok(may)
}

impl Store {
    /// Whether a single request is small enough to be believed (overcommit mode 0): it fits in RAM and swap.
    pub fn may_commit(&self, area: &Area) -> Result<(), Errno> {
        let is_own = area.perms.contains(Perms::WRITE) && !area.backing.is_shared();
        let has_weight = is_own && !area.traits.has(AreaTraits::NO_RESERVE);
        let total = u64::from(self.frames.memory().ram().frame_count()) + self.config.swap_pages;
        match has_weight && area.pages.count() > total {
            true => Err(Errno::ENOMEM),
            false => Ok(()),
        }
    }
}
