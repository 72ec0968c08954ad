//! Stores that cross pages or go to translated code: one instruction is run on host addresses that were checked
//! beforehand, through a bounce buffer, which is then copied back.

use crate::block::{Reason, Site, Use};
use crate::by_hand::{self};
use crate::cache::Landing;
use crate::context::Slot;
use crate::exit::{Exit, Fault};
use crate::guest::pieces;
use crate::run::{After, Run};
use crate::sabotage::Sabotage;
use crate::source::FetchRefused;
use crate::translate::{Count, Variant};
use addr::{Access, Pfn, VirtAddr};

impl Run<'_> {
    pub fn slow_store(&mut self, site: &Site) -> After {
        let rip = self.settle_at(site);
        match by_hand::needs_hand(&self.guest(), rip) {
            Ok(true) => return self.by_hand(rip),
            Ok(false) => {}
            Err(exit) => return After::Stop(rip, exit),
        }
        match self.run_prepared(rip) {
            Ok(next) => {
                self.recount(1);
                After::At(next)
            }
            Err(exit) => After::Stop(rip, exit),
        }
    }

    pub fn recount(&self, instructions: u64) {
        if self.engine.plan().count == Count::Yes {
            let view = &self.cpu.view;
            Slot::COUNT.set(view, Slot::COUNT.get(view).wrapping_add(instructions));
        }
    }

    fn run_prepared(&mut self, rip: VirtAddr) -> Result<VirtAddr, Exit> {
        let (sites, next) = self.enter_prepared(rip)?;
        let mut bounced = Vec::new();
        for (access, site) in sites.iter().enumerate() {
            let addr = self.state().evaluate(&site.address);
            let prepared = self.prepare_access(access, site, addr, &mut bounced);
            let address = prepared.map_err(|exit| self.first_raised(rip, addr, site.bytes, exit))?;
            Slot::prepared(access).set(&self.cpu.view, address);
        }
        let counted = Slot::COUNT.get(&self.cpu.view);
        self.cpu.view.enter();
        // SAFETY: as in `until_left`; TARGET was set by `enter_prepared`.
        unsafe { self.cpu.gate.enter(&self.cpu.view) };
        self.cpu.view.leave();
        Slot::COUNT.set(&self.cpu.view, counted);
        if Reason::decode(Slot::REASON.get(&self.cpu.view) as u32) == Reason::Trap {
            let (_, exit) = self.describe_trap();
            return Err(exit);
        }
        for bounce in bounced {
            let mut bytes = vec![0; bounce.bytes];
            crate::bounce::read(bounce.host, &mut bytes);
            let lost = usize::from(self.commits(Sabotage::SecondPageLost) && bounce.frames.len() > 1);
            let kept = bounce.frames.len() - lost;
            for (pfn, offset, range) in bounce.frames.into_iter().take(kept) {
                self.memory.ram().write(pfn.start() + offset, &bytes[range]);
                self.memory.code().note_write(pfn);
            }
        }
        Ok(next)
    }

    /// Finds the prepared block of an instruction; its sites, and where it leads.
    fn enter_prepared(&self, rip: VirtAddr) -> Result<(Vec<Site>, VirtAddr), Exit> {
        let mut cache = self.engine.cache();
        let id = cache
            .find(self.tables, rip, Variant::Prepared, Landing::ByLink, &self.cpu.view)
            .map_err(|FetchRefused { addr, refusal }| Exit::Fault(Fault { addr, access: Access::Execute, refusal }))?;
        let block = cache.block(id).expect("a block that was just found is alive");
        let sites = block.parts.sites.clone().map(|number| cache.site(number)).collect();
        let (body, next) = (block.body, rip.wrapping_add(u64::from(block.guest_bytes)));
        self.state().enter_at(cache.host_address(body));
        Ok((sites, next))
    }

    /// The host address for one access of a prepared instruction.
    fn prepare_access(
        &self,
        access: usize,
        site: &Site,
        addr: VirtAddr,
        bounced: &mut Vec<Bounced>,
    ) -> Result<u64, Exit> {
        let len = usize::from(site.bytes);
        self.guest().check_end(addr, len, site.usage.access())?;
        let mut frames = Vec::with_capacity(2);
        let mut marked = false;
        for (addr, range) in pieces(addr, len) {
            let at = self.guest().translate(addr, site.usage.access())?;
            marked |= self.memory.code().is_marked(at.pfn());
            frames.push((at.pfn(), at.frame_offset(), range));
        }
        if let ([(pfn, offset, _)], false) = (frames.as_slice(), marked) {
            return Ok(self.memory.ram().frame_address(*pfn) as u64 + offset);
        }
        let mut bytes = vec![0; len];
        for (pfn, offset, range) in &frames {
            self.memory.ram().read(pfn.start() + *offset, &mut bytes[range.clone()]);
        }
        let host = self.write_bounce(access, addr, &bytes);
        if site.usage != Use::Load {
            bounced.push(Bounced { host, bytes: len, frames });
        }
        Ok(host)
    }
}

/// A bounce buffer whose bytes go back to frames: each frame's offset, and the part of the buffer.
struct Bounced {
    host: u64,
    bytes: usize,
    frames: Vec<(Pfn, u64, std::ops::Range<usize>)>,
}
