//! The emitter: where the guest's registers are, scratch registers, and the lookup.

use super::{Chaos, Count, Extent, Place, Plan, Variant};
use crate::analysis::{Analysed, Class, NEVER_SCRATCH, address_registers, decode};
use crate::asm::{Assembler, Gs, Mem, RAX, RCX, RSP, Reg, Width};
use crate::block::{Address, Entry, Flags, Helper, Link, Mark, Narrow, Placement, Reason, Segment, Site, Use};
use crate::context::{Slot, kick_offset, tlb_offset};
use crate::sabotage::Sabotage;
use crate::source::LONGEST_INSTRUCTION;
use addr::{PAGE_BYTES, VirtAddr};
use mmu::TlbTable;

/// Condition codes (SDM vol. 1, appendix B).
pub const CC_NOT_EQUAL: u8 = 5;
pub const CC_ABOVE: u8 = 7;
const CC_SIGN: u8 = 8;

/// A path that is emitted after the block: jumped to from a rel32 at an offset.
pub enum Cold {
    /// Bring registers back, leave, and say why.
    Leave { jump: u32, parked: u16, reason: Reason },
    /// Bring registers back, correct the count, and go to another block.
    Side { jump: u32, parked: u16, target: VirtAddr, entry: Entry, uncounted: u32 },
    /// What an unlinked jump leads to; the link's number.
    Link { link: u32 },
}

pub struct Emitter<'a> {
    pub asm: Assembler,
    pub instructions: &'a [Analysed],
    pub bytes: &'a [[u8; LONGEST_INSTRUCTION]],
    /// Flags needed from instruction i on.
    pub live: &'a [u8],
    pub variant: Variant,
    pub plan: Plan,
    place: Place,
    /// Which instruction is being emitted.
    pub index: usize,
    parked: u16,
    pub flags: Flags,
    /// Where a block that jumps to itself does so, its scratch registers being parked for good.
    loop_head: Option<LoopHead>,
    prepared: usize,
    sites: Vec<Site>,
    links: Vec<Link>,
    helpers: Vec<Helper>,
    marks: Vec<Mark>,
    cold: Vec<Cold>,
}

/// The head of a loop inside a block.
#[derive(Clone, Copy)]
struct LoopHead {
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

/// The parts of a block.
type Parts = (Assembler, Vec<Site>, Vec<Link>, Vec<Helper>, Vec<Mark>);

impl<'a> Emitter<'a> {
    pub fn new(
        instructions: &'a [Analysed],
        bytes: &'a [[u8; LONGEST_INSTRUCTION]],
        live: &'a [u8],
        variant: Variant,
        plan: Plan,
        place: Place,
        asm: Assembler,
    ) -> Self {
        Self {
            asm,
            instructions,
            bytes,
            live,
            variant,
            plan,
            place,
            index: 0,
            parked: 0,
            flags: variant.flags(),
            loop_head: None,
            prepared: 0,
            sites: Vec::new(),
            links: Vec::new(),
            helpers: Vec::new(),
            marks: Vec::with_capacity(instructions.len()),
            cold: Vec::new(),
        }
    }

