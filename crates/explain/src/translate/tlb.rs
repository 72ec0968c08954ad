//! The TLB's part: step 2, and step 3 where it hits.

use super::{Attempt, Looked, hex};
use crate::story::{Field, Step, Table};
use crate::system::SPACE;
use addr::Access;
use model::{Serves, TlbEntry, TlbStructure};
use paging::{Cause, Marking, Refusal};

/// Of larger sets only this many ways are drawn, and only those that are filled.
const MOST_WAYS_DRAWN: usize = 16;

/// A structure that is asked about pages of one size.
struct Asked {
    number: usize,
    structure: TlbStructure,
    page_bytes: u64,
}

impl Asked {
    /// The page number's low part picks the set, the rest is the tag.
    fn index_and_tag(&self, page: u64) -> (u64, u64) {
        let sets = self.structure.shape.sets as u64;
        (page % sets, page / sets)
    }
}

impl Attempt<'_> {
    /// Step 2: the level that hit, and its entry.
    pub(super) fn look_up_tlb(&mut self) -> Option<(usize, TlbEntry)> {
        let asked = self.asked();
        let first = asked.first()?;
        let (index, tag) = first.index_and_tag(self.page_of(first.page_bytes));
        (self.answer.tlbi, self.answer.tlbt) = (Some(index), Some(tag));
        let tables: Vec<(usize, Table)> =
            asked.iter().map(|asked| (asked.structure.level, self.draw_set(asked))).collect();
        let found = self.system.tlbs.lookup(self.request.addr, self.request.access, SPACE);
        self.answer.tlb = Some(if found.is_some() { "hit" } else { "miss" });
        let title = match found {
            Some((1, _)) => "The MMU looks for the entry in the TLB: a hit".to_string(),
            Some((level, _)) => {
                format!("The MMU looks for the entry in the TLB: a hit at level {level}{}", self.cycles(level))
            }
            None => "The MMU looks for the entry in the TLB: a miss".to_string(),
        };
        let hit = |asked: &&Asked| {
            found.is_some_and(|(level, entry)| asked.structure.level == level && asked.page_bytes == entry.page_bytes)
        };
        let bits = self.tlb_bits(asked.iter().find(hit).unwrap_or(first));
        // Levels below the one that hit are not asked.
        let last = found.map_or(usize::MAX, |(level, _)| level);
        let tables = tables.into_iter().filter(|(level, _)| *level <= last).map(|(_, table)| table);
        self.push(tables.fold(Step::new(title).bits(bits), Step::table));
        found
    }

    /// Step 3: the entry carries the page's rights; they are those of the page table as long as that has an entry.
    pub(super) fn take_from_tlb(&mut self, (_, entry): (usize, TlbEntry)) -> Result<TlbEntry, Refusal> {
        let marking = if self.request.access == Access::Write { Marking::Mark } else { Marking::LeaveAlone };
        let before = self.look(Marking::LeaveAlone);
        let Looked { found, .. } = self.look(marking);
        let mut step = Step::new(format!("The TLB returns the entry: PPN {:#x}", entry.frame));
        let was_clean = before.found.is_ok_and(|before| !before.dirty);
        if was_clean && found.is_ok_and(|found| found.dirty) {
            step = step.line("It is the first store to the page: the MMU sets D (dirty) in the entry in memory.");
        }
        if let Some(refusal) = found.err().filter(|refusal| refusal.cause == Cause::Protection) {
            self.push(step);
            return Err(refusal);
        }
        self.push(step);
        Ok(entry)
    }

    /// The structures that serve the access, once for each size of page that they hold, in the order of their levels.
    fn asked(&self) -> Vec<Asked> {
        let is_serving = |structure: &TlbStructure| match structure.serves {
            Serves::Both => true,
            Serves::Instructions => self.request.access == Access::Execute,
            Serves::Data => self.request.access != Access::Execute,
        };
        let structures = self.system.tlbs.structures().cloned().enumerate();
        let mut asked: Vec<Asked> = structures
            .filter(|(_, structure)| is_serving(structure))
            .flat_map(|(number, structure)| {
                let sizes = structure.page_bytes.clone();
                sizes.into_iter().map(move |page_bytes| Asked { number, structure: structure.clone(), page_bytes })
            })
            .collect();
        asked.sort_by_key(|asked| asked.structure.level);
        asked
    }

    /// The number of the page of a size, without what lies above the space.
    fn page_of(&self, page_bytes: u64) -> u64 {
        let geometry = &self.system.geometry;
        geometry.page_number(self.request.addr) / (page_bytes / geometry.page_bytes())
    }

    fn draw_set(&self, asked: &Asked) -> Table {
        let (index, tag) = asked.index_and_tag(self.page_of(asked.page_bytes));
        let (set, ways) = self.system.tlbs.set(asked.number, self.request.addr, asked.page_bytes);
        let size = if asked.structure.page_bytes.len() > 1
            || self.system.tlbs.structures().any(|other| other.page_bytes != asked.structure.page_bytes)
        {
            format!(", pages of {}", size_text(asked.page_bytes))
        } else {
            String::new()
        };
        let kind = match asked.structure.serves {
            Serves::Both => "TLB",
            Serves::Data => "data TLB",
            Serves::Instructions => "instruction TLB",
        };
        let is_large = ways.len() > MOST_WAYS_DRAWN;
        let filled = ways.iter().flatten().count();
        let count = if is_large { format!(", {filled} of {} ways filled", ways.len()) } else { String::new() };
        let level = asked.structure.level;
        let caption = format!("{kind}, level {level}{size}, set {index:x} (TLBI), tag {tag:x} (TLBT){count}");
        let mut table = Table::new(caption, &["way", "tag", "PPN", "valid"]);
        for (way, entry) in ways.into_iter().enumerate() {
            let Some((page, entry)) = entry else {
                if !is_large {
                    let tag = self.system.invalid_tags.get(&(set, way)).filter(|_| asked.number == 0);
                    table.push(vec![way.to_string(), tag.map_or("-".into(), |&tag| hex(tag)), "-".into(), "0".into()]);
                }
                continue;
            };
            let is_here = page == self.request.addr.get() / asked.page_bytes && entry.page_bytes == asked.page_bytes;
            if is_large && !is_here && table.rows.len() >= MOST_WAYS_DRAWN {
                continue;
            }
            let pages = self.system.geometry.virtual_bytes() / entry.page_bytes;
            let sets = asked.structure.shape.sets as u64;
            let mut ppn = hex(entry.frame);
            if asked.structure.page_bytes.len() > 1 {
                ppn.push_str(&format!(" ({})", size_text(entry.page_bytes)));
            }
            let row = vec![way.to_string(), hex(page % pages.max(1) / sets), ppn, "1".into()];
            if is_here { table.push_marked(row) } else { table.push(row) }
        }
        table
    }

    /// The page number as a structure cuts it.
    fn tlb_bits(&self, asked: &Asked) -> Vec<Field> {
        let geometry = &self.system.geometry;
        let sets = asked.structure.shape.sets;
        if !geometry.is_binary() || !sets.is_power_of_two() {
            return Vec::new();
        }
        let (index, tag) = asked.index_and_tag(self.page_of(asked.page_bytes));
        let offset_bits = asked.page_bytes.ilog2();
        let offset = self.request.addr.get() % asked.page_bytes;
        let tag_bits = geometry.virtual_bits().saturating_sub(offset_bits + sets.ilog2());
        let mut fields = vec![
            Field::new("TLBT", tag_bits, tag),
            Field::new("TLBI", sets.ilog2(), index),
            Field::new("VPO", offset_bits, offset),
        ];
        fields.retain(|field| field.bits > 0);
        fields
    }

    /// What a hit at a level costs, if the machine's file says so.
    fn cycles(&self, level: usize) -> String {
        let cycles = self.system.file.tlbs.iter().filter(|tlb| tlb.level == level).map(|tlb| tlb.cycles.as_slice());
        match cycles.into_iter().find(|cycles| !cycles.is_empty()) {
            Some([least, most]) => format!(", {least} to {most} cycles more"),
            Some([cycles, ..]) => format!(", {cycles} cycles more"),
            _ => String::new(),
        }
    }
}

/// `4K`, `2M`, `1G`, or bytes.
fn size_text(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{}G", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}M", bytes >> 20),
        _ if bytes.is_multiple_of(1 << 10) => format!("{}K", bytes >> 10),
        _ => bytes.to_string(),
    }
}
