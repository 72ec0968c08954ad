//! Instructions that do not jump.

use super::emit::Emitter;
use crate::analysis::{Class, NEVER_SCRATCH, Operand, PUSH_SLOT, Pushed, TOP_OF_STACK};
use crate::asm::{At, Mem, RAX, RBP, RSP, Reg, Width};
use crate::block::{Address, Use, bits};
use crate::layout::{self, HighByte, Layout};
use crate::sabotage::Sabotage;

/// Registers that can be named without a REX prefix.
const LOW_REGISTERS: u16 = 0x00ff;

impl Emitter<'_> {
    /// Emits one instruction of the block.
    pub fn instruction(&mut self, index: usize) {
        self.index = index;
        self.end_shared();
        self.share_before_flags();
        self.emit_current();
        self.move_shared();
    }

    fn emit_current(&mut self) {
        match self.current().class {
            Class::Plain => self.plain(),
            Class::Nothing => self.mark(),
            Class::LoadAddress { to, value, bits } => self.load_address(to, value, bits),
            Class::Memory(operand) => self.memory(operand),
            Class::Moffs(operand) => self.moffs(operand),
            Class::Push(pushed) => self.push(pushed),
            Class::Pop(to) => self.pop(to),
            Class::Leave => self.leave_frame(),
            Class::RepeatedMove(bytes) => self.repeated_move(bytes),
            Class::RepeatedStore(bytes) => self.repeated_store(bytes),
            Class::SetDirection(value) => {
                self.plain();
                self.set_direction(value);
            }
            _ => self.control(),
        }
    }

    fn plain(&mut self) {
        self.flags_for_current(0);
        self.unpark(self.current().reads);
        self.mark();
        let bytes = self.current_bytes();
        self.asm.raw(bytes);
        self.written(self.current().writes);
    }

    fn load_address(&mut self, to: Reg, value: u64, bits: u32) {
        self.unpark(self.current().reads);
        self.mark();
        match bits {
            64 => self.asm.mov_imm(to, value),
            32 => self.asm.mov_imm(to, u64::from(value as u32)),
            _ => {
                // mov r16, imm16; the upper bits stay, so the register is in place.
                self.unpark(1 << to);
                self.asm.raw(&[0x66]);
                if to >= 8 {
                    self.asm.raw(&[0x41]);
                }
                self.asm.raw(&[0xb8 | to & 7]);
                self.asm.raw(&(value as u16).to_le_bytes());
            }
        }
        self.written(self.current().writes);
    }

    fn memory(&mut self, operand: Operand) {
        let layout = Layout::of(self.current_bytes());
        self.access(operand, |emitter, at| layout.with_base(at, emitter.asm.buffer()));
    }

    /// `mov` A0 to A3 as 8A, 8B, 88, 89 with the accumulator in the reg field.
    fn moffs(&mut self, operand: Operand) {
        let bytes = self.current_bytes();
        let opcode_at = layout::opcode_offset(bytes);
        let mut equivalent: Vec<u8> = bytes[..opcode_at].iter().copied().filter(|byte| *byte != 0x67).collect();
        equivalent.extend([[0x8a, 0x8b, 0x88, 0x89][usize::from(bytes[opcode_at] & 3)], 0]);
        self.access(operand, |emitter, at| Layout::of(&equivalent).with_base(at, emitter.asm.buffer()));
    }

    /// An access and the instruction that makes it.
    fn access(&mut self, operand: Operand, instruction: impl FnOnce(&mut Self, At)) {
        let current = self.current();
        let at = match self.shared(&operand) {
            Some(at) => {
                self.unpark(current.reads);
                at
            }
            None => At::from(self.look_up(&operand)),
        };
        self.flags_for_current(1 << at.pointer | current.uses());
        self.mark();
        instruction(self, at);
        self.written(current.writes);
    }

    /// Makes a lookup for one operand of the current instruction; returns the register that holds its host address.
    fn look_up(&mut self, operand: &Operand) -> Reg {
        let current = self.current();
        self.prepare(current.reads | Self::needs(&operand.address), 0);
        let encodable = if current.high_byte == HighByte::Yes { LOW_REGISTERS } else { u16::MAX };
        let busy = current.uses() | Self::needs(&operand.address);
        let destination = if operand.usage == Use::Load { current.kills & encodable & !NEVER_SCRATCH } else { 0 };
        let pointer = self.pointer(destination, busy | !encodable, &operand.address);
        let index = self.index_beside(pointer, busy, &operand.address);
        self.lookup(operand.address, operand.usage, operand.bytes, pointer, index);
        pointer
    }

    /// A parked register for a host address: one that is scratch already if that leaves another for the index, else the
    /// destination, if there is one.
    fn pointer(&mut self, destination: u16, busy: u16, address: &Address) -> Reg {
        let needed = if address.as_constant().is_some() { 1 } else { 2 };
        let is_scarce = (self.free() & !busy).count_ones() < needed;
        match bits(destination).next().filter(|_| is_scarce) {
            Some(register) => {
                self.park(register);
                register
            }
            None => self.scratch(busy),
        }
    }

    /// A parked register for the index into the software TLB: none, that is the pointer, where the page is known.
    pub fn index_beside(&mut self, pointer: Reg, busy: u16, address: &Address) -> Reg {
        if address.as_constant().is_some() {
            return pointer;
        }
        self.scratch(busy | 1 << pointer)
    }

    fn push(&mut self, pushed: Pushed) {
        let value = match pushed {
            Pushed::Register(register) => Some(register),
            Pushed::Immediate(_) => None,
            Pushed::Memory(address) => Some(self.load_pushed(address)),
        };
        let at = self.push_slot(value.map_or(0, |register| 1 << register));
        if let Pushed::Register(register) = pushed {
            self.unpark(1 << register);
        }
        self.mark();
        match pushed {
            Pushed::Immediate(immediate) => self.asm.store_imm(at, immediate),
            Pushed::Register(RSP) if self.commits(Sabotage::PushRspStoresNew) => {
                self.move_stack_pointer(-8);
                return self.asm.store(at, RSP);
            }
            _ => self.asm.store(at, value.expect("a register or a loaded word is pushed")),
        }
        self.move_stack_pointer(-8);
    }

    /// Loads the word that a `push` of memory pushes into a scratch register.
    fn load_pushed(&mut self, address: Address) -> Reg {
        let operand = Operand { address, usage: Use::Load, bytes: 8 };
        let (value, at) = match self.shared(&operand) {
            // Not RAX: the flags may have to pass through it before the word is pushed.
            Some(at) => (self.scratch(Self::needs(&address) | 1 << RAX), at),
            None => {
                self.prepare(Self::needs(&address), 0);
                let value = self.scratch(Self::needs(&address));
                let index = self.index_beside(value, Self::needs(&address), &address);
                self.lookup(address, Use::Load, 8, value, index);
                (value, At::from(value))
            }
        };
        self.asm.load(value, at);
        value
    }

    /// Where a push stores; `busy` registers hold something that is needed.
    pub fn push_slot(&mut self, busy: u16) -> At {
        if let Some(at) = self.shared_beside(&PUSH_SLOT, busy) {
            return at;
        }
        self.prepare(0, busy);
        let pointer = self.scratch(busy);
        let index = self.scratch(busy | 1 << pointer);
        self.lookup(PUSH_SLOT.address, PUSH_SLOT.usage, PUSH_SLOT.bytes, pointer, index);
        At::from(pointer)
    }

    fn pop(&mut self, to: Reg) {
        let at = match self.shared(&TOP_OF_STACK) {
            Some(at) => at,
            None => {
                self.prepare(0, 0);
                let destination = if to == RSP { 0 } else { 1 << to };
                let pointer = self.pointer(destination, 0, &TOP_OF_STACK.address);
                let index = self.scratch(1 << pointer);
                self.lookup(TOP_OF_STACK.address, TOP_OF_STACK.usage, TOP_OF_STACK.bytes, pointer, index);
                At::from(pointer)
            }
        };
        self.mark();
        self.asm.load(to, at);
        if to != RSP {
            self.move_stack_pointer(8);
        }
        self.written(1 << to);
    }

    /// `mov rsp, rbp; pop rbp`, with RSP moved after the load.
    fn leave_frame(&mut self) {
        self.prepare(1 << RBP, 0);
        let pointer = self.scratch(1 << RBP);
        let index = self.scratch(1 << RBP | 1 << pointer);
        self.lookup(Address::based(RBP, 0), Use::Load, 8, pointer, index);
        self.mark();
        self.asm.load(pointer, pointer);
        self.asm.lea(Width::B64, RSP, Mem { base: Some(RBP), index: None, scale: 1, disp: 8 });
        self.asm.mov(Width::B64, RBP, pointer);
        self.written(1 << RBP);
    }

    /// Adds to RSP without touching a flag; for pushes and pops in a row, once.
    pub fn move_stack_pointer(&mut self, by: i32) {
        self.stack_moved += by;
        if self.next_moves_stack() {
            return;
        }
        let disp = std::mem::take(&mut self.stack_moved);
        self.asm.lea(Width::B64, RSP, Mem { base: Some(RSP), index: None, scale: 1, disp });
    }

    /// Whether the next instruction pushes or pops through a lookup that was made already: it cannot be left, and does not
    /// look at RSP.
    fn next_moves_stack(&self) -> bool {
        let next = self.index + 1;
        let moves = match self.instructions.get(next).map(|next| next.class) {
            Some(Class::Push(Pushed::Register(register))) | Some(Class::Pop(register)) => register != RSP,
            Some(Class::Push(Pushed::Immediate(_))) => true,
            _ => false,
        };
        moves && self.serves_stack_at(next)
    }
}
