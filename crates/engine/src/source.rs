//! Guest bytes for the translator, and the pages and frames they came from.

use addr::{Access, PAGE_BYTES, Page, Pfn, Privilege, VirtAddr};
use mmu::{Memory, Refusal, Tables};

/// The longest instruction (SDM vol. 2, 2.3.11).
pub const LONGEST_INSTRUCTION: usize = 15;

/// Why bytes cannot be fetched: the first byte that cannot, and the walk's answer.
#[derive(Clone, Copy, Debug)]
pub struct FetchRefused {
    pub addr: VirtAddr,
    pub refusal: Refusal,
}

/// Fetches instruction bytes through the page tables, one walk a page.
pub struct Source<'a> {
    memory: &'a Memory,
    tables: &'a Tables,
    pages: Vec<(Page, Pfn)>,
}

/// Up to fifteen bytes at an address.
pub struct Fetched {
    bytes: [u8; LONGEST_INSTRUCTION],
    len: usize,
    /// Why there are fewer.
    pub cut: Option<FetchRefused>,
}

impl Fetched {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<'a> Source<'a> {
    pub fn new(memory: &'a Memory, tables: &'a Tables) -> Self {
        Self { memory, tables, pages: Vec::with_capacity(4) }
    }

    /// The bytes from `rip`, fewer than fifteen when the next page cannot be fetched.
    ///
    /// # Errors
    /// When not even the first byte can be.
    pub fn fetch(&mut self, rip: VirtAddr) -> Result<Fetched, FetchRefused> {
        let mut fetched = Fetched { bytes: [0; LONGEST_INSTRUCTION], len: 0, cut: None };
        let in_first = ((PAGE_BYTES - rip.page_offset()) as usize).min(LONGEST_INSTRUCTION);
        self.read(rip, &mut fetched.bytes[..in_first])?;
        fetched.len = in_first;
        if in_first < LONGEST_INSTRUCTION {
            let next = rip.wrapping_add(in_first as u64);
            match self.read(next, &mut fetched.bytes[in_first..]) {
                Ok(()) => fetched.len = LONGEST_INSTRUCTION,
                Err(refused) => fetched.cut = Some(refused),
            }
        }
        Ok(fetched)
    }

    /// Makes the page at an address one of those that bytes were fetched from.
    ///
    /// # Errors
    /// When it cannot be fetched from.
    pub fn depend_on(&mut self, addr: VirtAddr) -> Result<(), FetchRefused> {
        self.frame(addr).map(drop)
    }

    /// Every page that bytes were fetched from.
    pub fn pages(&self) -> &[(Page, Pfn)] {
        &self.pages
    }

    fn read(&mut self, addr: VirtAddr, to: &mut [u8]) -> Result<(), FetchRefused> {
        let pfn = self.frame(addr)?;
        self.memory.ram().read(pfn.start() + addr.page_offset(), to);
        Ok(())
    }

    fn frame(&mut self, addr: VirtAddr) -> Result<Pfn, FetchRefused> {
        if let Some((_, pfn)) = self.pages.iter().find(|(page, _)| *page == addr.page()) {
            return Ok(*pfn);
        }
        let pfn = frame_of(self.tables, addr)?;
        self.pages.push((addr.page(), pfn));
        Ok(pfn)
    }
}

/// Walks to an instruction as its fetch does.
///
/// # Errors
/// When it cannot be fetched.
pub fn frame_of(tables: &Tables, rip: VirtAddr) -> Result<Pfn, FetchRefused> {
    let walked = tables.walk(rip, Access::Execute, Privilege::User);
    walked.map(|translation| translation.phys.pfn()).map_err(|refusal| FetchRefused { addr: rip, refusal })
}
