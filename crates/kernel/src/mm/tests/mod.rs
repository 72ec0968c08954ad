//! Each sentence of linux-mm.md, section 1, as a test.

mod advice;
mod against_host;
mod basics;
mod files;
mod memory_files;
mod model;
mod references;
mod remap;

use super::*;
use addr::{PAGE_BYTES, Perms};

pub(super) const R: u64 = libc::PROT_READ as u64;
pub(super) const RW: u64 = (libc::PROT_READ | libc::PROT_WRITE) as u64;
pub(super) const RX: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
pub(super) const PRIVATE: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
pub(super) const SHARED: u64 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u64;
pub(super) const FIXED: u64 = libc::MAP_FIXED as u64;
pub(super) const K: u64 = PAGE_BYTES;

/// One space in a machine of its own.
pub(super) struct World {
    pub mm: Mm,
    pub id: SpaceId,
}

impl World {
    pub fn new() -> Self {
        Self::with_frames(16384)
    }

    pub fn with_frames(frames: u32) -> Self {
        Self::with_config(frames, MmConfig::default())
    }

    pub fn with_config(frames: u32, config: MmConfig) -> Self {
        let memory = Memory::new(frames).expect("a small RAM fits");
        let mut mm = Mm::new(&memory, config).expect("RAM is large enough");
        let layout = Layout::new(config.levels, 8 << 20, Aslr::Off);
        let id = mm.create_space(layout, Limits::default()).expect("RAM is empty");
        Self { mm, id }
    }

    pub fn map(&mut self, addr: u64, bytes: u64, prot: u64, flags: u64) -> Result<u64, Errno> {
        let request = MmapRequest { addr, bytes, prot, flags, offset: 0, file: None };
        self.mm.mmap(self.id, &request).map(VirtAddr::get)
    }

    pub fn anonymous(&mut self, bytes: u64) -> u64 {
        self.map(0, bytes, RW, PRIVATE).expect("there is room")
    }

    pub fn map_file(&mut self, id: FileId, bytes: u64, prot: u64, flags: u64, mode: OpenMode) -> Result<u64, Errno> {
        let file = Some(MappedFile { id, mode, mount: Mount::Exec });
        let request = MmapRequest { addr: 0, bytes, prot, flags, offset: 0, file };
        self.mm.mmap(self.id, &request).map(VirtAddr::get)
    }

    /// As an instruction would: walks, faults, walks again.
    pub fn touch(&mut self, addr: u64, access: Access) -> Result<Option<FaultKind>, FaultError> {
        let addr = VirtAddr::new(addr);
        let tables = self.mm.tables(self.id);
        let mut kind = None;
        while tables.walk(addr, access, addr::Privilege::User).is_err() {
            kind = Some(self.mm.fault(self.id, addr, access)?.kind);
        }
        Ok(kind)
    }

    pub fn load(&mut self, addr: u64) -> Result<u8, FaultError> {
        self.touch(addr, Access::Read)?;
        let mut byte = [0];
        assert_eq!(self.mm.read(self.id, VirtAddr::new(addr), &mut byte), 1);
        Ok(byte[0])
    }

    pub fn store(&mut self, addr: u64, byte: u8) -> Result<(), FaultError> {
        self.touch(addr, Access::Write)?;
        assert_eq!(self.mm.write(self.id, VirtAddr::new(addr), &[byte]), 1);
        Ok(())
    }

    /// Each area as "start pages perms", relative to an address.
    pub fn shape(&self, base: u64) -> Vec<(u64, u64, String)> {
        let areas = self.mm.areas(self.id).filter(|area| area.range.start.get() >= base);
        areas
            .map(|area| ((area.range.start.get() - base) / K, area.range.count() / K, area.perms.to_string()))
            .collect()
    }

    pub fn faults(&self) -> trace::FaultCounts {
        self.mm.usage(self.id).faults
    }

    pub fn resident_pages(&self) -> u64 {
        self.mm.usage(self.id).resident_pages()
    }

    pub fn end(mut self) {
        self.mm.check();
        self.mm.release_space(self.id);
        self.mm.check_empty();
    }
}
