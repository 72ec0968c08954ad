//! From a file's numbers to the values of `paging` and `model`, or what makes no sense.

use super::{
    ByFile, CacheFile, EntryKind, GeometryFile, InclusionFile, ReplacementFile, ServesFile, TlbFile, WriteFile,
};
use crate::wrong::Wrong;
use model::{By, CacheLevel, Inclusion, Serves, Shape, TlbStructure, WayReplacement, WritePolicy};
use paging::{Addressing, EntryFormat, Geometry, MAX_LEVELS};

/// More entries of a TLB, or lines of a cache, are no machine to draw.
const MOST_ENTRIES: u64 = 1 << 22;

impl GeometryFile {
    /// The geometry.
    pub fn geometry(&self) -> Result<Geometry, Wrong> {
        let geometry = match self.levels.as_slice() {
            [] => self.divided()?,
            levels => self.split(levels)?,
        };
        let geometry = match self.entries {
            EntryKind::X86_64 => geometry.with_entries(8, EntryFormat::X86_64),
            EntryKind::X86_32 => geometry.with_entries(4, EntryFormat::X86_32),
            EntryKind::Toy => geometry.with_entries(2, EntryFormat::TOY),
        };
        let geometry = self.with_memory(geometry)?;
        if let Some(item) = self.large_leaves.iter().position(|level| !(2..=self.levels.len()).contains(level)) {
            return Err(Wrong::new("expected levels from 2 up to the root's").item(item).at("large-leaves"));
        }
        if !self.large_leaves.is_empty() && geometry.format().large == 0 {
            return Err(Wrong::new("expected none: toy entries have no bit for it").at("large-leaves"));
        }
        let geometry = geometry.with_large_leaves(&self.large_leaves);
        if self.canonical && self.levels.is_empty() {
            return Err(Wrong::new("expected false: a space without levels has no halves").at("canonical"));
        }
        Ok(if self.canonical { geometry.with_addressing(Addressing::Canonical) } else { geometry })
    }

    fn divided(&self) -> Result<Geometry, Wrong> {
        let bytes = self
            .virtual_bytes
            .ok_or_else(|| Wrong::new("expected levels, or virtual-bytes to be divided into pages"))?;
        if self.page_bytes == 0 {
            return Err(Wrong::new("expected at least 1").at("page-bytes"));
        }
        if bytes == 0 || bytes > 1 << 62 || !bytes.is_multiple_of(self.page_bytes) {
            return Err(Wrong::new("expected whole pages, at most 2^62 bytes").at("virtual-bytes"));
        }
        Ok(Geometry::by_division(self.page_bytes, bytes))
    }

    fn split(&self, levels: &[u32]) -> Result<Geometry, Wrong> {
        if !self.page_bytes.is_power_of_two() {
            return Err(Wrong::new("expected a power of two, as there are levels").at("page-bytes"));
        }
        if self.virtual_bytes.is_some() {
            return Err(Wrong::new("expected none, as the levels say how large the space is").at("virtual-bytes"));
        }
        if let Some(item) = levels.iter().position(|&bits| bits == 0) {
            return Err(Wrong::new("expected at least one bit").item(item).at("levels"));
        }
        let bits = levels.iter().fold(self.page_bytes.ilog2(), |sum, &bits| sum.saturating_add(bits));
        if bits > 62 || levels.len() > MAX_LEVELS {
            return Err(
                Wrong::new(format!("expected up to {MAX_LEVELS} levels, 62 bits with the page offset")).at("levels")
            );
        }
        Ok(Geometry::of_bits(self.page_bytes.ilog2(), levels))
    }

