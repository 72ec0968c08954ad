//! What the engine remembers of the code it has made.

use crate::asm::Reg;
use crate::gate::Exits;
use crate::source::LONGEST_INSTRUCTION;
use crate::translate::{Sharing, Variant};
use addr::{Access, VirtAddr};
use iced_x86::Instruction;
use mmu::TlbTable;
use std::num::NonZeroU32;
use std::ops::Range;

/// The number of a block in the code cache.
pub type BlockId = u32;

/// Why generated code was left: a kind in the upper four bits and a number in the others, stored by the cold path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A lookup in the software TLB failed, at this [`Site`].
    Miss(u32),
    /// A direct jump leads to a block that is not linked yet: this [`Link`].
    Link(u32),
    /// An indirect jump found nothing in the jump cache; [`JUMP_TARGET`] holds it.
    Indirect,
    /// Somebody kicked; at the head of this block.
    Kick(BlockId),
    /// An instruction that is executed by hand: this [`Helper`].
    Helper(u32),
    /// A prepared instruction has been executed: this block.
    Commit(BlockId),
    /// A host signal hit generated code.
    Trap,
    /// A lookup failed by order of `--chaos`, at this [`Site`].
    Chaos(u32),
}

impl Reason {
    const SHIFT: u32 = 28;
    const NUMBER: u32 = (1 << Self::SHIFT) - 1;

    pub fn encode(self) -> u32 {
        let (kind, number) = match self {
            Self::Miss(site) => (0, site),
            Self::Link(link) => (1, link),
            Self::Indirect => (2, 0),
            Self::Kick(block) => (3, block),
            Self::Helper(helper) => (4, helper),
            Self::Commit(block) => (5, block),
            Self::Trap => (6, 0),
            Self::Chaos(site) => (7, site),
        };
        kind << Self::SHIFT | number
    }

    pub fn decode(word: u32) -> Self {
        let number = word & Self::NUMBER;
        match word >> Self::SHIFT {
            0 => Self::Miss(number),
            1 => Self::Link(number),
            2 => Self::Indirect,
            3 => Self::Kick(number),
            4 => Self::Helper(number),
            5 => Self::Commit(number),
            6 => Self::Trap,
            _ => Self::Chaos(number),
        }
    }
}

/// Where the guest's arithmetic flags are at some point of generated code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flags {
    /// In the host's flags; or nobody reads them before they are written again.
    InCpu,
    /// In [`crate::context::Slot::FLAGS`].
    Parked,
}

/// Holds the target of an indirect jump.
pub const JUMP_TARGET: Reg = 11;
/// Holds the target's index into the jump cache.
pub const JUMP_INDEX: Reg = 10;
/// The registers whose guest values are in their slots between blocks, so that each block begins with scratch registers.
/// Of several pairs and triples that were tried these make programs fastest: few instructions use them.
pub const SPARES: u16 = 1 << JUMP_TARGET | 1 << JUMP_INDEX;

/// Where the guest's registers are at some point of generated code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Bit r: register r is in its parked slot, and the host register is scratch.
    pub parked: u16,
    /// The arithmetic flags.
    pub flags: Flags,
}

impl Placement {
    /// Where they are between two blocks.
    pub fn between_blocks(flags: Flags) -> Self {
        Self { parked: SPARES, flags }
    }
}

/// A base in an [`Address`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segment {
    /// DS, ES, CS, SS: base zero.
    Flat,
    /// FS.
    Fs,
    /// GS.
    Gs,
}

/// How an effective address is computed (SDM vol. 1, 3.7.5), from the registers before the instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    pub base: Option<u8>,
    pub index: Option<u8>,
    /// 1, 2, 4 or 8.
    pub scale: u8,
    pub segment: Segment,
    /// Address size: true arithmetic is modulo 2^32 when `narrow`.
    pub narrow: Narrow,
    /// The displacement, or the whole address when there is neither base nor index.
    pub disp: i64,
}

/// The address size of an operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Narrow {
    /// 64 bits.
    No,
    /// 32 bits: prefix 67.
    Yes,
}

impl Address {
    /// `[base + disp]`.
    pub const fn based(base: u8, disp: i64) -> Self {
        Self { base: Some(base), index: None, scale: 1, segment: Segment::Flat, narrow: Narrow::No, disp }
    }

    /// A constant.
    pub fn constant(value: u64) -> Self {
        Self { base: None, index: None, scale: 1, segment: Segment::Flat, narrow: Narrow::No, disp: value as i64 }
    }

    /// The address, when it depends on nothing.
    pub fn as_constant(&self) -> Option<u64> {
        let plain = self.base.is_none() && self.index.is_none() && self.segment == Segment::Flat;
        plain.then_some(match self.narrow {
            Narrow::No => self.disp as u64,
            Narrow::Yes => u64::from(self.disp as u32),
        })
    }

