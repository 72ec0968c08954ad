//! Guest bytes for the translator, and the pages and frames they came from.

use crate::code_map::PageOfBlocks;
use addr::{Access, PAGE_BYTES, Page, Pfn, Privilege, VirtAddr};
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction};
use mmu::{Memory, Refusal, Tables};
use rustc_hash::FxHashMap;
use std::ops::ControlFlow;

/// The longest instruction (SDM vol. 2, 2.3.11).
pub const LONGEST_INSTRUCTION: usize = 15;

/// Why bytes cannot be fetched: the first byte that cannot, and the walk's answer.
#[derive(Clone, Copy, Debug)]
pub struct FetchRefused {
    pub addr: VirtAddr,
    pub refusal: Refusal,
}

/// Fetches instruction bytes through the page tables, at most one walk a page.
pub struct Source<'a> {
    memory: &'a Memory,
    tables: &'a Tables,
    known: Option<&'a FxHashMap<Page, Box<PageOfBlocks>>>,
    pages: Vec<(Page, Pfn)>,
}

/// What lies at an address of code.
pub struct Decoded<'w> {
    pub rip: VirtAddr,
    /// `None` if the bytes are no instruction.
    pub instruction: Option<&'w Instruction>,
    /// The bytes of the instruction, and then any.
    pub bytes: &'w [u8; LONGEST_INSTRUCTION],
}

/// Bytes at an address, enough for a few instructions.
struct Window {
    bytes: [u8; WINDOW_BYTES + LONGEST_INSTRUCTION],
    len: usize,
    /// Why there are fewer than one instruction may need.
    cut: Option<FetchRefused>,
}

/// Bytes that are fetched at a time: a short block.
const WINDOW_BYTES: usize = 48;

impl<'a> Source<'a> {
    pub fn new(memory: &'a Memory, tables: &'a Tables) -> Self {
        Self { memory, tables, known: None, pages: Vec::with_capacity(4) }
    }

    /// Pages of which blocks are known need no walk.
    pub fn knowing(self, known: Option<&'a FxHashMap<Page, Box<PageOfBlocks>>>) -> Self {
        Self { known, ..self }
    }

    /// Decodes one instruction after the other from `rip` on, until `each` has seen enough or the next cannot be fetched.
    ///
    /// # Errors
    /// When not even the first can be.
    pub fn decode_from(
        &mut self,
        rip: VirtAddr,
        mut each: impl FnMut(Decoded<'_>) -> ControlFlow<()>,
    ) -> Result<(), FetchRefused> {
        let end = |at: VirtAddr, refused| if at == rip { Err(refused) } else { Ok(()) };
        let mut instruction = Instruction::default();
        let mut at = rip;
        loop {
            let window = match self.window(at) {
                Ok(window) => window,
                Err(refused) => return end(at, refused),
            };
            let start = at;
            let mut decoder = Decoder::with_ip(64, &window.bytes[..window.len], start.get(), DecoderOptions::NONE);
            while decoder.can_decode() {
                let position = decoder.position();
                at = start.wrapping_add(position as u64);
                decoder.decode_out(&mut instruction);
                if decoder.last_error() == DecoderError::NoMoreBytes {
                    match window.cut {
                        Some(refused) => return end(at, refused),
                        None => break,
                    }
                }
                let bytes = window.bytes[position..].first_chunk().expect("the window ends with room for one more");
                let decoded = (!instruction.is_invalid()).then_some(&instruction);
                if each(Decoded { rip: at, instruction: decoded, bytes }).is_break() || decoded.is_none() {
                    return Ok(());
                }
                at = VirtAddr::new(instruction.next_ip());
            }
        }
    }

    /// Makes the page at an address one of those that bytes were fetched from.
    ///
    /// # Errors
    /// When it cannot be fetched from.
    pub fn depend_on(&mut self, addr: VirtAddr) -> Result<(), FetchRefused> {
        self.frame(addr).map(drop)
    }

    /// Every page that bytes were fetched from.
    pub fn into_pages(self) -> Vec<(Page, Pfn)> {
        self.pages
    }

    /// As many bytes as a window holds, but none of the next page unless one instruction may need them.
    fn window(&mut self, at: VirtAddr) -> Result<Window, FetchRefused> {
        let mut window = Window { bytes: [0; _], len: 0, cut: None };
        let in_page = (PAGE_BYTES - at.page_offset()) as usize;
        if in_page >= WINDOW_BYTES {
            let whole: &mut [u8; WINDOW_BYTES] = window.bytes.first_chunk_mut().expect("a window holds as many");
            self.read(at, whole)?;
            window.len = WINDOW_BYTES;
            return Ok(window);
        }
        self.read(at, &mut window.bytes[..in_page])?;
        window.len = in_page;
        if in_page < LONGEST_INSTRUCTION {
            match self.read(at.wrapping_add(in_page as u64), &mut window.bytes[in_page..LONGEST_INSTRUCTION]) {
                Ok(()) => window.len = LONGEST_INSTRUCTION,
                Err(refused) => window.cut = Some(refused),
            }
        }
        Ok(window)
    }

    #[inline]
    fn read(&mut self, addr: VirtAddr, to: &mut [u8]) -> Result<(), FetchRefused> {
        let pfn = self.frame(addr)?;
        self.memory.ram().read(pfn.start() + addr.page_offset(), to);
        Ok(())
    }

    fn frame(&mut self, addr: VirtAddr) -> Result<Pfn, FetchRefused> {
        if let Some((_, pfn)) = self.pages.iter().find(|(page, _)| *page == addr.page()) {
            return Ok(*pfn);
        }
        let pfn = match self.known.and_then(|known| known.get(&addr.page())) {
            Some(of_page) => of_page.pfn,
            None => frame_of(self.tables, addr)?,
        };
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
