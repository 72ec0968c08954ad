//! The arithmetic flags: who writes them, who reads them, and which are defined.

use addr::VirtAddr;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, RflagsBits};

/// CF, PF, AF, ZF, SF and OF.
pub const ARITHMETIC: u64 = 0x8d5;
/// DF.
pub const DIRECTION: u64 = 0x400;
const OVERFLOW: u64 = 0x800;

/// The RFLAGS bits of iced's flags.
pub fn of(bits: u32) -> u64 {
    let table = [
        (RflagsBits::CF, 1),
        (RflagsBits::PF, 4),
        (RflagsBits::AF, 0x10),
        (RflagsBits::ZF, 0x40),
        (RflagsBits::SF, 0x80),
        (RflagsBits::OF, 0x800),
        (RflagsBits::DF, DIRECTION),
    ];
    table.iter().filter(|(bit, _)| bits & bit != 0).fold(0, |flags, (_, flag)| flags | flag)
}

/// Arithmetic flags that an instruction gives a new value whatever its operands are.
pub fn kills(instruction: &Instruction) -> u64 {
    use Mnemonic::*;
    let is_shift = matches!(instruction.mnemonic(), Shl | Shr | Sar | Sal | Rol | Ror | Rcl | Rcr | Shld | Shrd);
    let may_leave_alone =
        is_shift && !shifts_by_a_number(instruction) || instruction.has_rep_prefix() || instruction.has_repne_prefix();
    if may_leave_alone { 0 } else { of(instruction.rflags_modified()) & ARITHMETIC }
}

/// Whether a shift's count is an immediate other than zero, as far as the CPU looks at it.
fn shifts_by_a_number(instruction: &Instruction) -> bool {
    let count = instruction.op_count() - 1;
    let is_wide = instruction.op_register(0).size() == 8 || instruction.memory_size().size() == 8;
    let looked_at = if is_wide { 0x3f } else { 0x1f };
    instruction.op_kind(count) == OpKind::Immediate8 && instruction.immediate8() & looked_at != 0
}

/// Flags that the architecture leaves undefined; among them OF after a rotate through CF by another number than 1.
pub fn undefined(instruction: &Instruction) -> u64 {
    let is_rotate = matches!(instruction.mnemonic(), Mnemonic::Rcl | Mnemonic::Rcr);
    let by_count = if is_rotate && instruction.op1_kind() == OpKind::Immediate8 && instruction.immediate8() != 1 {
        OVERFLOW
    } else {
        0
    };
    of(instruction.rflags_undefined()) | by_count
}

/// How many instructions are looked at for who reads a flag.
const PATIENCE: u32 = 200;

/// Arithmetic flags that somebody may still read from `rip` on, going by the instructions that `at` knows. Where it
/// knows none, all are read; where the search takes too long, the rest are not.
pub fn live(at: &dyn Fn(VirtAddr) -> Option<Instruction>, rip: VirtAddr) -> u64 {
    live_within(at, rip, &mut { PATIENCE })
}

fn live_within(at: &dyn Fn(VirtAddr) -> Option<Instruction>, rip: VirtAddr, patience: &mut u32) -> u64 {
    let (mut live, mut dead) = (0, 0);
    let mut rip = rip;
    while let Some(instruction) = at(rip) {
        if *patience == 0 || dead == ARITHMETIC {
            return live;
        }
        *patience -= 1;
        live |= of(instruction.rflags_read()) & !dead;
        dead |= kills(&instruction) & !live;
        rip = VirtAddr::new(instruction.next_ip());
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::ConditionalBranch => {
                let target = VirtAddr::new(instruction.near_branch_target());
                return live | (live_within(at, target, patience) | live_within(at, rip, patience)) & !dead;
            }
            FlowControl::UnconditionalBranch | FlowControl::Call if instruction.op0_kind() == OpKind::NearBranch64 => {
                rip = VirtAddr::new(instruction.near_branch_target());
            }
            _ => break,
        }
    }
    live | ARITHMETIC & !dead
}
