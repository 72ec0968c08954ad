//! An entry of an x86-64 page table, as a word of RAM and decoded (SDM vol. 3, 5.5.4; tables 5-15 to 5-20).
//!
//! ```text
//!           63   62..59  58..52  51..12   11  10    9    8  7  6 5 4   3   2  1  0
//! table     -                    frame                         A           1  1  1
//! leaf      NX                   frame  SAME  ANON ZERO    PS  D A         US RW 1      PS above level 1
//! no access NX                   frame  SAME  ANON ZERO 1      D A         US RW 0      the frame is kept, as Linux does
//! swapped   type(5)  58..9: the slot, inverted          0  0                     0      as Linux does
//! guard     type 1, nothing else                                               a page that is never there
//! absent    0
//! ```
//! Bits 9 to 11 are for software: which frames the entry has a share in, and whether the page has not been changed since
//! somebody began to watch (Linux keeps the opposite there, soft-dirty).

use addr::{Perms, Pfn, Privilege};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_ACCESS: u64 = 1 << 8;
const ZERO: u64 = 1 << 9;
const ANONYMOUS: u64 = 1 << 10;
const UNCHANGED: u64 = 1 << 11;
const NO_EXECUTE: u64 = 1 << 63;
const FRAME: u64 = 0x000f_ffff_ffff_f000;
const GUARD: u64 = 1 << 59;
const SLOT_SHIFT: u32 = 9;
const SLOT_BITS: u32 = 50;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// A decoded entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Translates nothing.
    Absent,
    /// Leads to the table of the level below.
    Table {
        /// The table's frame.
        pfn: Pfn,
    },
    /// Leads to a frame of memory, or to a block of them above level 1.
    Leaf(Leaf),
    /// The page is in swap.
    Swapped(SwapSlot),
    /// Every access is refused, whatever the area allows.
    Guard,
}

/// The decoded entry of a page that has a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leaf {
    /// The frame; the first one of a block.
    pub pfn: Pfn,
    /// What is allowed. Nothing at all keeps the frame and refuses every access as absent.
    pub perms: Perms,
    /// Who may use it.
    pub lowest: Privilege,
    /// What the frame holds.
    pub origin: Origin,
    /// A walk has used it.
    pub accessed: bool,
    /// A walk has stored through it.
    pub dirty: bool,
    /// It has not been changed since changes were last forgotten; it allows no store then.
    pub unchanged: bool,
}

/// What the frame behind a leaf holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Memory of the program's own; the entry has a share in it.
    Anonymous,
    /// A page of a file or of shared memory, or RAM itself in the upper half; where it is a cached page, the entry has
    /// a share in it.
    Object,
    /// The one frame of zeros; nobody counts it.
    Zero,
}

/// Where a page lies in swap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SwapSlot(u64);

