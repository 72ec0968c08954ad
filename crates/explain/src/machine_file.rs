//! The file that describes a machine: `pagewalk explain --schema` prints its JSON schema.

use crate::complaint::Complaint;
use model::{By, CacheLevel, Inclusion, Serves, Shape, TlbStructure, WayReplacement, WritePolicy};
use paging::{Addressing, EntryFormat, Geometry, MAX_LEVELS};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::Path;

/// A machine to explain.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MachineFile {
    /// Its name.
    pub name: String,
    /// One line on what it shows.
    pub summary: String,
    /// Where its numbers come from.
    #[serde(default)]
    pub source: String,
    /// How addresses are cut and what entries look like.
    pub geometry: GeometryFile,
    /// What an access to a page without an entry does.
    #[serde(default)]
    pub absent_pages: AbsentPages,
    /// Whether a walk reads its entries through the caches.
    #[serde(default)]
    pub cached_walks: bool,
    /// TLB structures.
    #[serde(default)]
    pub tlbs: Vec<TlbFile>,
    /// Page-walk caches.
    #[serde(default)]
    pub walk_caches: Vec<WalkCacheFile>,
    /// Data caches, the nearest to the CPU first.
    #[serde(default)]
    pub caches: Vec<CacheFile>,
    /// What is where at the beginning.
    #[serde(default)]
    pub contents: Contents,
    /// A story to tell when no address is given.
    pub story: Option<super::stories::StoryFile>,
}

/// Sizes and formats.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct GeometryFile {
    /// Bytes of a page. Without `levels` any number, found by division.
    pub page_bytes: u64,
    /// Bits of the index of each level, the root's first.
    #[serde(default)]
    pub levels: Vec<u32>,
    /// Without `levels`: bytes of the virtual space.
    pub virtual_bytes: Option<u64>,
    /// Bytes of physical memory, or
    pub physical_bytes: Option<u64>,
    /// bits of a physical address.
    pub physical_bits: Option<u32>,
    /// What entries look like.
    pub entries: EntryKind,
    /// Whether the space is two halves around 2^63.
    #[serde(default)]
    pub canonical: bool,
    /// Levels above 1 that may have leaves.
    #[serde(default)]
    pub large_leaves: Vec<usize>,
}

/// What an entry looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Eight bytes, x86-64's bits.
    #[serde(rename = "x86-64")]
    X86_64,
    /// Four bytes, 32-bit x86's bits.
    #[serde(rename = "x86-32")]
    X86_32,
    /// Two bytes: valid, SUP, READ, WRITE, EXEC, A, D and nine bits of frame number.
    Toy,
}

/// What an access to a page without an entry does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AbsentPages {
    /// It faults; the page may be on disk.
    #[default]
    Fault,
    /// It faults; nothing is there.
    Signal,
    /// It faults, the kernel maps the next free frame, and the instruction runs again.
    Map,
}

/// One TLB structure.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TlbFile {
    /// Its level, from 1.
    pub level: usize,
    /// `instructions`, `data` or `both`.
    pub serves: ServesFile,
    /// Entries in all.
    pub entries: usize,
    /// Ways of a set.
    pub ways: usize,
    /// Page sizes that it holds; the geometry's smallest if absent.
    #[serde(default)]
    pub page_bytes: Vec<u64>,
    /// Who leaves a full set.
    #[serde(default)]
    pub replacement: ReplacementFile,
}

/// Which accesses a TLB serves.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServesFile {
    /// Fetches.
    Instructions,
    /// Loads and stores.
    Data,
    /// All.
    Both,
}

/// Who leaves a full set.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReplacementFile {
    /// The way not used for the longest time.
    #[default]
    Lru,
    /// The way filled first.
    Fifo,
    /// A tree of bits.
    Plru,
    /// Any way, by a seeded generator.
    Random,
}

/// The page-walk cache of one level.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WalkCacheFile {
    /// The level whose entries it holds, from 2.
    pub level: usize,
    /// Entries in all.
    pub entries: usize,
    /// Ways of a set.
    pub ways: usize,
}

