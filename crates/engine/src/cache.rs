//! The code cache: blocks, the links between them, and what each depends on.
//!
//! A block belongs to the code map of one tree of page tables; it is found by its guest address. It depends on every
//! page and every frame its translator read, successors that it only peeked at included, and dies with any of them:
//! its map forgets it, the jumps that lead to it lead to their cold paths again, the jump caches drop it. Its host code
//! stays where it is until the whole cache is emptied, so that a CPU that is about to come back into it still can.
//!
//! When the last tree of a map is gone, or the cache is emptied, blocks go to the store, and come from there again.

mod certain;
mod death;
mod keeping;
mod recalling;
mod trees;
mod ways_in;

pub use ways_in::Landing;

use crate::Linking;
use crate::asm::rel32;
use crate::block::{Block, BlockId, Entry, Fixup, Helper, LeadsOn, Link, Linked, Liveness, Mark, Site};
use crate::code_map::{CodeMap, PageOfBlocks};
use crate::gate::{Gate, Vectors};
use crate::source::{self, FetchRefused, Source};
use crate::store::{Content, Store};
use crate::translate::{Parts, Place, Plan, Sharing, Translator, Variant};
use addr::{Page, Pfn, VirtAddr};
use host::{CodeMemory, Table};
use mmu::{CpuView, Memory, Stores, Tables};
use rustc_hash::FxHashMap;
use std::io;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Weak};

/// Bytes that one translation may need at most; a new block is begun only where as many are left.
const LARGEST_BLOCK_BYTES: u32 = 64 << 10;

/// How often the shared lookups of a block may fail for good.
const MOST_UNSERVED: u32 = 32;

/// A tree of page tables and its code map.
struct Tree {
    map: u64,
    tables: Weak<Tables>,
}

/// What was made of the bytes of a frame, all of which ends when they change.
#[derive(Default)]
struct FrameOfCode {
    /// Where code maps have it: the map, and the page.
    pages: Vec<(u64, Page)>,
    /// What is in it, once somebody has asked; then the frame is marked.
    content: Option<Content>,
}

/// Counts for the report.
#[derive(Clone, Copy, Default, Debug)]
pub struct CacheCounts {
    /// Blocks translated.
    pub blocks: u64,
    /// Blocks that came from the store.
    pub recalled: u64,
    /// Guest bytes translated.
    pub guest_bytes: u64,
    /// Host bytes of the blocks that are in the cache now.
    pub host_bytes: u64,
    /// Times the whole cache was emptied because it was full.
    pub flushes: u64,
}

pub struct CodeCache {
    memory: Arc<Memory>,
    code: CodeMemory,
    gate: Gate,
    plan: Plan,
    linking: Linking,
    translator: Translator,
    certain: Vec<certain::Certain>,
    chain_lengths: ways_in::ChainLengths,
    /// For the code of a way into a block.
    way: Vec<u8>,
    used: u32,
    /// Grows when the whole cache is emptied: what a number meant before means nothing after.
    generation: u64,
    blocks: Table<Option<Block>>,
    /// First host byte of each block, in order.
    starts: Table<u32>,
    sites: Table<Site>,
    links: Table<Link>,
    helpers: Vec<Helper>,
    marks: Table<Mark>,
    fixups: Table<Fixup>,
    trees: FxHashMap<u64, Tree>,
    maps: FxHashMap<u64, CodeMap>,
    next_map: u64,
    by_frame: FxHashMap<Pfn, FrameOfCode>,
    store: Option<Store>,
    recalled: recalling::Recalled,
    views: Vec<Weak<CpuView>>,
    counts: CacheCounts,
}

