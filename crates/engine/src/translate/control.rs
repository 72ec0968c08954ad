//! Jumps, calls, returns, and the end of a block.

use super::Variant;
use super::emit::{Emitter, Looped};
use crate::analysis::{Class, Operand, Target};
use crate::asm::{At, RSP, Width};
use crate::block::{Address, Fixup, Flags, JUMP_INDEX, JUMP_TARGET, Narrow, Use};
use crate::context::{Slot, jump_cache_offset};
use addr::VirtAddr;

impl Emitter<'_> {
    /// Emits an instruction that jumps or leaves.
    pub fn control(&mut self) {
        match self.current().class {
            Class::Branch(condition, target) => self.branch(condition, target),
            Class::CountBranch(opcode, narrow, target) => self.count_branch(opcode, narrow, target),
            Class::Jump(target) => {
                self.mark();
                self.go_to(target);
            }
            Class::Call(target) => {
                let at = self.push_slot(0);
                self.push_return_address(at, 0);
                self.go_to(target);
            }
            Class::JumpIndirect(target) => {
                self.load_target(target);
                self.mark();
                self.jump_through_cache();
            }
            Class::CallIndirect(target) => {
                self.load_target(target);
                let at = self.push_slot(1 << JUMP_TARGET);
                // For the case that the target is no address: then nothing was pushed.
                let below = self.scratch(1 << JUMP_TARGET | 1 << at.pointer);
                self.asm.load(below, at);
                self.asm.store_gs(Width::B64, Slot::PUSHED_OVER, below);
                self.push_return_address(at, 1 << JUMP_TARGET);
                self.jump_through_cache();
            }
            Class::Return(extra) => {
                self.load_target(Target::Memory(Address::based(RSP, 0)));
                self.mark();
                self.move_stack_pointer(8 + i32::from(extra));
                self.jump_through_cache();
            }
            _ => {
                self.mark();
                self.leave_for_helper();
            }
        }
    }

    /// Ends a block whose last instruction does not jump.
    pub fn finish_block(&mut self) {
        if self.variant == Variant::Prepared && !self.current().ends_block() {
            self.unpark_flags(0);
            self.unpark_all();
            self.leave(self.commit());
            return;
        }
        match self.current().class {
            Class::Branch(..) => {
                self.settle();
                self.link(self.current().next());
            }
            _ if self.current().ends_block() => {}
            _ => self.go_to(self.current().next()),
        }
    }

    fn branch(&mut self, condition: u8, target: VirtAddr) {
        self.unpark_flags(0);
        if self.index + 1 == self.instructions.len() {
            self.mark();
            if self.loop_back(condition) == Looped::No {
                self.settle();
                self.link_if(condition, target);
            }
        } else {
            self.mark();
            self.side_exit(condition, target);
        }
    }

    /// `jrcxz` and `loop` reach only 127 bytes, so they jump over a jump.
    fn count_branch(&mut self, opcode: u8, narrow: Narrow, target: VirtAddr) {
        self.flags_before_link();
        self.settle();
        self.mark();
        if narrow == Narrow::Yes {
            self.asm.raw(&[0x67]);
        }
        let taken = self.asm.short(opcode);
        self.link(self.current().next());
        self.asm.bind_short(taken);
        self.link(target);
    }

    /// Goes on at a constant address; parked flags stay parked, if somebody may read them there.
    fn go_to(&mut self, target: VirtAddr) {
        if self.live[self.index + 1] == 0 {
            self.flags = Flags::InCpu;
        }
        self.settle();
        self.link(target);
    }

    fn flags_before_link(&mut self) {
        if self.live[self.index] != 0 {
            self.unpark_flags(0);
        }
    }

    /// Stores the address after the call; `busy` registers hold something that is needed.
    fn push_return_address(&mut self, at: At, busy: u16) {
        let value = self.current().next().get();
        match i32::try_from(value as i64) {
            Ok(value) => {
                self.mark();
                self.asm.store_imm(at, value);
            }
            Err(_) => {
                let register = self.scratch(busy | 1 << at.pointer);
                self.mark();
                self.asm.mov_imm(register, value);
                self.asm.store(at, register);
            }
        }
        self.move_stack_pointer(-8);
    }

    /// Loads the target of an indirect jump into its register, which ends up parked.
    fn load_target(&mut self, target: Target) {
        match target {
            Target::Register(register) => {
                let is_parked = self.is_parked(register);
                self.park(JUMP_TARGET);
                if is_parked {
                    self.asm.load_gs(Width::B64, JUMP_TARGET, Slot::parked(register));
                } else if register != JUMP_TARGET {
                    self.asm.mov(Width::B64, JUMP_TARGET, register);
                }
            }
            Target::Memory(address) => {
                let operand = Operand { address, usage: Use::Load, bytes: 8 };
                let at = match self.shared(&operand) {
                    Some(at) => {
                        self.park(JUMP_TARGET);
                        at
                    }
                    None => {
                        self.prepare(Self::needs(&address), 0);
                        self.park(JUMP_TARGET);
                        let index = self.index_beside(JUMP_TARGET, Self::needs(&address), &address);
                        self.lookup(address, Use::Load, 8, JUMP_TARGET, index);
                        At::from(JUMP_TARGET)
                    }
                };
                self.asm.load(JUMP_TARGET, at);
            }
        }
    }

    /// Jumps to where the jump cache says for the guest address in its register: to the way into a block, which sees
    /// whether the address is its own. Nobody knows here who reads the flags, and few do, so they are parked. The block is
    /// noted, because a jump to what is no address is refused where it stands.
    fn jump_through_cache(&mut self) {
        self.free_flags(1 << JUMP_TARGET);
        self.settle();
        self.asm.store_gs_imm(Slot::JUMPED_FROM, self.place.block);
        self.parts.fixups.push(Fixup::Origin((self.asm.here() - 4) as u16));
        self.asm.zero_extend16(JUMP_INDEX, JUMP_TARGET);
        self.asm.jmp_gs_scaled(JUMP_INDEX, jump_cache_offset());
    }
}
