//! Which of several exceptions an instruction raises.
//!
//! The software TLB is asked before the instruction itself runs, so a page fault is found first. The hardware looks at
//! the operand's alignment and at pending x87 exceptions before it looks at pages (measured on Zen; SDM vol. 3, table 6-2
//! leaves the order of faults of one instruction open), and a near jump to an address that is none is refused before
//! anything was pushed or popped, where the jump stands. An access to an address that is none is no page fault but #GP, or
//! #SS if it was made through the stack segment. All of this is decided when an access or a jump has been refused, so it
//! costs nothing before.

use crate::asm::RSP;
use crate::block::Placement;
use crate::by_hand;
use crate::context::Slot;
use crate::exit::{Exception, Exit};
use crate::features;
use crate::run::Run;
use crate::x87;
use addr::{Access, VirtAddr};
use iced_x86::{Instruction, Mnemonic, OpKind};
use mmu::Cause;

/// MXCSR.MM of AMD's processors: operands of SSE instructions other than moves need no alignment.
const MISALIGNED_MODE: u64 = 1 << 17;

impl Run<'_> {
    /// What the instruction at `rip` raises whose access of so many bytes at an address was refused.
    pub fn first_raised(&self, rip: VirtAddr, addr: VirtAddr, bytes: u16, refused: Exit) -> Exit {
        if let Some(exception) = self.pending_x87(rip) {
            return Exit::Exception(exception);
        }
        let relaxed = Slot::GUEST_MXCSR.get(&self.cpu.view) & MISALIGNED_MODE != 0;
        if relaxed || bytes < 16 || addr.get().is_multiple_of(32) {
            return refused;
        }
        match by_hand::fetch(&self.guest(), rip).map(|instruction| features::alignment(&instruction)) {
            Ok(Some(alignment)) if !addr.get().is_multiple_of(alignment) => {
                Exit::Exception(Exception::GeneralProtection)
            }
            _ => refused,
        }
    }

    /// What a refused access of the instruction at `rip` is if its address is none.
    pub fn without_address(&self, rip: VirtAddr, refused: Exit) -> Exit {
        let Exit::Fault(fault) = refused else { return refused };
        if fault.refusal.cause != Cause::OutsideSpace {
            return refused;
        }
        let instruction = if fault.access == Access::Execute { None } else { by_hand::fetch(&self.guest(), rip).ok() };
        let is_on_stack = instruction.is_some_and(|instruction| self.is_refused_on_stack(&instruction));
        Exit::Exception(if is_on_stack { Exception::StackSegment } else { Exception::GeneralProtection })
    }

    /// Whether an access to no address that an instruction made is one through the stack segment.
    fn is_refused_on_stack(&self, instruction: &Instruction) -> bool {
        let has_operand = (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::Memory);
        if !has_operand {
            return instruction.is_stack_instruction();
        }
        let is_operand = || {
            let first = self.state().operand_address(instruction);
            let last = first.wrapping_add((instruction.memory_size().size() as u64).saturating_sub(1));
            !self.guest().is_in_space(first) || !self.guest().is_in_space(last)
        };
        if instruction.is_stack_instruction() && !is_operand() {
            return true;
        }
        features::is_in_stack_segment(instruction)
    }

    /// The x87 exception that the instruction at `rip` raises before it does anything else.
    pub fn pending_x87(&self, rip: VirtAddr) -> Option<Exception> {
        if Slot::X87_USED.get(&self.cpu.view) == 0 {
            return None;
        }
        let instruction = by_hand::fetch(&self.guest(), rip).ok()?;
        features::waits_for_x87(&instruction).then(x87::save).as_ref().and_then(x87::pending_exception)
    }

    /// Takes back the indirect jump that the CPU made last; returns where it stands.
    pub fn undo_jump(&self, placement: Placement) -> VirtAddr {
        self.state().settle(placement);
        let cache = self.engine.cache();
        let from = Slot::JUMPED_FROM.get(&self.cpu.view) as u32;
        let block = cache.block(from).expect("the block that was just left is alive");
        let rip = cache.last_instruction_address(block);
        drop(cache);
        self.uncount(1);
        if let Ok(jump) = by_hand::fetch(&self.guest(), rip) {
            self.undo_stack(&jump);
        }
        rip
    }

    fn undo_stack(&self, jump: &Instruction) {
        let state = self.state();
        let top = state.gpr(RSP);
        match jump.mnemonic() {
            Mnemonic::Call => {
                let pushed_over = Slot::PUSHED_OVER.get(&self.cpu.view);
                self.guest().store(VirtAddr::new(top), pushed_over, 8).expect("the call has just stored there");
                state.set_gpr(RSP, top.wrapping_add(8));
            }
            Mnemonic::Ret => {
                let popped = if jump.op_count() > 0 { u64::from(jump.immediate16()) } else { 0 };
                state.set_gpr(RSP, top.wrapping_sub(8 + popped));
            }
            _ => {}
        }
    }
}