/// One level of cache.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CacheFile {
    /// Bytes in all.
    pub bytes: u64,
    /// Ways of a set.
    pub ways: usize,
    /// Bytes of a line; the same at every level.
    pub line_bytes: u64,
    /// Which address picks the set.
    #[serde(default)]
    pub indexed: ByFile,
    /// Which address the tags hold.
    #[serde(default)]
    pub tagged: ByFile,
    /// What a store does.
    #[serde(default)]
    pub write: WriteFile,
    /// How it relates to the levels above.
    #[serde(default)]
    pub inclusion: InclusionFile,
    /// Who leaves a full set.
    #[serde(default)]
    pub replacement: ReplacementFile,
}

/// Physical or virtual.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ByFile {
    /// The physical address.
    #[default]
    Physical,
    /// The virtual address.
    Virtual,
}

/// What a store does.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WriteFile {
    /// It stays in a dirty line.
    #[default]
    Back,
    /// It goes down at once.
    Through,
}

/// How a cache relates to those above.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InclusionFile {
    /// It holds their lines too.
    Inclusive,
    /// It holds none of their lines.
    Exclusive,
    /// Either.
    #[default]
    NonInclusive,
}

/// What is where at the beginning; numbers in strings are hexadecimal, and `-` is an invalid entry.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Contents {
    /// `page:frame` or `page:frame:rights`, rights of r, w, x and s (only the kernel may); rwx if absent.
    #[serde(default)]
    pub pages: Vec<String>,
    /// Frames that belong to someone else.
    #[serde(default)]
    pub taken_frames: Vec<u64>,
    /// For each set of the first TLB, `tag:frame` for each way.
    #[serde(default)]
    pub tlb: Vec<String>,
    /// For each set of the first cache, the tag and the bytes of the line, for each way.
    #[serde(default)]
    pub lines: Vec<String>,
}

/// The JSON schema of machine files.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(MachineFile).into()
}

/// Reads a machine, or says where it is wrong.
pub fn parse(text: &str, file: &Path) -> Result<MachineFile, Complaint> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = &text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&character| character != '\n').count() + 1;
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        Complaint::new(format!("{}:{line}:{column}: {message}", file.display()))
    })
}

impl GeometryFile {
    /// The geometry, or what makes no sense.
    pub fn geometry(&self) -> Result<Geometry, String> {
        let geometry = match self.levels.as_slice() {
            [] => self.divided()?,
            levels => self.split(levels)?,
        };
        let geometry = match self.entries {
            EntryKind::X86_64 => geometry.with_entries(8, EntryFormat::X86_64),
            EntryKind::X86_32 => geometry.with_entries(4, EntryFormat::X86_32),
            EntryKind::Toy => geometry.with_entries(2, EntryFormat::TOY),
        };
        let geometry = match (self.physical_bytes, self.physical_bits) {
            (Some(bytes), None) if bytes >= self.page_bytes => geometry.with_physical_bytes(bytes),
            (None, Some(bits @ 1..=52)) if 1 << bits >= self.page_bytes => geometry.with_physical_bits(bits),
            _ => {
                return Err("geometry: expected physical-bytes or physical-bits (up to 52), for at least a page".into());
            }
        };
        let largest = geometry.format().frame_number(u64::MAX).min(geometry.physical_bytes());
        if geometry.physical_bytes().div_ceil(self.page_bytes) - 1 > largest {
            return Err(format!(
                "geometry: an entry can name frames up to {largest:#x}, expected less physical memory"
            ));
        }
        if !self.large_leaves.iter().all(|level| (2..=self.levels.len()).contains(level)) {
            return Err("geometry: large-leaves expects levels from 2 up to the root's".into());
        }
        let geometry = geometry.with_large_leaves(&self.large_leaves);
        Ok(if self.canonical { geometry.with_addressing(Addressing::Canonical) } else { geometry })
    }

