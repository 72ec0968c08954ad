//! What is in a machine at the beginning: pages, TLB entries, cache lines.

use crate::machine_file::Contents;
use crate::system::{SPACE, System, each};
use crate::wrong::Wrong;
use addr::{Perms, PhysAddr, Privilege, VirtAddr};
use model::{CacheLevel, LineName, Scope, TlbEntry};

impl System {
    /// Fills tables, TLB and cache, and gives the pages that are in memory.
    pub(crate) fn fill(&mut self, contents: &Contents, levels: &[CacheLevel]) -> Result<Vec<u64>, Wrong> {
        let (_, frames) = self.pages_and_frames();
        if let Some(item) = contents.taken_frames.iter().position(|&frame| frame >= frames) {
            return Err(Wrong::new(format!("expected less than {frames}")).item(item).at("taken-frames"));
        }
        self.frames_in_use.extend(&contents.taken_frames);
        let resident = each("pages", &contents.pages, |page| self.fill_page(page))?;
        each("memory", &contents.memory, |bytes| self.fill_memory(bytes))?;
        for (set, ways) in contents.tlb.iter().enumerate() {
            self.fill_tlb(set, ways).map_err(|wrong| wrong.item(set).at("tlb"))?;
        }
        for (set, words) in contents.lines.iter().enumerate() {
            self.fill_lines(set, words, levels).map_err(|wrong| wrong.item(set).at("lines"))?;
        }
        Ok(resident.into_iter().flatten().collect())
    }

    fn fill_page(&mut self, text: &str) -> Result<Option<u64>, Wrong> {
        let parts: Vec<&str> = text.split(':').collect();
        let (page, frame, marks, level) = match parts.as_slice() {
            [page, "-"] => {
                hex(page)?;
                return Ok(None);
            }
            [page, frame] => (page, frame, "rwx", 1),
            [page, frame, marks] => (page, frame, *marks, 1),
            [page, frame, marks, level] => (page, frame, *marks, hex(level)? as usize),
            _ => return Err(Wrong::new(format!("expected page:frame[:marks[:level]], not \"{text}\""))),
        };
        if let Some(other) = marks.chars().find(|mark| !"rwxsad-".contains(*mark)) {
            return Err(Wrong::new(format!("expected marks of r, w, x, s, a and d, not '{other}'")));
        }
        let (page, frame) = (hex(page)?, hex(frame)?);
        let rights = [('r', Perms::READ), ('w', Perms::WRITE), ('x', Perms::EXECUTE)];
        let perms = rights
            .iter()
            .filter(|(mark, _)| marks.contains(*mark))
            .fold(Perms::NONE, |perms, (_, right)| perms.union(*right));
        let lowest = if marks.contains('s') { Privilege::Supervisor } else { Privilege::User };
        self.map(page, frame, level, perms, lowest)?;
        let format = *self.geometry.format();
        if let Some((at, word)) = self.leaf(page) {
            let accessed = if marks.contains('a') { format.accessed } else { 0 };
            let dirty = if marks.contains('d') { format.dirty } else { 0 };
            self.tables.store_entry(at, self.geometry.entry_bytes(), word | accessed | dirty);
        }
        Ok(Some(page))
    }

    fn fill_memory(&mut self, text: &str) -> Result<(), Wrong> {
        let parts = text.split_once(':');
        let (start, bytes) = parts.ok_or_else(|| Wrong::new(format!("expected address: bytes, not \"{text}\"")))?;
        let (start, end) = (hex(start)?, self.geometry.physical_bytes());
        for (place, byte) in bytes.split_whitespace().enumerate() {
            let at = start.checked_add(place as u64).filter(|&at| at < end);
            let at = at.ok_or_else(|| Wrong::new(format!("expected addresses below {end:#x}")))?;
            self.data.store(PhysAddr::new(at), byte_of(byte)?);
        }
        Ok(())
    }

    fn fill_tlb(&mut self, set: usize, ways: &str) -> Result<(), Wrong> {
        let (pages, frames) = self.pages_and_frames();
        let shape = self.tlbs.structures().next().map(|structure| structure.shape);
        let shape = shape.ok_or_else(|| Wrong::new("expected none: there is no TLB to fill"))?;
        for (way, entry) in ways.split_whitespace().enumerate() {
            if set >= shape.sets || way >= shape.ways {
                return Err(Wrong::new(format!("expected {} sets of {} ways", shape.sets, shape.ways)));
            }
            let parts = entry.split_once(':');
            let (tag, frame) = parts.ok_or_else(|| Wrong::new(format!("expected tag:frame, not \"{entry}\"")))?;
            let tag = hex(tag)?;
            let page = tag.checked_mul(shape.sets as u64).and_then(|page| page.checked_add(set as u64));
            let page = page.filter(|&page| page < pages);
            let page =
                page.ok_or_else(|| Wrong::new(format!("expected a tag of a page below {pages:#x}, not {tag:x}")))?;
            if frame == "-" {
                self.invalid_tags.insert((set, way), tag);
                continue;
            }
            let frame = hex(frame)?;
            if frame >= frames {
                return Err(Wrong::new(format!("expected a frame below {frames:#x}, not {frame:x}")));
            }
            let page_bytes = self.geometry.page_bytes();
            let number = self.start_of(page).get() / page_bytes;
            self.tlbs.place(0, way, number, TlbEntry { frame, page_bytes, scope: Scope::Space(SPACE) });
            self.frames_in_use.insert(frame);
        }
        Ok(())
    }

    fn fill_lines(&mut self, set: usize, words: &str, levels: &[CacheLevel]) -> Result<(), Wrong> {
        let shape = levels.first().map(|level| level.shape);
        let shape = shape.ok_or_else(|| Wrong::new("expected none: there is no cache to fill"))?;
        let words: Vec<&str> = words.split_whitespace().collect();
        let words_a_way = 1 + self.line_bytes as usize;
        for (way, line) in words.chunks(words_a_way).enumerate() {
            let wrong =
                || Wrong::new(format!("expected {} sets, each way a tag and {} bytes", shape.sets, self.line_bytes));
            if set >= shape.sets || way >= shape.ways || line.len() != words_a_way {
                return Err(wrong());
            }
            let tag = hex(line[0])?;
            if line[1] == "-" {
                continue;
            }
            let number = tag.checked_mul(shape.sets as u64).and_then(|line| line.checked_add(set as u64));
            let last = self.geometry.physical_bytes() / self.line_bytes;
            let number = number
                .filter(|&number| number < last)
                .ok_or_else(|| Wrong::new(format!("expected a smaller tag than {tag:x}")))?;
            let mut bytes = Vec::new();
            for byte in &line[1..] {
                bytes.push(Some(byte_of(byte)?));
            }
            let start = number * self.line_bytes;
            for (place, byte) in bytes.iter().enumerate() {
                self.data.store(PhysAddr::new(start + place as u64), byte.unwrap_or_default());
            }
            self.caches.place(1, way, VirtAddr::new(start), PhysAddr::new(start));
            self.data.fill(1, LineName { phys: number, virt: number }, bytes);
        }
        Ok(())
    }
}

fn hex(digits: &str) -> Result<u64, Wrong> {
    u64::from_str_radix(digits.trim_start_matches("0x"), 16)
        .map_err(|_| Wrong::new(format!("expected a hexadecimal number, not \"{digits}\"")))
}

fn byte_of(digits: &str) -> Result<u8, Wrong> {
    u8::try_from(hex(digits)?).map_err(|_| Wrong::new(format!("expected a byte, not \"{digits}\"")))
}
