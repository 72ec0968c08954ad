//! One call of [`crate::Cpu::run`]: enters blocks and sees to what they leave for.

use crate::block::{Block, BlockId, Coverage, Flags, JUMP_TARGET, Placement, Reason, Site, Use};
use crate::by_hand::{self, Next};
use crate::cache::{CodeCache, Landing};
use crate::context::{self, Slot};
use crate::cpu::Cpu;
use crate::exit::{Exception, Exit, Fault, Opcode};
use crate::guest::Guest;
use crate::sabotage::Sabotage;
use crate::source::FetchRefused;
use crate::state::State;
use crate::translate::{Count, Variant};
use crate::{Engine, Linking, trap};
use addr::{Access, PAGE_BYTES, Perms, Pfn, Privilege, VirtAddr};
use mmu::{Entry, Memory, Tables, TlbTable};
use std::sync::{Arc, MutexGuard};

/// What to do after generated code was left.
pub enum After {
    /// Go on at a guest address.
    At(VirtAddr),
    /// Go on at a guest address in the exact translation.
    Exactly(VirtAddr),
    /// Return, the guest being at an address.
    Stop(VirtAddr, Exit),
}

/// One call of [`Cpu::run`].
pub struct Run<'a> {
    pub cpu: &'a Cpu,
    pub engine: &'a Engine,
    pub memory: &'a Arc<Memory>,
    pub tables: &'a Tables,
    /// A direct jump that is to lead to the next block found, with the generation of the cache it is of.
    pub pending_link: Option<(PendingLink, u64)>,
    /// Which translation the next block is to be.
    pub exactness: Exactness,
}

/// Which translation is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exactness {
    Any,
    Exact,
    Step,
}

/// A lookup that a walk could not do either.
struct Missed {
    site: Site,
    missing: Missing,
}

/// Why.
enum Missing {
    /// The walk refuses.
    Refused(Exit),
    /// It is a store that must not be remembered, or that crosses pages.
    Slow,
    /// It is for several accesses, which lie in two pages.
    PageBoundary,
    /// It is for several accesses, of which one would be seen, or refused.
    Unserved,
}

/// What a jump that found no block wants.
#[derive(Clone, Copy)]
pub enum PendingLink {
    /// Its rel32 to be patched.
    Direct(u32),
    /// An entry in the jump cache.
    Indirect,
}

