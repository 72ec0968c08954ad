//! One address through a machine, in the steps of CS:APP figure 9.13: a hit takes 1 to 5, a fault 1 to 7 and then the
//! instruction starts again.

mod cache;
mod fault;
mod tlb;

pub use fault::thrown_out;

use crate::request::Request;
use crate::story::{Field, Step, Table};
use crate::system::{SPACE, System};
use addr::{Access, PhysAddr, Privilege};
use model::{Scope, TlbEntry, Where};
use paging::{Marking, Refusal, Translation, walk_observed};

/// What came out, in the columns of the textbook's exercise; `None` where a column does not apply.
#[derive(Clone, Default, Debug)]
pub struct Answer {
    pub(crate) va: u64,
    pub(crate) vpn: Option<u64>,
    pub(crate) tlbi: Option<u64>,
    pub(crate) tlbt: Option<u64>,
    pub(crate) tlb: Option<&'static str>,
    pub(crate) fault: Option<&'static str>,
    pub(crate) ppn: Option<u64>,
    pub(crate) pa: Option<u64>,
    pub(crate) co: Option<u64>,
    pub(crate) ci: Option<u64>,
    pub(crate) ct: Option<u64>,
    pub(crate) cache: Option<&'static str>,
    pub(crate) byte: Option<u8>,
}

/// What an access did.
pub struct Done {
    /// The steps, numbered from 1; again from 1 where the instruction starts again.
    pub steps: Vec<Step>,
    /// What the first attempt came to.
    pub answer: Answer,
    /// Why the last attempt was refused, if it was.
    pub refusal: Option<Refusal>,
}

/// One access under way.
struct Attempt<'a> {
    system: &'a mut System,
    request: Request,
    steps: Vec<Step>,
    answer: Answer,
    refusal: Option<Refusal>,
}

/// What a look at the page tables found, and every entry on the way.
struct Looked {
    found: Result<Translation, Refusal>,
    entries: Vec<paging::Step>,
}

/// Sends one access through the machine, which changes as a real one would, and lets the kernel deal with a fault.
pub fn translate(system: &mut System, request: Request) -> Done {
    let mut done = attempt(system, request);
    if let Some(refusal) = done.refusal
        && fault::handle(system, request, refusal, &mut done.steps)
    {
        let again = attempt(system, request);
        done.steps.extend(again.steps);
        done.refusal = again.refusal;
    }
    done
}

/// The access up to its end, or up to the exception.
pub fn attempt(system: &mut System, request: Request) -> Done {
    let answer = Answer { va: request.addr.get(), ..Answer::default() };
    let mut attempt = Attempt { system, request, steps: Vec::new(), answer, refusal: None };
    attempt.run();
    Done { steps: attempt.steps, answer: attempt.answer, refusal: attempt.refusal }
}

