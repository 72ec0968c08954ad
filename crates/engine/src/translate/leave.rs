//! Leaving a block: links to other blocks, reasons, and the cold paths.

use super::emit::{Emitter, Whereabouts};
use super::{Count, Variant};
use crate::analysis::decode;
use crate::asm::{CC_BELOW_OR_EQUAL, Reg};
use crate::block::{Entry, Fixup, Flags, Helper, InstructionBytes, JUMP_TARGET, Link, Linked, Reason};
use crate::context::Slot;
use addr::{PAGE_BYTES, VirtAddr};

/// A path that is emitted after the block: jumped to from a rel32 at an offset.
pub enum Cold {
    /// Leave, and say why, through a register if one is scratch.
    Leave { jump: u32, reason: Reason, through: Option<Reg> },
    /// Bring registers to where they are between blocks, and leave because somebody kicked.
    Kick { jump: u32, registers: Whereabouts },
    /// Bring registers to where they are between blocks, correct the count, and go to another block.
    Side { jump: u32, registers: Whereabouts, target: VirtAddr, entry: Entry, uncounted: u32 },
    /// A shared lookup failed: ask for its page, or, if it has the right one but reaches out of it, go on exactly.
    Shared { jump: u32, site: u32, pointer: Reg, registers: Whereabouts, flags: Flags, index: usize },
    /// What an unlinked jump leads to; the link's number.
    Link { link: u32 },
}

impl Emitter<'_> {
    /// Leaves here for an instruction that is done by hand.
    pub fn leave_for_helper(&mut self) {
        let reason = self.helper_here();
        self.leave(reason);
    }

    /// The reason for leaving to do the current instruction by hand, registers being where they are now.
    pub fn helper_here(&mut self) -> Reason {
        let number = self.place.first_helper + self.parts.helpers.len() as u32;
        self.parts.helpers.push(Helper {
            block: self.place.block,
            instruction: self.index as u8,
            placement: self.placement(),
            bytes: InstructionBytes::new(self.current_bytes()).expect("an instruction is no longer than the longest"),
            decoded: decode(self.current_bytes(), self.current().rip),
        });
        Reason::Helper(number)
    }

    /// Leaves here.
    pub fn leave(&mut self, reason: Reason) {
        self.asm.store_gs_imm(Slot::REASON, reason.encode());
        self.parts.fixups.push(Fixup::Leave((self.asm.here() - 4) as u16));
        self.asm.jmp(self.place.exits.main);
    }

    /// Leaves here; what a register holds is lost.
    fn leave_through(&mut self, register: Reg, reason: Reason) {
        self.asm.mov_imm(register, u64::from(reason.encode()));
        self.parts.fixups.push(Fixup::LeaveThrough(register, (self.asm.here() - 4) as u16));
        self.asm.jmp(self.place.exits.through(register));
    }

    /// Leaves if a condition holds.
    pub fn leave_if(&mut self, condition: u8, reason: Reason) {
        let jump = self.asm.jcc(condition, self.place.exits.main);
        self.parts.cold.push(Cold::Leave { jump, reason, through: None });
    }

    /// The block's number, for its commit.
    pub fn commit(&self) -> Reason {
        Reason::Commit(self.place.block)
    }

    /// Goes to another block; everything is in place.
    pub fn link(&mut self, target: VirtAddr) {
        let jump = self.asm.jmp(self.place.exits.main);
        self.add_link(jump, target, self.entry_for(target), Variant::entered_with(self.flags));
    }

    /// Goes to another block on a condition; everything is in place.
    pub fn link_if(&mut self, condition: u8, target: VirtAddr) {
        let jump = self.asm.jcc(condition, self.place.exits.main);
        self.add_link(jump, target, self.entry_for(target), Variant::entered_with(self.flags));
    }

    /// Leaves the block sideways on a condition; the flags are in place, registers need not be.
    pub fn side_exit(&mut self, condition: u8, target: VirtAddr) {
        let uncounted = (self.instructions.len() - self.index - 1) as u32;
        if self.is_settled() && (self.plan.count == Count::No || uncounted == 0) {
            self.link_if(condition, target);
            return;
        }
        let jump = self.asm.jcc(condition, self.place.exits.main);
        let entry = self.entry_for(target);
        self.parts.cold.push(Cold::Side { jump, registers: self.registers, target, entry, uncounted });
    }

    fn entry_for(&self, target: VirtAddr) -> Entry {
        if target > self.current().rip { Entry::Body } else { Entry::Safepoint }
    }

    fn add_link(&mut self, jump: u32, target: VirtAddr, entry: Entry, variant: Variant) {
        let link = self.parts.links.len() as u32;
        self.parts.links.push(Link {
            from: self.place.block,
            target,
            jump: self.place.host + jump,
            cold: 0,
            entry,
            variant,
            before: None,
            linked: Linked::No,
        });
        self.parts.cold.push(Cold::Link { link });
    }

    /// Goes to the exact translation of an instruction of the block.
    fn go_on_exactly(&mut self, registers: Whereabouts, flags: Flags, index: usize) {
        (self.registers, self.flags, self.index) = (registers, flags, index);
        self.unpark_flags(0);
        self.settle();
        if self.plan.count == Count::Yes {
            self.add_to_count(-((self.instructions.len() - index) as i32));
        }
        let jump = self.asm.jmp(self.place.exits.main);
        self.add_link(jump, self.current().rip, Entry::Body, Variant::Exact);
    }

    /// Emits every cold path and leads the jumps there.
    pub fn emit_cold(&mut self) {
        self.parts.shared.clear();
        let mut next = 0;
        while next < self.parts.cold.len() {
            let cold = std::mem::replace(&mut self.parts.cold[next], Cold::Link { link: u32::MAX });
            next += 1;
            let here = self.asm.address();
            match cold {
                Cold::Leave { jump, reason, through } => {
                    self.asm.patch_rel32(jump, here);
                    match through {
                        Some(register) => self.leave_through(register, reason),
                        None => self.leave(reason),
                    }
                }
                Cold::Kick { jump, registers } => {
                    self.asm.patch_rel32(jump, here);
                    self.registers = registers;
                    self.settle();
                    self.leave_through(JUMP_TARGET, Reason::Kick(self.place.block));
                }
                Cold::Side { jump, registers, target, entry, uncounted } => {
                    self.asm.patch_rel32(jump, here);
                    self.registers = registers;
                    self.flags = Flags::InCpu;
                    self.settle();
                    if self.plan.count == Count::Yes && uncounted != 0 {
                        self.add_to_count(-(uncounted as i32));
                    }
                    let jump = self.asm.jmp(self.place.exits.main);
                    self.add_link(jump, target, entry, Variant::Plain);
                }
                Cold::Shared { jump, site, pointer, registers, flags, index } => {
                    self.asm.patch_rel32(jump, here);
                    self.asm.cmp(pointer, PAGE_BYTES as i32 - 1);
                    let crosses = self.asm.jcc(CC_BELOW_OR_EQUAL, self.place.exits.main);
                    self.leave_through(pointer, Reason::Miss(site));
                    self.asm.patch_rel32(crosses, self.asm.address());
                    self.go_on_exactly(registers, flags, index);
                }
                Cold::Link { link } => {
                    let at = self.asm.here();
                    let record = &mut self.parts.links[link as usize];
                    record.cold = self.place.host + at;
                    let jump = record.jump - self.place.host;
                    self.asm.patch_rel32(jump, here);
                    self.leave_through(JUMP_TARGET, Reason::Link(self.place.first_link + link));
                }
            }
        }
    }
}
