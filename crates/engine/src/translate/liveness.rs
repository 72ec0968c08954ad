//! Which flags somebody still reads.

use super::{Translator, Variant};
use crate::analysis::{ARITHMETIC_FLAGS, Class, decode, flags_of};
use crate::source::Source;
use addr::VirtAddr;
use iced_x86::FlowControl;

/// How many instructions of a successor are looked at.
const PEEK_INSTRUCTIONS: usize = 10;

impl Translator {
    /// Fills `live`: at i the flags needed by instruction i or later, at the end those needed after the block.
    pub(super) fn compute_liveness(&mut self, source: &mut Source<'_>, variant: Variant) {
        let count = self.instructions.len();
        self.live.clear();
        self.live.resize(count + 1, ARITHMETIC_FLAGS);
        let last = self.instructions[count - 1];
        if variant != Variant::Prepared {
            self.live[count] = match last.class {
                Class::Jump(target) | Class::Call(target) => peek(source, target),
                Class::Branch(_, target) | Class::CountBranch(_, _, target) => {
                    peek(source, target) | peek(source, last.next())
                }
                Class::JumpIndirect(_) | Class::CallIndirect(_) | Class::Return(_) | Class::Helper => ARITHMETIC_FLAGS,
                _ => peek(source, last.next()),
            };
        }
        let mut live = self.live[count];
        for index in (0..count).rev() {
            let instruction = &self.instructions[index];
            if let Class::Branch(_, target) = instruction.class
                && index + 1 != count
            {
                live |= peek(source, target);
            }
            live = live & !instruction.flags_kill | instruction.flags_read;
            self.live[index] = live;
        }
    }
}

/// The flags that the code at `rip` may read before it writes them.
///
/// What cannot be seen is taken to read them all. The page looked at becomes one the block depends on.
fn peek(source: &mut Source<'_>, rip: VirtAddr) -> u8 {
    let mut unknown = ARITHMETIC_FLAGS;
    let mut live = 0;
    let mut at = rip;
    for _ in 0..PEEK_INSTRUCTIONS {
        let Some(instruction) = source.fetch(at).ok().and_then(|fetched| decode(fetched.bytes(), at)) else { break };
        let (read, kill) = flags_of(&instruction);
        live |= read & unknown;
        unknown &= !kill;
        if unknown == 0 {
            return live;
        }
        at = match instruction.flow_control() {
            FlowControl::Next => VirtAddr::new(instruction.next_ip()),
            FlowControl::UnconditionalBranch if instruction.is_jmp_short_or_near() => {
                VirtAddr::new(instruction.near_branch64())
            }
            _ => break,
        };
    }
    live | unknown
}
