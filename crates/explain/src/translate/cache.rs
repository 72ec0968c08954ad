//! The caches' part: step 5.

use super::{Attempt, hex, place};
use crate::data;
use crate::machine_file::WriteFile;
use crate::story::{Field, Step, Table};
use addr::{Access, PhysAddr};
use model::{By, CacheLevel, Line, LineName, Movement, Where};

/// Longer lines are not drawn byte by byte.
const MOST_BYTES_DRAWN: u64 = 16;

impl Attempt<'_> {
    pub(super) fn use_cache(&mut self, at: PhysAddr) {
        let level = self.system.file.caches[0].level().expect("the machine was built of it");
        let line_bytes = self.system.line_bytes;
        let line = LineName { phys: at.get() / line_bytes, virt: self.request.addr.get() / line_bytes };
        let (index, tag) = index_and_tag(&level, line);
        let offset = at.get() % line_bytes;
        (self.answer.co, self.answer.ci, self.answer.ct) = (Some(offset), Some(index), Some(tag));
        let before = self.draw_lines(&level, at, line);
        let (data, value) = (&mut self.system.data, self.request.value);
        let (mut others, mut told) = (Vec::new(), Vec::new());
        let found = self.system.caches.access_observed(self.request.addr, at, self.request.access, |movement| {
            // The lines that make room are told first.
            let is_other = moved(movement).phys != line.phys;
            if is_other { &mut others } else { &mut told }.push(tell(movement, data, line_bytes));
            data.follow(movement, offset, value);
        });
        self.answer.cache = Some(if found == Where::Level(1) { "hit" } else { "miss" });
        let byte = self.system.data.line(Where::Level(1), line)[offset as usize];
        if found == Where::Level(1) && self.request.access != Access::Write {
            self.answer.byte = byte;
        }
        let mut step = Step::new(self.result(found, byte));
        step = match self.address_bits(&level, at, index, tag) {
            Some(fields) => step.bits(fields),
            None => step.line(format!("set {index:x} (CI), tag {tag:x} (CT), offset {offset:x} (CO)")),
        };
        step = step.table(before);
        let told: Vec<String> = others.into_iter().chain(told).collect();
        let has_changed = !told.is_empty();
        step = told.into_iter().fold(step, Step::line);
        if has_changed {
            let after = self.draw_lines(&level, at, line);
            step = step.table(Table { caption: "after that:".into(), ..after });
        }
        self.push(self.warn_of_synonyms(line, step));
    }

    fn result(&self, found: Where, byte: Option<u8>) -> String {
        let (is_store, value) = (self.request.access == Access::Write, self.request.value);
        let level = self.system.file.caches[0].write;
        match (found, is_store, byte) {
            (Where::Level(1), true, _) => format!("The cache takes the byte {value:#04x}: a hit"),
            (Where::Level(1), false, Some(byte)) => format!("The cache returns the byte {byte:#04x}: a hit"),
            (Where::Level(1), false, None) => "The cache returns the byte: a hit".to_string(),
            (_, true, _) if level == WriteFile::Through => {
                format!("The cache misses; the byte {value:#04x} goes through it")
            }
            (_, true, _) => {
                format!("The cache misses: the line comes from {} and takes the byte {value:#04x}", place(found))
            }
            (_, false, Some(byte)) => {
                format!("The cache misses: the line comes from {} with the byte {byte:#04x}", place(found))
            }
            (_, false, None) => format!("The cache misses: the line comes from {}", place(found)),
        }
    }

    /// The address as the cache cuts it, unless two addresses take part.
    fn address_bits(&self, level: &CacheLevel, at: PhysAddr, index: u64, tag: u64) -> Option<Vec<Field>> {
        let sets = level.shape.sets;
        if !sets.is_power_of_two() || level.indexed != level.tagged {
            return None;
        }
        let geometry = &self.system.geometry;
        let width = if level.indexed == By::Virtual { geometry.virtual_bits() } else { geometry.physical_bits() };
        let (co_bits, ci_bits) = (self.system.line_bytes.ilog2(), sets.ilog2());
        let mut fields = vec![
            Field::new("CT", width.saturating_sub(co_bits + ci_bits), tag),
            Field::new("CI", ci_bits, index),
            Field::new("CO", co_bits, at.get() % self.system.line_bytes),
        ];
        fields.retain(|field| field.bits > 0);
        Some(fields)
    }

    fn draw_lines(&self, level: &CacheLevel, at: PhysAddr, line: LineName) -> Table {
        let is_drawn = self.system.line_bytes <= MOST_BYTES_DRAWN && !self.system.data.is_empty();
        let head = ["way", "tag", "dirty", "bytes"];
        let mut table = Table::new("", if is_drawn { &head } else { &head[..3] });
        let (_, ways) = self.system.caches.set(1, self.request.addr, at);
        for (way, copy) in ways.into_iter().enumerate() {
            let mut row = match copy {
                None => vec![way.to_string(), "-".into(), "-".into()],
                Some((name, state)) => {
                    let dirty = if state == Line::Dirty { "1" } else { "0" };
                    vec![way.to_string(), hex(index_and_tag(level, name).1), dirty.into()]
                }
            };
            if is_drawn {
                let bytes = |(name, _)| data::text(&self.system.data.line(Where::Level(1), name));
                row.push(copy.map_or("-".into(), bytes));
            }
            let is_here = copy.is_some_and(|(name, _)| match level.tagged {
                By::Physical => name.phys == line.phys,
                By::Virtual => name.virt == line.virt,
            });
            if is_here { table.push_marked(row) } else { table.push(row) }
        }
        table
    }

    fn warn_of_synonyms(&self, line: LineName, step: Step) -> Step {
        let copies: Vec<LineName> =
            self.system.caches.lines(1).map(|(name, _)| name).filter(|name| name.phys == line.phys).collect();
        if copies.len() < 2 {
            return step;
        }
        let data = &self.system.data;
        let differ =
            copies.iter().any(|&name| data.line(Where::Level(1), name) != data.line(Where::Level(1), copies[0]));
        let step = step.line(format!(
            "Synonyms: physical line {:#x} is in the cache {} times, under different virtual addresses.",
            line.phys,
            copies.len()
        ));
        if differ { step.line("The copies differ: a store to one is not seen by a load from the other.") } else { step }
    }
}

