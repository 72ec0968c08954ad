//! One area of an address space.

use super::object::ObjectRef;
use addr::{Access, Page, PageRange, Perms};
use std::sync::Arc;

/// Neighbouring pages that are alike: the same rights, the same thing behind them.
#[derive(Clone, Debug)]
pub(crate) struct Area {
    pub pages: PageRange,
    /// What the program asked for.
    pub perms: Perms,
    /// What it may ask for later.
    pub may: Perms,
    pub backing: Backing,
    pub traits: AreaTraits,
    /// A name that the program gave an anonymous area.
    pub name: Option<Arc<str>>,
    /// Which family of anonymous pages lives here, once there is one: areas of two families do not merge.
    pub family: Option<u64>,
    /// Whether guards may be in it.
    pub may_have_guards: bool,
}

/// What is behind an area. `first` is the number of the page, in what is behind, that the area's first page shows.
#[derive(Clone, Debug)]
pub(crate) enum Backing {
    /// Zeros at first, then the program's own pages. `first` is where the area was born: only pages that were born as
    /// neighbours merge.
    Anonymous { first: u64 },
    /// A file, with private copies of the pages that were written.
    File { object: ObjectRef, first: u64 },
    /// A file or memory that all who map it see change.
    Shared { object: ObjectRef, first: u64 },
}

/// Flags of an area, as the letters of VmFlags in smaps name them.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AreaTraits(u32);

impl AreaTraits {
    /// Grows to lower addresses when a page below it is touched.
    pub const GROWS_DOWN: Self = Self(1 << 0);
    /// Its pages stay in RAM.
    pub const LOCKED: Self = Self(1 << 1);
    /// With `LOCKED`: its pages are not brought in before they are touched.
    pub const LOCKED_ON_FAULT: Self = Self(1 << 2);
    /// Not counted against what can be committed.
    pub const NO_RESERVE: Self = Self(1 << 3);
    /// A child does not get it.
    pub const DONT_FORK: Self = Self(1 << 4);
    /// A child gets it empty.
    pub const WIPE_ON_FORK: Self = Self(1 << 5);
    /// Not in core files.
    pub const DONT_DUMP: Self = Self(1 << 6);
    /// Wants large pages.
    pub const HUGE: Self = Self(1 << 7);
    /// Wants no large pages.
    pub const NO_HUGE: Self = Self(1 << 8);
    /// Is read in order.
    pub const SEQUENTIAL: Self = Self(1 << 9);
    /// Is read in no order.
    pub const RANDOM: Self = Self(1 << 10);
    /// Equal pages may become one.
    pub const MERGEABLE: Self = Self(1 << 11);
    /// Counted against what can be committed.
    pub const ACCOUNTED: Self = Self(1 << 12);

    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether its pages stay, be it from the first fault on only.
    pub const fn is_locked(self) -> bool {
        self.has(Self::LOCKED)
    }

    /// Whether its pages are brought in at once.
    pub const fn is_filled(self) -> bool {
        self.has(Self::LOCKED) && !self.has(Self::LOCKED_ON_FAULT)
    }
}

impl std::fmt::Debug for AreaTraits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl Backing {
    /// The object, if there is one.
    pub fn object(&self) -> Option<&ObjectRef> {
        match self {
            Self::Anonymous { .. } => None,
            Self::File { object, .. } | Self::Shared { object, .. } => Some(object),
        }
    }

    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Shared { .. })
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self, Self::Anonymous { .. })
    }

    pub fn first(&self) -> u64 {
        match self {
            Self::Anonymous { first } | Self::File { first, .. } | Self::Shared { first, .. } => *first,
        }
    }

    /// The backing of an area that begins `pages` later.
    pub fn skipping(&self, pages: u64) -> Self {
        let mut later = self.clone();
        match &mut later {
            Self::Anonymous { first } | Self::File { first, .. } | Self::Shared { first, .. } => *first += pages,
        }
        later
    }

    /// Whether `next`, `pages` later, goes on where this leaves off.
    fn continues_in(&self, next: &Self, pages: u64) -> bool {
        let same = match (self, next) {
            (Self::Anonymous { .. }, Self::Anonymous { .. }) => true,
            (Self::File { object, .. }, Self::File { object: other, .. })
            | (Self::Shared { object, .. }, Self::Shared { object: other, .. }) => object == other,
            _ => false,
        };
        same && self.first() + pages == next.first()
    }
}

impl Area {
    /// Whether the kernel lets a program do this. A page that may be written or fetched may also be read: the tables
    /// cannot say otherwise (SDM vol. 3, 5.6).
    pub fn allows(&self, access: Access) -> bool {
        match access {
            Access::Read => !self.perms.is_none(),
            Access::Write | Access::Execute => self.perms.allows(access),
        }
    }

    /// What a leaf of this area allows once nothing needs to be copied.
    pub fn leaf_perms(&self) -> Perms {
        if self.perms.is_none() { Perms::NONE } else { self.perms.union(Perms::READ) }
    }

    /// The number, in what is behind the area, of the page that `page` shows.
    pub fn index_of(&self, page: Page) -> u64 {
        self.backing.first() + (page - self.pages.start)
    }

    /// Writable and private: what heuristics of commitment and RLIMIT_DATA count.
    pub fn is_data(&self) -> bool {
        is_data(self.perms, self.backing.is_shared(), self.traits)
    }

    /// Whether `next` could be the second half of this area.
    pub fn merges_with(&self, next: &Self) -> bool {
        self.pages.end == next.pages.start
            && self.perms == next.perms
            && self.may == next.may
            && self.traits == next.traits
            && self.name == next.name
            && self.backing.continues_in(&next.backing, self.pages.count())
            && (self.family == next.family || self.family.is_none() || next.family.is_none())
    }

    /// Cuts the area in two; the second one begins at `page`.
    pub fn split(mut self, page: Page) -> (Self, Self) {
        let mut second = self.clone();
        second.pages.start = page;
        second.backing = self.backing.skipping(page - self.pages.start);
        self.pages.end = page;
        (self, second)
    }
}

/// Whether an area with these properties counts as data.
pub(crate) fn is_data(perms: Perms, is_shared: bool, traits: AreaTraits) -> bool {
    perms.contains(Perms::WRITE) && !is_shared && !traits.has(AreaTraits::GROWS_DOWN)
}
