//! The ways into blocks for indirect jumps.
//!
//! An indirect jump takes the lower bits of its target to the jump cache of its CPU, and from there it goes to a way in,
//! which sees whether the target is its block's. If it is not, the jump goes on to the way in to which the jump cache led when
//! this one was made, and so on along the chain, and from its end to where a block is looked for.

use super::CodeCache;
use crate::asm::{Assembler, CC_NOT_EQUAL, RAX, Width};
use crate::block::{BlockId, JUMP_INDEX, JUMP_TARGET, Liveness, WayIn};
use crate::context::{self, JUMP_CACHE_ENTRIES, Slot};
use addr::VirtAddr;
use mmu::CpuView;

/// Most ways in of a chain: where code is made anew again and again, dead ones would gather.
const LONGEST_CHAIN: u8 = 8;

// `jne rel32`, and what it becomes.
const CONDITIONAL_JUMP_BYTES: usize = 6;
const REL32_BYTES: usize = 4;
const JMP: u8 = 0xe9;
const NOP: u8 = 0x90;

/// How a block that is made will be reached first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Landing {
    /// By a link, or by nobody knows what.
    ByLink,
    /// By an indirect jump, and so by a way in: there is room for one right before the block.
    ByWayIn,
}

impl Landing {
    /// Bytes before a block at an address: enough, and as alignment has it.
    pub(super) fn room(self, rip: VirtAddr) -> u8 {
        match (self, i32::try_from(rip.get())) {
            (Self::ByLink, _) => 0,
            (Self::ByWayIn, Ok(_)) => 16,
            (Self::ByWayIn, Err(_)) => 32,
        }
    }
}

/// Compares the target of an indirect jump with an address.
fn compare_with_target(asm: &mut Assembler, rip: VirtAddr) {
    match i32::try_from(rip.get()) {
        Ok(rip) => asm.cmp(JUMP_TARGET, rip),
        Err(_) => {
            asm.mov_imm(JUMP_INDEX, rip.get());
            asm.cmp_registers(JUMP_TARGET, JUMP_INDEX);
        }
    }
}

/// How many ways in were made for each entry of the jump cache since the last that leads on to no other.
pub(super) struct ChainLengths(Box<[u8]>);

impl Default for ChainLengths {
    fn default() -> Self {
        Self(vec![0; JUMP_CACHE_ENTRIES].into())
    }
}

impl ChainLengths {
    /// Counts one more; whether it may lead on to those before it.
    fn lengthen(&mut self, entry: usize) -> bool {
        let length = &mut self.0[entry];
        let leads_on = *length < LONGEST_CHAIN;
        *length = if leads_on { *length + 1 } else { 1 };
        leads_on
    }
}

impl CodeCache {
    /// Makes a CPU's jump cache lead to a block, of the code map that the CPU uses.
    pub fn lead_jumps_to(&mut self, id: BlockId, view: &CpuView) {
        let block = self.blocks[id as usize].as_ref().expect("a block that was just found is alive");
        let (rip, way_in) = (block.rip, block.way_in);
        let entry = match way_in {
            Some(WayIn { entry, .. }) => entry,
            None => self.make_way_in(id, context::jump_cache(view, rip)),
        };
        context::fill_jump_cache(view, rip, self.host_address(entry));
    }

    /// Makes a way into a block, the flags being parked: it sees whether the target is the block, and brings the flags back
    /// if somebody reads them. Its host offset. For other targets it leads on to where the jump cache led before.
    fn make_way_in(&mut self, id: BlockId, before: u64) -> u32 {
        let block = self.blocks[id as usize].as_ref().expect("a block that was just found is alive");
        let (rip, host, room_before) = (block.rip, block.host, block.room_before);
        let flags_live = block.flags_live;
        let may_lead_on = self.chain_lengths.lengthen(context::jump_cache_entry(rip));
        let next = if may_lead_on { before } else { self.gate.nowhere };
        let mut asm = Assembler::new(std::mem::take(&mut self.way), 0);
        compare_with_target(&mut asm, rip);
        let bytes = asm.here() + CONDITIONAL_JUMP_BYTES as u32;
        let falls_through = flags_live == Liveness::Dead && bytes <= u32::from(room_before);
        let entry = if falls_through { host - bytes } else { self.used };
        asm.move_to(self.host_address(entry));
        let jump = entry + asm.jcc(CC_NOT_EQUAL, next);
        if !falls_through {
            if flags_live == Liveness::Live {
                asm.mov(Width::B64, JUMP_INDEX, RAX);
                asm.load_gs(Width::B32, RAX, Slot::FLAGS);
                asm.ax_to_flags();
                asm.mov(Width::B64, RAX, JUMP_INDEX);
            }
            asm.jmp(self.host_address(host));
            self.used = (entry + asm.here()).next_multiple_of(16);
        }
        self.code.write(entry as usize, asm.bytes());
        self.way = asm.into_buffer();
        self.blocks[id as usize].as_mut().expect("it is alive").way_in = Some(WayIn { entry, jump });
        entry
    }

    /// The block of a way in died: whatever the target is, the way leads on.
    pub(super) fn close(&mut self, way_in: WayIn) {
        let first = way_in.jump as usize - CONDITIONAL_JUMP_BYTES + REL32_BYTES;
        let relative = self.code.read(way_in.jump as usize, REL32_BYTES);
        let relative = i32::from_le_bytes(relative.try_into().expect("a rel32 has four bytes"));
        // A jump whatever the flags is a byte shorter.
        let [a, b, c, d] = (relative + 1).to_le_bytes();
        self.code.write(first, &[JMP, a, b, c, d, NOP]);
    }

    /// A return will lead to a block.
    pub(super) fn expect_return_to(&mut self, id: BlockId, view: &CpuView) {
        if self.block(id).is_some_and(|block| block.way_in.is_none()) && self.has_room() {
            self.lead_jumps_to(id, view);
        }
    }
}
