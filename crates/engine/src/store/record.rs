//! One translation as bytes.
//!
//! Its numbers count from the block's own first site, link and helper, and from its first host byte; fix-ups say where
//! in the code the cache's numbers and the way to the exit stub have to be put in. Links lead to their cold paths.

use super::Content;
use super::field::{Bit, Reader, Writer, word};
use crate::asm::rel32;
use crate::block::{Block, Fixup, Helper, Keeping, LeadsOn, Link, Liveness, Mark, Reason, Site};
use crate::translate::{Parts, Place, Sharing, Variant};
use addr::{Page, VirtAddr};

/// A block with everything that belongs to it.
pub struct Whole<'a> {
    pub block: &'a Block,
    pub code: &'a [u8],
    pub sites: &'a [Site],
    pub links: &'a [Link],
    pub helpers: &'a [Helper],
    pub marks: &'a [Mark],
    pub fixups: &'a [Fixup],
}

// Above the variant of a block.
const FLAGS_LIVE: Bit = Bit(3);
const INDIRECTLY: Bit = Bit(4);
const SHARING: Bit = Bit(5);

/// Bytes of a page's number and its content.
const SOURCE_BYTES: usize = 24;

/// The pages that a translation depends on besides the one that it begins in, and what they have to be.
pub fn other_sources(record: &[u8]) -> Option<impl Iterator<Item = (Page, Content)>> {
    let (count, rest) = record.split_first()?;
    let (sources, _) = rest.get(..usize::from(*count) * SOURCE_BYTES)?.as_chunks::<SOURCE_BYTES>();
    Some(sources.iter().map(|source| {
        let mut from = Reader(source);
        let both = from.page().zip(from.content());
        both.expect("a source is as long as a page's number and a content")
    }))
}

/// Appends a block to `record`, which depends on pages besides the one that it begins in; `None` if it is too large, which
/// none is that anybody has seen.
pub fn write(
    record: &mut Vec<u8>,
    whole: &Whole<'_>,
    other_sources: impl ExactSizeIterator<Item = (Page, Content)>,
) -> Option<()> {
    let Whole { block, code, sites, links, helpers, marks, fixups } = whole;
    u16::try_from(code.len()).ok()?;
    let mut to = Writer(record);
    to.u8(u8::try_from(other_sources.len()).ok()?);
    for (page, content) in other_sources {
        to.page(page);
        to.content(content);
    }
    to.u8(block.variant as u8
        | FLAGS_LIVE.of(block.flags_live == Liveness::Live)
        | INDIRECTLY.of(block.leads_on == LeadsOn::OnlyIndirectly)
        | SHARING.of(block.sharing == Sharing::Yes));
    to.u16(block.guest_bytes as u16);
    to.u16((block.body - block.host) as u16);
    for count in [code.len(), sites.len(), links.len(), helpers.len(), marks.len(), fixups.len()] {
        to.u16(count as u16);
    }
    let first = to.len();
    to.bytes(code);
    to.make_relocatable(first, whole);
    sites.iter().for_each(|site| to.site(site, block.host));
    links.iter().for_each(|link| to.link(link, block.host));
    let mut before = Mark::START;
    for mark in *marks {
        to.mark(mark, &before)?;
        before = *mark;
    }
    helpers.iter().for_each(|helper| to.helper(helper));
    fixups.iter().for_each(|fixup| to.fixup(*fixup));
    Some(())
}

impl Writer<'_> {
    /// Brings code that was just written to what it was before anything was linked, its numbers counting from its own.
    fn make_relocatable(&mut self, first: usize, whole: &Whole<'_>) {
        let code = &mut self.0[first..];
        let host = whole.block.host;
        for link in whole.links {
            let (jump, cold) = (link.jump - host, link.cold - host);
            put(code, jump as usize, rel32(u64::from(jump), u64::from(cold)));
        }
        for fixup in whole.fixups {
            let number = match fixup {
                Fixup::Leave(_) | Fixup::LeaveThrough(..) => {
                    put(code, fixup.at() + Fixup::TO_JUMP, [0; 4]);
                    let reason = word(code, fixup.at()).expect("a fix-up lies in its code");
                    relative(Reason::decode(reason), whole.block).encode()
                }
                Fixup::Origin(_) => 0,
            };
            put(code, fixup.at(), number.to_le_bytes());
        }
    }
}

