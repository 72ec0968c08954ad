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
    pub(super) fn compute_liveness(&mut self, source: &mut Source<'_>, variant: Variant, map: u64) {
        let mut peek = |target| self.peeked.flags_read(source, map, target);
        let count = self.instructions.len();
        self.live.clear();
        self.live.resize(count + 1, ARITHMETIC_FLAGS);
        let last = self.instructions[count - 1];
        if variant != Variant::Prepared {
            self.live[count] = match last.class {
                Class::Jump(target) | Class::Call(target) => peek(target),
                Class::Branch(_, target) | Class::CountBranch(_, _, target) => peek(target) | peek(last.next()),
                Class::JumpIndirect(_) | Class::CallIndirect(_) | Class::Return(_) | Class::Helper => ARITHMETIC_FLAGS,
                _ => peek(last.next()),
            };
        }
        let mut live = self.live[count];
        for index in (0..count).rev() {
            let instruction = &self.instructions[index];
            if let Class::Branch(_, target) = instruction.class
                && index + 1 != count
            {
                live |= peek(target);
            }
            live = live & !instruction.flags_kill | instruction.flags_read;
            self.live[index] = live;
        }
    }
}

/// What was seen at jump targets lately: most are looked at from several blocks.
pub(super) struct Peeked {
    seen: Box<[Seen]>,
    /// Grows when code changes.
    generation: u64,
}

/// The flags that the code at an address of a code map may read before it writes them.
#[derive(Clone, Copy, Default)]
struct Seen {
    rip: VirtAddr,
    map: u64,
    generation: u64,
    flags: u8,
}

impl Peeked {
    const ENTRIES: usize = 1 << 12;

    pub fn new() -> Self {
        Self { seen: vec![Seen::default(); Self::ENTRIES].into(), generation: 1 }
    }

    pub fn forget(&mut self) {
        self.generation += 1;
    }

    /// The flags that the code at `rip` may read; its page becomes one the block depends on.
    fn flags_read(&mut self, source: &mut Source<'_>, map: u64, rip: VirtAddr) -> u8 {
        let hash = rip.get() ^ rip.get() >> 12;
        let seen = &mut self.seen[hash as usize & (Self::ENTRIES - 1)];
        if (seen.rip, seen.map, seen.generation) == (rip, map, self.generation) && source.depend_on(rip).is_ok() {
            return seen.flags;
        }
        let (flags, pages) = peek(source, rip);
        if pages == Pages::One {
            *seen = Seen { rip, map, generation: self.generation, flags };
        }
        flags
    }
}

/// How many pages were looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pages {
    One,
    Several,
}

/// The flags that the code at `rip` may read before it writes them.
///
/// What cannot be seen is taken to read them all. The pages looked at become ones the block depends on.
fn peek(source: &mut Source<'_>, rip: VirtAddr) -> (u8, Pages) {
    let mut unknown = ARITHMETIC_FLAGS;
    let mut live = 0;
    let mut at = rip;
    let mut pages = Pages::One;
    for _ in 0..PEEK_INSTRUCTIONS {
        let Some(instruction) = source.fetch(at).ok().and_then(|fetched| decode(fetched.bytes(), at)) else {
            pages = Pages::Several;
            break;
        };
        let next = VirtAddr::new(instruction.next_ip());
        if next.page() != rip.page() {
            pages = Pages::Several;
        }
        let (read, kill) = flags_of(&instruction);
        live |= read & unknown;
        unknown &= !kill;
        if unknown == 0 {
            break;
        }
        at = match instruction.flow_control() {
            FlowControl::Next => next,
            FlowControl::UnconditionalBranch if instruction.is_jmp_short_or_near() => {
                VirtAddr::new(instruction.near_branch64())
            }
            _ => break,
        };
    }
    (live | unknown, pages)
}
