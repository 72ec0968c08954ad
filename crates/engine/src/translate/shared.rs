//! Lookups that serve several accesses.
//!
//! Accesses through the same register lie close together: a function's stack frame, the fields of a structure. One
//! lookup for all of them checks that everything from the lowest to the highest byte lies in one page that the software
//! TLB knows; then they go through one register that holds the host address:
//! ```text
//! push rbp             lea rsi, [rsp - 24]; lookup of 24 bytes in RSI     RSI is parked while it serves
//! push rbx             mov [rsi + 16], rbp; lea rsp, [rsp - 8]
//! mov [rsp - 8], rdi   mov [rsi + 8], rbx; lea rsp, [rsp - 8]
//!                      mov [rsi], rdi
//! ```
//! Some of the accesses may never happen, so such a lookup must not be seen: it never marks an entry accessed or dirty and
//! never faults. Where the bytes cross a page, or the page is not one that each of the accesses could go to without a
//! trace, the guest goes on in the [`super::Variant::Exact`] translation from this instruction on.

use super::emit::Emitter;
use super::leave::Cold;
use super::{Extent, Sharing, Variant};
use crate::analysis::{Analysed, Class, NEVER_SCRATCH, Operand};
use crate::asm::{At, RAX, RSP, Reg};
use crate::block::{Address, Coverage, SPARES, Use, bits};
use crate::layout::HighByte;

/// Most bytes from the lowest to the highest: more would cross pages too often.
const WIDEST: i64 = 512;
/// How many can serve at a time.
const MOST: usize = 2;

/// A lookup that serves.
#[derive(Clone, Copy)]
pub struct Shared {
    base: Reg,
    /// Holds the host address of the lowest byte.
    pointer: Reg,
    /// From the base, as it is now, to the lowest byte.
    lowest: i32,
    /// The first instruction that it does not serve.
    end: usize,
}

/// What a lookup made at an instruction would serve.
struct Reach {
    lowest: i64,
    highest: i64,
    usage: Use,
    accesses: u32,
    end: usize,
}

impl Reach {
    /// With the accesses of one more instruction, the base having moved by so much; `None` if they lie too far away.
    fn with(&self, instruction: &Analysed, base: Reg, moved: i64) -> Option<Self> {
        let mut wider = Self { ..*self };
        let accesses = instruction.class.accesses().into_iter().flatten();
        for operand in accesses.filter(|operand| operand.simple_base() == Some(base)) {
            let at = moved + operand.address.disp;
            wider.lowest = wider.lowest.min(at);
            wider.highest = wider.highest.max(at + i64::from(operand.bytes));
            wider.accesses += 1;
            if operand.usage != Use::Load {
                wider.usage = Use::Store;
            }
        }
        (wider.accesses == self.accesses || wider.highest - wider.lowest <= WIDEST).then_some(wider)
    }
}

