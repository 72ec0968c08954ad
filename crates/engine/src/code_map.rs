//! Which blocks there are of the code that a tree of page tables maps.

use crate::block::BlockId;
use crate::store::ProgramId;
use crate::translate::{Starts, Variant};
use addr::{Page, Pfn, VirtAddr};
use rustc_hash::{FxHashMap, FxHashSet};

/// The blocks of one or more trees of page tables that map the same code.
#[derive(Default)]
pub struct CodeMap {
    /// How many trees.
    pub users: u32,
    /// The program that they run, if its translations are kept.
    pub program: Option<ProgramId>,
    pub by_page: FxHashMap<Page, Box<PageOfBlocks>>,
    /// Blocks whose shared lookups mostly fail: they are translated without.
    pub unshared: FxHashSet<VirtAddr>,
}

impl CodeMap {
    /// A page is not in a frame any more: the blocks that depend on it, whose frame that was.
    pub fn take_page(&mut self, page: Page, pfn: Pfn) -> Option<Box<PageOfBlocks>> {
        self.by_page.get(&page).filter(|of_page| of_page.pfn == pfn)?;
        self.by_page.remove(&page)
    }

    /// A block died; another may have taken its place already.
    pub fn forget(&mut self, rip: VirtAddr, variant: Variant, id: BlockId) {
        let Some(of_page) = self.by_page.get_mut(&rip.page()) else { return };
        let key = key(rip, variant);
        if let Ok(at) = of_page.keys.binary_search(&key)
            && of_page.blocks[at] == id
        {
            of_page.keys.remove(at);
            of_page.blocks.remove(at);
        }
    }

    /// Every block.
    pub fn blocks(&self) -> impl Iterator<Item = BlockId> {
        self.by_page.values().flat_map(|of_page| of_page.blocks.iter().copied())
    }
}

/// Room for as many is made at once.
const USUAL_BLOCKS: usize = 16;

/// The blocks that begin in a page, and those that depend on it.
pub struct PageOfBlocks {
    /// Where the page was when the first of them was translated; were it elsewhere now, they would all be forgotten.
    pub pfn: Pfn,
    /// Blocks that depend on the page and are none of its entries: they begin in others, or another has taken their place.
    pub others: Vec<BlockId>,
    pub starts: Starts,
    /// Of the blocks that begin in it, in order; apart from them, so that few cache lines are searched.
    keys: Vec<u16>,
    /// Those blocks, in the same order.
    blocks: Vec<BlockId>,
}

/// Where in its page a block begins, and its variant.
pub fn key(rip: VirtAddr, variant: Variant) -> u16 {
    (rip.page_offset() as u16) << 3 | variant as u16
}

impl PageOfBlocks {
    pub fn new(pfn: Pfn) -> Box<Self> {
        let (keys, blocks) = (Vec::with_capacity(USUAL_BLOCKS), Vec::with_capacity(USUAL_BLOCKS));
        Box::new(Self { pfn, others: Vec::new(), starts: Starts::default(), keys, blocks })
    }

    /// Makes a block the one that begins at an address of the page.
    pub fn enter(&mut self, rip: VirtAddr, variant: Variant, block: BlockId) {
        let key = key(rip, variant);
        match self.keys.binary_search(&key) {
            Ok(at) => self.others.push(std::mem::replace(&mut self.blocks[at], block)),
            Err(at) => {
                self.keys.insert(at, key);
                self.blocks.insert(at, block);
            }
        }
        if variant == Variant::Plain {
            self.starts.add(rip);
        }
    }

    /// Every block that depends on the page.
    pub fn dependents(&self) -> impl Iterator<Item = BlockId> {
        self.blocks.iter().chain(&self.others).copied()
    }

    /// The keys of the blocks that begin in the page, in order, and those blocks.
    pub fn entries(&self) -> impl Iterator<Item = (u16, BlockId)> {
        self.keys.iter().copied().zip(self.blocks.iter().copied())
    }

    /// The block that begins at an address of the page, in one of the translations it can have.
    pub fn block(&self, rip: VirtAddr, variant: Variant) -> Option<BlockId> {
        let at = self.keys.binary_search(&key(rip, variant)).ok()?;
        Some(self.blocks[at])
    }
}
