//! What every allocator offers, and the values that go in and out.

use crate::Arena;
use std::fmt;

/// The start of a payload: its offset in the arena. Null is no payload, as in C.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ptr(u64);

impl Ptr {
    /// No payload.
    pub const NULL: Self = Self(0);

    /// The payload at an offset.
    pub const fn new(offset: u64) -> Self {
        Self(offset)
    }

    /// The offset.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether it is null.
    pub const fn is_null(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Ptr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Ptr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Why an allocator did not do what it was asked. The heap is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request is beyond what the arena, or a block's header, can hold: C's null with `ENOMEM`.
    NoMemory,
    /// An alignment that is not a power of two, or that this allocator cannot give: `EINVAL`.
    BadAlignment(u64),
    /// The pointer was never a payload: outside the heap, or not aligned.
    InvalidFree(Ptr),
    /// The pointer was a payload and is free already.
    DoubleFree(Ptr),
    /// The pointer points into an allocated block, not at its payload's start.
    InteriorPointer(Ptr),
    /// A header, a footer or a link at this offset was overwritten.
    Smashed(u64),
}

impl Refusal {
    /// The error number that C's `malloc` would leave, if any: a misused pointer has none, it aborts.
    pub fn errno(self) -> Option<i32> {
        const ENOMEM: i32 = 12;
        const EINVAL: i32 = 22;
        match self {
            Self::NoMemory => Some(ENOMEM),
            Self::BadAlignment(_) => Some(EINVAL),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => write!(f, "out of memory: the request is beyond the arena (ENOMEM)"),
            Self::BadAlignment(bytes) => write!(f, "bad alignment: {bytes} is no power of two that this heap can give"),
            Self::InvalidFree(at) => write!(f, "invalid free: {at} was never a payload of this heap"),
            Self::DoubleFree(at) => write!(f, "double free: the payload at {at} is free already"),
            Self::InteriorPointer(at) => write!(f, "interior pointer: {at} lies inside an allocated block"),
            Self::Smashed(at) => write!(f, "smashed boundary tag: the heap's own word at {at:#x} was overwritten"),
        }
    }
}

impl std::error::Error for Refusal {}

/// What a block is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// It holds a payload.
    Allocated,
    /// It can be allocated.
    Free,
    /// It was freed and waits to be coalesced or is never reused.
    Resting,
}

/// A block of the heap, as a picture shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it begins.
    pub at: u64,
    /// Its size with all tags.
    pub bytes: u64,
    /// What it is used for.
    pub used: Use,
}

/// What an allocator did so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Free blocks (in an implicit list, blocks; of buddies, orders) looked at in order to find one that fits.
    pub searched: u64,
    /// Blocks that were cut in two.
    pub splits: u64,
    /// Pairs of neighbours that were made one.
    pub coalescings: u64,
    /// Times the arena grew.
    pub extensions: u64,
}

/// A dynamic memory allocator over an arena.
///
/// Sizes are payload bytes. An operation that is refused leaves the heap as it was.
pub trait Allocator<A: Arena> {
    /// A payload of at least `bytes` bytes; of 0 bytes, a payload of its own that can be freed.
    ///
    /// # Errors
    /// `NoMemory`, or `Smashed` when the search met an overwritten tag.
    fn malloc(&mut self, bytes: u64) -> Result<Ptr, Refusal>;

    /// Gives a payload back; null is nothing.
    ///
    /// # Errors
    /// The misuse, when this allocator detects it (see the table of the crate).
    fn free(&mut self, at: Ptr) -> Result<(), Refusal>;

    /// How many bytes the payload can hold, at least what was asked for.
    ///
    /// # Errors
    /// As `free`.
    fn usable_bytes(&self, at: Ptr) -> Result<u64, Refusal>;

    /// A payload whose offset is a multiple of `alignment`, a power of two.
    ///
    /// # Errors
    /// As `malloc`; also when `alignment` is not a power of two.
    fn aligned_alloc(&mut self, alignment: u64, bytes: u64) -> Result<Ptr, Refusal>;

    /// Makes the payload hold `bytes` bytes, keeping its prefix; null is `malloc`, and a size of 0 frees and gives null.
    ///
    /// # Errors
    /// As `malloc` and `free`; the old payload is then as it was.
    fn realloc(&mut self, at: Ptr, bytes: u64) -> Result<Ptr, Refusal> {
        if at.is_null() {
            return self.malloc(bytes);
        }
        if bytes == 0 {
            return self.free(at).map(|()| Ptr::NULL);
        }
        if self.resize(at, bytes)? {
            return Ok(at);
        }
        let old = self.usable_bytes(at)?;
        let new = self.malloc(bytes)?;
        self.arena_mut().copy(at.get(), new.get(), old.min(bytes));
        self.free(at)?;
        Ok(new)
    }

    /// Tries to make the payload hold `bytes` bytes where it is, and says whether it does.
    ///
    /// # Errors
    /// As `free`.
    fn resize(&mut self, at: Ptr, bytes: u64) -> Result<bool, Refusal> {
        Ok(self.usable_bytes(at)? >= bytes)
    }

    /// A payload of `count` times `bytes` zeros.
    ///
    /// # Errors
    /// As `malloc`; also `NoMemory` when the product overflows.
    fn calloc(&mut self, count: u64, bytes: u64) -> Result<Ptr, Refusal> {
        let bytes = count.checked_mul(bytes).ok_or(Refusal::NoMemory)?;
        let at = self.malloc(bytes)?;
        self.arena_mut().fill(at.get(), bytes, 0);
        Ok(at)
    }

    /// The size of an allocated block with all its tags; `at` is a payload.
    fn block_bytes(&self, at: Ptr) -> u64;

    /// How many bytes of an allocated block are tags.
    fn tag_bytes(&self) -> u64;

    /// The bytes of the tables that lie beside the arena: heads of lists, bitmaps. Single words do not count.
    fn table_bytes(&self) -> u64 {
        0
    }

    /// Every payload's offset is a multiple of this.
    fn alignment(&self) -> u64;

    /// Every block in order of address.
    ///
    /// # Errors
    /// `Smashed`, where the walk came to a tag that cannot be.
    fn blocks(&self) -> Result<Vec<Block>, Refusal>;

    /// Checks every invariant of the allocator.
    ///
    /// # Errors
    /// One sentence that says which one is broken, and where.
    fn check(&self) -> Result<(), String>;

    /// What it did so far.
    fn counters(&self) -> Counters;

    /// The memory.
    fn arena(&self) -> &A;

    /// The memory, to store payloads to.
    fn arena_mut(&mut self) -> &mut A;
}

/// `value` rounded up to a multiple of `unit`, a power of two, or `None` past the top.
pub(crate) fn round_up(value: u64, unit: u64) -> Option<u64> {
    Some(value.checked_add(unit - 1)? & !(unit - 1))
}
