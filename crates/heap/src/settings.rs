//! Which allocator, and its parameters, as data: `NAME[:param=value,...]`.

use crate::buddy::Buddy;
use crate::bump::Bump;
use crate::explicit::Explicit;
use crate::implicit::Implicit;
use crate::no_footer::ImplicitNoFooter;
use crate::segregated_fits::SegregatedFits;
use crate::segregated_storage::SegregatedStorage;
use crate::tagged::Tagged;
use crate::*;
use std::fmt;
use std::str::FromStr;

/// The allocators of the textbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A pointer that only moves up; nothing is reused.
    Bump,
    /// An implicit free list with boundary tags in every block.
    Implicit,
    /// An implicit free list whose allocated blocks have no footer.
    ImplicitNoFooter,
    /// A doubly linked list of the free blocks.
    Explicit,
    /// Simple segregated storage: cells of fixed classes, no splitting, no coalescing.
    SegregatedStorage,
    /// Segregated fits: bins of free blocks by size, as GNU malloc.
    SegregatedFits,
    /// The binary buddy system.
    Buddy,
}

/// Where a request is placed among the free blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fit {
    /// The first block that is large enough.
    First,
    /// The first one from where the last search ended.
    Next,
    /// The smallest one that is large enough.
    Best,
}

/// When a block that is larger than the request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Never: the payload gets the whole block.
    Never,
    /// When the remainder can be a block.
    Always,
    /// When the remainder can be a block and has more than this many bytes.
    Above(u64),
}

/// When free neighbours are made one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coalesce {
    /// In `free`.
    Immediate,
    /// When a search has failed, all of them at once.
    Deferred,
    /// Never: false fragmentation.
    Never,
}

/// In which order a list keeps its free blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// The last one freed comes first.
    Lifo,
    /// By address.
    Address,
}

/// Which blocks have a footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Footers {
    /// Every block.
    All,
    /// Free blocks only; a bit in each header says whether the block before it is allocated.
    Free,
}

/// Which end of a free block a request is cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The low end, always.
    Low,
    /// The low end for small requests, and the high end for those of 256 bytes and more, so that the two kinds do not mix.
    BySize,
}

/// The size of a header, and of the links of a free list, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// Four bytes: blocks and heaps are under 4 GiB.
    Four,
    /// Eight bytes.
    Eight,
}

impl Word {
    /// How many bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The largest value it holds.
    pub const fn max(self) -> u64 {
        match self {
            Self::Four => u32::MAX as u64,
            Self::Eight => u64::MAX,
        }
    }
}

/// How much `free` verifies before it believes a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Checks {
    /// The block's own tags and its neighbour's: constant time, deceived only by a payload that imitates a header.
    Tags,
    /// Also walks the heap from its start to the block: certain, and linear in the number of blocks.
    Walk,
}

/// The parameters. Each allocator reads those that `Kind::params` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Placement.
    pub fit: Fit,
    /// Splitting.
    pub split: Split,
    /// Coalescing.
    pub coalesce: Coalesce,
    /// The order of an explicit list.
    pub order: Order,
    /// Which blocks have a footer.
    pub footers: Footers,
    /// Which end a request is cut from.
    pub side: Side,
    /// By how many bytes at least the heap grows.
    pub chunk: u64,
    /// Payloads are aligned to this many bytes: 4, 8 or 16.
    pub align: u64,
    /// The width of headers, footers and links.
    pub header: Word,
    /// What `free` verifies.
    pub checks: Checks,
}

/// An allocator and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// Which one.
    pub kind: Kind,
    /// Its parameters.
    pub settings: Settings,
}