    fn with_memory(&self, geometry: Geometry) -> Result<Geometry, Wrong> {
        let geometry = match (self.physical_bytes, self.physical_bits) {
            (Some(bytes), None) if (self.page_bytes..=1 << 52).contains(&bytes) => geometry.with_physical_bytes(bytes),
            (None, Some(bits @ 1..=52)) if 1 << bits >= self.page_bytes => geometry.with_physical_bits(bits),
            (Some(_), None) => return Err(Wrong::new("expected at least a page, at most 2^52").at("physical-bytes")),
            (None, Some(_)) => return Err(Wrong::new("expected 1 to 52, for at least a page").at("physical-bits")),
            _ => return Err(Wrong::new("expected either physical-bytes or physical-bits")),
        };
        let largest = geometry.format().frame_number(u64::MAX);
        if geometry.physical_bytes().div_ceil(self.page_bytes) - 1 > largest {
            let key = if self.physical_bytes.is_some() { "physical-bytes" } else { "physical-bits" };
            return Err(Wrong::new(format!("expected less: an entry can name frames up to {largest:#x}")).at(key));
        }
        Ok(geometry)
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

/// Sets and ways; `size` is the key that says how many entries there are.
pub(crate) fn shape(
    size: &'static str,
    entries: u64,
    ways: usize,
    replacement: ReplacementFile,
) -> Result<Shape, Wrong> {
    if !(1..=MOST_ENTRIES).contains(&entries) {
        return Err(Wrong::new(format!("expected 1 to {MOST_ENTRIES} entries or lines")).at(size));
    }
    if ways == 0 || !entries.is_multiple_of(ways as u64) {
        return Err(Wrong::new(format!("expected a divisor of {entries}, the entries or lines")).at("ways"));
    }
    let replacement = replacement.model();
    if replacement == WayReplacement::TreePlru && (!ways.is_power_of_two() || ways > 64) {
        return Err(Wrong::new("expected a power of two, at most 64, for plru").at("ways"));
    }
    Ok(Shape { sets: entries as usize / ways, ways, replacement })
}

impl TlbFile {
    /// The structure.
    pub fn structure(&self, geometry: &Geometry) -> Result<TlbStructure, Wrong> {
        let is_page = |&bytes: &u64| {
            (1..=geometry.level_count())
                .any(|level| geometry.span_bytes(level) == bytes && (level == 1 || geometry.has_large_leaves(level)))
        };
        let smallest = geometry.page_bytes();
        let page_bytes = if self.page_bytes.is_empty() { vec![smallest] } else { self.page_bytes.clone() };
        if let Some(item) = page_bytes.iter().position(|bytes| !is_page(bytes)) {
            let wrong = Wrong::new("expected a page size of the geometry: page-bytes, or what a large leaf maps");
            return Err(wrong.item(item).at("page-bytes"));
        }
        if !(1..=8).contains(&self.level) {
            return Err(Wrong::new("expected 1 to 8").at("level"));
        }
        if self.cycles.len() > 2 || !self.cycles.is_sorted() {
            return Err(Wrong::new("expected one number, or the least and the most").at("cycles"));
        }
        let serves = match self.serves {
            ServesFile::Instructions => Serves::Instructions,
            ServesFile::Data => Serves::Data,
            ServesFile::Both => Serves::Both,
        };
        let shape = shape("entries", self.entries as u64, self.ways, self.replacement)?;
        Ok(TlbStructure { level: self.level, serves, page_bytes, shape })
    }
}

impl CacheFile {
    /// The level.
    pub fn level(&self) -> Result<CacheLevel, Wrong> {
        if !self.line_bytes.is_power_of_two() || self.line_bytes > 1 << 16 {
            return Err(Wrong::new("expected a power of two, at most 65536").at("line-bytes"));
        }
        if !self.bytes.is_multiple_of(self.line_bytes) {
            return Err(Wrong::new("expected whole lines").at("bytes"));
        }
        let by = |by| match by {
            ByFile::Physical => By::Physical,
            ByFile::Virtual => By::Virtual,
        };
        Ok(CacheLevel {
            shape: shape("bytes", self.bytes / self.line_bytes, self.ways, self.replacement)?,
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