    fn divided(&self) -> Result<Geometry, String> {
        let bytes = self.virtual_bytes.ok_or("geometry: expected levels, or virtual-bytes to be divided into pages")?;
        if self.page_bytes == 0 || bytes == 0 || !bytes.is_multiple_of(self.page_bytes) {
            return Err("geometry: expected virtual-bytes to be whole pages".into());
        }
        Ok(Geometry::by_division(self.page_bytes, bytes))
    }

    fn split(&self, levels: &[u32]) -> Result<Geometry, String> {
        if !self.page_bytes.is_power_of_two() {
            return Err("geometry: page-bytes expects a power of two when there are levels".into());
        }
        let bits: u32 = levels.iter().map(|&bits| bits.min(64)).sum::<u32>() + self.page_bytes.ilog2();
        if levels.contains(&0) || bits > 63 || levels.len() > MAX_LEVELS || self.virtual_bytes.is_some() {
            return Err("geometry: levels expects up to 36 numbers of at least one bit, 63 with the page offset, and no virtual-bytes".into());
        }
        Ok(Geometry::of_bits(self.page_bytes.ilog2(), levels))
    }
}

impl ReplacementFile {
    fn model(self) -> WayReplacement {
        match self {
            Self::Lru => WayReplacement::Lru,
            Self::Fifo => WayReplacement::Fifo,
            Self::Plru => WayReplacement::TreePlru,
            Self::Random => WayReplacement::Random(1),
        }
    }
}

/// Sets and ways, or what makes no sense.
pub fn shape(what: &str, entries: usize, ways: usize, replacement: ReplacementFile) -> Result<Shape, String> {
    if ways == 0 || entries == 0 || !entries.is_multiple_of(ways) {
        return Err(format!("{what}: expected entries to be a multiple of ways"));
    }
    let replacement = replacement.model();
    if replacement == WayReplacement::TreePlru && (!ways.is_power_of_two() || ways > 64) {
        return Err(format!("{what}: plru expects a power of two of ways, at most 64"));
    }
    Ok(Shape { sets: entries / ways, ways, replacement })
}

impl TlbFile {
    /// The structure, or what makes no sense.
    pub fn structure(&self, smallest: u64) -> Result<TlbStructure, String> {
        let page_bytes = if self.page_bytes.is_empty() { vec![smallest] } else { self.page_bytes.clone() };
        if !(1..=8).contains(&self.level) || page_bytes.contains(&0) {
            return Err("tlbs: expected a level from 1 to 8 and pages of at least one byte".into());
        }
        let serves = match self.serves {
            ServesFile::Instructions => Serves::Instructions,
            ServesFile::Data => Serves::Data,
            ServesFile::Both => Serves::Both,
        };
        Ok(TlbStructure {
            level: self.level,
            serves,
            page_bytes,
            shape: shape("tlbs", self.entries, self.ways, self.replacement)?,
        })
    }
}

impl CacheFile {
    /// The level, or what makes no sense.
    pub fn level(&self) -> Result<CacheLevel, String> {
        if !self.line_bytes.is_power_of_two() {
            return Err("caches: line-bytes expects a power of two".into());
        }
        let lines = (self.bytes / self.line_bytes) as usize;
        let by = |by| match by {
            ByFile::Physical => By::Physical,
            ByFile::Virtual => By::Virtual,
        };
        Ok(CacheLevel {
            shape: shape("caches", lines, self.ways, self.replacement)?,
            write: match self.write {
                WriteFile::Back => WritePolicy::WriteBack,
                WriteFile::Through => WritePolicy::WriteThrough,
            },
            inclusion: match self.inclusion {
                InclusionFile::Inclusive => Inclusion::Inclusive,
                InclusionFile::Exclusive => Inclusion::Exclusive,
                InclusionFile::NonInclusive => Inclusion::NonInclusive,
            },
            indexed: by(self.indexed),
            tagged: by(self.tagged),
        })
    }
}