    pub fn into_parts(self) -> Parts {
        (self.asm, self.sites, self.links, self.helpers, self.marks)
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

    fn placement(&self) -> Placement {
        Placement { parked: self.parked, flags: self.flags }
    }

    /// Says that the host code from here on is the current instruction itself.
    pub fn mark(&mut self) {
        let guest = self.current().rip - self.instructions[0].rip;
        self.marks.push(Mark { host: self.asm.here(), guest: guest as u16, placement: self.placement() });
    }

    // Registers.

    /// Frees a host register: the guest's value goes to its slot, unless it is there already.
    pub fn park(&mut self, register: Reg) {
        if self.parked & 1 << register == 0 {
            self.asm.store_gs(Width::B64, Slot::parked(register), register);
            self.parked |= 1 << register;
        }
    }

    /// Whether the guest's value of a register is in its slot.
    pub fn is_parked(&self, register: Reg) -> bool {
        self.parked & 1 << register != 0
    }

    /// Brings guest registers back into their host registers.
    pub fn unpark(&mut self, registers: u16) {
        let kept = if self.commits(Sabotage::ReloadOmitted) { 0 } else { registers & self.parked };
        for register in bits(kept) {
            self.asm.load_gs(Width::B64, register, Slot::parked(register));
        }
        self.parked &= !registers;
    }

    /// Brings all of them back.
    pub fn unpark_all(&mut self) {
        self.unpark(u16::MAX);
    }

    /// Says that an instruction has just written registers: what their slots hold is old.
    pub fn written(&mut self, registers: u16) {
        self.parked &= !registers;
    }

    /// A parked register, other than the forbidden ones: one that is parked already if there is one, and the one that
    /// is used last from here on.
    pub fn scratch(&mut self, forbidden: u16) -> Reg {
        let allowed = !(forbidden | NEVER_SCRATCH);
        let candidates = if allowed & self.parked != 0 { allowed & self.parked } else { allowed };
        let register = self.used_last(candidates);
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

    /// Moves the flags to their slot, if somebody reads them at or after the current instruction; RAX ends up parked.
    pub fn free_flags(&mut self) {
        if self.live[self.index] != 0 {
            self.park_flags();
        }
    }

    /// Moves the flags to their slot; RAX ends up parked.
    pub fn park_flags(&mut self) {
        if self.flags == Flags::Parked {
            return;
        }
        self.park(RAX);
        self.asm.flags_to_ax();
        self.asm.store_gs(Width::B32, Slot::FLAGS, RAX);
        self.flags = Flags::Parked;
    }

    /// Moves the flags back; `busy` registers hold something that is needed.
    pub fn unpark_flags(&mut self, busy: u16) {
        if self.flags == Flags::InCpu {
            return;
        }
        let keep = busy & 1 << RAX != 0 || self.parked & 1 << RAX == 0;
        if keep {
            self.asm.store_gs(Width::B64, Slot::SCRATCH, RAX);
        }
        if !self.commits(Sabotage::FlagsNotRestored) {
            self.asm.load_gs(Width::B32, RAX, Slot::FLAGS);
            self.asm.ax_to_flags();
        }
        if keep {
            self.asm.load_gs(Width::B64, RAX, Slot::SCRATCH);
        }
        self.flags = Flags::InCpu;
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

    // Memory.

    /// Emits the lookup: afterwards `pointer` holds the host address of the operand.
    ///
    /// The flags are free, the registers of the address are in place, `pointer` and `index` are parked; `pointer` may
    /// be one of the registers of the address.
    pub fn lookup(&mut self, address: Address, usage: Use, bytes: u16, pointer: Reg, index: Reg) {
        let table = table_for(&address, usage);
        let number = self.place.first_site + self.sites.len() as u32;
        if self.variant == Variant::Prepared {
            self.asm.load_gs(Width::B64, pointer, Slot::prepared(self.prepared));
            self.prepared += 1;
        } else {
            self.effective_address(&address, pointer);
            self.chaos(number);
            self.search(&address, table, bytes, pointer, index, number);
        }
        self.sites.push(Site {
            block: self.place.block,
            instruction: self.index as u8,
            table,
            usage,
            pointer,
            bytes,
            placement: self.placement(),
            address,
            found: self.place.host + self.asm.here(),
        });
    }

    fn effective_address(&mut self, address: &Address, to: Reg) {
        if address.base.is_none() && address.index.is_none() {
            self.asm.mov_imm(
                to,
                match address.narrow {
                    Narrow::No => address.disp as u64,
                    Narrow::Yes => u64::from(address.disp as u32),
                },
            );
        } else if let (Some(base), None, Narrow::No, 0) = (address.base, address.index, address.narrow, address.disp) {
            // A move costs nothing where registers are renamed.
            self.asm.mov(Width::B64, to, base);
        } else {
            let width = if address.narrow == Narrow::Yes { Width::B32 } else { Width::B64 };
            let disp = address.disp as i32;
            self.asm.lea(width, to, Mem { base: address.base, index: address.index, scale: address.scale, disp });
        }
        match address.segment {
            Segment::Flat => {}
            Segment::Fs => self.asm.add_gs(to, Slot::FS_BASE),
            Segment::Gs => self.asm.add_gs(to, Slot::GS_BASE),
        }
    }

    /// `pointer` goes from effective address to host address, or the cold path is taken.
    fn search(&mut self, address: &Address, table: TlbTable, bytes: u16, pointer: Reg, index: Reg, site: u32) {
        let tags = tlb_offset(table);
        let entry = |word: i32| match address.as_constant() {
            Some(value) => Gs::At(tags + 16 * table.index(VirtAddr::new(value).page()) as i32 + word),
            None => Gs::Indexed(index, tags + word),
        };
        if address.as_constant().is_none() {
            self.asm.mov(Width::B32, index, pointer);
            self.asm.shr32(index, 8);
            self.asm.and32(index, (table.entries() as u32 - 1) * 16);
        }
        self.asm.add_gs(pointer, entry(0));
        self.asm.cmp(pointer, PAGE_BYTES as i32 - i32::from(bytes));
        let jump = self.asm.jcc(CC_ABOVE, self.place.exit);
        self.cold.push(Cold::Leave { jump, parked: 0, reason: Reason::Miss(site) });
        self.asm.add_gs(pointer, entry(8));
    }

    fn chaos(&mut self, site: u32) {
        if self.plan.chaos == Chaos::Yes {
            self.asm.decrement_gs(Slot::CHAOS);
            let jump = self.asm.jcc(CC_SIGN, self.place.exit);
            self.cold.push(Cold::Leave { jump, parked: 0, reason: Reason::Chaos(site) });
        }
    }

    /// Brings the registers of an address into place and frees the flags for a lookup.
    pub fn prepare(&mut self, reads: u16) {
        self.free_flags();
        self.unpark(reads);
    }

    /// The registers that an access to `address` must find in place.
    pub fn needs(address: &Address) -> u16 {
        address_registers(address)
    }

    // The head of the block.

    /// Leaves if somebody kicked.
    pub fn safepoint(&mut self) {
        let (reason, parked) = (Reason::Kick(self.place.block), self.parked);
        if self.live[0] == 0 || self.flags == Flags::Parked {
            self.asm.cmp_gs_imm(Width::B32, Gs::At(kick_offset()), 0);
            let jump = self.asm.jcc(CC_NOT_EQUAL, self.place.exit);
            self.cold.push(Cold::Leave { jump, parked, reason });
            return;
        }
        self.asm.store_gs(Width::B64, Slot::SCRATCH, RCX);
        self.asm.load_gs(Width::B32, RCX, Gs::At(kick_offset()));
        let quiet = self.asm.short(0xe3);
        self.asm.load_gs(Width::B64, RCX, Slot::SCRATCH);
        let jump = self.asm.jmp(self.place.exit);
        self.cold.push(Cold::Leave { jump, parked, reason });
        self.asm.bind_short(quiet);
        self.asm.load_gs(Width::B64, RCX, Slot::SCRATCH);
    }

    /// If the block jumps back to its own start: parks registers that it never uses once and for all turns of the
    /// loop, which gets a safepoint of its own.
    pub fn begin_loop(&mut self) {
        let own_start = self.instructions[0].rip;
        let Some(Class::Branch(_, target)) = self.instructions.last().map(|last| last.class) else { return };
        if target != own_start || self.variant != Variant::Plain || self.plan.extent != Extent::Superblock {
            return;
        }
        let used = self.instructions.iter().fold(0, |used, instruction| used | instruction.uses());
        // RAX serves the flags.
        let unused = !(used | NEVER_SCRATCH | 1 << RAX);
        for register in bits(unused).rev().take(2) {
            self.park(register);
        }
        self.loop_head = Some(LoopHead { at: self.asm.here(), parked: self.parked });
        self.safepoint();
    }

    /// Goes back to the loop's head on a condition, if the block is one; the flags are in place.
    pub fn loop_back(&mut self, condition: u8) -> Looped {
        let Some(LoopHead { at, parked }) = self.loop_head else { return Looped::No };
        self.unpark(!parked);
        debug_assert_eq!(self.parked, parked, "what a loop parks for good stays parked");
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
    fn add_to_count(&mut self, instructions: i32) {
        self.asm.store_gs(Width::B64, Slot::SCRATCH, RCX);
        self.asm.load_gs(Width::B64, RCX, Slot::COUNT);
        self.asm.lea(Width::B64, RCX, Mem { base: Some(RCX), index: None, scale: 1, disp: instructions });
        self.asm.store_gs(Width::B64, Slot::COUNT, RCX);
        self.asm.load_gs(Width::B64, RCX, Slot::SCRATCH);
    }

    /// Says that x87 state may change from here on.
    pub fn note_x87(&mut self) {
        self.asm.store_gs_imm(Slot::X87_USED, 1);
    }

    // Leaving.

    /// Leaves here for an instruction that is done by hand.
    pub fn leave_for_helper(&mut self) {
        let reason = self.helper_here();
        self.leave(reason);
    }

    /// The reason for leaving to do the current instruction by hand, registers being where they are now.
    pub fn helper_here(&mut self) -> Reason {
        let number = self.place.first_helper + self.helpers.len() as u32;
        self.helpers.push(Helper {
            block: self.place.block,
            instruction: self.index as u8,
            placement: self.placement(),
            decoded: decode(self.current_bytes(), self.current().rip),
        });
        Reason::Helper(number)
    }

    /// Says that the guest's values of registers are in their slots.
    pub fn set_parked(&mut self, registers: u16) {
        self.parked |= registers;
    }

    /// Leaves here.
    pub fn leave(&mut self, reason: Reason) {
        self.asm.store_gs_imm(Slot::REASON, reason.encode());
        self.asm.jmp(self.place.exit);
    }

    /// Leaves if a condition holds.
    pub fn leave_if(&mut self, condition: u8, reason: Reason) {
        let jump = self.asm.jcc(condition, self.place.exit);
        self.cold.push(Cold::Leave { jump, parked: 0, reason });
    }

    /// The block's number, for its commit.
    pub fn commit(&self) -> Reason {
        Reason::Commit(self.place.block)
    }

    /// Goes to another block; everything is in place.
    pub fn link(&mut self, target: VirtAddr) {
        let jump = self.asm.jmp(self.place.exit);
        self.add_link(jump, target, self.entry_for(target));
    }

    /// Goes to another block on a condition; everything is in place.
    pub fn link_if(&mut self, condition: u8, target: VirtAddr) {
        let jump = self.asm.jcc(condition, self.place.exit);
        self.add_link(jump, target, self.entry_for(target));
    }

    /// Leaves the block sideways on a condition; the flags are in place, registers need not be.
    pub fn side_exit(&mut self, condition: u8, target: VirtAddr) {
        let uncounted = (self.instructions.len() - self.index - 1) as u32;
        if self.parked == 0 && (self.plan.count == Count::No || uncounted == 0) {
            self.link_if(condition, target);
            return;
        }
        let jump = self.asm.jcc(condition, self.place.exit);
        let entry = self.entry_for(target);
        self.cold.push(Cold::Side { jump, parked: self.parked, target, entry, uncounted });
    }

    fn entry_for(&self, target: VirtAddr) -> Entry {
        if target > self.current().rip { Entry::Body } else { Entry::Safepoint }
    }

    fn add_link(&mut self, jump: u32, target: VirtAddr, entry: Entry) {
        let link = self.links.len() as u32;
        self.links.push(Link {
            from: self.place.block,
            target,
            jump: self.place.host + jump,
            cold: 0,
            entry,
            flags: self.flags,
        });
        self.cold.push(Cold::Link { link });
    }

    /// Emits every cold path and leads the jumps there.
    pub fn emit_cold(&mut self) {
        let mut next = 0;
        while next < self.cold.len() {
            let cold = std::mem::replace(&mut self.cold[next], Cold::Link { link: u32::MAX });
            next += 1;
            let here = self.asm.address();
            match cold {
                Cold::Leave { jump, parked, reason } => {
                    self.asm.patch_rel32(jump, here);
                    self.parked = parked;
                    self.unpark_all();
                    self.leave(reason);
                }
                Cold::Side { jump, parked, target, entry, uncounted } => {
                    self.asm.patch_rel32(jump, here);
                    self.parked = parked;
                    self.flags = Flags::InCpu;
                    self.unpark_all();
                    if self.plan.count == Count::Yes && uncounted != 0 {
                        self.add_to_count(-(uncounted as i32));
                    }
                    let jump = self.asm.jmp(self.place.exit);
                    self.add_link(jump, target, entry);
                }
                Cold::Link { link } => {
                    let at = self.asm.here();
                    let record = &mut self.links[link as usize];
                    record.cold = self.place.host + at;
                    let jump = record.jump - self.place.host;
                    self.asm.patch_rel32(jump, here);
                    self.leave(Reason::Link(self.place.first_link + link));
                }
            }
        }
    }
}

/// The table that serves an access: through RSP, or not.
fn table_for(address: &Address, usage: Use) -> TlbTable {
    let stack = address.base == Some(RSP) && address.index.is_none() && address.segment == Segment::Flat;
    match (stack, usage) {
        (true, Use::Load) => TlbTable::StackRead,
        (true, _) => TlbTable::StackWrite,
        (false, Use::Load) => TlbTable::Read,
        (false, _) => TlbTable::Write,
    }
}

/// The numbers of the set bits.
pub fn bits(mask: u16) -> impl DoubleEndedIterator<Item = u8> {
    (0..16).filter(move |bit| mask & 1 << bit != 0)
}