impl Run<'_> {
    pub fn state(&self) -> State<'_> {
        State { view: &self.cpu.view }
    }

    pub fn commits(&self, sabotage: Sabotage) -> bool {
        self.engine.plan().sabotage == Some(sabotage)
    }

    pub fn guest(&self) -> Guest<'_> {
        Guest { memory: self.memory, tables: self.tables }
    }

    /// Finds the block at a guest address and makes it the one to be entered.
    pub fn enter_block(&mut self, rip: VirtAddr) -> Result<(), FetchRefused> {
        let mut cache = self.engine.cache();
        cache.drain(self.tables);
        let pending = self
            .pending_link
            .take()
            .filter(|(_, generation)| self.engine.linking() == Linking::On && *generation == cache.generation());
        let exactness = std::mem::replace(&mut self.exactness, Exactness::Any);
        let variant = match (pending, exactness) {
            (Some((PendingLink::Direct(number), _)), _) => cache.link_record(number).variant,
            (_, Exactness::Exact) => Variant::Exact,
            (_, Exactness::Step) => Variant::Step,
            (_, Exactness::Any) => Variant::Plain,
        };
        let landing = match pending {
            Some((PendingLink::Indirect, _)) => Landing::ByWayIn,
            _ => Landing::ByLink,
        };
        let id = cache.find(self.tables, rip, variant, landing, &self.cpu.view)?;
        if let Some((pending, generation)) = pending
            && generation == cache.generation()
        {
            self.connect(&mut cache, pending, id);
        }
        let block = cache.block(id).expect("a block that was just found is alive");
        self.verify(block);
        self.state().enter_at(cache.host_address(block.body));
        Ok(())
    }

    /// Runs from a guest address until generated code is left.
    pub fn block(&mut self, rip: VirtAddr) -> After {
        match self.enter_block(rip) {
            Ok(()) => self.until_left(),
            Err(FetchRefused { addr, refusal }) => {
                After::Stop(rip, Exit::Fault(Fault { addr, access: Access::Execute, refusal }))
            }
        }
    }

    /// Compares a block with the bytes it was made of, if that was asked for: a difference is a translation that should
    /// have died.
    pub fn verify(&self, block: &Block) {
        if block.source_bytes.is_empty() {
            return;
        }
        let mut now = vec![0; block.source_bytes.len()];
        if self.guest().read(block.rip, &mut now).is_ok() {
            assert_eq!(*now, *block.source_bytes, "the code at {} changed and its translation lives on", block.rip);
        }
    }

    pub fn connect(&self, cache: &mut MutexGuard<'_, CodeCache>, pending: PendingLink, id: BlockId) {
        match pending {
            PendingLink::Direct(number) => {
                let from = cache.link_record(number).from;
                if cache.block(from).is_some() {
                    cache.link(number, id);
                }
            }
            PendingLink::Indirect => cache.lead_jumps_to(id, &self.cpu.view),
        }
    }

    /// Enters generated code, and sees to what it leaves for.
    pub fn until_left(&mut self) -> After {
        self.cpu.view.enter();
        let left = loop {
            // SAFETY: TARGET was set to a live block or a place in one; GS was based at the view and the signal stack made
            // by `Cpu::run`; the run token keeps others from changing the code cache.
            unsafe { self.cpu.gate.enter(&self.cpu.view) };
            // A block that is resumed may still be on its way to frames that other lookups of it found, so the CPU has
            // not left meanwhile.
            match Reason::decode(Slot::REASON.get(&self.cpu.view) as u32) {
                Reason::Miss(site) => match self.look_up(site) {
                    Ok(()) => {}
                    Err(missed) => break Err(missed),
                },
                other => break Ok(other),
            }
        };
        self.cpu.view.leave();
        match left {
            Err(missed) => self.missed(missed),
            Ok(Reason::Miss(_)) => unreachable!("a miss was seen to above"),
            Ok(Reason::Link(number)) => {
                let cache = self.engine.cache();
                let link = cache.link_record(number);
                self.state().settle(Placement::between_blocks(link.variant.flags()));
                self.pending_link = Some((PendingLink::Direct(number), cache.generation()));
                if link.variant == Variant::Exact { After::Exactly(link.target) } else { After::At(link.target) }
            }
            Ok(Reason::Indirect) => {
                let target = VirtAddr::new(self.state().gpr(JUMP_TARGET));
                let placement = Placement::between_blocks(Flags::Parked);
                if !self.guest().is_in_space(target) {
                    let rip = self.undo_jump(placement);
                    return After::Stop(rip, Exit::Exception(Exception::GeneralProtection));
                }
                self.state().settle(placement);
                self.pending_link = Some((PendingLink::Indirect, self.engine.cache().generation()));
                After::At(target)
            }
            Ok(Reason::Kick(block)) => self.kicked(block),
            Ok(Reason::Helper(number)) => self.help(number),
            Ok(Reason::Commit(_)) => unreachable!("only a prepared block commits, and it is entered elsewhere"),
            Ok(Reason::Trap) => self.trapped(),
            Ok(Reason::Chaos(number)) => self.chaos(number),
        }
    }

    pub fn kicked(&self, block: BlockId) -> After {
        let cache = self.engine.cache();
        let block = cache.block(block).expect("the block that was just left is alive");
        self.state().settle(Placement::between_blocks(block.variant.flags()));
        After::At(block.rip)
    }

    // Misses.

    /// Does by a walk what a lookup in the software TLB could not do, and lets generated code go on after it.
    fn look_up(&self, number: u32) -> Result<(), Missed> {
        let site = self.engine.cache().site(number);
        let addr = self.site_address(&site);
        let crosses = addr.page_offset() + u64::from(site.bytes) > PAGE_BYTES;
        let found = match (site.coverage, crosses, site.usage) {
            (Coverage::Shared, true, _) => Err(Missing::PageBoundary),
            (Coverage::Shared, false, _) => self.fill_unseen(&site, addr),
            (Coverage::Own, false, _) => self.fill(&site, addr),
            (Coverage::Own, true, Use::Load) => self.bounce_load(&site, addr).map_err(Missing::Refused),
            (Coverage::Own, true, _) => Err(Missing::Slow),
        };
        let host_address = found.map_err(|missing| Missed { site, missing })?;
        Slot::raw(site.pointer).set(&self.cpu.view, host_address);
        Slot::TARGET.set(&self.cpu.view, self.engine.cache().host_address(site.found));
        Ok(())
    }

    fn missed(&mut self, missed: Missed) -> After {
        let Missed { site, missing } = missed;
        match missing {
            Missing::Refused(exit) => {
                let addr = self.site_address(&site);
                let rip = self.settle_at(&site);
                After::Stop(rip, self.first_raised(rip, addr, site.bytes, exit))
            }
            Missing::Slow => self.slow_store(&site),
            Missing::PageBoundary => After::Exactly(self.settle_at(&site)),
            Missing::Unserved => {
                let rip = self.settle_at(&site);
                self.engine.cache().note_unserved(site.block);
                After::Exactly(rip)
            }
        }
    }

    /// The effective address of a site, while registers are where its placement says.
    pub fn site_address(&self, site: &Site) -> VirtAddr {
        let view = &self.cpu.view;
        let gpr = |register: u8| {
            let parked = site.placement.parked & 1 << register != 0;
            if parked { Slot::parked(register).get(view) } else { Slot::raw(register).get(view) }
        };
        site.address.evaluate(gpr, Slot::FS_BASE.get(view), Slot::GS_BASE.get(view))
    }

    /// Walks and remembers.
    fn fill(&self, site: &Site, addr: VirtAddr) -> Result<u64, Missing> {
        let access = site.usage.access();
        let translation = match self.tables.walk(addr, access, Privilege::User) {
            Ok(translation) => translation,
            Err(refusal) => return Err(Missing::Refused(Exit::Fault(Fault { addr, access, refusal }))),
        };
        let pfn = translation.phys.pfn();
        let marked = access == Access::Write && self.memory.code().is_marked(pfn);
        if marked && !self.commits(Sabotage::StaleBlock) {
            return Err(Missing::Slow);
        }
        Ok(self.remember(site, addr, pfn))
    }

    /// Remembers the page of accesses of which some may never happen, if each of them could go there without a trace:
    /// it is accessed already, and dirty where it may be stored to.
    fn fill_unseen(&self, site: &Site, addr: VirtAddr) -> Result<u64, Missing> {
        if !self.guest().is_in_space(addr) {
            return Err(Missing::Unserved);
        }
        let mapped = self.tables.mapped(addr.page());
        let Entry::Leaf(leaf) = mapped.entry else { return Err(Missing::Unserved) };
        let (needed, is_store) = match site.usage {
            Use::Load => (Perms::READ, false),
            Use::Store | Use::Modify => (Perms::READ_WRITE, true),
        };
        let serves = mapped.page_count() == 1
            && leaf.lowest == Privilege::User
            && leaf.perms.contains(needed)
            && leaf.accessed
            && (!is_store || (leaf.dirty && !self.memory.code().is_marked(leaf.pfn)));
        if serves { Ok(self.remember(site, addr, leaf.pfn)) } else { Err(Missing::Unserved) }
    }

    /// Puts the page of an access into the software TLB; returns the host address of the byte.
    fn remember(&self, site: &Site, addr: VirtAddr, pfn: Pfn) -> u64 {
        let (load, store) = match site.table {
            TlbTable::Read | TlbTable::Write => (TlbTable::Read, TlbTable::Write),
            TlbTable::StackRead | TlbTable::StackWrite => (TlbTable::StackRead, TlbTable::StackWrite),
        };
        let frame = self.memory.remember(&self.cpu.view, load, addr.page(), pfn);
        if site.usage.access() == Access::Write {
            self.memory.remember(&self.cpu.view, store, addr.page(), pfn);
        }
        frame + addr.page_offset()
    }

    /// Gathers an operand that crosses pages; at the same offset in a cache line, so that alignment shows.
    fn bounce_load(&self, site: &Site, addr: VirtAddr) -> Result<u64, Exit> {
        let mut bytes = [0; 512];
        let bytes = &mut bytes[..usize::from(site.bytes)];
        self.guest().read(addr, bytes)?;
        Ok(self.write_bounce(0, addr, bytes))
    }

    pub fn write_bounce(&self, access: usize, addr: VirtAddr, bytes: &[u8]) -> u64 {
        let address = context::bounce_address(&self.cpu.view, access) + addr.get() % 64;
        crate::bounce::write(address, bytes);
        address
    }

    /// Brings registers back as they are before a site's instruction, and returns its address.
    pub fn settle_at(&self, site: &Site) -> VirtAddr {
        self.state().settle(site.placement);
        let cache = self.engine.cache();
        let block = cache.block(site.block).expect("the block that was just left is alive");
        self.uncount(block.parts.marks.len() - usize::from(site.instruction));
        cache.instruction_address(block, site.instruction)
    }

    /// Takes instructions of a block that was left early off the count.
    pub fn uncount(&self, instructions: usize) {
        if self.engine.plan().count == Count::Yes {
            let view = &self.cpu.view;
            Slot::COUNT.set(view, Slot::COUNT.get(view).wrapping_sub(instructions as u64));
        }
    }

    pub fn chaos(&mut self, number: u32) -> After {
        let site = self.engine.cache().site(number);
        let page = self.site_address(&site).page();
        let rip = self.settle_at(&site);
        Slot::CHAOS.set(&self.cpu.view, u64::from(self.engine.chaos_interval()));
        After::Stop(rip, Exit::Chaos(page))
    }

    // Instructions by hand, and traps.

    pub fn help(&mut self, number: u32) -> After {
        let helper = self.engine.cache().helper(number);
        self.state().settle(helper.placement);
        let cache = self.engine.cache();
        let block = cache.block(helper.block).expect("the block that was just left is alive");
        let rip = cache.instruction_address(block, helper.instruction);
        self.uncount(block.parts.marks.len() - usize::from(helper.instruction));
        drop(cache);
        match helper.decoded {
            Some(instruction) => {
                let outcome = by_hand::execute(self.state(), &self.guest(), &instruction, self.engine.isa());
                self.after_hand(rip, outcome)
            }
            None => self.by_hand(rip),
        }
    }

    pub fn by_hand(&mut self, rip: VirtAddr) -> After {
        let outcome = by_hand::fetch_and_execute(self.state(), &self.guest(), rip, self.engine.isa());
        self.after_hand(rip, outcome)
    }

    pub fn after_hand(&mut self, rip: VirtAddr, outcome: Next) -> After {
        if !matches!(outcome, Next::Stop(_, Exit::Fault(_)) | Next::Again) {
            self.recount(1);
        }
        match outcome {
            Next::At(next) => After::At(next),
            Next::Again => After::At(rip),
            Next::Stop(at, exit) => After::Stop(at, exit),
        }
    }

    pub fn trapped(&mut self) -> After {
        let (rip, exit) = self.describe_trap();
        After::Stop(rip, exit)
    }

    /// Settles registers at the instruction that trapped, and says what the host's signal means.
    pub fn describe_trap(&self) -> (VirtAddr, Exit) {
        let trapped = trap::take(&self.cpu.view);
        let cache = self.engine.cache();
        let block = cache.block_at(trapped.address).expect("generated code that runs belongs to a live block");
        let offset = (trapped.address - cache.host_address(block.host)) as u32;
        let (index, mark) = cache.mark_at(block, offset).expect("only a guest instruction traps");
        let rip = block.rip + u64::from(mark.guest);
        let left = block.parts.marks.len() - index;
        drop(cache);
        self.state().settle(mark.placement);
        self.uncount(left);
        (rip, Exit::Exception(self.exception(rip, trapped)))
    }

    /// What a host signal in the instruction at `rip` means for the guest.
    fn exception(&self, rip: VirtAddr, trapped: trap::Trapped) -> Exception {
        const FPE_INTDIV: i32 = 1;
        match trapped.signal {
            libc::SIGFPE if trapped.code == FPE_INTDIV => Exception::DivideError,
            libc::SIGFPE => self.pending_x87(rip).unwrap_or(Exception::Simd(trapped.code)),
            libc::SIGILL => Exception::InvalidOpcode(Opcode::Undefined),
            libc::SIGBUS => Exception::AlignmentCheck,
            libc::SIGTRAP => Exception::Debug,
            _ => Exception::GeneralProtection,
        }
    }
}
