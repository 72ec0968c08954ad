//! A program that steps itself: TF is set, and each instruction is followed by a trap (SDM vol. 3, 18.3.1.4).

use crate::by_hand;
use crate::context;
use crate::exit::{Exception, Exit};
use crate::run::{After, Exactness, Run};
use addr::VirtAddr;
use iced_x86::{Instruction, Mnemonic, Register};

impl Run<'_> {
    /// Executes the instruction at `rip`, and traps after it. What raises another exception, and a system call, is not
    /// followed by the trap: the kernel comes first.
    pub fn step(&mut self, rip: VirtAddr) -> After {
        let puts_trap_off = by_hand::fetch(&self.guest(), rip).is_ok_and(|instruction| loads_ss(&instruction));
        // Whatever jumps is to come back here: no jump is linked, and an indirect one finds nothing.
        context::flush_jump_cache(&self.cpu.view, self.cpu.gate.nowhere);
        (self.pending_link, self.exactness) = (None, Exactness::Step);
        let after = self.block(rip);
        self.pending_link = None;
        match after {
            After::At(next) if !puts_trap_off => After::Stop(next, Exit::Exception(Exception::Step)),
            other => other,
        }
    }
}

/// Whether an instruction loads SS, so that the next one is executed before anything traps.
fn loads_ss(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Mov | Mnemonic::Pop) && instruction.op0_register() == Register::SS
}
