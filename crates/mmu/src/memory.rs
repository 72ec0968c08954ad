//! The machine's physical memory.

use crate::{CodeMarks, CpuView, EntrySource, TlbTable};
use addr::{Page, Pfn, PhysAddr};
use host::Ram;
use std::io;
use std::sync::Arc;

/// Simulated RAM together with the marks of its frames. Shared by every CPU and by the kernel.
pub struct Memory {
    ram: Ram,
    code: CodeMarks,
}

impl Memory {
    /// Reserves `frame_count` frames of RAM; the host commits them as they are touched.
    ///
    /// # Errors
    /// The host's, when it cannot reserve the address range.
    pub fn new(frame_count: u32) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { ram: Ram::new(frame_count)?, code: CodeMarks::new(frame_count) }))
    }

    /// The bytes.
    pub fn ram(&self) -> &Ram {
        &self.ram
    }

    /// Which frames hold translated code.
    pub fn code(&self) -> &CodeMarks {
        &self.code
    }

    /// Lets a CPU remember that `page` is in a frame; returns the host address of the frame. Only the CPU's own thread may,
    /// and for stores only while the frame is not marked.
    pub fn remember(&self, view: &CpuView, table: TlbTable, page: Page, pfn: Pfn) -> u64 {
        if table.is_writable() {
            self.code.note_store_entry(pfn);
        }
        let frame = self.ram.frame_address(pfn) as u64;
        view.fill(table, page, frame);
        frame
    }
}

/// Entries of page tables; those narrower than a word of RAM are parts of one.
impl EntrySource for Memory {
    #[inline]
    fn load_entry(&self, at: PhysAddr, bytes: u64) -> u64 {
        if bytes == 8 {
            return self.ram.load(at);
        }
        let (word_at, shift, mask) = part_of_word(at, bytes);
        self.ram.load(word_at) >> shift & mask
    }

    fn exchange_entry(&self, at: PhysAddr, bytes: u64, current: u64, new: u64) -> Result<u64, u64> {
        if bytes == 8 {
            return self.ram.compare_exchange(at, current, new);
        }
        let (word_at, shift, mask) = part_of_word(at, bytes);
        loop {
            let word = self.ram.load(word_at);
            let entry = word >> shift & mask;
            if entry != current {
                return Err(entry);
            }
            // A failure here may be the neighbour's change only, so look again.
            if self.ram.compare_exchange(word_at, word, word & !(mask << shift) | new << shift).is_ok() {
                return Ok(entry);
            }
        }
    }
}

/// The word of RAM that holds a narrow entry, and the entry's place in it.
fn part_of_word(at: PhysAddr, bytes: u64) -> (PhysAddr, u32, u64) {
    let within = at.get() % 8;
    (at - within, 8 * within as u32, (1 << (8 * bytes)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Geometry, walk};
    use addr::{Access, Privilege, VirtAddr};

    const ROOT: PhysAddr = PhysAddr::new(0);

    #[test]
    fn a_walk_reads_simulated_ram() {
        let memory = Memory::new(16).expect("16 frames fit");
        for (geometry, leaf) in [(Geometry::X86_64, 0x5007), (Geometry::TWO_LEVEL, 0x5007)] {
            for frame in 0..4 {
                memory.ram().zero_frame(addr::Pfn::new(frame));
            }
            let addr = VirtAddr::new(0x40_3123);
            let mut table = ROOT;
            for level in (1..=geometry.level_count()).rev() {
                let at = table + geometry.index(addr, level) * geometry.entry_bytes();
                let next = table + 4096;
                let word = if level == 1 { leaf } else { geometry.format().table(geometry.frame_number(next)) };
                memory.exchange_entry(at, geometry.entry_bytes(), 0, word).expect("the entry was 0");
                table = next;
            }
            let found = walk(&*memory, &geometry, ROOT, addr, Access::Write, Privilege::User).expect("mapped");
            assert_eq!((found.phys.get(), found.dirty), (0x5123, true));
        }
    }
}