impl CodeCache {
    pub fn new(memory: Arc<Memory>, bytes: usize, plan: Plan, linking: Linking) -> io::Result<Self> {
        let mut code = CodeMemory::new(bytes)?;
        let gate = Gate::build(&mut code, Vectors::of_host());
        Ok(Self {
            memory,
            code,
            gate,
            plan,
            linking,
            translator: Translator::new(),
            certain: Vec::new(),
            chain_lengths: ways_in::ChainLengths::default(),
            way: Vec::new(),
            used: (gate.bytes as u32).next_multiple_of(64),
            generation: 0,
            blocks: Table::with_capacity(bytes / 256)?,
            starts: Table::with_capacity(bytes / 256)?,
            sites: Table::with_capacity(bytes / 64)?,
            links: Table::with_capacity(bytes / 128)?,
            helpers: Vec::new(),
            marks: Table::with_capacity(bytes / 32)?,
            fixups: Table::with_capacity(bytes / 64)?,
            trees: FxHashMap::default(),
            maps: FxHashMap::default(),
            next_map: 0,
            by_frame: FxHashMap::default(),
            store: None,
            recalled: recalling::Recalled::default(),
            views: Vec::new(),
            counts: CacheCounts::default(),
        })
    }

    pub fn gate(&self) -> Gate {
        self.gate
    }

    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn counts(&self) -> CacheCounts {
        self.counts
    }

    /// Bytes that the cache and its tables take of the host's memory.
    pub fn overhead_bytes(&self) -> u64 {
        let tables = self.blocks.len() * size_of::<Block>()
            + self.sites.len() * size_of::<Site>()
            + self.links.len() * size_of::<Link>()
            + self.helpers.len() * size_of::<Helper>()
            + self.marks.len() * size_of::<Mark>()
            + self.fixups.len() * size_of::<Fixup>()
            + self.store.as_ref().map_or(0, Store::bytes);
        u64::from(self.used) + tables as u64
    }

    /// A CPU whose jump cache and software TLB must follow what happens here.
    pub fn add_view(&mut self, view: &Arc<CpuView>) {
        self.views.retain(|known| known.strong_count() > 0);
        self.views.push(Arc::downgrade(view));
    }

    /// A block; `None` once it died.
    pub fn block(&self, id: BlockId) -> Option<&Block> {
        self.blocks.get(id as usize)?.as_ref()
    }

    pub fn site(&self, number: u32) -> Site {
        self.sites[number as usize]
    }

    pub fn link_record(&self, number: u32) -> Link {
        self.links[number as usize]
    }

    pub fn helper(&self, number: u32) -> Helper {
        self.helpers[number as usize]
    }

    /// The instruction of a block whose host code contains the byte at an offset from the block's first, and its number.
    pub fn mark_at(&self, block: &Block, host: u32) -> Option<(usize, Mark)> {
        let marks = self.marks_of(block);
        let index = marks.partition_point(|mark| u32::from(mark.host) <= host).checked_sub(1)?;
        Some((index, marks[index]))
    }

    /// The address of an instruction of a block.
    pub fn instruction_address(&self, block: &Block, instruction: u8) -> VirtAddr {
        block.rip + u64::from(self.marks_of(block)[usize::from(instruction)].guest)
    }

    /// The address of the last instruction of a block.
    pub fn last_instruction_address(&self, block: &Block) -> VirtAddr {
        let last = self.marks_of(block).last().expect("a block has instructions");
        block.rip + u64::from(last.guest)
    }

    fn marks_of(&self, block: &Block) -> &[Mark] {
        part(&self.marks, &block.parts.marks)
    }

    pub fn host_address(&self, offset: u32) -> u64 {
        self.code.address(offset as usize)
    }

    /// The host addresses that hold generated code, the gate included.
    pub fn host_range(&self) -> std::ops::Range<u64> {
        self.code.address(0)..self.code.address(self.code.len())
    }

    /// The block whose host code contains an address, if it is alive.
    pub fn block_at(&self, address: u64) -> Option<&Block> {
        let offset = (address - self.code.address(0)) as u32;
        let after = self.starts.partition_point(|start| *start <= offset);
        self.block(after.checked_sub(1)? as BlockId)
    }

