//! From guest instructions to a block of host code.
//!
//! A block is a straight run of instructions: it goes on past conditional jumps, which leave it sideways, and ends at one
//! to its own start, at any other jump, at an instruction that is done by hand, at the end of its page, or when it is long
//! enough.
//! ```text
//! host:   safepoint           kicked? -> leave          (backward and indirect jumps come here)
//! body:   [count] instruction, instruction, ...         (forward jumps come here)
//!         jump to the next block, or to the cold path that asks for it
//! cold:   why generated code is left, one path a site   (out of the way of what usually runs)
//! ```
//! At `host`, `body` and every jump to another block all guest registers are in their host registers but for the spare ones
//! ([`crate::block::SPARES`]), and the flags are in the host's, if anybody reads them. In between, the emitter knows where
//! they are: [`crate::block::Placement`].

mod control;
mod emit;
mod leave;
mod liveness;
mod lookup;
mod shared;
mod straight;
mod string;

use crate::analysis::{Analysed, Class, Shapes, UsesX87, analyse};
use crate::block::{Block, BlockId, Fixup, Flags, Helper, Keeping, LeadsOn, Link, Liveness, Mark, PartNumbers, Site};
use crate::gate::Exits;
use crate::sabotage::Sabotage;
use crate::source::{FetchRefused, LONGEST_INSTRUCTION, Source};
use addr::{PAGE_BYTES, VirtAddr};
use emit::Emitter;
use leave::Cold;
use liveness::Peeked;
use shared::Shared;

use std::ops::ControlFlow;

/// Most instructions of a block.
const LONGEST_BLOCK: usize = 64;

/// Most conditional jumps of a block: what lies behind many is translated often and reached rarely.
const MOST_BRANCHES: u32 = 2;

/// One of the translations that code at an address can have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Variant {
    /// Entered with the flags in the host's.
    Plain,
    /// Entered with the flags parked: after a direct jump whose block had parked them and could not see that nobody reads
    /// them. Exists only where somebody does.
    FlagsParked,
    /// One instruction, executed once, whose access crosses a page or goes to translated code: it accesses memory
    /// through host addresses that were prepared beforehand, not by lookup.
    Prepared,
    /// Entered with the flags in the host's; every access has a lookup of its own. The way on from a shared lookup that
    /// cannot serve.
    Exact,
    /// One instruction, for a program that steps itself: nothing in it jumps to another block.
    Step,
}

impl Variant {
    /// Those that may be kept for later: the others are executed once.
    pub const KEPT: [Self; 3] = [Self::Plain, Self::FlagsParked, Self::Exact];

    /// Where the flags are at the entry.
    pub fn flags(self) -> Flags {
        match self {
            Self::Plain | Self::Prepared | Self::Exact | Self::Step => Flags::InCpu,
            Self::FlagsParked => Flags::Parked,
        }
    }

    /// The one that is entered with the flags at a place.
    pub fn entered_with(flags: Flags) -> Self {
        match flags {
            Flags::InCpu => Self::Plain,
            Flags::Parked => Self::FlagsParked,
        }
    }
}

/// How far a block goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// As far as it can.
    Superblock,
    /// One instruction: the naive mode that optimisations are checked against.
    Instruction,
}

/// What the translator is to emit besides the program itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Whether instructions are counted.
    pub count: Count,
    /// Whether lookups count down to one that fails.
    pub chaos: Chaos,
    /// How far blocks go.
    pub extent: Extent,
    /// Whether blocks are compared with their source at each entry.
    pub verify: Verify,
    /// A mistake to make.
    pub sabotage: Option<Sabotage>,
}

/// Whether each block is compared with the bytes it was made of whenever it is entered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verify {
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether instructions are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Count {
    /// They are.
    Yes,
    /// They are not.
    No,
}

/// Whether every Nth lookup fails by order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chaos {
    /// They do.
    Yes,
    /// They do not.
    No,
}

/// Where the new block will lie, and the numbers its parts will have.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub block: BlockId,
    /// Bytes before it that are kept free for a way in.
    pub room_before: u8,
    pub first_site: u32,
    pub first_link: u32,
    pub first_helper: u32,
    pub first_mark: u32,
    pub first_fixup: u32,
    /// Host offset in the code cache, and the host address of it.
    pub host: u32,
    pub address: u64,
    pub exits: Exits,
    /// The number of the code map.
    pub map: u64,
    pub sharing: Sharing,
}

