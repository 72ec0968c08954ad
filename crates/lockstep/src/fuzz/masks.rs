//! What may differ: undefined flags, flags that nothing reads any more, and addresses of x87 instructions.

use super::case::Case;
use crate::flags;
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind};
use std::ops::Range;

/// What becomes of undefined flags over a case.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Undefined {
    /// Undefined at one of the ends at least.
    pub at_end: u64,
    /// Undefined where somebody reads them: what follows from that is undefined too.
    pub read: u64,
}

/// Follows undefined flags along the parts of a case: control leaves a part at its end, for good, or by a branch, to
/// the next part.
pub fn undefined_flags(case: &Case) -> Undefined {
    let mut found = Undefined::default();
    let (mut here, mut at_next_part) = (0, 0);
    let mut expected = None;
    for placed in &case.code {
        let instruction = &placed.instruction;
        if expected.is_some_and(|expected| expected != instruction.ip()) {
            found.at_end |= here;
            here = std::mem::take(&mut at_next_part);
        }
        expected = Some(instruction.next_ip());
        found.read |= here & flags::of(instruction.rflags_read());
        let undefined = flags::undefined(instruction);
        here = here & !flags::kills(instruction) | undefined;
        if instruction.flow_control() != FlowControl::Next {
            at_next_part |= here;
            if is_indirect_branch(instruction) || instruction.flow_control() == FlowControl::Exception {
                found.at_end |= here;
            }
        }
    }
    found.at_end |= here | at_next_part;
    found
}

/// Whether the CPU may touch the bytes of its operands in any order, so that any of them may be the first refused:
/// microcoded moves, and instructions with two operands in memory.
pub fn order_is_open(instruction: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(
        instruction.mnemonic(),
        Fnstenv
            | Fldenv
            | Fnsave
            | Frstor
            | Fxsave
            | Fxsave64
            | Fxrstor
            | Fxrstor64
            | Maskmovq
            | Maskmovdqu
            | Vmaskmovdqu
            | Enter
    ) || matches!(instruction.op0_kind(), OpKind::MemorySegRSI | OpKind::MemorySegESI)
        && instruction.op_count() == 2
        && matches!(instruction.op1_kind(), OpKind::MemoryESRDI | OpKind::MemoryESEDI)
        || instruction.is_vsib()
}

/// Whether its mask may leave out all of its operand.
pub fn may_be_masked_out(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Maskmovq | Mnemonic::Maskmovdqu | Mnemonic::Vmaskmovdqu)
}

/// Whether it is a branch to an address from a register or from memory.
fn is_indirect_branch(instruction: &Instruction) -> bool {
    matches!(instruction.flow_control(), FlowControl::IndirectBranch | FlowControl::IndirectCall | FlowControl::Return)
}

/// Where the case stores addresses of x87 instructions: offsets from the start of a memory operand.
pub fn x87_pointer_bytes(instruction: &Instruction) -> Option<Range<u64>> {
    use Mnemonic::*;
    match instruction.mnemonic() {
        Fnstenv | Fstenv | Fnsave | Fsave => Some(6..28),
        // And the mask of MXCSR: the host may know bits that are not announced.
        Fxsave | Fxsave64 => Some(6..32),
        _ => None,
    }
}

/// Whether the instruction stores to its memory operand.
pub fn stores(instruction: &Instruction) -> bool {
    let mut factory = InstructionInfoFactory::new();
    factory.info(instruction).used_memory().iter().any(|memory| {
        matches!(memory.access(), OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite)
    })
}
