//! A small machine in some state: tables, TLBs, caches and the bytes that are known.

use super::machine_file::{AbsentPages, MachineFile, shape};
use crate::complaint::Complaint;
use addr::{Access, Perms, PhysAddr, Privilege, VirtAddr};
use model::{Caches, Scope, TlbEntry, Tlbs, WalkCache, WalkCaches};
use paging::{EntrySource, Geometry, Marking, SparseMemory, peek, walk_observed};
use std::collections::{BTreeMap, BTreeSet};

/// The only address space there is.
pub const SPACE: u16 = 0;

/// The machine.
#[derive(Clone)]
pub struct System {
    pub(crate) file: MachineFile,
    pub(crate) geometry: Geometry,
    pub(crate) tables: SparseMemory,
    pub(crate) root: PhysAddr,
    pub(crate) tlbs: Tlbs,
    pub(crate) walk_caches: WalkCaches,
    pub(crate) caches: Caches,
    pub(crate) line_bytes: u64,
    /// Bytes of memory that were given; the others are unknown.
    pub(crate) bytes: BTreeMap<u64, u8>,
    /// Tags that were given for invalid ways, by set and way.
    pub(crate) invalid_tags: BTreeMap<(usize, usize), u64>,
    frames_in_use: BTreeSet<u64>,
}

impl System {
    /// Builds the machine of a file.
    pub fn new(file: MachineFile) -> Result<Self, Complaint> {
        let name = file.name.clone();
        Self::build(file).map_err(|what| Complaint::new(format!("machine {name}: {what}")))
    }

    fn build(file: MachineFile) -> Result<Self, String> {
        let geometry = file.geometry.geometry()?;
        let structures: Vec<_> =
            file.tlbs.iter().map(|tlb| tlb.structure(geometry.page_bytes())).collect::<Result<_, _>>()?;
        let levels: Vec<_> = file.caches.iter().map(|cache| cache.level()).collect::<Result<_, _>>()?;
        let line_bytes = file.caches.first().map_or(1, |cache| cache.line_bytes);
        if file.caches.iter().any(|cache| cache.line_bytes != line_bytes) {
            return Err("caches: expected the same line-bytes at every level".into());
        }
        let mut system = Self {
            tables: SparseMemory::new(),
            root: PhysAddr::new(0),
            tlbs: Tlbs::new(&structures),
            walk_caches: WalkCaches::new(&walk_caches(&file, &geometry)?),
            caches: Caches::new(line_bytes, &levels),
            line_bytes,
            bytes: BTreeMap::new(),
            invalid_tags: BTreeMap::new(),
            frames_in_use: BTreeSet::new(),
            geometry,
            file,
        };
        // One table is drawn beside memory, as in the textbooks; several are in it.
        if system.geometry.level_count() > 1 {
            system.frames_in_use.insert(0);
            system.root = system.take_table(system.geometry.level_count())?;
        }
        system.fill()?;
        Ok(system)
    }

    /// Maps a page to a frame, with whatever tables that takes.
    pub fn map(&mut self, page: u64, frame: u64, perms: Perms, lowest: Privilege) -> Result<(), String> {
        let addr = VirtAddr::new(page * self.geometry.page_bytes());
        if page >= self.geometry.virtual_bytes() / self.geometry.page_bytes() {
            return Err(format!("page {page:#x} lies outside the space"));
        }
        if frame >= self.geometry.physical_bytes() / self.geometry.page_bytes() {
            return Err(format!("frame {frame:#x} lies outside memory"));
        }
        let bytes = self.geometry.entry_bytes();
        let mut table = self.root;
        for level in (2..=self.geometry.level_count()).rev() {
            let at = table + self.geometry.index(addr, level) * bytes;
            let mut word = self.tables.load_entry(at, bytes);
            if word == 0 {
                let new = self.take_table(level - 1)?;
                word = self.geometry.format().table(self.geometry.frame_number(new));
                self.tables.store_entry(at, bytes, word);
            }
            table = PhysAddr::new(self.geometry.format().frame_number(word) * self.geometry.page_bytes());
        }
        let at = table + self.geometry.index(addr, 1) * bytes;
        self.tables.store_entry(at, bytes, self.geometry.format().leaf(frame, perms, lowest));
        self.frames_in_use.insert(frame);
        Ok(())
    }

    /// The lowest run of free frames, if there is one; it is in use from now on.
    pub fn take_frames(&mut self, count: u64) -> Option<u64> {
        let frames = self.geometry.physical_bytes() / self.geometry.page_bytes();
        let mut first = 0;
        while first + count <= frames {
            match (first..first + count).rev().find(|frame| self.frames_in_use.contains(frame)) {
                Some(taken) => first = taken + 1,
                None => {
                    self.frames_in_use.extend(first..first + count);
                    return Some(first);
                }
            }
        }
        None
    }

    /// Room for a table of a level.
    fn take_table(&mut self, level: usize) -> Result<PhysAddr, String> {
        let page_bytes = self.geometry.page_bytes();
        let frames = self.geometry.table_bytes(level).div_ceil(page_bytes);
        // Very large tables of one level are drawn beside memory, like the single ones.
        if frames > 1 << 16 {
            return Ok(PhysAddr::new(self.geometry.physical_bytes() / 2));
        }
        let first = self.take_frames(frames).ok_or("memory has no room for the tables")?;
        Ok(PhysAddr::new(first * page_bytes))
    }

    /// The frame of a page and its rights, if the page has an entry.
    pub fn entry(&self, page: u64) -> Option<(u64, Perms)> {
        let addr = VirtAddr::new(page * self.geometry.page_bytes());
        let found = peek(&self.tables, &self.geometry, self.root, addr, Access::Read, Privilege::Supervisor).ok()?;
        Some((self.geometry.frame_number(found.phys), found.perms))
    }

