//! One address through a machine, step by step.

use super::machine_file::AbsentPages;
use super::story::{Field, Step, Table};
use super::system::{SPACE, System};
use addr::{Access, PhysAddr, Privilege, VirtAddr};
use model::{By, Where, Scope, TlbEntry};
use paging::{Cause, Marking, Refusal, Translation, walk_observed};

/// What came out, in the columns of the textbook's exercise; `None` where a column does not apply.
#[derive(Clone, Default, Debug)]
pub struct Answer {
    pub va: u64,
    pub vpn: Option<u64>,
    pub tlbi: Option<u64>,
    pub tlbt: Option<u64>,
    pub tlb: Option<&'static str>,
    pub fault: Option<&'static str>,
    pub ppn: Option<u64>,
    pub pa: Option<u64>,
    pub co: Option<u64>,
    pub ci: Option<u64>,
    pub ct: Option<u64>,
    pub cache: Option<&'static str>,
    pub byte: Option<u8>,
}

/// One access under way.
struct Walkthrough<'a> {
    system: &'a mut System,
    addr: VirtAddr,
    access: Access,
    steps: Vec<Step>,
    answer: Answer,
}

/// Sends one address through the machine, which changes as a real one would.
pub fn translate(system: &mut System, addr: VirtAddr, access: Access) -> (Vec<Step>, Answer) {
    let answer = Answer { va: addr.get(), ..Answer::default() };
    let mut walkthrough = Walkthrough { system, addr, access, steps: Vec::new(), answer };
    walkthrough.run();
    (walkthrough.steps, walkthrough.answer)
}