impl SwapSlot {
    /// A slot's number, below 2^50.
    pub fn new(number: u64) -> Self {
        assert!(number <= SLOT_MASK, "a slot number fits in an entry");
        Self(number)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Leaf {
    /// A user's leaf, neither accessed nor dirty.
    pub fn user(pfn: Pfn, perms: Perms, origin: Origin) -> Self {
        Self { pfn, perms, lowest: Privilege::User, origin, accessed: false, dirty: false, unchanged: false }
    }

    /// The same, allowing `perms`.
    pub fn with_perms(self, perms: Perms) -> Self {
        Self { perms, ..self }
    }

    /// The same, accessed and dirty, as after a store.
    pub fn written(self) -> Self {
        Self { accessed: true, dirty: true, unchanged: false, ..self }
    }

    /// Whether the entry has a share in its frame.
    pub fn is_counted(&self) -> bool {
        self.origin != Origin::Zero
    }
}

/// An entry as it stands in RAM.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

impl Word {
    pub(crate) const ABSENT: Self = Self(0);

    /// The word for an entry in a table of a level.
    pub(crate) fn encode(entry: Entry, level: u32) -> Self {
        match entry {
            Entry::Absent => Self::ABSENT,
            Entry::Table { pfn } => Self(pfn.start().get() | PRESENT | WRITABLE | USER | ACCESSED),
            Entry::Leaf(leaf) => Self(encode_leaf(leaf, level)),
            Entry::Guard => Self(GUARD),
            Entry::Swapped(slot) => Self((!slot.0 & SLOT_MASK) << SLOT_SHIFT),
        }
    }

    /// What the word says in a table of a level.
    pub(crate) fn decode(self, level: u32) -> Entry {
        if self.0 == 0 {
            return Entry::Absent;
        }
        if self.0 == GUARD {
            return Entry::Guard;
        }
        if self.0 & (PRESENT | NO_ACCESS) == 0 {
            return Entry::Swapped(SwapSlot(!(self.0 >> SLOT_SHIFT) & SLOT_MASK));
        }
        if level > 1 && self.0 & LARGE == 0 {
            return Entry::Table { pfn: self.pfn() };
        }
        Entry::Leaf(self.decode_leaf())
    }

    pub(crate) fn is_absent(self) -> bool {
        self.0 == 0
    }

    /// The table that the word leads to, in a table of a level above 1.
    pub(crate) fn table(self) -> Option<Pfn> {
        (self.0 & (PRESENT | LARGE) == PRESENT).then(|| self.pfn())
    }

    /// Whether it is a leaf above level 1.
    pub(crate) fn is_large_leaf(self) -> bool {
        self.0 & LARGE != 0 && self.0 & (PRESENT | NO_ACCESS) != 0
    }

    /// Whether it is a leaf, as a word of level 1.
    pub(crate) fn is_page(self) -> bool {
        self.0 & (PRESENT | NO_ACCESS) != 0
    }

    /// The same leaf without the right to store.
    pub(crate) fn without_write(self) -> Self {
        Self(self.0 & !WRITABLE)
    }

    /// The frame of a leaf or table.
    pub(crate) fn pfn(self) -> Pfn {
        Pfn::new(((self.0 & FRAME) >> addr::PAGE_SHIFT) as u32)
    }

    /// What the frame of a leaf holds.
    pub(crate) fn origin(self) -> Origin {
        match self.0 & (ZERO | ANONYMOUS) {
            0 => Origin::Object,
            ANONYMOUS => Origin::Anonymous,
            _ => Origin::Zero,
        }
    }

    fn decode_leaf(self) -> Leaf {
        let mut perms = Perms::NONE;
        if self.0 & PRESENT != 0 {
            perms = Perms::READ;
            if self.0 & WRITABLE != 0 {
                perms = perms.union(Perms::WRITE);
            }
            if self.0 & NO_EXECUTE == 0 {
                perms = perms.union(Perms::EXECUTE);
            }
        }
        Leaf {
            pfn: self.pfn(),
            perms,
            lowest: if self.0 & USER != 0 { Privilege::User } else { Privilege::Supervisor },
            origin: self.origin(),
            accessed: self.0 & ACCESSED != 0,
            dirty: self.0 & DIRTY != 0,
            unchanged: self.0 & UNCHANGED != 0,
        }
    }
}

fn encode_leaf(leaf: Leaf, level: u32) -> u64 {
    let mut word = leaf.pfn.start().get();
    word |= if leaf.perms.is_none() { NO_ACCESS } else { PRESENT };
    word |= if leaf.perms.contains(Perms::WRITE) { WRITABLE } else { 0 };
    word |= if leaf.perms.contains(Perms::EXECUTE) { 0 } else { NO_EXECUTE };
    word |= if leaf.lowest == Privilege::User { USER } else { 0 };
    word |= if leaf.accessed { ACCESSED } else { 0 };
    word |= if leaf.dirty { DIRTY } else { 0 };
    word |= if leaf.unchanged { UNCHANGED } else { 0 };
    word |= if level > 1 { LARGE } else { 0 };
    word | match leaf.origin {
        Origin::Anonymous => ANONYMOUS,
        Origin::Object => 0,
        Origin::Zero => ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_the_manuals() {
        let leaf = Leaf::user(Pfn::new(0x12345), Perms::READ_WRITE, Origin::Anonymous).written();
        assert_eq!(Word::encode(Entry::Leaf(leaf), 1).0, 0x8000_0000_1234_5467);
        assert_eq!(Word::encode(Entry::Leaf(leaf.with_perms(Perms::READ_EXECUTE)), 2).0, 0x0000_0000_1234_54e5);
        assert_eq!(Word::encode(Entry::Leaf(leaf.with_perms(Perms::NONE)), 1).0, 0x8000_0000_1234_5564);
        assert_eq!(Word::encode(Entry::Table { pfn: Pfn::new(0x12345) }, 3).0, 0x1234_5027);
    }

    #[test]
    fn a_swapped_word_is_not_present_and_not_empty() {
        for number in [0, 1, 0x1234_5678, SLOT_MASK - 1] {
            let word = Word::encode(Entry::Swapped(SwapSlot::new(number)), 1);
            assert_eq!(word.0 & (PRESENT | LARGE | NO_ACCESS), 0);
            assert_eq!(word.0 >> 59, 0, "the first swap area");
            assert_eq!(word.decode(1), Entry::Swapped(SwapSlot::new(number)));
            assert_eq!(Word::encode(Entry::Guard, 1).decode(1), Entry::Guard);
        }
    }

    fn any_leaf() -> impl Strategy<Value = Leaf> {
        let perms =
            prop::sample::select(vec![Perms::NONE, Perms::READ, Perms::READ_WRITE, Perms::READ_EXECUTE, Perms::ALL]);
        let origin = prop::sample::select(vec![Origin::Anonymous, Origin::Object, Origin::Zero]);
        let lowest = prop::sample::select(vec![Privilege::User, Privilege::Supervisor]);
        (any::<u32>(), perms, origin, lowest, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(pfn, perms, origin, lowest, accessed, dirty, unchanged)| Leaf {
                pfn: Pfn::new(pfn),
                perms,
                lowest,
                origin,
                accessed,
                dirty,
                unchanged,
            },
        )
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(leaf in any_leaf(), level in 1..=3_u32) {
            let leaf = Leaf { pfn: Pfn::new(leaf.pfn.get() & !((1 << (9 * (level - 1))) - 1)), ..leaf };
            prop_assert_eq!(Word::encode(Entry::Leaf(leaf), level).decode(level), Entry::Leaf(leaf));
        }
    }
}