/// Whether accesses may share lookups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    Yes,
    No,
}

/// The parts of a block, ready to be put into the code cache; the buffers serve one translation after the other.
#[derive(Default)]
pub struct Parts {
    pub code: Vec<u8>,
    pub sites: Vec<Site>,
    pub links: Vec<Link>,
    pub helpers: Vec<Helper>,
    pub marks: Vec<Mark>,
    pub fixups: Vec<Fixup>,
    cold: Vec<Cold>,
    shared: Vec<Shared>,
}

impl Parts {
    pub fn clear(&mut self) {
        self.code.clear();
        self.sites.clear();
        self.links.clear();
        self.helpers.clear();
        self.marks.clear();
        self.fixups.clear();
        self.cold.clear();
        self.shared.clear();
    }

    /// The numbers that they have at a place.
    pub fn numbers(&self, place: &Place) -> PartNumbers {
        let numbers = |first: u32, count: usize| first..first + count as u32;
        PartNumbers {
            sites: numbers(place.first_site, self.sites.len()),
            links: numbers(place.first_link, self.links.len()),
            helpers: numbers(place.first_helper, self.helpers.len()),
            marks: numbers(place.first_mark, self.marks.len()),
            fixups: numbers(place.first_fixup, self.fixups.len()),
        }
    }
}

/// Where code goes on after a block, if that is certain.
#[derive(Clone, Copy, Default, Debug)]
pub struct Onward {
    /// Where its last jump, or the end of the block, leads.
    pub to: Option<VirtAddr>,
    /// Where what it calls returns to.
    pub back: Option<VirtAddr>,
}

/// Where in a page blocks begin: code that comes to such a place goes on in that block, so that it is not translated
/// again and again as the tail of others.
#[derive(Clone, Copy)]
pub struct Starts([u64; PAGE_BYTES as usize / 64]);

impl Default for Starts {
    fn default() -> Self {
        Self([0; PAGE_BYTES as usize / 64])
    }
}

impl Starts {
    /// Says that a block begins at an address of the page.
    pub fn add(&mut self, rip: VirtAddr) {
        let offset = rip.page_offset() as usize;
        self.0[offset / 64] |= 1 << (offset % 64);
    }

    fn contains(&self, rip: VirtAddr) -> bool {
        let offset = rip.page_offset() as usize;
        self.0[offset / 64] & 1 << (offset % 64) != 0
    }
}

/// Buffers and tables that outlive a translation.
pub struct Translator {
    shapes: Shapes,
    instructions: Vec<Analysed>,
    bytes: Vec<[u8; LONGEST_INSTRUCTION]>,
    live: Vec<u8>,
    peeked: Peeked,
    parts: Parts,
}

impl Translator {
    pub fn new() -> Self {
        Self {
            shapes: Shapes::new(),
            instructions: Vec::new(),
            bytes: Vec::new(),
            live: Vec::new(),
            peeked: Peeked::new(),
            parts: Parts::default(),
        }
    }

    /// The parts of the block that was translated last.
    pub fn take_parts(&mut self) -> Parts {
        std::mem::take(&mut self.parts)
    }

    /// Gives buffers back.
    pub fn reuse(&mut self, parts: Parts) {
        self.parts = parts;
    }

    /// Some code has changed: what was seen of it is old.
    pub fn forget_peeked(&mut self) {
        self.peeked.forget();
    }

    /// Translates the block at `rip`, and keeps its parts.
    ///
    /// # Errors
    /// When its first instruction cannot be fetched.
    pub fn translate(
        &mut self,
        source: &mut Source<'_>,
        starts: Option<&Starts>,
        rip: VirtAddr,
        variant: Variant,
        plan: Plan,
        place: Place,
    ) -> Result<Block, FetchRefused> {
        self.read_block(source, starts, rip, variant, plan)?;
        self.compute_liveness(source, variant, place.map);
        let variant = if variant == Variant::FlagsParked && self.live[0] == 0 { Variant::Plain } else { variant };
        Ok(self.emit(rip, variant, plan, place))
    }