impl Walkthrough<'_> {
    fn run(&mut self) {
        self.send_address();
        if !self.system.geometry.contains(self.addr) {
            self.answer.fault = Some("yes");
            let step = Step::new("Fault: the address lies outside the space").line("The kernel sends SIGSEGV.");
            self.steps.push(step);
            return;
        }
        let entry = match self.look_up_tlb() {
            Some(entry) => self.check_rights(entry),
            None => self.walk(),
        };
        if let Some(entry) = entry {
            self.answer.fault = Some("no");
            self.fetch(entry);
        }
    }

    fn send_address(&mut self) {
        let geometry = &self.system.geometry;
        let what = match self.access {
            Access::Read => "read",
            Access::Write => "write",
            Access::Execute => "execute",
        };
        let step = Step::new(format!("The processor sends the virtual address {:#x} to the MMU ({what})", self.addr));
        if !geometry.is_binary() {
            let (page, offset) = (geometry.page_number(self.addr), geometry.offset(self.addr, 1));
            self.answer.vpn = Some(page);
            let line =
                format!("{} / {} = page {page}, remainder: offset {offset}", self.addr.get(), geometry.page_bytes());
            return self.steps.push(step.line(line));
        }
        if !geometry.contains(self.addr) {
            let line = format!("An address of this machine has {} bits.", geometry.virtual_bits());
            return self.steps.push(step.line(line));
        }
        self.answer.vpn = Some(geometry.page_number(self.addr));
        let mut fields = Vec::new();
        for level in (1..=geometry.level_count()).rev() {
            let name = if geometry.level_count() == 1 {
                "VPN".to_string()
            } else {
                format!("VPN{}", geometry.level_count() + 1 - level)
            };
            fields.push(Field::new(name, geometry.table_entries(level).ilog2(), geometry.index(self.addr, level)));
        }
        fields.push(Field::new("VPO", geometry.page_bytes().ilog2(), geometry.offset(self.addr, 1)));
        self.steps.push(step.bits(fields));
    }

    /// The structures of each level that serve the access, with the pages' size that they are indexed by.
    fn serving(&self) -> Vec<(usize, usize)> {
        let serves = |structure: &model::TlbStructure| match structure.serves {
            model::Serves::Both => true,
            model::Serves::Instructions => self.access == Access::Execute,
            model::Serves::Data => self.access != Access::Execute,
        };
        let size = self.system.geometry.page_bytes();
        let structures = self.system.tlbs.structures().enumerate();
        structures
            .filter(|(_, structure)| serves(structure) && structure.page_bytes.contains(&size))
            .map(|(number, structure)| (number, structure.level))
            .collect()
    }

    fn look_up_tlb(&mut self) -> Option<TlbEntry> {
        let serving = self.serving();
        if serving.is_empty() {
            return None;
        }
        let size = self.system.geometry.page_bytes();
        let page = self.system.geometry.page_number(self.addr);
        let pages = self.system.geometry.virtual_bytes() / size;
        let mut tables = Vec::new();
        for &(number, level) in &serving {
            let (set, ways) = self.system.tlbs.set(number, self.addr, size);
            let sets = self.system.tlbs.structures().nth(number).map_or(1, |structure| structure.shape.sets as u64);
            let (index, tag) = (page % sets, page / sets);
            if tables.is_empty() {
                (self.answer.tlbi, self.answer.tlbt) = (Some(index), Some(tag));
            }
            let mut table = Table::new(
                format!("TLB, level {level}, set {index:x} (TLBI), tag {tag:x} (TLBT)"),
                &["way", "tag", "PPN", "valid"],
            );
            for (way, entry) in ways.into_iter().enumerate() {
                match entry {
                    Some((page_here, entry)) => {
                        let row = vec![way.to_string(), hex(page_here % pages / sets), hex(entry.frame), "1".into()];
                        if page_here == self.addr.get() / size { table.push_marked(row) } else { table.push(row) }
                    }
                    None => {
                        let tag = (number == 0).then(|| self.system.invalid_tags.get(&(set, way))).flatten();
                        table.push(vec![
                            way.to_string(),
                            tag.map_or("-".into(), |&tag| hex(tag)),
                            "-".into(),
                            "0".into(),
                        ]);
                    }
                }
            }
            tables.push(table);
        }
        let found = self.system.tlbs.lookup(self.addr, self.access, SPACE);
        self.answer.tlb = Some(if found.is_some() { "hit" } else { "miss" });
        let title = match found {
            Some((level, entry)) => format!("The MMU looks in the TLB: a hit at level {level}, PPN {:#x}", entry.frame),
            None => "The MMU looks in the TLB: a miss".to_string(),
        };
        let step = Step::new(title);
        let step = if self.system.geometry.is_binary() { step.bits(self.tlb_bits()) } else { step };
        // Large sets would fill the screen.
        let shown = tables.into_iter().filter(|table| table.rows.len() <= 16);
        self.steps.push(shown.fold(step, Step::table));
        found.map(|(_, entry)| entry)
    }

    /// The page number as the first TLB cuts it.
    fn tlb_bits(&self) -> Vec<Field> {
        let (Some(index), Some(tag)) = (self.answer.tlbi, self.answer.tlbt) else { return Vec::new() };
        let geometry = &self.system.geometry;
        let first = self.serving().first().and_then(|&(number, _)| self.system.tlbs.structures().nth(number));
        let Some(sets) = first.map(|structure| structure.shape.sets).filter(|sets| sets.is_power_of_two()) else {
            return Vec::new();
        };
        let offset_bits = geometry.page_bytes().ilog2();
        let tag_bits = geometry.virtual_bits() - offset_bits - sets.ilog2();
        let offset = Field::new("VPO", offset_bits, geometry.offset(self.addr, 1));
        let mut fields = vec![Field::new("TLBT", tag_bits, tag), Field::new("TLBI", sets.ilog2(), index), offset];
        fields.retain(|field| field.bits > 0);
        fields
    }

    /// A TLB entry carries its page's rights; they are those of the page table as long as that has an entry.
    fn check_rights(&mut self, entry: TlbEntry) -> Option<TlbEntry> {
        let marking = if self.access == Access::Write { Marking::Mark } else { Marking::LeaveAlone };
        let (before, found, _) = self.read_tables(marking);
        match found {
            Err(refusal) if refusal.cause == Cause::Protection => {
                self.fault(refusal);
                None
            }
            Ok(translation) if self.access == Access::Write && translation.dirty && !before => {
                self.steps.push(Step::new("The first store to the page: the MMU sets D in its entry"));
                Some(entry)
            }
            _ => Some(entry),
        }
    }

    /// Reads the page tables: whether the leaf was dirty before, what the walk says, and every entry as a table.
    fn read_tables(&mut self, marking: Marking) -> (bool, Result<Translation, Refusal>, Vec<paging::Step>) {
        let mut entries = Vec::new();
        let System { tables, geometry, root, .. } = &*self.system;
        let found = walk_observed(tables, geometry, *root, self.addr, self.access, Privilege::User, marking, |entry| {
            entries.push(entry);
        });
        let was_dirty = entries.last().is_some_and(|entry| entry.word & geometry.format().dirty != 0);
        (was_dirty, found, entries)
    }

    fn walk(&mut self) -> Option<TlbEntry> {
        let (_, found, entries) = self.read_tables(Marking::Mark);
        self.show_walk(&entries);
        match found {
            Ok(translation) => Some(self.fill_tlb(translation, &entries)),
            Err(refusal) => {
                self.fault(refusal);
                let is_absent = matches!(refusal.cause, Cause::Absent { .. });
                if !(is_absent && self.system.maps_absent_pages()) {
                    return None;
                }
                self.map_absent()
            }
        }
    }

    fn show_walk(&mut self, entries: &[paging::Step]) {
        let start = self.system.walk_caches.lookup(self.addr, SPACE).map_or(usize::MAX, |(level, _)| level);
        let System { geometry, .. } = &*self.system;
        let format = geometry.format();
        let head = ["level", "index", "entry at", "valid", "frame", "rights", "A", "D"];
        let mut table = Table::new("", &head);
        for entry in entries {
            let bit = |mask: u64| if entry.word & mask != 0 { "1" } else { "0" }.to_string();
            let is_valid = format.is_present(entry.word);
            let sup =
                if is_valid && format.lowest_privilege(entry.word) == Privilege::Supervisor { " SUP" } else { "" };
            let row = vec![
                entry.level.to_string(),
                hex(entry.index),
                hex(entry.at.get()),
                bit(format.present),
                if is_valid { hex(format.frame_number(entry.word)) } else { "-".into() },
                if is_valid { format!("{}{sup}", format.perms(entry.word)) } else { "-".into() },
                bit(format.accessed),
                bit(format.dirty),
            ];
            if entry.level <= start { table.push_marked(row) } else { table.push(row) }
        }
        let read = table.marked.len();
        let mut step = Step::new(format!(
            "The MMU walks the page table and reads {read} {}",
            if read == 1 { "entry" } else { "entries" }
        ))
        .table(table);
        if read < entries.len() {
            step = step.line("A page-walk cache knew the way to the table of the first entry that is marked.");
        }
        if self.system.file.cached_walks {
            let mut places = Vec::new();
            for entry in entries.iter().filter(|entry| entry.level <= start) {
                places.push(place(self.system.caches.access(entry.at, Access::Read)));
            }
            step = step.line(format!("The entries came from {}.", places.join(", ")));
        }
        self.steps.push(step);
    }

    fn fill_tlb(&mut self, translation: Translation, entries: &[paging::Step]) -> TlbEntry {
        let System { geometry, walk_caches, tlbs, .. } = &mut *self.system;
        for entry in entries.iter().filter(|entry| entry.level > 1) {
            let table = geometry.format().frame_number(entry.word) * geometry.page_bytes();
            walk_caches.fill(entry.level, self.addr, SPACE, PhysAddr::new(table));
        }
        let frame = translation.phys.get() / translation.page_bytes;
        let entry = TlbEntry { frame, page_bytes: translation.page_bytes, scope: Scope::Space(SPACE) };
        tlbs.fill(self.addr, self.access, entry);
        entry
    }

    fn fault(&mut self, refusal: Refusal) {
        self.answer.fault = Some("yes");
        let code = refusal.error_code().map_or(String::new(), |code| format!(", error code {code}"));
        let step = Step::new(format!("Page fault: {refusal}{code}")).line("The MMU calls the kernel's fault handler.");
        let is_absent = matches!(refusal.cause, Cause::Absent { .. });
        match self.system.file.absent_pages {
            AbsentPages::Fault if is_absent => {
                self.steps.push(step.line(
                    "If the page does not belong to the program: SIGSEGV. If it is on disk, the kernel would do what follows.",
                ));
                for title in [
                    "The handler chooses a victim and, if that page was modified, writes it to disk",
                    "The handler reads the page into the victim's frame and updates the page's entry",
                    "The handler returns to the same instruction, which runs again: this time a hit",
                ] {
                    self.steps.push(Step::new(title));
                }
            }
            AbsentPages::Map if is_absent => self.steps.push(step),
            _ => self.steps.push(step.line("The kernel sends SIGSEGV.")),
        }
    }

    fn map_absent(&mut self) -> Option<TlbEntry> {
        let page = self.system.geometry.page_number(self.addr);
        let frame = self.system.take_frames(1);
        let mapped = frame.map(|frame| self.system.map(page, frame, addr::Perms::ALL, Privilege::User));
        if !matches!(mapped, Some(Ok(()))) {
            self.steps.push(Step::new("No frame is free"));
            return None;
        }
        let (_, found, entries) = self.read_tables(Marking::Mark);
        let translation = found.expect("the page was just mapped");
        let frame = translation.phys.get() / translation.page_bytes;
        self.steps
            .push(Step::new(format!("The kernel maps the page to frame {frame:#x} and the instruction runs again")));
        self.show_walk(&entries);
        Some(self.fill_tlb(translation, &entries))
    }

    fn fetch(&mut self, entry: TlbEntry) {
        let geometry = &self.system.geometry;
        let offset = self.addr.get() % entry.page_bytes;
        let at = PhysAddr::new(entry.frame * entry.page_bytes + offset);
        (self.answer.ppn, self.answer.pa) = (Some(entry.frame), Some(at.get()));
        let step = Step::new(format!("The MMU forms the physical address {:#x}", at));
        let offset_bits = entry.page_bytes.ilog2();
        let step = if geometry.is_binary() {
            let bits = geometry.physical_bits() - offset_bits;
            step.bits(vec![Field::new("PPN", bits, entry.frame), Field::new("PPO", offset_bits, offset)])
        } else {
            step.line(format!("frame {} * {} + {offset} = {}", entry.frame, entry.page_bytes, at.get()))
        };
        self.steps.push(step);
        if self.system.file.caches.is_empty() {
            let known = self.system.bytes.get(&at.get()).copied();
            self.answer.byte = known;
            self.steps.push(Step::new(format!(
                "Memory answers{}",
                known.map_or(String::new(), |byte| format!(" with the byte {byte:#04x}"))
            )));
        } else {
            self.look_in_caches(at);
        }
    }

    fn look_in_caches(&mut self, at: PhysAddr) {
        let cache = self.system.file.caches[0];
        let level = cache.level().expect("the machine was built of it");
        let (line_bytes, sets) = (self.system.line_bytes, level.shape.sets as u64);
        let by = |by| if by == By::Virtual { self.addr.get() } else { at.get() };
        let (index_line, tag_line) = (by(level.indexed) / line_bytes, by(level.tagged) / line_bytes);
        let index = index_line % sets;
        // A tag holds all bits that the index does not; if another address picks the set, all above the line.
        let tag_of = |line: u64| if level.indexed == level.tagged { line / sets } else { line };
        let tag = tag_of(tag_line);
        (self.answer.co, self.answer.ci, self.answer.ct) = (Some(at.get() % line_bytes), Some(index), Some(tag));
        let mut table = Table::new("", &["way", "tag", "dirty", "bytes"]);
        let (_, ways) = self.system.caches.set(1, self.addr, at);
        for (way, line) in ways.iter().enumerate() {
            let Some((name, state)) = line else {
                table.push(vec![way.to_string(), "-".into(), "-".into(), "-".into()]);
                continue;
            };
            let here = if level.tagged == By::Virtual { name.virt } else { name.phys };
            let dirty = if *state == model::Line::Dirty { "1" } else { "0" };
            let row = vec![way.to_string(), hex(tag_of(here)), dirty.into(), self.line_text(name.phys)];
            if here == tag_line { table.push_marked(row) } else { table.push(row) }
        }
        let found = self.system.caches.access_by_both(self.addr, at, self.access);
        let is_hit = found == Where::Level(1);
        self.answer.cache = Some(if is_hit { "hit" } else { "miss" });
        let byte = self.system.bytes.get(&at.get()).copied().filter(|_| is_hit);
        self.answer.byte = byte;
        let answer = byte.map_or(String::new(), |byte| format!(": the byte {byte:#04x}"));
        let hit = if is_hit { "a hit".to_string() } else { format!("a miss; the line comes from {}", place(found)) };
        let mut step = Step::new(format!("The cache looks for the line: {hit}{answer}"));
        if sets.is_power_of_two() && level.indexed == level.tagged {
            let width = if level.indexed == By::Virtual {
                self.system.geometry.virtual_bits()
            } else {
                self.system.geometry.physical_bits()
            };
            let (co_bits, ci_bits) = (line_bytes.ilog2(), sets.ilog2());
            let ct = Field::new("CT", width.saturating_sub(co_bits + ci_bits), tag);
            step =
                step.bits(vec![ct, Field::new("CI", ci_bits, index), Field::new("CO", co_bits, at.get() % line_bytes)]);
        } else {
            step = step.line(format!("set {index:x} (CI), tag {tag:x} (CT), offset {:x} (CO)", at.get() % line_bytes));
        }
        step = step.table(table);
        let copies = self.system.caches.lines(1).filter(|(name, _)| name.phys == at.get() / line_bytes).count();
        if copies > 1 {
            step = step
                .line(format!(
                    "Synonyms: physical line {:#x} is now in the cache {copies} times, under different",
                    at.get() / line_bytes
                ))
                .line("virtual addresses; a store to one copy is not seen by a load from the other.");
        }
        self.steps.push(step);
    }

    fn line_text(&self, line: u64) -> String {
        if self.system.bytes.is_empty() || self.system.line_bytes > 16 {
            return String::new();
        }
        let start = line * self.system.line_bytes;
        let byte = |at| self.system.bytes.get(&at).map_or("--".to_string(), |byte| format!("{byte:02x}"));
        (start..start + self.system.line_bytes).map(byte).collect::<Vec<_>>().join(" ")
    }
}

fn place(found: Where) -> String {
    match found {
        Where::Level(level) => format!("L{level}"),
        Where::Memory => "memory".into(),
    }
}

fn hex(number: u64) -> String {
    format!("{number:x}")
}
