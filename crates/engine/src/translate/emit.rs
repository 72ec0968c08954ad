//! The emitter: where the guest's registers are, scratch registers, and the lookup.

use super::leave::Cold;
use super::{Count, Extent, Parts, Place, Plan, Variant};
use crate::analysis::{Analysed, Class, NEVER_SCRATCH};
use crate::asm::{Assembler, CC_NOT_EQUAL, Gs, Mem, RAX, RCX, Reg, Width};
use crate::block::{Flags, Mark, Placement, SPARES, bits};
use crate::context::{Slot, kick_offset};
use crate::sabotage::Sabotage;
use crate::source::LONGEST_INSTRUCTION;

pub struct Emitter<'a> {
    pub asm: Assembler,
    pub instructions: &'a [Analysed],
    pub bytes: &'a [[u8; LONGEST_INSTRUCTION]],
    /// Flags needed from instruction i on.
    pub live: &'a [u8],
    pub variant: Variant,
    pub plan: Plan,
    pub(super) place: Place,
    /// Which instruction is being emitted.
    pub index: usize,
    pub(super) registers: Whereabouts,
    pub flags: Flags,
    /// Where a block that jumps to itself does so, its scratch registers being parked for good.
    pub(super) loop_head: Option<LoopHead>,
    pub(super) prepared: usize,
    /// What has not been added to RSP yet.
    pub(super) stack_moved: i32,
    pub(super) parts: Parts,
}

/// Where the guest's values of registers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whereabouts {
    /// Only in their slots: the host registers are scratch.
    pub parked: u16,
    /// In their slots, whether the host registers have them too or not.
    pub stored: u16,
}

impl Whereabouts {
    /// Between two blocks.
    pub const BETWEEN_BLOCKS: Self = Self { parked: SPARES, stored: SPARES };
}

/// Where [`Emitter::keep`] put something.
#[derive(Clone, Copy)]
pub enum Kept {
    In(Reg),
    /// In [`Slot::SCRATCH`].
    InMemory,
}

/// The head of a loop inside a block.
#[derive(Clone, Copy)]
pub struct LoopHead {
    /// Offset of its safepoint.
    at: u32,
    /// What is parked there on every turn.
    parked: u16,
}

/// Whether a jump went back to the head of the block's loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Looped {
    Yes,
    No,
}

impl<'a> Emitter<'a> {
    pub fn new(
        instructions: &'a [Analysed],
        bytes: &'a [[u8; LONGEST_INSTRUCTION]],
        live: &'a [u8],
        variant: Variant,
        plan: Plan,
        place: Place,
        mut parts: Parts,
    ) -> Self {
        Self {
            asm: Assembler::new(std::mem::take(&mut parts.code), place.address),
            instructions,
            bytes,
            live,
            variant,
            plan,
            place,
            index: 0,
            registers: Whereabouts::BETWEEN_BLOCKS,
            flags: variant.flags(),
            loop_head: None,
            prepared: 0,
            stack_moved: 0,
            parts,
        }
    }

    pub fn into_parts(self) -> Parts {
        Parts { code: self.asm.into_buffer(), ..self.parts }
    }

