//! Accesses to guest memory: the effective address and the lookup in the software TLB.

use super::emit::Emitter;
use super::leave::Cold;
use super::{Chaos, Variant};
use crate::analysis::{Operand, address_registers};
use crate::asm::{CC_ABOVE, CC_SIGN, Gs, Mem, RSP, Reg, Width};
use crate::block::{Address, Coverage, Narrow, Reason, Segment, Site, Use};
use crate::context::{Slot, tlb_offset};
use addr::{PAGE_BYTES, VirtAddr};
use mmu::TlbTable;

impl Emitter<'_> {
    /// Emits the lookup: afterwards `pointer` holds the host address of the operand.
    ///
    /// The flags are free, the registers of the address are in place, `pointer` and `index` are parked; `pointer` may
    /// be one of the registers of the address.
    pub fn lookup(&mut self, address: Address, usage: Use, bytes: u16, pointer: Reg, index: Reg) {
        let operand = Operand { address, usage, bytes };
        if self.variant == Variant::Prepared {
            self.asm.load_gs(Width::B64, pointer, Slot::prepared(self.prepared));
            self.prepared += 1;
        } else {
            let reason = Reason::Miss(self.next_site());
            self.search_page(&operand, pointer, index, |jump| Cold::Leave { jump, reason, through: Some(pointer) });
        }
        self.add_site(&operand, pointer, Coverage::Own);
    }

    /// The number of the site that is added next.
    pub(super) fn next_site(&self) -> u32 {
        self.place.first_site + self.parts.sites.len() as u32
    }

    /// Says that the lookup that ends here is of an operand.
    pub(super) fn add_site(&mut self, operand: &Operand, pointer: Reg, coverage: Coverage) {
        self.parts.sites.push(Site {
            block: self.place.block,
            instruction: self.index as u8,
            table: table_for(&operand.address, operand.usage),
            usage: operand.usage,
            pointer,
            bytes: operand.bytes,
            placement: self.placement(),
            address: operand.address,
            found: self.place.host + self.asm.here(),
            coverage,
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

    /// Computes the effective address; `pointer` becomes the host address, or the cold path is taken, which is made with
    /// the jump to it.
    pub(super) fn search_page(&mut self, operand: &Operand, pointer: Reg, index: Reg, cold: impl FnOnce(u32) -> Cold) {
        let Operand { address, usage, bytes } = operand;
        self.effective_address(address, pointer);
        self.chaos(self.next_site(), pointer);
        let table = table_for(address, *usage);
        let tags = tlb_offset(table);
        let entry = |word: i32| match address.as_constant() {
            Some(value) => Gs::At(tags + 16 * table.index(VirtAddr::new(value).page()) as i32 + word),
            None => Gs::Indexed(index, tags + word),
        };
        if address.as_constant().is_none() {
            self.index_entry(table, pointer, index);
        }
        self.asm.add_gs(pointer, entry(0));
        self.asm.cmp(pointer, PAGE_BYTES as i32 - i32::from(*bytes));
        let jump = self.asm.jcc(CC_ABOVE, self.place.exits.main);
        self.parts.cold.push(cold(jump));
        self.asm.add_gs(pointer, entry(8));
    }

    /// Computes where in a table the entry of an address's page is.
    pub(super) fn index_entry(&mut self, table: TlbTable, address: Reg, index: Reg) {
        self.asm.mov(Width::B32, index, address);
        self.asm.shr32(index, 8);
        self.asm.and32(index, (table.entries() as u32 - 1) * 16);
    }

    fn chaos(&mut self, site: u32, pointer: Reg) {
        if self.plan.chaos == Chaos::Yes {
            self.asm.decrement_gs(Slot::CHAOS);
            let jump = self.asm.jcc(CC_SIGN, self.place.exits.main);
            self.parts.cold.push(Cold::Leave { jump, reason: Reason::Chaos(site), through: Some(pointer) });
        }
    }

    /// Brings the registers of an address into place and frees the flags for a lookup; `busy` registers hold something that
    /// is needed.
    pub fn prepare(&mut self, reads: u16, busy: u16) {
        self.free_flags(busy);
        self.unpark(reads);
    }

    /// The registers that an access to `address` must find in place.
    pub fn needs(address: &Address) -> u16 {
        address_registers(address)
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
