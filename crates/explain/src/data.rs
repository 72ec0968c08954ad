//! The bytes that are known: in memory, in copies of lines, and on disk.

use addr::PhysAddr;
use model::{By, CacheLevel, LineName, Movement, Where};
use std::collections::BTreeMap;

/// Bytes of a line, as far as they are known.
pub type Bytes = Vec<Option<u8>>;

/// A cache may hold one physical line under two virtual names, so a copy has the place and the tag that the cache knows.
type CopyName = (usize, u64, u64);

/// All known bytes, kept up to date by the movements of lines.
#[derive(Clone, Debug)]
pub struct Data {
    line_bytes: u64,
    levels: Vec<CacheLevel>,
    memory: BTreeMap<u64, u8>,
    copies: BTreeMap<CopyName, Bytes>,
    disk: BTreeMap<u64, Vec<(u64, u8)>>,
}

impl Data {
    /// Nothing is known.
    pub fn new(line_bytes: u64, levels: &[CacheLevel]) -> Self {
        let (memory, copies, disk) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { line_bytes, levels: levels.to_vec(), memory, copies, disk }
    }

    /// Whether anything is.
    pub fn is_empty(&self) -> bool {
        self.memory.is_empty() && self.copies.is_empty()
    }

    /// A byte of memory, past the caches.
    pub fn memory(&self, at: PhysAddr) -> Option<u8> {
        self.memory.get(&at.get()).copied()
    }

    /// Stores a byte in memory, past the caches.
    pub fn store(&mut self, at: PhysAddr, byte: u8) {
        self.memory.insert(at.get(), byte);
    }

    /// What a place has of a line.
    pub fn line(&self, at: Where, line: LineName) -> Bytes {
        let unknown = || vec![None; self.line_bytes as usize];
        match at {
            Where::Level(level) => self.copies.get(&self.name(level, line)).cloned().unwrap_or_else(unknown),
            Where::Memory => {
                let start = line.phys * self.line_bytes;
                (start..start + self.line_bytes).map(|at| self.memory(PhysAddr::new(at))).collect()
            }
        }
    }

    /// Fills a level's copy of a line.
    pub fn fill(&mut self, level: usize, line: LineName, bytes: Bytes) {
        self.copies.insert(self.name(level, line), bytes);
    }

    /// Follows a movement; a store puts `byte` at an offset of the line.
    pub fn follow(&mut self, movement: Movement, offset: u64, byte: u8) {
        match movement {
            Movement::Filled { level, from, line } => {
                let bytes = self.line(from, line);
                self.fill(level, line, bytes);
            }
            Movement::WrittenBack { level, to, line } => {
                let bytes = self.line(Where::Level(level), line);
                self.put(to, line, &bytes);
            }
            Movement::Stored { at, line } => {
                let mut bytes = self.line(at, line);
                bytes[offset as usize] = Some(byte);
                self.put(at, line, &bytes);
            }
            Movement::Left { level, line } => {
                self.copies.remove(&self.name(level, line));
            }
        }
    }

    /// Writes a page's known bytes to disk, out of memory from `start` on.
    pub fn page_out(&mut self, page: u64, start: u64, page_bytes: u64) {
        let bytes = self.memory.range(start..start + page_bytes).map(|(at, &byte)| (at - start, byte)).collect();
        self.disk.insert(page, bytes);
    }

    /// Fills memory from `start` on with what is known of a page on disk.
    pub fn page_in(&mut self, page: u64, start: u64, page_bytes: u64) {
        self.memory.retain(|&at, _| !(start..start + page_bytes).contains(&at));
        for (offset, byte) in self.disk.get(&page).into_iter().flatten() {
            self.memory.insert(start + offset, *byte);
        }
    }

    fn put(&mut self, to: Where, line: LineName, bytes: &[Option<u8>]) {
        match to {
            Where::Level(level) => self.fill(level, line, bytes.to_vec()),
            Where::Memory => {
                let start = line.phys * self.line_bytes;
                let known = bytes.iter().enumerate().filter_map(|(place, byte)| Some((start + place as u64, (*byte)?)));
                self.memory.extend(known);
            }
        }
    }

    fn name(&self, level: usize, line: LineName) -> CopyName {
        let CacheLevel { shape, indexed, tagged, .. } = self.levels[level - 1];
        let by = |by| if by == By::Virtual { line.virt } else { line.phys };
        (level, by(indexed) % shape.sets as u64, by(tagged))
    }
}

/// `5a -- 11`, with `--` for what is not known.
pub fn text(bytes: &[Option<u8>]) -> String {
    let byte = |byte: &Option<u8>| byte.map_or("--".to_string(), |byte| format!("{byte:02x}"));
    bytes.iter().map(byte).collect::<Vec<_>>().join(" ")
}
