//! The traced process's memory, kept equal to the guest's.
//!
//! Only the kernel makes, drops and changes pages from outside. So pages are compared before it is asked for anything,
//! and copied after it has answered; in between both CPUs do their own stores.

use addr::{PAGE_BYTES, Page, PageRange, Perms, Pfn, Registers, VirtAddr, VirtRange};
use host::traced::{Pace, Stop, Traced, USER_END};
use mmu::{Entry, Memory, Tables};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// A page as the traced process has it.
struct Mirrored {
    pfn: Pfn,
    perms: Perms,
    /// What the guest's page held when the two were last made or found equal.
    bytes: Box<[u8]>,
}

/// The traced process with the guest's pages in it.
pub struct Mirror {
    traced: Traced,
    memory: Arc<Memory>,
    pages: BTreeMap<Page, Mirrored>,
}

/// A byte that differs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteDifference {
    /// Where.
    pub at: VirtAddr,
    /// On the host.
    pub host: u8,
    /// Here.
    pub ours: u8,
}

impl Mirror {
    /// An empty process.
    ///
    /// # Errors
    /// The host's.
    pub fn new(memory: &Arc<Memory>) -> io::Result<Self> {
        Ok(Self { traced: Traced::spawn()?, memory: Arc::clone(memory), pages: BTreeMap::new() })
    }

    /// Every register of the traced process.
    ///
    /// # Errors
    /// The host's.
    pub fn registers(&self) -> io::Result<Registers> {
        self.traced.registers()
    }

    /// Makes registers and pages those of the guest.
    ///
    /// # Errors
    /// The host's.
    pub fn adopt(&mut self, tables: &Tables, registers: &Registers) -> io::Result<()> {
        let lower = PageRange::new(Page::new(0), USER_END.page());
        let mut now = Vec::new();
        let mut cursor = tables.cursor(lower);
        while let Some(mapped) = cursor.next() {
            if let Entry::Leaf(leaf) = mapped.entry {
                let pages = mapped.pages().iter().enumerate();
                now.extend(pages.map(|(index, page)| (page, leaf.pfn + index as u32, leaf.perms)));
            }
        }
        let gone: Vec<Page> =
            self.pages.keys().copied().filter(|page| now.binary_search_by_key(page, |it| it.0).is_err()).collect();
        for page in gone {
            self.pages.remove(&page);
            self.traced.unmap(range_of(page))?;
        }
        for (page, pfn, perms) in now {
            self.adopt_page(page, pfn, perms)?;
        }
        self.traced.set_registers(registers)
    }

    fn adopt_page(&mut self, page: Page, pfn: Pfn, perms: Perms) -> io::Result<()> {
        let bytes = frame_bytes(&self.memory, pfn);
        let Some(mirrored) = self.pages.get_mut(&page) else {
            self.traced.map(range_of(page), perms)?;
            self.traced.write(page.start(), &bytes)?;
            self.pages.insert(page, Mirrored { pfn, perms, bytes });
            return Ok(());
        };
        if mirrored.perms != perms {
            self.traced.protect(range_of(page), perms)?;
        }
        if mirrored.bytes != bytes {
            self.traced.write(page.start(), &bytes)?;
        }
        *mirrored = Mirrored { pfn, perms, bytes };
        Ok(())
    }

    /// Compares every page that the guest has stored to since the last time.
    ///
    /// # Errors
    /// The host's.
    pub fn compare_pages(&mut self) -> io::Result<Option<ByteDifference>> {
        let mut host = vec![0; PAGE_BYTES as usize];
        for (page, mirrored) in &mut self.pages {
            let ours = frame_bytes(&self.memory, mirrored.pfn);
            if ours == mirrored.bytes {
                continue;
            }
            self.traced.read(page.start(), &mut host)?;
            if let Some(found) = first_difference(page.start(), &host, &ours) {
                return Ok(Some(found));
            }
            mirrored.bytes = ours;
        }
        Ok(None)
    }

    /// Compares a range that the host's CPU has stored to.
    ///
    /// # Errors
    /// The host's.
    pub fn compare_bytes(&self, at: VirtAddr, length: usize) -> io::Result<Option<ByteDifference>> {
        let mut host = vec![0; length];
        self.traced.read(at, &mut host)?;
        let ours: Vec<u8> = (0..length as u64).map(|offset| self.byte(at.wrapping_add(offset))).collect();
        Ok(first_difference(at, &host, &ours))
    }

    /// A byte of the guest; zero where it has no page, which the host's store would have shown.
    fn byte(&self, at: VirtAddr) -> u8 {
        let mut byte = [0];
        if let Some(mirrored) = self.pages.get(&at.page()) {
            self.memory.ram().read(mirrored.pfn.start() + at.page_offset(), &mut byte);
        }
        byte[0]
    }

    /// Up to fifteen bytes of code.
    pub fn code(&self, at: VirtAddr) -> Vec<u8> {
        let mut bytes = [0; 15];
        let in_page = (PAGE_BYTES - at.page_offset()).min(15) as usize;
        let lengths = [15, in_page];
        let read = lengths.into_iter().find(|length| self.traced.read(at, &mut bytes[..*length]).is_ok());
        bytes[..read.unwrap_or(0)].to_vec()
    }

    /// Lets the host's CPU do one instruction, or one iteration of a repeated one.
    ///
    /// # Errors
    /// The host's.
    pub fn step(&mut self) -> io::Result<Stop> {
        self.traced.resume(Pace::Step)
    }

    /// Takes TF out of flags that were pushed while stepping.
    ///
    /// # Errors
    /// The host's.
    pub fn clear_pushed_trap_flag(&mut self, top: VirtAddr) -> io::Result<()> {
        let mut byte = [0];
        self.traced.read(top + 1, &mut byte)?;
        self.traced.write(top + 1, &[byte[0] & !1])
    }
}

fn first_difference(start: VirtAddr, host: &[u8], ours: &[u8]) -> Option<ByteDifference> {
    let at = host.iter().zip(ours).position(|(host, ours)| host != ours)?;
    Some(ByteDifference { at: start.wrapping_add(at as u64), host: host[at], ours: ours[at] })
}

fn frame_bytes(memory: &Memory, pfn: Pfn) -> Box<[u8]> {
    let mut bytes = vec![0; PAGE_BYTES as usize].into_boxed_slice();
    memory.ram().read(pfn.start(), &mut bytes);
    bytes
}

fn range_of(page: Page) -> VirtRange {
    PageRange::from_count(page, 1).bytes()
}