    /// The instruction being emitted.
    pub fn current(&self) -> &'a Analysed {
        &self.instructions[self.index]
    }

    /// The bytes of the instruction being emitted.
    pub fn current_bytes(&self) -> &'a [u8] {
        &self.bytes[self.index][..usize::from(self.current().len)]
    }

    /// Whether a mistake is to be made.
    pub fn commits(&self, sabotage: Sabotage) -> bool {
        self.plan.sabotage == Some(sabotage)
    }

    pub(super) fn placement(&self) -> Placement {
        Placement { parked: self.registers.parked, flags: self.flags }
    }

    /// Says that the host code from here on is the current instruction itself.
    pub fn mark(&mut self) {
        let guest = self.current().rip - self.instructions[0].rip;
        self.parts.marks.push(Mark { host: self.asm.here() as u16, guest: guest as u16, placement: self.placement() });
    }

    // Registers.

    /// Frees a host register: the guest's value goes to its slot, unless it is there already.
    pub fn park(&mut self, register: Reg) {
        if self.registers.stored & 1 << register == 0 {
            self.asm.store_gs(Width::B64, Slot::parked(register), register);
        }
        self.set_parked(1 << register);
    }

    /// Says that the guest's values of registers are in their slots.
    pub fn set_parked(&mut self, registers: u16) {
        self.registers.parked |= registers;
        self.registers.stored |= registers;
    }

    /// The registers whose guest values are only in their slots.
    pub fn parked(&self) -> u16 {
        self.registers.parked
    }

    /// The registers that are scratch and hold nothing.
    pub fn free(&self) -> u16 {
        self.registers.parked & !self.held()
    }

    /// Whether the guest's value of a register is in its slot.
    pub fn is_parked(&self, register: Reg) -> bool {
        self.registers.parked & 1 << register != 0
    }

    /// Brings guest registers back into their host registers.
    pub fn unpark(&mut self, registers: u16) {
        if registers & self.registers.parked == 0 {
            return;
        }
        let kept = if self.commits(Sabotage::ReloadOmitted) { 0 } else { registers & self.registers.parked };
        for register in bits(kept) {
            self.asm.load_gs(Width::B64, register, Slot::parked(register));
        }
        self.registers.parked &= !registers;
    }

    /// Brings registers to where they are between blocks.
    pub fn settle(&mut self) {
        self.unpark(!SPARES);
        for register in bits(SPARES) {
            self.park(register);
        }
    }

    /// Whether they are there.
    pub fn is_settled(&self) -> bool {
        self.registers.parked & !SPARES == 0 && self.registers.stored & SPARES == SPARES
    }

    /// Brings all of them back, the spare ones too.
    pub fn unpark_all(&mut self) {
        self.unpark(u16::MAX);
    }

    /// Says that an instruction has just written registers: what their slots hold is old.
    pub fn written(&mut self, registers: u16) {
        self.registers.parked &= !registers;
        self.registers.stored &= !registers;
    }

    /// A parked register, other than the forbidden ones: one that is parked already if there is one, else one whose
    /// value need not be stored, and the one that is used last from here on.
    pub fn scratch(&mut self, forbidden: u16) -> Reg {
        let allowed = !(forbidden | NEVER_SCRATCH | self.held());
        let better = [allowed & self.registers.parked, allowed & self.registers.stored];
        let register = self.used_last(better.into_iter().find(|better| *better != 0).unwrap_or(allowed));
        self.park(register);
        register
    }

    fn used_last(&self, candidates: u16) -> Reg {
        let mut left = candidates;
        for later in &self.instructions[self.index + 1..] {
            let unused = left & !later.uses();
            if unused == 0 {
                break;
            }
            left = unused;
        }
        // The highest: low registers have shorter encodings and more uses.
        15 - left.leading_zeros() as Reg
    }

    // Flags.

    /// Moves the flags to their slot, if somebody reads them at or after the current instruction; `busy` registers hold
    /// something that is needed. RAX may end up parked.
    pub fn free_flags(&mut self, busy: u16) {
        if self.live[self.index] == 0 || self.flags == Flags::Parked {
            return;
        }
        let has_room = self.free() & !(busy | 1 << RAX) != 0;
        let kept = (has_room && !self.is_parked(RAX)).then(|| self.keep(RAX, busy));
        if kept.is_none() {
            self.park(RAX);
        }
        self.asm.flags_to_ax();
        self.asm.store_gs(Width::B32, Slot::FLAGS, RAX);
        if let Some(kept) = kept {
            self.bring_back(RAX, kept);
        }
        self.flags = Flags::Parked;
    }

    /// Moves the flags back; `busy` registers hold something that is needed.
    pub fn unpark_flags(&mut self, busy: u16) {
        if self.flags == Flags::InCpu {
            return;
        }
        let is_needed = (busy | self.held()) & 1 << RAX != 0 || !self.is_parked(RAX);
        let kept = is_needed.then(|| self.keep(RAX, busy));
        if !self.commits(Sabotage::FlagsNotRestored) {
            self.asm.load_gs(Width::B32, RAX, Slot::FLAGS);
            self.asm.ax_to_flags();
        }
        if let Some(kept) = kept {
            self.bring_back(RAX, kept);
        }
        self.flags = Flags::InCpu;
    }

    /// Puts what a host register holds aside for a moment: into a register that is free, or into memory. `busy` registers
    /// hold something that is needed.
    pub(super) fn keep(&mut self, register: Reg, busy: u16) -> Kept {
        match bits(self.free() & !(busy | 1 << register)).next_back() {
            Some(free) => {
                self.asm.mov(Width::B64, free, register);
                Kept::In(free)
            }
            None => {
                self.asm.store_gs(Width::B64, Slot::SCRATCH, register);
                Kept::InMemory
            }
        }
    }

    /// Brings it back; no flag is touched.
    pub(super) fn bring_back(&mut self, register: Reg, kept: Kept) {
        match kept {
            Kept::In(free) => self.asm.mov(Width::B64, register, free),
            Kept::InMemory => self.asm.load_gs(Width::B64, register, Slot::SCRATCH),
        }
    }

    /// Brings the flags back if the current instruction reads them, or writes some and leaves others that are read
    /// later; if it writes all that matter, forgets the parked ones.
    pub fn flags_for_current(&mut self, busy: u16) {
        let current = self.current();
        if current.flags_read | current.flags_write == 0 {
            return;
        }
        let passes = self.live[self.index + 1] & !current.flags_kill;
        if current.flags_read | passes != 0 {
            self.unpark_flags(busy);
        }
        self.flags = Flags::InCpu;
    }

    // The head of the block.

    /// Leaves if somebody kicked.
    pub fn safepoint(&mut self) {
        let registers = self.registers;
        if self.live[0] == 0 || self.flags == Flags::Parked {
            self.asm.cmp_gs_imm(Width::B32, Gs::At(kick_offset()), 0);
            let jump = self.asm.jcc(CC_NOT_EQUAL, self.place.exits.main);
            self.parts.cold.push(Cold::Kick { jump, registers });
            return;
        }
        let kept = self.keep(RCX, 0);
        self.asm.load_gs(Width::B32, RCX, Gs::At(kick_offset()));
        let quiet = self.asm.short(0xe3);
        self.bring_back(RCX, kept);
        let jump = self.asm.jmp(self.place.exits.main);
        self.parts.cold.push(Cold::Kick { jump, registers });
        self.asm.bind_short(quiet);
        self.bring_back(RCX, kept);
    }

    /// If the block jumps back to its own start: parks registers that it never uses once and for all turns of the
    /// loop, and brings the spare ones that it uses into place. The loop gets a safepoint of its own. A loop that needs
    /// neither goes back to the block's.
    pub fn begin_loop(&mut self) {
        let own_start = self.instructions[0].rip;
        let Some(Class::Branch(_, target)) = self.instructions.last().map(|last| last.class) else { return };
        if target != own_start || self.variant != Variant::Plain || self.plan.extent != Extent::Superblock {
            return;
        }
        let used = self.instructions.iter().fold(0, |used, instruction| used | instruction.uses());
        if used & SPARES == 0 && self.instructions.iter().all(Analysed::stays_in_registers) {
            return;
        }
        // RAX serves the flags.
        let unused = !(used | NEVER_SCRATCH | 1 << RAX);
        self.unpark(used);
        for register in bits(unused).rev().take(4) {
            self.park(register);
        }
        // On later turns the slots of the others are old.
        self.registers.stored = self.registers.parked;
        self.loop_head = Some(LoopHead { at: self.asm.here(), parked: self.registers.parked });
        self.safepoint();
    }

    /// Goes back to the loop's head on a condition, if the block is one; the flags are in place.
    pub fn loop_back(&mut self, condition: u8) -> Looped {
        let Some(LoopHead { at, parked }) = self.loop_head else { return Looped::No };
        self.unpark(!parked);
        debug_assert_eq!(self.registers.parked, parked, "what a loop parks for good stays parked");
        let head = self.asm.address() - u64::from(self.asm.here()) + u64::from(at);
        self.asm.jcc(condition, head);
        Looped::Yes
    }

    /// Adds the block's instructions to the count.
    pub fn count_block(&mut self) {
        if self.plan.count == Count::Yes {
            self.add_to_count(self.instructions.len() as i32);
        }
    }

    /// Adds without touching a flag.
    pub(super) fn add_to_count(&mut self, instructions: i32) {
        let kept = self.keep(RCX, 0);
        self.asm.load_gs(Width::B64, RCX, Slot::COUNT);
        self.asm.lea(Width::B64, RCX, Mem { base: Some(RCX), index: None, scale: 1, disp: instructions });
        self.asm.store_gs(Width::B64, Slot::COUNT, RCX);
        self.bring_back(RCX, kept);
    }

    /// Says that x87 state may change from here on.
    pub fn note_x87(&mut self) {
        self.asm.store_gs_imm(Slot::X87_USED, 1);
    }
}