impl Attempt<'_> {
    fn run(&mut self) {
        self.send_address();
        let is_inside = self.system.geometry.contains(self.request.addr);
        let found = match if is_inside { self.look_up_tlb() } else { None } {
            Some(hit) => self.take_from_tlb(hit),
            None => self.walk(is_inside),
        };
        match found {
            Ok(entry) => {
                self.answer.fault = Some("no");
                self.fetch(entry);
                if let Some(pager) = &mut self.system.pager {
                    pager.note(self.system.geometry.page_number(self.request.addr), self.request.access);
                }
            }
            Err(refusal) => {
                self.answer.fault = Some("yes");
                self.refusal = Some(refusal);
                let code = refusal.error_code().map_or(String::new(), |code| format!(" (error code {code})"));
                self.push(
                    Step::new(format!("The MMU raises {} exception{code}: {refusal}", fault::name(refusal)))
                        .line("Control goes to the kernel's handler."),
                );
            }
        }
    }

    fn push(&mut self, step: Step) {
        let number = self.steps.len() + 1;
        self.steps.push(Step { number, ..step });
    }

    /// An address, decimal where pages are found by division.
    fn number(&self, address: u64) -> String {
        if self.system.geometry.is_binary() { format!("{address:#x}") } else { address.to_string() }
    }

    fn send_address(&mut self) {
        let addr = self.request.addr;
        let geometry = &self.system.geometry;
        let verb = self.request.verb();
        let shown = self.number(addr.get());
        let step = Step::new(format!("The processor sends the virtual address {shown} to the MMU ({verb})"));
        if !geometry.contains(addr) {
            let bits = geometry.virtual_bits();
            let line = match geometry.addressing() {
                paging::Addressing::Canonical => {
                    format!("Bits 63 to {} of an address of this machine are equal.", bits - 1)
                }
                paging::Addressing::FromZero if geometry.is_binary() => {
                    format!("An address of this machine has {bits} bits.")
                }
                paging::Addressing::FromZero => {
                    format!("The last address of this machine is {}.", geometry.virtual_bytes() - 1)
                }
            };
            return self.push(step.line(line));
        }
        self.answer.vpn = Some(geometry.page_number(addr));
        if !geometry.is_binary() {
            let (page, offset) = (geometry.page_number(addr), geometry.offset(addr, 1));
            let line = format!("{} / {} = page {page}, remainder: offset {offset}", addr.get(), geometry.page_bytes());
            return self.push(step.line(line));
        }
        let levels = geometry.level_count();
        let name = |level| if levels == 1 { "VPN".to_string() } else { format!("VPN{}", levels + 1 - level) };
        let index = |level| Field::new(name(level), geometry.table_entries(level).ilog2(), geometry.index(addr, level));
        let mut fields: Vec<Field> = (1..=levels).rev().map(index).collect();
        fields.push(Field::new("VPO", geometry.page_bytes().ilog2(), geometry.offset(addr, 1)));
        self.push(step.bits(fields));
    }

    /// Reads the page tables as they are, or as the MMU does.
    fn look(&mut self, marking: Marking) -> Looked {
        let mut entries = Vec::new();
        let System { tables, geometry, root, .. } = &*self.system;
        let Request { addr, access, privilege, .. } = self.request;
        let see = |entry| entries.push(entry);
        let found = walk_observed(tables, geometry, *root, addr, access, privilege, marking, see);
        Looked { found, entries }
    }

    /// Steps 2 and 3 where the TLB has no entry.
    fn walk(&mut self, is_inside: bool) -> Result<TlbEntry, Refusal> {
        let before = self.look(Marking::LeaveAlone);
        let Looked { found, .. } = self.look(Marking::Mark);
        if !is_inside {
            return Err(found.expect_err("no walk leads outside the space"));
        }
        let known = self.system.walk_caches.lookup(self.request.addr, SPACE);
        let start = known.map_or(usize::MAX, |(level, _)| level);
        let read: Vec<paging::Step> = before.entries.iter().copied().filter(|entry| entry.level <= start).collect();
        self.ask_for_entries(&read);
        let mut step = self.returned_entries(&before.entries, start);
        if self.system.file.cached_walks {
            step = step.line(format!("The entries came from {}.", self.read_through_caches(&read).join(", ")));
        }
        if let Ok(translation) = found {
            step = self.remember(translation, &before.entries, step);
        }
        self.push(step);
        found.map(entry_of)
    }

    fn ask_for_entries(&mut self, read: &[paging::Step]) {
        let first = read.first().expect("a walk reads an entry");
        let what = format!("the page-table entry at {:#x}", first.at);
        let one = if read.len() == 1 { what } else { format!("{what}, and then for those it leads to") };
        match self.steps.last_mut().filter(|step| step.number == 2) {
            // The TLB was asked in vain.
            Some(step) => {
                step.title.push_str("; it asks for ");
                step.title.push_str(&one);
            }
            None => self.push(Step::new(format!("The MMU asks for {one}"))),
        }
        if let Some(walkers) = self.system.file.page_walkers {
            let step = self.steps.last_mut().expect("a step was just there");
            let line = if walkers == 1 {
                "The page walker does it.".into()
            } else {
                format!("One of {walkers} page walkers does it.")
            };
            *step = step.clone().line(line);
        }
    }

    /// The entries on the way, those from level `start` down marked: they were read.
    fn returned_entries(&self, entries: &[paging::Step], start: usize) -> Step {
        let geometry = &self.system.geometry;
        let format = geometry.format();
        let mut table = Table::new("", &["level", "index", "entry at", "valid", "frame", "rights", "A", "D"]);
        for entry in entries {
            let bit = |mask: u64| if entry.word & mask != 0 { "1" } else { "0" }.to_string();
            let is_valid = format.is_present(entry.word);
            let is_supervisor = format.lowest_privilege(entry.word) == Privilege::Supervisor;
            let rights = format!("{}{}", format.perms(entry.word), if is_supervisor { " SUP" } else { "" });
            let row = vec![
                entry.level.to_string(),
                hex(entry.index),
                hex(entry.at.get()),
                bit(format.present),
                if is_valid { hex(format.frame_number(entry.word)) } else { "-".into() },
                if is_valid { rights } else { "-".into() },
                bit(format.accessed),
                bit(format.dirty),
            ];
            if entry.level <= start { table.push_marked(row) } else { table.push(row) }
        }
        let what = match table.marked.len() {
            1 => "the entry".to_string(),
            count => format!("{count} entries"),
        };
        let step = Step::new(format!("The page table returns {what}"));
        let is_short = table.marked.len() < entries.len();
        let step = step.table(table);
        if is_short {
            return step.line("A page-walk cache knew the way to the table of the first entry that is marked.");
        }
        step
    }

    fn read_through_caches(&mut self, read: &[paging::Step]) -> Vec<String> {
        let System { caches, data, .. } = &mut *self.system;
        let mut fetch = |entry: &paging::Step| {
            let at = (addr::VirtAddr::new(entry.at.get()), entry.at);
            place(caches.access_observed(at.0, at.1, Access::Read, |movement| data.follow(movement, 0, 0)))
        };
        read.iter().map(&mut fetch).collect()
    }

    /// Fills the TLB and the page-walk caches; says which marks the walk has set.
    fn remember(&mut self, translation: Translation, entries: &[paging::Step], step: Step) -> Step {
        let System { geometry, walk_caches, tlbs, .. } = &mut *self.system;
        let (leaf, tables) = entries.split_last().expect("a walk reads an entry");
        for entry in tables {
            let table = geometry.format().frame_number(entry.word) * geometry.page_bytes();
            walk_caches.fill(entry.level, self.request.addr, SPACE, PhysAddr::new(table));
        }
        tlbs.fill(self.request.addr, self.request.access, entry_of(translation));
        let format = geometry.format();
        let sets_a = entries.iter().any(|entry| entry.word & format.accessed == 0);
        let sets_d = self.request.access == Access::Write && leaf.word & format.dirty == 0;
        match (sets_a, sets_d) {
            (true, true) => step.line("The MMU sets A (accessed), and D (dirty) in the entry of the page."),
            (true, false) => step.line("The MMU sets A (accessed)."),
            (false, true) => step.line("The MMU sets D (dirty) in the entry of the page."),
            (false, false) => step,
        }
    }

    /// Steps 4 and 5.
    fn fetch(&mut self, entry: TlbEntry) {
        let geometry = &self.system.geometry;
        let offset = self.request.addr.get() % entry.page_bytes;
        let at = PhysAddr::new(entry.frame * entry.page_bytes + offset);
        (self.answer.ppn, self.answer.pa) = (Some(entry.frame), Some(at.get()));
        let to = if self.system.file.caches.is_empty() { "memory" } else { "the cache" };
        let shown = self.number(at.get());
        let step = Step::new(format!("The MMU forms the physical address {shown} and sends it to {to}"));
        let offset_bits = entry.page_bytes.ilog2();
        let step = if geometry.is_binary() {
            let bits = geometry.physical_bits().saturating_sub(offset_bits);
            step.bits(vec![Field::new("PPN", bits, entry.frame), Field::new("PPO", offset_bits, offset)])
        } else {
            step.line(format!("frame {} * {} + {offset} = {}", entry.frame, entry.page_bytes, at.get()))
        };
        self.push(step);
        if self.system.file.caches.is_empty() { self.use_memory(at) } else { self.use_cache(at) }
    }

    fn use_memory(&mut self, at: PhysAddr) {
        if self.request.access == Access::Write {
            self.system.data.store(at, self.request.value);
            return self.push(Step::new(format!("Memory stores the byte {:#04x}", self.request.value)));
        }
        self.answer.byte = self.system.data.memory(at);
        let byte = self.answer.byte.map_or("the byte".to_string(), |byte| format!("the byte {byte:#04x}"));
        self.push(Step::new(format!("Memory returns {byte}")));
    }
}

fn entry_of(translation: Translation) -> TlbEntry {
    let frame = translation.phys.get() / translation.page_bytes;
    TlbEntry { frame, page_bytes: translation.page_bytes, scope: Scope::Space(SPACE) }
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