    /// The address for these registers.
    pub fn evaluate(&self, gpr: impl Fn(u8) -> u64, fs_base: u64, gs_base: u64) -> VirtAddr {
        let base = self.base.map_or(0, &gpr);
        let index = self.index.map_or(0, &gpr).wrapping_mul(u64::from(self.scale));
        let mut sum = base.wrapping_add(index).wrapping_add(self.disp as u64);
        if self.narrow == Narrow::Yes {
            sum = u64::from(sum as u32);
        }
        VirtAddr::new(sum.wrapping_add(match self.segment {
            Segment::Flat => 0,
            Segment::Fs => fs_base,
            Segment::Gs => gs_base,
        }))
    }
}

/// How an instruction uses its memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Use {
    /// Loads.
    Load,
    /// Stores.
    Store,
    /// Loads and stores, or stores on a condition.
    Modify,
}

impl Use {
    /// What the page must allow.
    pub fn access(self) -> Access {
        match self {
            Self::Load => Access::Read,
            Self::Store | Self::Modify => Access::Write,
        }
    }
}

/// A place in generated code where guest memory is accessed.
#[derive(Clone, Copy, Debug)]
pub struct Site {
    pub block: BlockId,
    /// Which instruction of the block.
    pub instruction: u8,
    pub table: TlbTable,
    pub usage: Use,
    /// The register that holds the address and then the host address.
    pub pointer: u8,
    /// Bytes accessed.
    pub bytes: u16,
    pub placement: Placement,
    pub address: Address,
    /// Host offset just after the lookup, the pointer register holding a host address.
    pub found: u32,
    pub coverage: Coverage,
}

/// What a lookup is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Coverage {
    /// One access, which is about to happen.
    Own,
    /// All bytes that several accesses may go to.
    Shared,
}

/// A direct jump from block to block.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The block that jumps.
    pub from: BlockId,
    /// Where to.
    pub target: VirtAddr,
    /// Host offset of the jump's rel32.
    pub jump: u32,
    /// Host offset of the cold path that it leads to while it is not linked.
    pub cold: u32,
    /// Which entry of the target it takes.
    pub entry: Entry,
    /// The variant of its target that it leads to.
    pub variant: Variant,
    /// The link that was made to lead to the same block before this one: links are numbered from 1 here.
    pub before: Option<NonZeroU32>,
    /// Whether it leads to a block now.
    pub linked: Linked,
}

/// Where a link leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linked {
    /// To its target's block.
    Yes,
    /// To its cold path.
    No,
}

/// Which entry of a block a jump takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Past the safepoint: the jump leads forward.
    Body,
    /// The safepoint: the jump leads backward, or nobody knows.
    Safepoint,
}

/// A place where an instruction is left to be executed by hand; unless it is a string that is usually done inline, the
/// block ends with it.
#[derive(Clone, Copy, Debug)]
pub struct Helper {
    pub block: BlockId,
    pub instruction: u8,
    pub placement: Placement,
    /// Its bytes.
    pub bytes: InstructionBytes,
    /// The instruction; `None` if the bytes are none.
    pub decoded: Option<Instruction>,
}

/// The bytes of one instruction.
#[derive(Clone, Copy, Debug)]
pub struct InstructionBytes {
    bytes: [u8; LONGEST_INSTRUCTION],
    len: u8,
}

impl InstructionBytes {
    /// `None` if they are too many.
    pub fn new(of: &[u8]) -> Option<Self> {
        let mut bytes = [0; LONGEST_INSTRUCTION];
        bytes.get_mut(..of.len())?.copy_from_slice(of);
        Some(Self { bytes, len: of.len() as u8 })
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A place in the code of a block that depends on where the block lies and which number it has: the offset of a 32-bit
/// word from the block's first host byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fixup {
    /// A [`Reason`], which goes to memory; a jump to the exit stub follows.
    Leave(u16),
    /// A [`Reason`], which goes to a register; a jump to the exit stub for that register follows.
    LeaveThrough(Reg, u16),
    /// The block's own number.
    Origin(u16),
}

impl Fixup {
    /// From the word of a reason to the rel32 of the jump after it.
    pub const TO_JUMP: usize = 5;

    /// The offset of the word.
    pub fn at(self) -> usize {
        match self {
            Self::Leave(at) | Self::LeaveThrough(_, at) | Self::Origin(at) => usize::from(at),
        }
    }

