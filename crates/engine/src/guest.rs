//! Guest memory as instructions done by hand see it: byte ranges that may cross pages.

use crate::exit::{Exit, Fault};
use addr::{Access, PAGE_BYTES, PhysAddr, Privilege, VirtAddr};
use mmu::{Cause, Memory, Tables};

/// The memory of the program that is running.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    pub memory: &'a Memory,
    pub tables: &'a Tables,
}

impl Guest<'_> {
    /// Where a byte is.
    ///
    /// # Errors
    /// The fault, when the access is refused.
    pub fn translate(&self, addr: VirtAddr, access: Access) -> Result<PhysAddr, Exit> {
        match self.tables.walk(addr, access, Privilege::User) {
            Ok(translation) => Ok(translation.phys),
            Err(refusal) => Err(Exit::Fault(Fault { addr, access, refusal })),
        }
    }

    /// Whether an address is canonical.
    pub fn is_in_space(&self, addr: VirtAddr) -> bool {
        addr.is_canonical(12 + 9 * self.tables.levels().count())
    }

    /// Refuses a range that begins in the space and ends outside it: that is found before any page is looked at.
    ///
    /// # Errors
    /// The fault at the end of the range.
    pub fn check_end(&self, addr: VirtAddr, bytes: usize, access: Access) -> Result<(), Exit> {
        let last = addr.wrapping_add(bytes.saturating_sub(1) as u64);
        if self.is_in_space(last) {
            return Ok(());
        }
        match self.tables.walk(last, access, Privilege::User) {
            Err(refusal) if refusal.cause == Cause::OutsideSpace => {
                Err(Exit::Fault(Fault { addr: last, access, refusal }))
            }
            _ => Ok(()),
        }
    }

    /// Copies bytes out.
    ///
    /// # Errors
    /// The first fault; `to` may be partly filled then.
    pub fn read(&self, addr: VirtAddr, to: &mut [u8]) -> Result<(), Exit> {
        if addr.page_offset() as usize + to.len() > PAGE_BYTES as usize {
            self.check_end(addr, to.len(), Access::Read)?;
        }
        for (addr, range) in pieces(addr, to.len()) {
            let at = self.translate(addr, Access::Read)?;
            self.memory.ram().read(at, &mut to[range]);
        }
        Ok(())
    }

    /// Copies bytes in: all of them, or none.
    ///
    /// # Errors
    /// The first fault.
    pub fn write(&self, addr: VirtAddr, from: &[u8]) -> Result<(), Exit> {
        self.check_writable(addr, from.len())?;
        for (addr, range) in pieces(addr, from.len()) {
            let at = self.translate(addr, Access::Write)?;
            self.memory.ram().write(at, &from[range]);
            self.memory.code().note_write(at.pfn());
        }
        Ok(())
    }

    /// Refuses a range that cannot be written to.
    ///
    /// # Errors
    /// The first fault.
    pub fn check_writable(&self, addr: VirtAddr, bytes: usize) -> Result<(), Exit> {
        if addr.page_offset() as usize + bytes > PAGE_BYTES as usize {
            self.check_end(addr, bytes, Access::Write)?;
        }
        pieces(addr, bytes).try_for_each(|(addr, _)| self.translate(addr, Access::Write).map(drop))
    }

    /// Loads a little-endian number of 1 to 8 bytes.
    ///
    /// # Errors
    /// The fault.
    pub fn load(&self, addr: VirtAddr, bytes: usize) -> Result<u64, Exit> {
        let mut value = [0; 8];
        self.read(addr, &mut value[..bytes])?;
        Ok(u64::from_le_bytes(value))
    }

    /// Stores a little-endian number of 1 to 8 bytes.
    ///
    /// # Errors
    /// The fault.
    pub fn store(&self, addr: VirtAddr, value: u64, bytes: usize) -> Result<(), Exit> {
        self.write(addr, &value.to_le_bytes()[..bytes])
    }
}

/// The parts of a byte range that lie in one page each, with the part of the buffer that belongs to each.
pub fn pieces(addr: VirtAddr, bytes: usize) -> impl Iterator<Item = (VirtAddr, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == bytes {
            return None;
        }
        let at = addr.wrapping_add(done as u64);
        let len = ((PAGE_BYTES - at.page_offset()) as usize).min(bytes - done);
        let range = done..done + len;
        done += len;
        Some((at, range))
    })
}