impl Kind {
    /// All of them, from the simplest on.
    pub const ALL: [Self; 7] = [
        Self::Bump,
        Self::Implicit,
        Self::ImplicitNoFooter,
        Self::Explicit,
        Self::SegregatedStorage,
        Self::SegregatedFits,
        Self::Buddy,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bump => "bump",
            Self::Implicit => "implicit",
            Self::ImplicitNoFooter => "implicit-nofooter",
            Self::Explicit => "explicit",
            Self::SegregatedStorage => "segregated-storage",
            Self::SegregatedFits => "segregated-fits",
            Self::Buddy => "buddy",
        }
    }

    /// The parameters that mean something to it.
    pub const fn params(self) -> &'static [&'static str] {
        match self {
            Self::Bump => &["chunk", "align", "header"],
            Self::Implicit | Self::ImplicitNoFooter => {
                &["fit", "split", "coalesce", "side", "chunk", "align", "header", "checks"]
            }
            Self::Explicit => {
                &["fit", "split", "coalesce", "order", "footers", "side", "chunk", "align", "header", "checks"]
            }
            Self::SegregatedFits => {
                &["fit", "split", "coalesce", "footers", "side", "chunk", "align", "header", "checks"]
            }
            Self::SegregatedStorage => &["chunk", "align", "header", "checks"],
            Self::Buddy => &["chunk", "align", "header"],
        }
    }

    /// The documented defaults: first fit, split always, coalesce at once (segregated fits: deferred, as GNU malloc),
    /// lists in LIFO order, a chunk of 4096 bytes, 8-byte alignment and 4-byte headers.
    pub fn spec(self) -> Spec {
        let lean = matches!(self, Self::Bump | Self::ImplicitNoFooter | Self::SegregatedFits);
        let settings = Settings {
            fit: Fit::First,
            split: Split::Always,
            coalesce: if self == Self::SegregatedFits { Coalesce::Deferred } else { Coalesce::Immediate },
            order: Order::Lifo,
            footers: if lean { Footers::Free } else { Footers::All },
            side: Side::Low,
            chunk: 4096,
            align: 8,
            header: Word::Four,
            checks: Checks::Tags,
        };
        Spec { kind: self, settings }
    }
}

impl Spec {
    /// A heap of this kind in an empty arena.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for its first words.
    pub fn open<'a, A: Arena + 'a>(&self, arena: A) -> Result<Box<dyn Allocator<A> + 'a>, Refusal> {
        match self.settings.header {
            Word::Four => self.open_with::<A, 4>(arena),
            Word::Eight => self.open_with::<A, 8>(arena),
        }
    }

    fn open_with<'a, A: Arena + 'a, const WORD: u64>(&self, arena: A) -> Result<Box<dyn Allocator<A> + 'a>, Refusal> {
        let settings = self.settings;
        Ok(match self.kind {
            Kind::Bump => Box::new(Bump::<A, WORD>::new(arena, settings)?),
            Kind::Implicit => Box::new(Tagged::<A, Implicit, WORD>::new(arena, settings)?),
            Kind::ImplicitNoFooter => Box::new(ImplicitNoFooter::<A, WORD>::new(arena, settings)?),
            Kind::Explicit => Box::new(Tagged::<A, Explicit, WORD>::new(arena, settings)?),
            Kind::SegregatedStorage => Box::new(SegregatedStorage::<A, WORD>::new(arena, settings)?),
            Kind::SegregatedFits => Box::new(Tagged::<A, SegregatedFits, WORD>::new(arena, settings)?),
            Kind::Buddy => Box::new(Buddy::<A, WORD>::new(arena, settings)?),
        })
    }

    fn set(&mut self, param: &str, value: &str) -> Result<(), String> {
        let Self { kind, settings } = self;
        if !kind.params().contains(&param) {
            let known = kind.params().join(", ");
            return Err(format!("{} has no parameter \"{param}\"; it has {known}", kind.name()));
        }
        match param {
            "fit" => settings.fit = choose(param, value, &FITS)?,
            "split" => settings.split = split(value)?,
            "coalesce" => settings.coalesce = choose(param, value, &COALESCES)?,
            "order" => settings.order = choose(param, value, &ORDERS)?,
            "footers" => settings.footers = choose(param, value, &FOOTERS)?,
            "side" => settings.side = choose(param, value, &SIDES)?,
            "chunk" => settings.chunk = number(param, value)?,
            "align" => settings.align = number(param, value)?,
            "header" => settings.header = choose(param, value, &WORDS)?,
            "checks" => settings.checks = choose(param, value, &CHECKS)?,
            _ => unreachable!("Kind::params names only these"),
        }
        Ok(())
    }

    /// What makes no sense together.
    fn validate(&self) -> Result<(), String> {
        let Settings { fit, chunk, align, header, .. } = self.settings;
        if !matches!(align, 4 | 8 | 16) || align < header.bytes() {
            return Err(format!(
                "align={align} with header={}: align is 4, 8 or 16, and at least the header",
                header.bytes()
            ));
        }
        if self.kind == Kind::SegregatedFits && fit == Fit::Next {
            return Err(
                "segregated-fits has no fit=next: a bin holds blocks of about one size; use first or best".into()
            );
        }
        let whole = matches!(self.kind, Kind::SegregatedStorage | Kind::Buddy);
        if whole && !(chunk.is_power_of_two() && (64..=1 << 30).contains(&chunk)) {
            return Err(format!(
                "{} needs a chunk that is a power of two from 64 to 2^30, not {chunk}",
                self.kind.name()
            ));
        }
        if !(1..=1 << 30).contains(&chunk) {
            return Err(format!("chunk={chunk}: the heap grows by 1 byte to 1 GiB at a time"));
        }
        Ok(())
    }
}