    /// Where the jump after it leads, if it is a reason.
    pub fn exit(self, exits: Exits) -> Option<u64> {
        match self {
            Self::Leave(_) => Some(exits.main),
            Self::LeaveThrough(register, _) => Some(exits.through(register)),
            Self::Origin(_) => None,
        }
    }
}

/// The numbers in the cache's tables of what belongs to a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartNumbers {
    pub sites: Range<u32>,
    pub links: Range<u32>,
    pub helpers: Range<u32>,
    /// One for each instruction.
    pub marks: Range<u32>,
    pub fixups: Range<u32>,
}

/// Whether a block is in the store already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keeping {
    /// It came from there, or went there.
    Kept,
    /// It may go there.
    Fresh,
    /// It is executed once.
    Never,
}

/// A mark at each instruction of a block: what a host signal in it means.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// Offset of its first host byte in the block.
    pub host: u16,
    /// Offset of its first guest byte in the block.
    pub guest: u16,
    /// Where the registers are when the instruction itself executes.
    pub placement: Placement,
}

impl Mark {
    /// At the first byte of a block.
    pub const START: Self = Self { host: 0, guest: 0, placement: Placement { parked: SPARES, flags: Flags::InCpu } };
}

/// A translated block.
pub struct Block {
    /// Its first instruction.
    pub rip: VirtAddr,
    /// Which of the translations at that address it is.
    pub variant: Variant,
    /// Bytes of its instructions.
    pub guest_bytes: u32,
    /// Host offset in the code cache of the safepoint.
    pub host: u32,
    /// Host offset of the first instruction's code.
    pub body: u32,
    /// The way in for indirect jumps, once one was needed.
    pub way_in: Option<WayIn>,
    /// Bytes before the safepoint that are free for a way in.
    pub room_before: u8,
    /// Whether somebody reads the flags it is entered with.
    pub flags_live: Liveness,
    /// How it goes on.
    pub leads_on: LeadsOn,
    /// Bytes of its code.
    pub host_bytes: u32,
    /// Whether its accesses may share lookups.
    pub sharing: Sharing,
    /// Whether it is in the store.
    pub keeping: Keeping,
    /// What belongs to it.
    pub parts: PartNumbers,
    /// The last link that was made to lead here; the others hang on it.
    pub incoming: Option<NonZeroU32>,
    /// Which space's code map it belongs to.
    pub map: u64,
    /// How often a shared lookup could not serve for another reason than a page boundary.
    pub unserved: u32,
    /// What its bytes were, for `--verify-code`.
    pub source_bytes: Box<[u8]>,
}

/// Where an indirect jump enters a block.
#[derive(Clone, Copy, Debug)]
pub struct WayIn {
    /// Host offset.
    pub entry: u32,
    /// Host offset of the rel32 of its conditional jump, which is taken if the target is not the block.
    pub jump: u32,
}

/// How a block goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeadsOn {
    /// To other blocks by direct jumps, or by hand.
    Directly,
    /// By an indirect jump and in no other way: the safepoint where that lands serves this block too.
    OnlyIndirectly,
}

/// Whether a value is read before it is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liveness {
    Live,
    Dead,
}

/// The registers of a set.
pub fn bits(mask: u16) -> Bits {
    Bits(mask)
}

/// What [`bits`] returns.
pub struct Bits(u16);

impl Iterator for Bits {
    type Item = u8;

    #[inline]
    fn next(&mut self) -> Option<u8> {
        let lowest = (self.0 != 0).then(|| self.0.trailing_zeros() as u8)?;
        self.0 &= self.0 - 1;
        Some(lowest)
    }
}

impl DoubleEndedIterator for Bits {
    #[inline]
    fn next_back(&mut self) -> Option<u8> {
        let highest = self.0.checked_ilog2()? as u8;
        self.0 &= !(1 << highest);
        Some(highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_their_word() {
        for reason in [
            Reason::Miss(0),
            Reason::Link(1 << 27),
            Reason::Indirect,
            Reason::Kick(7),
            Reason::Helper(1),
            Reason::Commit(2),
            Reason::Trap,
            Reason::Chaos(3),
        ] {
            assert_eq!(Reason::decode(reason.encode()), reason);
        }
    }

    #[test]
    fn effective_addresses_wrap_at_their_size() {
        let mut address = Address { index: Some(1), scale: 8, ..Address::based(0, -8) };
        let gpr = |r: u8| [u64::MAX, 2][usize::from(r)];
        assert_eq!(address.evaluate(gpr, 0, 0), VirtAddr::new(7));
        address.narrow = Narrow::Yes;
        address.segment = Segment::Fs;
        assert_eq!(address.evaluate(gpr, 0x100, 0), VirtAddr::new(0x107));
        assert_eq!(Address::based(0, -16).evaluate(|_| 0, 0, 0), VirtAddr::new(0u64.wrapping_sub(16)));
    }
}