    /// The block at a guest address, translated if need be; the jump cache of `view` is told where what it calls returns to.
    ///
    /// # Errors
    /// When its first instruction cannot be fetched.
    pub fn find(
        &mut self,
        tables: &Tables,
        rip: VirtAddr,
        variant: Variant,
        landing: Landing,
        view: &CpuView,
    ) -> Result<BlockId, FetchRefused> {
        let map = self.map_of(tables);
        if self.maps[&map].users > 1 {
            // Translated for another tree, perhaps: this one may not have fetched the page yet.
            source::frame_of(tables, rip)?;
        }
        // Also for a block that is there: a way into it may be made next.
        if !self.has_room() {
            self.empty();
        }
        if let Some(of_page) = self.maps[&map].by_page.get(&rip.page())
            && let Some(id) = self.alive(of_page, rip, variant)
        {
            return Ok(id);
        }
        match self.recall(tables, rip, variant, landing) {
            Some(id) => Ok(id),
            None => {
                let id = self.translate(tables, rip, variant, landing)?;
                self.make_certain(tables, id, view);
                Ok(id)
            }
        }
    }

    /// Whether one more block surely fits.
    fn has_room(&self) -> bool {
        self.used + LARGEST_BLOCK_BYTES <= self.code.len() as u32
    }

    /// The block that serves at a guest address, which lies in a page.
    fn alive(&self, of_page: &PageOfBlocks, rip: VirtAddr, variant: Variant) -> Option<BlockId> {
        // Most code reads no flags that a jump hands over, and is found at once.
        if variant == Variant::FlagsParked
            && let Some(id) = of_page.block(rip, Variant::Plain)
            && self.block(id).is_some_and(|plain| plain.flags_live == Liveness::Dead)
        {
            return Some(id);
        }
        of_page.block(rip, variant)
    }

    fn translate(
        &mut self,
        tables: &Tables,
        rip: VirtAddr,
        variant: Variant,
        landing: Landing,
    ) -> Result<BlockId, FetchRefused> {
        let map = self.map_of(tables);
        let CodeMap { by_page, users, .. } = &self.maps[&map];
        let starts = by_page.get(&rip.page()).map(|of_page| &of_page.starts);
        let memory = Arc::clone(&self.memory);
        // A tree that shares its map may not have the page yet.
        let known = (*users == 1).then_some(by_page);
        let mut source = Source::new(&memory, tables).knowing(known);
        let place = self.next_place(map, rip, landing);
        let block = self.translator.translate(&mut source, starts, rip, variant, self.plan, place)?;
        let pages = source.into_pages();
        self.counts.blocks += 1;
        self.counts.guest_bytes += u64::from(block.guest_bytes);
        let parts = self.translator.take_parts();
        let id = self.insert(block, &parts, &pages);
        self.translator.reuse(parts);
        Ok(id)
    }

    /// Where the next block goes.
    fn next_place(&self, map: u64, rip: VirtAddr, landing: Landing) -> Place {
        let room_before = landing.room(rip);
        let host = self.used + u32::from(room_before);
        Place {
            room_before,
            block: self.blocks.len() as BlockId,
            first_site: self.sites.len() as u32,
            first_link: self.links.len() as u32,
            first_helper: self.helpers.len() as u32,
            first_mark: self.marks.len() as u32,
            first_fixup: self.fixups.len() as u32,
            host,
            address: self.host_address(host),
            exits: self.gate.exits,
            map,
            sharing: if self.maps[&map].unshared.contains(&rip) { Sharing::No } else { Sharing::Yes },
        }
    }