    /// Decodes and analyses the instructions of the block.
    fn read_block(
        &mut self,
        source: &mut Source<'_>,
        starts: Option<&Starts>,
        rip: VirtAddr,
        variant: Variant,
        plan: Plan,
    ) -> Result<(), FetchRefused> {
        self.instructions.clear();
        self.bytes.clear();
        let single = matches!(variant, Variant::Prepared | Variant::Step) || plan.extent == Extent::Instruction;
        let Self { shapes, instructions, bytes, .. } = self;
        let mut branches = 0;
        source.decode_from(rip, |decoded| {
            let analysed = match (decoded.instruction, plan.sabotage) {
                (Some(instruction), None) => analyse(instruction, shapes),
                (Some(instruction), Some(sabotage)) => sabotage.analyse(instruction, shapes),
                (None, _) => Analysed::undecodable(decoded.rip),
            };
            bytes.push(*decoded.bytes);
            instructions.push(if variant == Variant::Step { analysed.without_repetition() } else { analysed });
            branches += u32::from(matches!(analysed.class, Class::Branch(..)));
            let next = analysed.next();
            let closes_loop = matches!(analysed.class, Class::Branch(_, target) if target == rip);
            let left_page = next.page() != rip.page();
            let meets_block = starts.is_some_and(|starts| starts.contains(next));
            let is_last = single
                || analysed.ends_block()
                || closes_loop
                || left_page
                || meets_block
                || branches == MOST_BRANCHES
                || instructions.len() == LONGEST_BLOCK;
            if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// The bytes of the block's instructions, if they are to be compared at each entry.
    fn source_bytes(&self, plan: Plan) -> Box<[u8]> {
        match plan.verify {
            Verify::No => Box::default(),
            Verify::Yes => {
                let each = self.instructions.iter().zip(&self.bytes);
                each.flat_map(|(instruction, bytes)| &bytes[..usize::from(instruction.len)]).copied().collect()
            }
        }
    }

    /// Where the block that was translated last surely leads.
    pub fn onward(&self) -> Onward {
        let last = self.instructions.last().expect("a block has an instruction");
        match last.class {
            Class::Jump(target) => Onward { to: Some(target), back: None },
            Class::Call(target) => Onward { to: Some(target), back: Some(last.next()) },
            Class::CallIndirect(_) => Onward { to: None, back: Some(last.next()) },
            _ if last.ends_block() || matches!(last.class, Class::Branch(..)) => Onward::default(),
            _ => Onward { to: Some(last.next()), back: None },
        }
    }

    /// Where the block's way on leads.
    fn leads_on(&self) -> LeadsOn {
        let (last, before) = self.instructions.split_last().expect("a block has an instruction");
        let indirect = matches!(last.class, Class::JumpIndirect(_) | Class::CallIndirect(_) | Class::Return(_));
        let only = !before.iter().any(|instruction| matches!(instruction.class, Class::Branch(..)));
        if indirect && only { LeadsOn::OnlyIndirectly } else { LeadsOn::Directly }
    }

    fn emit(&mut self, rip: VirtAddr, variant: Variant, plan: Plan, place: Place) -> Block {
        let mut parts = std::mem::take(&mut self.parts);
        parts.clear();
        let mut emitter = Emitter::new(&self.instructions, &self.bytes, &self.live, variant, plan, place, parts);
        let flags_live = if self.live[0] != 0 { Liveness::Live } else { Liveness::Dead };
        emitter.safepoint();
        let body = emitter.asm.here();
        emitter.begin_loop();
        emitter.count_block();
        if self.instructions.iter().any(|i| i.x87 == UsesX87::Yes) {
            emitter.note_x87();
        }
        for index in 0..self.instructions.len() {
            emitter.instruction(index);
        }
        emitter.finish_block();
        emitter.emit_cold();
        let guest_bytes = self.instructions.iter().map(|i| u32::from(i.len)).sum();
        self.parts = emitter.into_parts();
        let leads_on = self.leads_on();
        Block {
            rip,
            variant,
            guest_bytes,
            host: place.host,
            body: place.host + body,
            way_in: None,
            room_before: place.room_before,
            flags_live,
            leads_on,
            host_bytes: self.parts.code.len() as u32,
            sharing: place.sharing,
            keeping: if Variant::KEPT.contains(&variant) { Keeping::Fresh } else { Keeping::Never },
            parts: self.parts.numbers(&place),
            incoming: None,
            map: place.map,
            unserved: 0,
            source_bytes: self.source_bytes(plan),
        }
    }
}
