//! The file that describes a machine. Its JSON schema is docs/machine.schema.json.

mod check;

pub(crate) use check::shape;

use crate::wrong::{Wrong, located};
use crate::{Complaint, System};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

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
    /// How pages on disk are brought in, where absent pages are `page-in`.
    #[serde(default)]
    pub paging: PagingFile,
    /// Whether a walk reads its entries through the caches.
    #[serde(default)]
    pub cached_walks: bool,
    /// How many walks the MMU can do at the same time.
    pub page_walkers: Option<u32>,
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
    pub story: Option<crate::stories::StoryFile>,
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
    /// It faults; nothing is there.
    #[default]
    Signal,
    /// It faults, the kernel maps the next free frame, and the instruction runs again.
    Map,
    /// It faults, the kernel brings the page in from disk, in the place of another one if need be, and the instruction
    /// runs again.
    PageIn,
}

/// How pages on disk are brought in. The program has as many frames as it has pages at the beginning.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PagingFile {
    /// The policy that chooses victims, one of `pagewalk policies`.
    #[serde(default = "fifo")]
    pub policy: String,
    /// The pages that are on disk and not in memory; every absent page if left out.
    pub on_disk: Option<Vec<u64>>,
    /// In which order the pages in memory were used, the latest last; as in `contents` if left out.
    pub used: Option<Vec<u64>>,
}

impl Default for PagingFile {
    fn default() -> Self {
        Self { policy: fifo(), on_disk: None, used: None }
    }
}

fn fifo() -> String {
    "fifo".into()
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
    /// Cycles that a hit here takes beyond one at level 1: one number, or the least and the most.
    #[serde(default)]
    pub cycles: Vec<u32>,
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, JsonSchema)]
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
    /// `page:frame[:marks[:level]]`. Marks are the rights r, w and x, s (only the kernel may), a (accessed) and d (dirty);
    /// rwx if absent. A leaf of level 2 or more is a large page, whose first page and frame are given.
    #[serde(default)]
    pub pages: Vec<String>,
    /// Frames that belong to someone else.
    #[serde(default)]
    pub taken_frames: Vec<u64>,
    /// `address: byte byte ...`, physical.
    #[serde(default)]
    pub memory: Vec<String>,
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

/// A machine as its author wrote it, and the name of the file for complaints.
#[derive(Clone, Debug)]
pub struct Source {
    text: String,
    file: PathBuf,
}

impl Source {
    /// The text of a file.
    pub fn new(text: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self { text: text.into(), file: file.into() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the file, without making sense of its numbers.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn file(&self) -> Result<MachineFile, Complaint> {
        toml::from_str(&self.text).map_err(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(" ");
            let at = error.span().map_or(0, |span| span.start);
            located(&self.text, &self.file, at, &in_plain_words(&message))
        })
    }

    /// Builds the machine.
    ///
    /// # Errors
    /// What is wrong, with line and column.
    pub fn system(&self) -> Result<System, Complaint> {
        System::new(self.file()?).map_err(|wrong| self.complain(&wrong))
    }

    /// What to tell the author of a value that makes no sense.
    pub(crate) fn complain(&self, wrong: &Wrong) -> Complaint {
        wrong.in_text(&self.text, &self.file)
    }
}

/// Says what the parser expected without the names of this program's types.
fn in_plain_words(message: &str) -> String {
    if message.starts_with("wanted exactly 1 element") {
        return "expected one story".into();
    }
    ["usize", "u64", "u32", "u8"].iter().fold(message.to_string(), |message, kind| {
        message.replace(&format!("expected {kind}"), "expected a whole number from 0 up")
    })
}
