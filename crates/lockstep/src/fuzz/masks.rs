//! What may differ: undefined flags, flags that nothing reads any more, and addresses of x87 instructions.

use super::case::Case;
use super::state::{ARITHMETIC_FLAGS, DIRECTION_FLAG};
use addr::VirtAddr;
use iced_x86::{FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, RflagsBits};
use std::ops::Range;

/// Bytes of an FXSAVE image that name the last x87 instruction and its operand.
pub const X87_POINTERS: Range<usize> = 6..24;

const OVERFLOW: u64 = 0x800;

/// The RFLAGS bits of iced's flags.
fn rflags_of(bits: u32) -> u64 {
    let table = [
        (RflagsBits::CF, 1),
        (RflagsBits::PF, 4),
        (RflagsBits::AF, 0x10),
        (RflagsBits::ZF, 0x40),
        (RflagsBits::SF, 0x80),
        (RflagsBits::OF, 0x800),
        (RflagsBits::DF, DIRECTION_FLAG),
    ];
    table.iter().filter(|(bit, _)| bits & bit != 0).fold(0, |flags, (_, flag)| flags | flag)
}

/// Arithmetic flags that an instruction gives a new value whatever its operands are.
fn kills(instruction: &Instruction) -> u64 {
    use Mnemonic::*;
    let is_shift = matches!(instruction.mnemonic(), Shl | Shr | Sar | Sal | Rol | Ror | Rcl | Rcr | Shld | Shrd);
    let may_leave_alone =
        is_shift && !shifts_by_a_number(instruction) || instruction.has_rep_prefix() || instruction.has_repne_prefix();
    if may_leave_alone { 0 } else { rflags_of(instruction.rflags_modified()) & ARITHMETIC_FLAGS }
}

/// Whether a shift's count is an immediate other than zero, as far as the CPU looks at it.
fn shifts_by_a_number(instruction: &Instruction) -> bool {
    let count = instruction.op_count() - 1;
    let is_wide = instruction.op_register(0).size() == 8 || instruction.memory_size().size() == 8;
    let looked_at = if is_wide { 0x3f } else { 0x1f };
    instruction.op_kind(count) == OpKind::Immediate8 && instruction.immediate8() & looked_at != 0
}

/// Arithmetic flags that somebody may still read from `rip` on: only those are exact at a fault there.
pub fn live_flags(case: &Case, rip: VirtAddr) -> u64 {
    let mut live = 0;
    let mut dead = 0;
    let mut at = rip;
    while let Some(instruction) = case.at(at) {
        live |= rflags_of(instruction.rflags_read()) & !dead;
        dead |= kills(instruction) & !live;
        at = VirtAddr::new(instruction.next_ip());
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::ConditionalBranch => {
                let target = VirtAddr::new(instruction.near_branch_target());
                return live | (live_flags(case, target) | live_flags(case, at)) & !dead;
            }
            FlowControl::UnconditionalBranch | FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                at = VirtAddr::new(instruction.near_branch_target());
            }
            _ => break,
        }
    }
    live | ARITHMETIC_FLAGS & !dead
}

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
        found.read |= here & rflags_of(instruction.rflags_read());
        let undefined = rflags_of(instruction.rflags_undefined()) | undefined_by_count(instruction);
        here = here & !kills(instruction) | undefined;
        if instruction.flow_control() != FlowControl::Next {
            at_next_part |= here;
            if is_indirect_branch(instruction) {
                found.at_end |= here;
            }
        }
    }
    found.at_end |= here | at_next_part;
    found
}

/// OF after a rotate through CF by another number than 1.
fn undefined_by_count(instruction: &Instruction) -> u64 {
    let is_rotate = matches!(instruction.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr);
    if is_rotate && instruction.op1_kind() == OpKind::Immediate8 && instruction.immediate8() != 1 {
        OVERFLOW
    } else {
        0
    }
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

/// Whether its operand may have to be aligned, as those of SSE, and of moves that say so.
pub fn needs_alignment(instruction: &Instruction) -> bool {
    instruction.memory_size().size() >= 16
}

/// Whether its mask may leave out all of its operand.
pub fn may_be_masked_out(instruction: &Instruction) -> bool {
    matches!(instruction.mnemonic(), Mnemonic::Maskmovq | Mnemonic::Maskmovdqu | Mnemonic::Vmaskmovdqu)
}

/// Whether it is a branch to an address from a register or from memory. One that is not canonical is refused at the
/// branch by the host and at its target by us; the program dies of the same signal.
pub fn is_indirect_branch(instruction: &Instruction) -> bool {
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