/// Reads a block for a place in the cache; its parts replace those in `parts`. `None` if the bytes are no record.
pub fn read(record: &[u8], rip: VirtAddr, place: &Place, parts: &mut Parts) -> Option<Block> {
    let mut from = Reader(record);
    let sources = from.u8()?;
    from.take(usize::from(sources) * SOURCE_BYTES)?;
    let bits = from.u8()?;
    let (guest_bytes, body) = (from.u16()?, from.u16()?);
    let counts = [(); 6].map(|()| from.u16());
    let [Some(code), Some(sites), Some(links), Some(helpers), Some(marks), Some(fixups)] = counts else { return None };
    parts.clear();
    parts.code.extend_from_slice(from.take(usize::from(code))?);
    for _ in 0..sites {
        parts.sites.push(from.site(place)?);
    }
    for _ in 0..links {
        parts.links.push(from.link(place)?);
    }
    let mut before = Mark::START;
    for _ in 0..marks {
        before = from.mark(&before)?;
        parts.marks.push(before);
    }
    for _ in 0..helpers {
        parts.helpers.push(from.helper(place, rip, &parts.marks)?);
    }
    for _ in 0..fixups {
        let fixup = from.fixup()?;
        fix(&mut parts.code, fixup, place)?;
        parts.fixups.push(fixup);
    }
    let end = place.host + parts.code.len() as u32;
    let is_sound = parts.sites.iter().all(|site| site.found < end && u16::from(site.instruction) < marks)
        && parts.links.iter().all(|link| link.jump + 4 <= end && link.cold < end)
        && body < code;
    is_sound.then_some(Block {
        rip,
        variant: Variant::KEPT.into_iter().find(|variant| *variant as u8 == bits & 7)?,
        guest_bytes: u32::from(guest_bytes),
        host: place.host,
        body: place.host + u32::from(body),
        way_in: None,
        room_before: place.room_before,
        flags_live: if FLAGS_LIVE.is_in(bits) { Liveness::Live } else { Liveness::Dead },
        leads_on: if INDIRECTLY.is_in(bits) { LeadsOn::OnlyIndirectly } else { LeadsOn::Directly },
        host_bytes: parts.code.len() as u32,
        sharing: if SHARING.is_in(bits) { Sharing::Yes } else { Sharing::No },
        keeping: Keeping::Kept,
        parts: parts.numbers(place),
        incoming: None,
        map: place.map,
        unserved: 0,
        source_bytes: Box::default(),
    })
}

/// A reason whose number counts from the block's own first.
fn relative(reason: Reason, block: &Block) -> Reason {
    match reason {
        Reason::Miss(site) => Reason::Miss(site - block.parts.sites.start),
        Reason::Link(link) => Reason::Link(link - block.parts.links.start),
        Reason::Helper(helper) => Reason::Helper(helper - block.parts.helpers.start),
        Reason::Kick(_) => Reason::Kick(0),
        other => unreachable!("{other:?} leaves no block that is kept"),
    }
}

/// The reverse, at a place.
fn absolute(reason: Reason, place: &Place) -> Option<Reason> {
    Some(match reason {
        Reason::Miss(site) => Reason::Miss(site + place.first_site),
        Reason::Link(link) => Reason::Link(link + place.first_link),
        Reason::Helper(helper) => Reason::Helper(helper + place.first_helper),
        Reason::Kick(_) => Reason::Kick(place.block),
        _ => return None,
    })
}

/// Puts the numbers of a place into code.
fn fix(code: &mut [u8], fixup: Fixup, place: &Place) -> Option<()> {
    let at = fixup.at();
    match fixup.exit(place.exits) {
        Some(exit) => {
            let reason = absolute(Reason::decode(word(code, at)?), place)?;
            put(code, at, reason.encode().to_le_bytes())?;
            let jump = at + Fixup::TO_JUMP;
            put(code, jump, rel32(place.address + jump as u64, exit))
        }
        None => put(code, at, place.block.to_le_bytes()),
    }
}

fn put(code: &mut [u8], at: usize, word: [u8; 4]) -> Option<()> {
    *code.get_mut(at..)?.first_chunk_mut()? = word;
    Some(())
}