    /// Takes a page's entry away.
    pub fn unmap(&mut self, page: u64) {
        let addr = VirtAddr::new(page * self.geometry.page_bytes());
        let bytes = self.geometry.entry_bytes();
        let mut leaf = None;
        let see = |entry: paging::Step| leaf = Some(entry.at);
        let marking = Marking::LeaveAlone;
        let _ = walk_observed(
            &self.tables,
            &self.geometry,
            self.root,
            addr,
            Access::Read,
            Privilege::Supervisor,
            marking,
            see,
        );
        if let Some(at) = leaf {
            self.tables.store_entry(at, bytes, 0);
        }
        self.tlbs.invalidate_page(addr, SPACE);
    }

    /// Whether an absent page is mapped when it is used.
    pub fn maps_absent_pages(&self) -> bool {
        self.file.absent_pages == AbsentPages::Map
    }

    fn fill(&mut self) -> Result<(), String> {
        let contents = self.file.contents.clone();
        self.frames_in_use.extend(&contents.taken_frames);
        for page in &contents.pages {
            let mut parts = page.split(':');
            let number = hex(parts.next().unwrap_or_default(), "pages")?;
            let frame = parts.next().ok_or_else(|| format!("pages: expected page:frame in \"{page}\""))?;
            let rights = parts.next().unwrap_or("rwx");
            if frame != "-" {
                let lowest = if rights.contains('s') { Privilege::Supervisor } else { Privilege::User };
                self.map(number, hex(frame, "pages")?, perms_of(rights)?, lowest)?;
            }
        }
        self.fill_tlb(&contents.tlb)?;
        self.fill_lines(&contents.lines)
    }

    fn fill_tlb(&mut self, sets: &[String]) -> Result<(), String> {
        let Some(shape) = self.tlbs.structures().next().map(|structure| structure.shape) else {
            return if sets.is_empty() { Ok(()) } else { Err("tlb: there is no TLB to fill".into()) };
        };
        for (set, ways) in sets.iter().enumerate() {
            for (way, entry) in ways.split_whitespace().enumerate() {
                if set >= shape.sets || way >= shape.ways {
                    return Err(format!("tlb: expected {} sets of {} ways", shape.sets, shape.ways));
                }
                let (tag, frame) =
                    entry.split_once(':').ok_or_else(|| format!("tlb: expected tag:frame in \"{entry}\""))?;
                let page = hex(tag, "tlb")? * shape.sets as u64 + set as u64;
                if frame == "-" {
                    self.invalid_tags.insert((set, way), hex(tag, "tlb")?);
                } else {
                    let frame = hex(frame, "tlb")?;
                    let page_bytes = self.geometry.page_bytes();
                    self.tlbs.place(0, way, page, TlbEntry { frame, page_bytes, scope: Scope::Space(SPACE) });
                    self.frames_in_use.insert(frame);
                }
            }
        }
        Ok(())
    }

    fn fill_lines(&mut self, sets: &[String]) -> Result<(), String> {
        let Some(cache) = self.file.caches.first().copied() else {
            return if sets.is_empty() { Ok(()) } else { Err("lines: there is no cache to fill".into()) };
        };
        let shape = cache.level()?.shape;
        let words_a_way = 1 + self.line_bytes as usize;
        for (set, words) in sets.iter().enumerate() {
            let words: Vec<&str> = words.split_whitespace().collect();
            for (way, line) in words.chunks(words_a_way).enumerate() {
                if line.get(1).is_none_or(|&byte| byte == "-") {
                    continue;
                }
                if set >= shape.sets || way >= shape.ways || line.len() != words_a_way {
                    return Err(format!(
                        "lines: expected {} sets, each way a tag and {} bytes",
                        shape.sets, self.line_bytes
                    ));
                }
                let start = (hex(line[0], "lines")? * shape.sets as u64 + set as u64) * self.line_bytes;
                for (place, byte) in line[1..].iter().enumerate() {
                    self.bytes.insert(start + place as u64, hex(byte, "lines")? as u8);
                }
                self.caches.place(1, way, VirtAddr::new(start), PhysAddr::new(start));
            }
        }
        Ok(())
    }
}

fn walk_caches(file: &MachineFile, geometry: &Geometry) -> Result<Vec<WalkCache>, String> {
    let cache = |cache: &super::machine_file::WalkCacheFile| {
        if !(2..=geometry.level_count()).contains(&cache.level) {
            return Err("walk-caches: expected a level from 2 up to the root's".to_string());
        }
        let shape = shape("walk-caches", cache.entries, cache.ways, Default::default())?;
        Ok(WalkCache { level: cache.level, span_bytes: geometry.span_bytes(cache.level), shape })
    };
    file.walk_caches.iter().map(cache).collect()
}

fn perms_of(rights: &str) -> Result<Perms, String> {
    rights.chars().try_fold(Perms::NONE, |perms, right| match right {
        'r' => Ok(perms.union(Perms::READ)),
        'w' => Ok(perms.union(Perms::WRITE)),
        'x' => Ok(perms.union(Perms::EXECUTE)),
        's' | '-' => Ok(perms),
        other => Err(format!("pages: expected rights of r, w, x and s, not '{other}'")),
    })
}

fn hex(digits: &str, what: &str) -> Result<u64, String> {
    u64::from_str_radix(digits.trim_start_matches("0x"), 16)
        .map_err(|_| format!("{what}: expected a hexadecimal number instead of \"{digits}\""))
}