    /// Puts a block into the cache, with its parts; it depends on `sources`.
    fn insert(&mut self, block: Block, parts: &Parts, sources: &[(Page, Pfn)]) -> BlockId {
        let id = self.blocks.len() as BlockId;
        self.code.write(block.host as usize, &parts.code);
        self.used = (block.host + parts.code.len() as u32).next_multiple_of(16);
        self.sites.extend_from_slice(&parts.sites);
        self.links.extend_from_slice(&parts.links);
        self.helpers.extend_from_slice(&parts.helpers);
        self.marks.extend_from_slice(&parts.marks);
        self.fixups.extend_from_slice(&parts.fixups);
        self.counts.host_bytes += parts.code.len() as u64;
        let map = self.maps.entry(block.map).or_default();
        for (page, pfn) in sources {
            let of_page = map.by_page.entry(*page).or_insert_with(|| {
                self.by_frame.entry(*pfn).or_default().pages.push((block.map, *page));
                PageOfBlocks::new(*pfn)
            });
            debug_assert_eq!(of_page.pfn, *pfn, "a page that is elsewhere now was forgotten");
            if *page == block.rip.page() {
                of_page.enter(block.rip, block.variant, id);
            } else {
                of_page.others.push(id);
            }
        }
        // A prepared block is looked up anew each time; marking for it would make a store that patches the next
        // instruction of its own page start over for ever.
        if block.variant != Variant::Prepared {
            self.watch(sources.iter().map(|(_, pfn)| *pfn));
        }
        self.starts.push(block.host);
        self.blocks.push(Some(block));
        id
    }

    /// Sees to it that every store to some frames is noted.
    fn watch(&self, frames: impl Iterator<Item = Pfn>) {
        let marks = self.memory.code();
        let newly_marked: Vec<u64> = frames
            .filter(|pfn| !marks.is_marked(*pfn) && marks.mark(*pfn) == Stores::Possible)
            .map(|pfn| self.memory.ram().frame_address(pfn) as u64)
            .collect();
        if !newly_marked.is_empty() {
            for view in self.live_views() {
                view.flush_writes_where(|address| newly_marked.contains(&address));
            }
        }
    }

    /// A shared lookup of a block cannot serve, although its bytes lie in one page. If that happens again and again, the
    /// block is to be made anew without.
    pub fn note_unserved(&mut self, id: BlockId) {
        let Some(block) = &mut self.blocks[id as usize] else { return };
        block.unserved += 1;
        if block.unserved < MOST_UNSERVED {
            return;
        }
        let (map, rip) = (block.map, block.rip);
        if let Some(map) = self.maps.get_mut(&map) {
            map.unshared.insert(rip);
        }
        self.kill(id);
    }

    fn live_views(&self) -> impl Iterator<Item = Arc<CpuView>> {
        self.views.iter().filter_map(Weak::upgrade)
    }

    /// Makes a direct jump lead to its target's block.
    pub fn link(&mut self, number: u32, target: BlockId) {
        let link = &mut self.links[number as usize];
        let Some(block) = self.blocks[target as usize].as_mut() else { return };
        if link.linked == Linked::Yes {
            return;
        }
        link.linked = Linked::Yes;
        link.before = block.incoming.replace(incoming_link(number));
        let link = *link;
        let to = match (link.entry, block.leads_on) {
            (Entry::Body, _) | (_, LeadsOn::OnlyIndirectly) => block.body,
            (Entry::Safepoint, LeadsOn::Directly) => block.host,
        };
        self.lead(link.jump, to);
    }

    fn lead(&mut self, jump: u32, to: u32) {
        self.lead_to(jump, self.host_address(to));
    }

    /// Makes a jump's rel32 lead to a host address.
    fn lead_to(&mut self, jump: u32, address: u64) {
        let relative = rel32(self.host_address(jump), address);
        self.code.write(jump as usize, &relative);
    }
}

/// Some of the cache's records.
fn part<'a, T>(all: &'a [T], numbers: &Range<u32>) -> &'a [T] {
    &all[numbers.start as usize..numbers.end as usize]
}

/// A link's number as blocks and links remember it.
fn incoming_link(number: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(number)
}