impl Emitter<'_> {
    /// The host operand of an access, if it shares a lookup with others: with one that was made before, or one that is
    /// made here for those to come.
    pub fn shared(&mut self, operand: &Operand) -> Option<At> {
        self.shared_beside(operand, 0)
    }

    /// The same, while `busy` registers hold something that is needed.
    pub fn shared_beside(&mut self, operand: &Operand, busy: u16) -> Option<At> {
        let base = operand.simple_base()?;
        let disp = operand.address.disp as i32;
        if let Some(shared) = self.parts.shared.iter().find(|shared| shared.base == base) {
            return Some(At { pointer: shared.pointer, disp: disp - shared.lowest });
        }
        let shared = self.share(base, busy, self.index, 2)?;
        Some(At { pointer: shared.pointer, disp: disp - shared.lowest })
    }

    /// Makes the lookup for the next access here, if the current instruction is about to write flags that somebody reads
    /// later: now a lookup may change them, then it would have to save them first.
    pub fn share_before_flags(&mut self) {
        let index = self.index;
        if self.live[index] != 0 || self.live[index + 1] == 0 || self.current().flags_write == 0 {
            return;
        }
        let later = self.instructions[index + 1..].iter().zip(&self.live[index + 1..]);
        let next = later.take_while(|(_, live)| **live != 0).position(|(later, _)| later.accesses_memory());
        let Some(at) = next.map(|ahead| index + 1 + ahead) else { return };
        let [first, _] = self.instructions[at].class.accesses();
        let Some(base) = first.and_then(|operand| operand.simple_base()) else { return };
        if !self.parts.shared.iter().any(|shared| shared.base == base) {
            self.share(base, 0, at, 1);
        }
    }

    /// Makes a lookup here for accesses through a base, if it can serve as many as that and goes as far as an instruction.
    fn share(&mut self, base: Reg, busy: u16, as_far_as: usize, least: u32) -> Option<Shared> {
        let possible = self.plan.extent == Extent::Superblock
            && self.place.sharing == Sharing::Yes
            && matches!(self.variant, Variant::Plain | Variant::FlagsParked)
            && self.parts.shared.len() < MOST;
        if !possible || least > 1 && !self.is_accessed_again(base) {
            return None;
        }
        let pointer = self.longest_unused(uses(self.current()) | busy | 1 << base | 1 << RAX)?;
        let reach = self.reach(base, pointer);
        if reach.accesses < least || reach.end <= as_far_as {
            return None;
        }
        let lowest = reach.lowest as i32;
        self.look_up_shared(base, pointer, &reach, busy);
        let shared = Shared { base, pointer, lowest, end: reach.end };
        self.parts.shared.push(shared);
        Some(shared)
    }

    /// Whether the rest of the block has another access through a base than the next one.
    fn is_accessed_again(&self, base: Reg) -> bool {
        let is_through = |instruction: &Analysed| instruction.bases & 1 << base != 0;
        let [_, second] = self.current().class.accesses();
        second.is_some() || self.instructions[self.index + 1..].iter().any(is_through)
    }

    /// The registers that shared lookups hold.
    pub fn held(&self) -> u16 {
        self.parts.shared.iter().fold(0, |held, shared| held | 1 << shared.pointer)
    }

    /// Ends those that do not serve the instruction that is about to be emitted.
    pub fn end_shared(&mut self) {
        let index = self.index;
        self.parts.shared.retain(|shared| index < shared.end);
    }

    /// Whether a lookup that was made already serves pushes and pops at an instruction.
    pub fn serves_stack_at(&self, index: usize) -> bool {
        self.parts.shared.iter().any(|shared| shared.base == RSP && index < shared.end)
    }

    /// Follows the stack pointer over the instruction that was just emitted.
    pub fn move_shared(&mut self) {
        let moves = self.current().stack_moves.unwrap_or(0);
        for shared in self.parts.shared.iter_mut().filter(|shared| shared.base == RSP) {
            shared.lowest -= moves;
        }
    }

    /// The register that goes unused for the longest time from here on; of two alike a parked one.
    fn longest_unused(&self, forbidden: u16) -> Option<Reg> {
        let mut left = !(forbidden | NEVER_SCRATCH | self.held());
        for later in &self.instructions[self.index + 1..] {
            let unused = left & !later.uses();
            if unused == 0 {
                break;
            }
            left = unused;
        }
        let parked = left & self.parked();
        bits(if parked != 0 { parked } else { left }).next_back()
    }

    fn reach(&self, base: Reg, pointer: Reg) -> Reach {
        let mut reach = Reach { lowest: i64::MAX, highest: i64::MIN, usage: Use::Load, accesses: 0, end: self.index };
        let mut moved = 0;
        for instruction in &self.instructions[self.index..] {
            let is_first = reach.end == self.index;
            if (!is_first && uses(instruction) & 1 << pointer != 0)
                || (instruction.high_byte == HighByte::Yes && pointer >= 8)
                || matches!(instruction.class, Class::RepeatedMove(_) | Class::RepeatedStore(_) | Class::Helper)
            {
                break;
            }
            if instruction.bases & 1 << base != 0 {
                let Some(wider) = reach.with(instruction, base, moved) else { break };
                reach = wider;
            }
            reach.end += 1;
            if base == RSP {
                let Some(by) = instruction.stack_moves else { break };
                moved += i64::from(by);
            } else if instruction.writes & 1 << base != 0 {
                break;
            }
        }
        reach
    }

    fn look_up_shared(&mut self, base: Reg, pointer: Reg, reach: &Reach, busy: u16) {
        self.prepare(1 << base, busy);
        self.park(pointer);
        let index = self.scratch(self.current().uses() | busy | 1 << base | 1 << pointer);
        let operand = Operand {
            address: Address::based(base, reach.lowest),
            usage: reach.usage,
            bytes: (reach.highest - reach.lowest) as u16,
        };
        let (site, registers, flags, at) = (self.next_site(), self.registers, self.flags, self.index);
        self.search_page(&operand, pointer, index, |jump| Cold::Shared {
            jump,
            site,
            pointer,
            registers,
            flags,
            index: at,
        });
        self.add_site(&operand, pointer, Coverage::Shared);
    }
}

/// The registers that an instruction or its translation needs.
fn uses(instruction: &Analysed) -> u16 {
    match instruction.class {
        Class::CallIndirect(_) | Class::JumpIndirect(_) => instruction.uses() | SPARES,
        _ => instruction.uses(),
    }
}
