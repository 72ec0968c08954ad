//! The parts of a translation as bytes, little-endian; every read is checked.

use super::Content;
use crate::analysis::decode;
use crate::block::{
    Address, Coverage, Entry, Fixup, Flags, Helper, InstructionBytes, Link, Linked, Mark, Narrow, Placement, Segment,
    Site, Use,
};
use crate::translate::{Place, Variant};
use addr::{Page, VirtAddr};
use mmu::TlbTable;

/// Stands for no register.
const NO_REGISTER: u8 = 0xff;

/// A flag at a bit of a byte.
#[derive(Clone, Copy)]
pub struct Bit(pub u8);

impl Bit {
    pub fn of(self, set: bool) -> u8 {
        u8::from(set) << self.0
    }

    pub fn is_in(self, byte: u8) -> bool {
        byte & 1 << self.0 != 0
    }
}

// Kinds of fix-ups after the sixteen registers.
const LEAVE: u8 = 16;
const ORIGIN: u8 = 17;

const PARKED: Bit = Bit(0);
/// Above the table and the use of a site.
const SHARED: Bit = Bit(4);
/// Above the segment of an address, and below its scale.
const NARROW: Bit = Bit(2);
/// Below the rest of what a mark says: by how many bytes its instruction comes after the one before.
const GUEST_BYTES: u8 = 15;
const MOVED: Bit = Bit(4);
const WIDE: Bit = Bit(5);
/// Above the variant that a link leads to.
const BODY: Bit = Bit(3);

/// The 32-bit word at an offset.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

fn placement_bytes(placement: Placement) -> [u8; 3] {
    let [low, high] = placement.parked.to_le_bytes();
    [low, high, PARKED.of(placement.flags == Flags::Parked)]
}

/// Appends fields.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn page(&mut self, page: Page) {
        self.bytes(&page.get().to_le_bytes());
    }

    pub fn content(&mut self, content: Content) {
        self.bytes(&content.0.to_le_bytes());
    }

    fn placement(&mut self, placement: Placement) {
        self.bytes(&placement_bytes(placement));
    }

    pub fn site(&mut self, site: &Site, host: u32) {
        let address = site.address;
        let [bytes_low, bytes_high] = site.bytes.to_le_bytes();
        let [parked_low, parked_high, flags] = placement_bytes(site.placement);
        self.bytes(&[
            site.instruction,
            site.table as u8 | (site.usage as u8) << 2 | SHARED.of(site.coverage == Coverage::Shared),
            address.segment as u8 | NARROW.of(address.narrow == Narrow::Yes) | address.scale << 3,
            site.pointer,
            bytes_low,
            bytes_high,
            parked_low,
            parked_high,
            flags,
            address.base.unwrap_or(NO_REGISTER),
            address.index.unwrap_or(NO_REGISTER),
        ]);
        self.bytes(&address.disp.to_le_bytes());
        self.u16((site.found - host) as u16);
    }

    pub fn link(&mut self, link: &Link, host: u32) {
        self.bytes(&link.target.get().to_le_bytes());
        self.u16((link.jump - host) as u16);
        self.u16((link.cold - host) as u16);
        self.u8(link.variant as u8 | BODY.of(link.entry == Entry::Body));
    }

    pub fn helper(&mut self, helper: &Helper) {
        self.u8(helper.instruction);
        self.placement(helper.placement);
        self.u8(helper.bytes.as_slice().len() as u8);
        self.bytes(helper.bytes.as_slice());
    }

    /// What a mark adds to the one before it: most instructions leave registers where they are.
    pub fn mark(&mut self, mark: &Mark, before: &Mark) -> Option<()> {
        let (host, guest) = (mark.host - before.host, (mark.guest - before.guest) as u8);
        let (moved, wide) = (mark.placement != before.placement, host > u16::from(u8::MAX));
        let kind = Some(guest).filter(|guest| *guest <= GUEST_BYTES)? | MOVED.of(moved) | WIDE.of(wide);
        let [low, high] = host.to_le_bytes();
        if wide {
            self.bytes(&[kind, low, high]);
        } else {
            self.bytes(&[kind, low]);
        }
        if moved {
            self.placement(mark.placement);
        }
        Some(())
    }

    pub fn fixup(&mut self, fixup: Fixup) {
        let kind = match fixup {
            Fixup::LeaveThrough(register, _) => register,
            Fixup::Leave(_) => LEAVE,
            Fixup::Origin(_) => ORIGIN,
        };
        let [low, high] = (fixup.at() as u16).to_le_bytes();
        self.bytes(&[kind, low, high]);
    }
}

