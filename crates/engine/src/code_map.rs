//! Which blocks there are of the code that a tree of page tables maps.

use crate::block::BlockId;
use crate::translate::{Starts, Variant};
use addr::{Page, VirtAddr};
use rustc_hash::{FxHashMap, FxHashSet};

/// The blocks of one or more trees of page tables that map the same code.
#[derive(Default)]
pub struct CodeMap {
    /// How many trees.
    pub users: u32,
    pub by_rip: FxHashMap<Key, BlockId>,
    pub by_page: FxHashMap<Page, PageOfBlocks>,
    /// Blocks whose shared lookups mostly fail: they are translated without.
    pub unshared: FxHashSet<VirtAddr>,
}

/// The blocks that depend on a page.
#[derive(Default)]
pub struct PageOfBlocks {
    pub blocks: Vec<BlockId>,
    pub starts: Starts,
}

/// A guest address and a variant in one word. A canonical address is unique without its upper three bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

impl Key {
    pub fn new(rip: VirtAddr, variant: Variant) -> Self {
        Self(rip.get() << 3 | variant as u64)
    }
}
