//! The ways into blocks for indirect jumps.
//!
//! An indirect jump takes the lower bits of its target to the jump cache of its CPU, and from there it goes to a way in,
//! which sees whether the target is its block's. If it is not, the jump goes on to the way in that was made before for
//! an address with the same lower bits, and so on along the chain, and from its end to where a block is looked for.

use super::CodeCache;
use crate::asm::{Assembler, CC_NOT_EQUAL, RAX, Width};
use crate::block::{Block, BlockId, JUMP_INDEX, JUMP_TARGET, Liveness, WayIn};
use crate::context::{self, JUMP_CACHE_ENTRIES, Slot};
use addr::VirtAddr;
use mmu::CpuView;
use std::num::NonZeroU32;

/// Most ways in of a chain: where code is made anew again and again, dead ones would gather.
const LONGEST_CHAIN: u32 = 8;

/// The blocks of a code map to whose ways in its chains lead first, by their entry of the jump cache.
#[derive(Default)]
pub struct Chains(Vec<Option<NonZeroU32>>);

impl Chains {
    /// The block, which may be dead.
    fn first(&self, entry: usize) -> Option<BlockId> {
        self.0.get(entry).copied().flatten().map(|id| id.get() - 1)
    }

    fn set_first(&mut self, entry: usize, id: BlockId) {
        if self.0.is_empty() {
            self.0 = vec![None; JUMP_CACHE_ENTRIES];
        }
        self.0[entry] = NonZeroU32::MIN.checked_add(id);
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl CodeCache {
    /// The host address for the jump cache's entry of a block, from where its way in is reached; the flags being parked.
    pub fn way_in(&mut self, id: BlockId) -> u64 {
        let block = self.blocks[id as usize].as_ref().expect("a block that was just found is alive");
        let first = self.first_of_chain(block);
        let way_in = match (block.way_in, first) {
            (Some(own), Some(first)) if own.end == first.end => first,
            (Some(own), _) => own,
            (None, first) => self.make_way_in(id, first),
        };
        self.host_address(way_in.entry)
    }

    /// The first way in of a block's chain, if its block is alive.
    fn first_of_chain(&self, block: &Block) -> Option<WayIn> {
        let first = self.maps[&block.map].chains.first(context::jump_cache_entry(block.rip))?;
        self.block(first)?.way_in
    }

    /// Makes a way into a block, before that which was first in its chain, which sees whether the target is the block and
    /// brings the flags back if somebody reads them.
    fn make_way_in(&mut self, id: BlockId, first: Option<WayIn>) -> WayIn {
        let block = self.blocks[id as usize].as_ref().expect("a block that was just found is alive");
        let (rip, map, target) = (block.rip, block.map, self.host_address(block.host));
        let entry = self.used;
        let (next, end, length) = match first.filter(|first| first.length < LONGEST_CHAIN) {
            Some(first) => (self.host_address(first.entry), first.end, first.length + 1),
            None => (self.gate.nowhere, entry, 1),
        };
        let flags_live = block.flags_live;
        let mut asm = Assembler::new(std::mem::take(&mut self.way), self.host_address(entry));
        match i32::try_from(rip.get()) {
            Ok(rip) => asm.cmp(JUMP_TARGET, rip),
            Err(_) => {
                asm.mov_imm(JUMP_INDEX, rip.get());
                asm.cmp_registers(JUMP_TARGET, JUMP_INDEX);
            }
        }
        asm.jcc(CC_NOT_EQUAL, next);
        if flags_live == Liveness::Live {
            asm.mov(Width::B64, JUMP_INDEX, RAX);
            asm.load_gs(Width::B32, RAX, Slot::FLAGS);
            asm.ax_to_flags();
            asm.mov(Width::B64, RAX, JUMP_INDEX);
        }
        let jump = entry + asm.jmp(target);
        self.code.write(entry as usize, asm.bytes());
        self.used = (entry + asm.here()).next_multiple_of(16);
        self.way = asm.into_buffer();
        let way_in = WayIn { entry, jump, end, length };
        self.blocks[id as usize].as_mut().expect("it is alive").way_in = Some(way_in);
        let map = self.maps.get_mut(&map).expect("a block's map exists");
        map.chains.set_first(context::jump_cache_entry(rip), id);
        way_in
    }

    /// The block of a way in died: the way leads nowhere, but to those after it in its chain.
    pub(super) fn close(&mut self, way_in: WayIn) {
        self.lead_to(way_in.jump, self.gate.nowhere);
    }

    /// A return will lead to a block.
    pub(super) fn expect_return_to(&mut self, rip: VirtAddr, id: BlockId) {
        if self.block(id).is_some_and(|block| block.way_in.is_none()) && self.has_room() {
            let first = self.way_in(id);
            self.expected.push((rip, first));
        }
    }

    /// Enters into a jump cache where returns are expected to lead since the last block was looked for.
    pub fn enter_expected(&mut self, view: &CpuView) {
        for (rip, host) in self.expected.drain(..) {
            context::fill_jump_cache(view, rip, host);
        }
    }
}