/// Takes fields from the front.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn page(&mut self) -> Option<Page> {
        self.u64().map(Page::new)
    }

    pub fn content(&mut self) -> Option<Content> {
        self.array().map(u128::from_le_bytes).map(Content)
    }

    fn placement(&mut self) -> Option<Placement> {
        let parked = self.u16()?;
        let flags = if PARKED.is_in(self.u8()?) { Flags::Parked } else { Flags::InCpu };
        Some(Placement { parked, flags })
    }

    /// A register's number, of sixteen.
    fn register(&mut self) -> Option<u8> {
        self.u8().filter(|register| *register < 16)
    }

    fn maybe_register(&mut self) -> Option<Option<u8>> {
        match self.u8()? {
            NO_REGISTER => Some(None),
            register => (register < 16).then_some(Some(register)),
        }
    }

    #[inline]
    pub fn site(&mut self, place: &Place) -> Option<Site> {
        let (instruction, kind, form) = (self.u8()?, self.u8()?, self.u8()?);
        let (pointer, bytes, placement) = (self.register()?, self.u16()?, self.placement()?);
        let (base, index, disp) = (self.maybe_register()?, self.maybe_register()?, self.u64()? as i64);
        let address = Address {
            base,
            index,
            scale: form >> 3,
            segment: [Segment::Flat, Segment::Fs, Segment::Gs].into_iter().find(|s| *s as u8 == form & 3)?,
            narrow: if NARROW.is_in(form) { Narrow::Yes } else { Narrow::No },
            disp,
        };
        Some(Site {
            block: place.block,
            instruction,
            table: TlbTable::ALL.into_iter().find(|table| *table as u8 == kind & 3)?,
            usage: [Use::Load, Use::Store, Use::Modify].into_iter().find(|usage| *usage as u8 == kind >> 2 & 3)?,
            pointer,
            bytes,
            placement,
            address,
            found: place.host + u32::from(self.u16()?),
            coverage: if SHARED.is_in(kind) { Coverage::Shared } else { Coverage::Own },
        })
    }

    pub fn link(&mut self, place: &Place) -> Option<Link> {
        let target = VirtAddr::new(self.u64()?);
        let (jump, cold, kind) = (self.u16()?, self.u16()?, self.u8()?);
        Some(Link {
            from: place.block,
            target,
            jump: place.host + u32::from(jump),
            cold: place.host + u32::from(cold),
            entry: if BODY.is_in(kind) { Entry::Body } else { Entry::Safepoint },
            variant: Variant::KEPT.into_iter().find(|variant| *variant as u8 == kind & 7)?,
            before: None,
            linked: Linked::No,
        })
    }

    /// `marks` are the block's, which begins at `rip`.
    pub fn helper(&mut self, place: &Place, rip: VirtAddr, marks: &[Mark]) -> Option<Helper> {
        let (instruction, placement, len) = (self.u8()?, self.placement()?, self.u8()?);
        let bytes = InstructionBytes::new(self.take(usize::from(len))?)?;
        let at = rip + u64::from(marks.get(usize::from(instruction))?.guest);
        Some(Helper { block: place.block, instruction, placement, bytes, decoded: decode(bytes.as_slice(), at) })
    }

    pub fn mark(&mut self, before: &Mark) -> Option<Mark> {
        let kind = self.u8()?;
        let host = if WIDE.is_in(kind) { self.u16()? } else { u16::from(self.u8()?) };
        Some(Mark {
            host: before.host.checked_add(host)?,
            guest: before.guest.checked_add(u16::from(kind & GUEST_BYTES))?,
            placement: if MOVED.is_in(kind) { self.placement()? } else { before.placement },
        })
    }

    pub fn fixup(&mut self) -> Option<Fixup> {
        let (kind, at) = (self.u8()?, self.u16()?);
        Some(match kind {
            0..16 => Fixup::LeaveThrough(kind, at),
            LEAVE => Fixup::Leave(at),
            ORIGIN => Fixup::Origin(at),
            _ => return None,
        })
    }
}
