//! Which flags somebody still reads.

use super::{Translator, Variant};
use crate::analysis::{ARITHMETIC_FLAGS, Analysed, Class, Shapes};
use crate::source::Source;
use addr::VirtAddr;
use iced_x86::FlowControl;
use std::ops::ControlFlow;

/// How many instructions of a successor are looked at.
const PEEK_INSTRUCTIONS: usize = 10;

impl Translator {
    /// Fills `live`: at i the flags needed by instruction i or later, at the end those needed after the block.
    pub(super) fn compute_liveness(&mut self, source: &mut Source<'_>, variant: Variant, map: u64) {
        let Self { shapes, instructions, live, peeked, .. } = self;
        let count = instructions.len();
        let mut needed_at = |index: usize, targets: [Option<VirtAddr>; 2]| {
            if stay_in_cpu(&instructions[..=index]) {
                return ARITHMETIC_FLAGS;
            }
            let flags = targets.into_iter().flatten().map(|target| peeked.flags_read(source, shapes, map, target));
            flags.fold(0, |all, flags| all | flags)
        };
        live.clear();
        live.resize(count + 1, ARITHMETIC_FLAGS);
        let last = instructions[count - 1];
        if variant != Variant::Prepared {
            live[count] = match last.class {
                Class::Jump(target) | Class::Call(target) => needed_at(count - 1, [Some(target), None]),
                Class::Branch(_, target) | Class::CountBranch(_, _, target) => {
                    needed_at(count - 1, [Some(target), Some(last.next())])
                }
                Class::JumpIndirect(_) | Class::CallIndirect(_) | Class::Return(_) | Class::Helper => ARITHMETIC_FLAGS,
                _ => needed_at(count - 1, [Some(last.next()), None]),
            };
        }
        let mut needed = live[count];
        for (index, instruction) in instructions.iter().enumerate().rev() {
            if let Class::Branch(_, target) = instruction.class
                && index + 1 != count
            {
                needed |= needed_at(index, [Some(target), None]);
            }
            needed = needed & !instruction.flags_kill | instruction.flags_read;
            live[index] = needed;
        }
    }
}

/// Whether the flags are in the host's after some instructions of a block whatever is done with them later: one writes them
/// all, and those behind it need no lookup. Then it does not matter who reads them.
fn stay_in_cpu(instructions: &[Analysed]) -> bool {
    let writes_all = |instruction: &Analysed| instruction.flags_kill == ARITHMETIC_FLAGS;
    let matters = |instruction: &&Analysed| writes_all(instruction) || instruction.accesses_memory();
    instructions.iter().rev().find(matters).is_some_and(writes_all)
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
    fn flags_read(&mut self, source: &mut Source<'_>, shapes: &mut Shapes, map: u64, rip: VirtAddr) -> u8 {
        let hash = rip.get() ^ rip.get() >> 12;
        let seen = &mut self.seen[hash as usize & (Self::ENTRIES - 1)];
        if (seen.rip, seen.map, seen.generation) == (rip, map, self.generation) && source.depend_on(rip).is_ok() {
            return seen.flags;
        }
        let (flags, pages) = peek(source, shapes, rip);
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
fn peek(source: &mut Source<'_>, shapes: &mut Shapes, rip: VirtAddr) -> (u8, Pages) {
    let mut unknown = ARITHMETIC_FLAGS;
    let mut live = 0;
    let mut pages = Pages::One;
    let mut seen = 0;
    let mut at = Some(rip);
    while let Some(from) = at.take() {
        let fetched = source.decode_from(from, |decoded| {
            let Some(instruction) = decoded.instruction else { return ControlFlow::Break(()) };
            if VirtAddr::new(instruction.next_ip()).page() != rip.page() {
                pages = Pages::Several;
            }
            let shape = shapes.of(instruction);
            live |= shape.flags_read & unknown;
            unknown &= !shape.flags_kill;
            seen += 1;
            if unknown == 0 || seen == PEEK_INSTRUCTIONS {
                return ControlFlow::Break(());
            }
            match instruction.flow_control() {
                FlowControl::Next => return ControlFlow::Continue(()),
                FlowControl::UnconditionalBranch if instruction.is_jmp_short_or_near() => {
                    at = Some(VirtAddr::new(instruction.near_branch64()));
                }
                _ => {}
            }
            ControlFlow::Break(())
        });
        if fetched.is_err() {
            pages = Pages::Several;
        }
    }
    (live | unknown, pages)
}
