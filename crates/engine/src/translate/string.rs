//! `rep movs` and `rep stos` inline.
//!
//! As long as the run goes upwards and stays in one page on either side, and the software TLB knows the pages, the
//! host's own instruction does it on host addresses. Anything else is done by hand, from the registers as they were
//! before the instruction.

use super::emit::Emitter;
use crate::asm::{CC_ABOVE, CC_NOT_EQUAL, Gs, Mem, RAX, RCX, Reg, Width};
use crate::block::Reason;
use crate::context::{Slot, tlb_offset};
use addr::PAGE_BYTES;
use mmu::TlbTable;

const RSI: Reg = 6;
const RDI: Reg = 7;

impl Emitter<'_> {
    pub(super) fn repeated_move(&mut self, bytes: u8) {
        let fixed = 1 << RCX | 1 << RSI | 1 << RDI;
        self.prepare(fixed, 0);
        let from = self.scratch(fixed);
        let to = self.scratch(fixed | 1 << from);
        let index = self.scratch(fixed | 1 << from | 1 << to);
        let by_hand = self.begin_string(bytes);
        self.search_run(TlbTable::Read, RSI, from, index, bytes, by_hand);
        self.search_run(TlbTable::Write, RDI, to, index, bytes, by_hand);
        self.advance_parked(RSI, index, bytes);
        self.advance_parked(RDI, index, bytes);
        self.asm.mov(Width::B64, RSI, from);
        self.asm.mov(Width::B64, RDI, to);
        self.repeat();
        self.written(1 << RCX);
        self.set_parked(1 << RSI | 1 << RDI);
    }

    pub(super) fn repeated_store(&mut self, bytes: u8) {
        let fixed = 1 << RAX | 1 << RCX | 1 << RDI;
        self.prepare(fixed, 0);
        let to = self.scratch(fixed);
        let index = self.scratch(fixed | 1 << to);
        let by_hand = self.begin_string(bytes);
        self.search_run(TlbTable::Write, RDI, to, index, bytes, by_hand);
        self.advance_parked(RDI, index, bytes);
        self.asm.mov(Width::B64, RDI, to);
        self.repeat();
        self.written(1 << RCX);
        self.set_parked(1 << RDI);
    }

    pub(super) fn set_direction(&mut self, value: u32) {
        self.asm.store_gs_imm(Slot::DIRECTION, value);
    }

    /// Leaves, to do it by hand, if it goes downwards or is longer than a page; returns that way out. Every register
    /// of the instruction is in place and every scratch register is parked.
    fn begin_string(&mut self, bytes: u8) -> Reason {
        self.mark();
        let by_hand = self.helper_here();
        self.asm.cmp_gs_imm(Width::B32, Slot::DIRECTION, 0);
        self.leave_if(CC_NOT_EQUAL, by_hand);
        self.asm.cmp(RCX, (PAGE_BYTES / u64::from(bytes)) as i32);
        self.leave_if(CC_ABOVE, by_hand);
        by_hand
    }

    /// `pointer` becomes the host address of the run at `start`, if all of it lies in one known page.
    fn search_run(&mut self, table: TlbTable, start: Reg, pointer: Reg, index: Reg, bytes: u8, by_hand: Reason) {
        let tags = tlb_offset(table);
        self.asm.mov(Width::B64, pointer, start);
        self.index_entry(table, start, index);
        self.asm.add_gs(pointer, Gs::Indexed(index, tags));
        // The page first: just below it, offset and length together would wrap into it.
        self.asm.cmp(pointer, PAGE_BYTES as i32 - 1);
        self.leave_if(CC_ABOVE, by_hand);
        // The host address waits in its slot while its register holds the end of the run.
        self.asm.store_gs(Width::B64, Slot::SCRATCH, pointer);
        self.asm.lea(Width::B64, pointer, run_end(pointer, bytes));
        self.asm.cmp(pointer, PAGE_BYTES as i32);
        self.leave_if(CC_ABOVE, by_hand);
        self.asm.load_gs(Width::B64, pointer, Slot::SCRATCH);
        self.asm.add_gs(pointer, Gs::Indexed(index, tags + 8));
    }

    /// Stores what a pointer will be after the instruction as its parked value.
    fn advance_parked(&mut self, register: Reg, scratch: Reg, bytes: u8) {
        self.asm.lea(Width::B64, scratch, run_end(register, bytes));
        self.asm.store_gs(Width::B64, Slot::parked(register), scratch);
    }

    /// The guest's own instruction, on host addresses.
    fn repeat(&mut self) {
        let bytes = self.current_bytes();
        self.asm.raw(bytes);
    }
}

/// The end of a run of RCX elements from a register.
fn run_end(start: Reg, bytes: u8) -> Mem {
    Mem { base: Some(start), index: Some(RCX), scale: bytes, disp: 0 }
}
