//! What a replacement policy is.

use addr::Access;

/// One reference to a page: its number and whether it stores, in one word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reference(u64);

impl Reference {
    /// A reference to a page. A page number has 63 bits.
    pub const fn new(page: u64, access: Access) -> Self {
        Self(page << 1 | matches!(access, Access::Write) as u64)
    }

    /// A load from a page.
    pub const fn read(page: u64) -> Self {
        Self::new(page, Access::Read)
    }

    /// The page.
    pub const fn page(self) -> u64 {
        self.0 >> 1
    }

    /// A load or a store.
    pub const fn access(self) -> Access {
        if self.0 & 1 == 1 { Access::Write } else { Access::Read }
    }
}

/// What a test-and-clear of a page's entry found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    /// A was set; it is clear now.
    pub accessed: bool,
    /// D is set; it stays set until the page has been written back.
    pub dirty: bool,
}

/// Tests and clears the accessed mark of a page.
pub type TestAndClear<'a> = dyn FnMut(u64) -> Marks + 'a;

/// Whether a page is in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Residency {
    /// It is.
    Resident,
    /// It is not, though the policy may remember it.
    Absent,
}

/// What one reference did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The page was in memory.
    Hit,
    /// A fault; there was a free frame.
    Loaded,
    /// A fault; this page had to go.
    Replaced(u64),
}

/// A replacement policy: decides which page leaves memory when a frame is needed.
///
/// It is a pure state machine over page numbers and allocates nothing after it was made. The replay of a trace shows it
/// every reference by [`touch`](Self::touch). A kernel sees only faults and accessed marks: it never touches, and the
/// callback of [`evict`](Self::evict) and [`tick`](Self::tick) tests and clears A in the page tables; both feed the same
/// use bits. A policy that needs the order of all references (LRU, ARC, ...) is touched by a kernel for every page that
/// its scans find accessed.
pub trait Policy {
    /// How many pages memory holds.
    fn frames(&self) -> usize;

    /// How many are in memory.
    fn resident(&self) -> usize;

    /// Notes a reference, and says whether the page is in memory.
    fn touch(&mut self, page: u64, access: Access) -> Residency;

    /// Chooses a page to make room for `incoming`, if that is known, and takes it out; `None` if memory is empty.
    fn evict(&mut self, incoming: Option<u64>, marks: &mut TestAndClear<'_>) -> Option<u64>;

    /// Brings in a page that is absent, after a fault on it; there must be a free frame.
    fn insert(&mut self, page: u64, access: Access);

    /// Forgets a page that was unmapped, resident or not.
    fn remove(&mut self, page: u64);

    /// The timer, for the policies that sample; a replay ticks by itself.
    fn tick(&mut self, _marks: &mut TestAndClear<'_>) {}

    /// Panics unless the invariants hold.
    fn check(&self);

    /// One reference of a replay.
    #[inline]
    fn reference(&mut self, reference: Reference) -> Outcome {
        let (page, access) = (reference.page(), reference.access());
        if self.touch(page, access) == Residency::Resident {
            return Outcome::Hit;
        }
        let victim =
            if self.resident() == self.frames() { self.evict(Some(page), &mut |_| Marks::default()) } else { None };
        self.insert(page, access);
        victim.map_or(Outcome::Loaded, Outcome::Replaced)
    }

    /// Replays references from wherever the policy stands, and counts the faults.
    fn replay(&mut self, references: &[Reference]) -> u64 {
        references.iter().filter(|&&reference| self.reference(reference) != Outcome::Hit).count() as u64
    }
}
