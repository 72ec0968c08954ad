//! Ten wrong translations, to see that the checkers see them.
//!
//! Each is a mistake that a translator of this kind is known for. They are asked for by [`crate::EngineConfig`], which
//! a test makes; an engine built without debug assertions never commits any, and no option of the program reaches them.

use crate::analysis::{ARITHMETIC_FLAGS, Analysed, Class, Shapes, analyse};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// A mistake to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Flags that a lookup destroyed are not brought back before an instruction that reads them.
    FlagsNotRestored,
    /// A shift or rotate by CL is taken to write all flags, also when the count is zero.
    ShiftByClKillsFlags,
    /// A register that served as scratch keeps what it had as scratch.
    ReloadOmitted,
    /// A store that crosses pages loses what goes to the second one.
    SecondPageLost,
    /// `push rsp` stores the new value.
    PushRspStoresNew,
    /// A write of 8 bits is taken to write all 64.
    ByteWriteKills,
    /// `inc` and `dec` are taken to write CF.
    IncKillsCarry,
    /// `std` is dropped.
    DirectionIgnored,
    /// A store to translated code leaves the translation as it is.
    StaleBlock,
    /// A RIP-relative address is off by the length of the instruction.
    RipRelativeOff,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::FlagsNotRestored,
        Self::ShiftByClKillsFlags,
        Self::ReloadOmitted,
        Self::SecondPageLost,
        Self::PushRspStoresNew,
        Self::ByteWriteKills,
        Self::IncKillsCarry,
        Self::DirectionIgnored,
        Self::StaleBlock,
        Self::RipRelativeOff,
    ];

    /// Analyses an instruction, wrongly where this is a mistake of the analysis.
    pub(crate) fn analyse(self, instruction: &Instruction, shapes: &mut Shapes) -> Analysed {
        use Mnemonic::*;
        let mut analysed = analyse(instruction, shapes);
        let mnemonic = instruction.mnemonic();
        let is_shift = matches!(mnemonic, Shl | Shr | Sar | Sal | Rol | Ror);
        match self {
            Self::ShiftByClKillsFlags if is_shift && instruction.op1_register() == Register::CL => {
                (analysed.flags_kill, analysed.flags_read) = (ARITHMETIC_FLAGS, 0);
            }
            Self::IncKillsCarry if matches!(mnemonic, Inc | Dec) => analysed.flags_kill = ARITHMETIC_FLAGS,
            Self::ByteWriteKills if writes_low_byte(instruction) => {
                analysed.kills |= 1 << instruction.op0_register().full_register().number();
            }
            Self::DirectionIgnored if mnemonic == Std => analysed.class = Class::Nothing,
            Self::RipRelativeOff if instruction.is_ip_rel_memory_operand() => {
                let mut wrong = *instruction;
                wrong.set_memory_displacement64(
                    instruction.ip_rel_memory_address().wrapping_sub(instruction.len() as u64),
                );
                analysed = analyse(&wrong, shapes);
            }
            _ => {}
        }
        analysed
    }
}

fn writes_low_byte(instruction: &Instruction) -> bool {
    let register = instruction.op0_register();
    let is_low = register.is_gpr8() && !matches!(register, Register::AH | Register::BH | Register::CH | Register::DH);
    instruction.mnemonic() == Mnemonic::Mov && instruction.op0_kind() == OpKind::Register && is_low
}