/// The set of a line and the tag that is compared: all bits that the index does not hold; if another address picks the
/// set, all above the line.
fn index_and_tag(level: &CacheLevel, line: LineName) -> (u64, u64) {
    let by = |by| if by == By::Virtual { line.virt } else { line.phys };
    let sets = level.shape.sets as u64;
    let tag = if level.indexed == level.tagged { by(level.tagged) / sets } else { by(level.tagged) };
    (by(level.indexed) % sets, tag)
}

fn moved(movement: Movement) -> LineName {
    match movement {
        Movement::Filled { line, .. }
        | Movement::WrittenBack { line, .. }
        | Movement::Stored { line, .. }
        | Movement::Left { line, .. } => line,
    }
}

/// A movement as a sentence; the data are those from before it.
fn tell(movement: Movement, data: &data::Data, line_bytes: u64) -> String {
    let bytes = |at, line| {
        let bytes = data.line(at, line);
        if bytes.iter().all(Option::is_none) || line_bytes > MOST_BYTES_DRAWN {
            String::new()
        } else {
            format!(": {}", data::text(&bytes))
        }
    };
    match movement {
        Movement::Filled { level, from, line } => {
            format!("L{level} gets line {:#x} from {}{}.", line.phys, place(from), bytes(from, line))
        }
        Movement::WrittenBack { level, to, line } => format!(
            "Line {:#x} of L{level} is dirty, so it is written back to {}{}.",
            line.phys,
            place(to),
            bytes(Where::Level(level), line)
        ),
        Movement::Stored { at: Where::Level(level), line } => {
            format!("The store changes line {:#x} in L{level}.", line.phys)
        }
        Movement::Stored { at: Where::Memory, line } => {
            format!("The store goes through to line {:#x} of memory.", line.phys)
        }
        Movement::Left { level, line } => format!("Line {:#x} leaves L{level}.", line.phys),
    }
}