const FITS: [(&str, Fit); 3] = [("first", Fit::First), ("next", Fit::Next), ("best", Fit::Best)];
const COALESCES: [(&str, Coalesce); 3] =
    [("immediate", Coalesce::Immediate), ("deferred", Coalesce::Deferred), ("never", Coalesce::Never)];
const ORDERS: [(&str, Order); 2] = [("lifo", Order::Lifo), ("address", Order::Address)];
const FOOTERS: [(&str, Footers); 2] = [("all", Footers::All), ("free", Footers::Free)];
const SIDES: [(&str, Side); 2] = [("low", Side::Low), ("by-size", Side::BySize)];
const WORDS: [(&str, Word); 2] = [("4", Word::Four), ("8", Word::Eight)];
const CHECKS: [(&str, Checks); 2] = [("tags", Checks::Tags), ("walk", Checks::Walk)];

fn choose<T: Copy>(param: &str, value: &str, choices: &[(&str, T)]) -> Result<T, String> {
    choices.iter().find(|(name, _)| *name == value).map(|&(_, choice)| choice).ok_or_else(|| {
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        format!("{param}={value}: {param} is one of {}", names.join(", "))
    })
}

fn number(param: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{param}={value}: {param} is a number of bytes"))
}

fn split(value: &str) -> Result<Split, String> {
    match value {
        "never" => Ok(Split::Never),
        "always" => Ok(Split::Always),
        _ => value
            .parse()
            .map(Split::Above)
            .map_err(|_| format!("split={value}: split is never, always, or the bytes a remainder must exceed")),
    }
}

impl FromStr for Spec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, params) = text.split_once(':').unwrap_or((text, ""));
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("no allocator is called \"{name}\"; there are {}", names.join(", "))
        })?;
        let mut spec = kind.spec();
        for param in params.split(',').filter(|param| !param.is_empty()) {
            let (param, value) =
                param.split_once('=').ok_or_else(|| format!("\"{param}\" is not of the form param=value"))?;
            spec.set(param, value)?;
        }
        spec.validate()?;
        Ok(spec)
    }
}

impl fmt::Display for Spec {
    /// The name and the parameters that differ from the defaults; it parses back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        let default = self.kind.spec();
        let mut separator = ':';
        for param in self.kind.params() {
            let value = self.value(param);
            if value != default.value(param) {
                write!(f, "{separator}{param}={value}")?;
                separator = ',';
            }
        }
        Ok(())
    }
}

impl Spec {
    fn value(&self, param: &str) -> String {
        let settings = &self.settings;
        match param {
            "fit" => name_of(settings.fit, &FITS),
            "split" => match settings.split {
                Split::Never => "never".into(),
                Split::Always => "always".into(),
                Split::Above(bytes) => bytes.to_string(),
            },
            "coalesce" => name_of(settings.coalesce, &COALESCES),
            "order" => name_of(settings.order, &ORDERS),
            "footers" => name_of(settings.footers, &FOOTERS),
            "side" => name_of(settings.side, &SIDES),
            "chunk" => settings.chunk.to_string(),
            "align" => settings.align.to_string(),
            "header" => name_of(settings.header, &WORDS),
            "checks" => name_of(settings.checks, &CHECKS),
            _ => unreachable!("Kind::params names only these"),
        }
    }
}

fn name_of<T: PartialEq>(value: T, choices: &[(&str, T)]) -> String {
    let (name, _) = choices.iter().find(|(_, choice)| *choice == value).expect("every choice has a name");
    (*name).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_prints_as_it_parses() {
        for text in ["bump", "explicit:fit=best,order=address,chunk=64", "segregated-fits:split=32,align=16,header=8"] {
            assert_eq!(text.parse::<Spec>().expect("it parses").to_string(), text);
        }
    }

    #[test]
    fn what_makes_no_sense_is_one_sentence() {
        let sentence = |text: &str| text.parse::<Spec>().expect_err("it makes no sense");
        insta::assert_snapshot!(
            [
                "heap",
                "bump:fit=first",
                "buddy:chunk=100",
                "implicit:fit=worst",
                "explicit:align=4,header=8",
                "implicit:x"
            ]
            .map(sentence)
            .join("\n")
        );
    }
}
