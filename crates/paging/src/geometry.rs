//! The shape of a paging system, as data.

use crate::EntryFormat;
use addr::{PhysAddr, VirtAddr};

/// The most levels a geometry may have: one bit of a 48-bit address's page number each.
pub const MAX_LEVELS: usize = 36;

/// Sizes of addresses, pages and entries, and how an address is cut into one index per level.
///
/// ```text
/// x86-64   |     sign    | level 4 | level 3 | level 2 | level 1 |   offset   |
///          63          48 47     39 38     30 29     21 20     12 11          0
/// small    |     level 1     |  offset  |           100-byte pages:   address / 100   address % 100
///          13              6 5         0
/// ```
/// Level 1 is the last one before the page; the root table belongs to the highest level.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Geometry {
    virtual_bytes: u64,
    physical_bytes: u64,
    page_bytes: u64,
    addressing: Addressing,
    split: Split,
    entry_bytes: u64,
    format: EntryFormat,
    large_levels: u64,
    /// Bits of an entry's frame number that name no physical memory.
    beyond_memory: u64,
}

/// What an address beyond the space looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addressing {
    /// The space is two halves: bits above the highest one repeat it (SDM vol. 1, 3.3.7.1).
    Canonical,
    /// Addresses run from 0 to the size of the space.
    FromZero,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Split {
    /// Fields of bits; element `level - 1` is a level's.
    Bits { levels: usize, fields: [Field; MAX_LEVELS] },
    /// One level; page numbers by division.
    Division { entries: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Field {
    shift: u8,
    bits: u8,
}

/// An address cut into its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressParts {
    /// The index into each level's table, the root's first.
    pub indices: Vec<u64>,
    /// The byte in the page.
    pub offset: u64,
}

impl Geometry {
    /// x86-64 with four levels: 48-bit addresses, 4 KiB pages, 2 MiB and 1 GiB leaves (SDM vol. 3, 5.5).
    pub const X86_64: Self = Self::of_bits(12, &[9, 9, 9, 9])
        .with_entries(8, EntryFormat::X86_64)
        .with_physical_bits(52)
        .with_addressing(Addressing::Canonical)
        .with_large_leaves(&[2, 3]);

    /// x86-64 with five levels: 57-bit addresses.
    pub const X86_64_FIVE_LEVEL: Self = Self::of_bits(12, &[9, 9, 9, 9, 9])
        .with_entries(8, EntryFormat::X86_64)
        .with_physical_bits(52)
        .with_addressing(Addressing::Canonical)
        .with_large_leaves(&[2, 3]);

    /// 32-bit addresses, two levels of 1024 four-byte entries, 4 KiB pages and 4 MiB leaves (SDM vol. 3, 5.3).
    pub const TWO_LEVEL: Self = Self::of_bits(12, &[10, 10])
        .with_entries(4, EntryFormat::X86_32)
        .with_physical_bits(32)
        .with_large_leaves(&[2]);

    /// The small memory system of CS:APP 9.6.4: 14-bit virtual and 12-bit physical addresses, 64-byte pages.
    pub const SMALL: Self = Self::of_bits(6, &[8]).with_entries(2, EntryFormat::TOY).with_physical_bits(12);

    /// 100-byte pages by division, a space of 500 bytes, 1000 bytes of memory.
    pub const BOOK_100: Self = Self::by_division(100, 500).with_physical_bytes(1000);

    /// A 48-bit space of 4 KiB pages whose 36 bits of page number are shared out over any number of levels, as evenly
    /// as they go, the lower levels first. `None` for no levels or more than [`MAX_LEVELS`].
    pub fn levels(count: usize) -> Option<Self> {
        if !(1..=MAX_LEVELS).contains(&count) {
            return None;
        }
        let (each, extra) = (36 / count, 36 % count);
        let bits: Vec<u32> = (0..count).map(|place| (each + usize::from(place >= count - extra)) as u32).collect();
        Some(Self::of_bits(12, &bits).with_entries(8, EntryFormat::X86_64).with_physical_bits(52))
    }

    /// Pages of `2^page_bits` bytes and one index of the given bits per level, the root's first; addresses from 0,
    /// as much physical as virtual memory, toy entries. Panics unless it all fits in 63 bits and [`MAX_LEVELS`].
    pub const fn of_bits(page_bits: u32, index_bits: &[u32]) -> Self {
        assert!(!index_bits.is_empty() && index_bits.len() <= MAX_LEVELS, "a geometry has 1 to 36 levels");
        let mut fields = [Field { shift: 0, bits: 0 }; MAX_LEVELS];
        let mut shift = page_bits;
        let mut level = 1;
        while level <= index_bits.len() {
            let bits = index_bits[index_bits.len() - level];
            assert!(bits > 0 && bits < 64 && shift < 64 && shift + bits < 64, "an address has at most 63 bits");
            fields[level - 1] = Field { shift: shift as u8, bits: bits as u8 };
            shift += bits;
            level += 1;
        }
        Self {
            virtual_bytes: 1 << shift,
            physical_bytes: 1 << shift,
            page_bytes: 1 << page_bits,
            addressing: Addressing::FromZero,
            split: Split::Bits { levels: index_bits.len(), fields },
            entry_bytes: 2,
            format: EntryFormat::TOY,
            large_levels: 0,
            beyond_memory: 0,
        }
        .with_physical_bytes(1 << shift)
    }

    /// Pages of any size, found by division through one table; as much physical as virtual memory, toy entries.
    /// Panics unless the space is whole pages.
    pub const fn by_division(page_bytes: u64, virtual_bytes: u64) -> Self {
        assert!(page_bytes > 0 && virtual_bytes > 0, "there are bytes to divide");
        assert!(virtual_bytes.is_multiple_of(page_bytes), "the space is whole pages");
        Self {
            virtual_bytes,
            physical_bytes: virtual_bytes,
            page_bytes,
            addressing: Addressing::FromZero,
            split: Split::Division { entries: virtual_bytes / page_bytes },
            entry_bytes: 2,
            format: EntryFormat::TOY,
            large_levels: 0,
            beyond_memory: 0,
        }
        .with_physical_bytes(virtual_bytes)
    }

    /// With entries of `bytes` bytes (1, 2, 4 or 8) in `format`.
    pub const fn with_entries(mut self, bytes: u64, format: EntryFormat) -> Self {
        assert!(matches!(bytes, 1 | 2 | 4 | 8), "an entry is a word");
        self.entry_bytes = bytes;
        self.format = format;
        let physical_bytes = self.physical_bytes;
        self.with_physical_bytes(physical_bytes)
    }

    /// With physical addresses of `bits` bits.
    pub const fn with_physical_bits(self, bits: u32) -> Self {
        self.with_physical_bytes(1 << bits)
    }

    /// With `bytes` bytes of physical memory.
    pub const fn with_physical_bytes(mut self, bytes: u64) -> Self {
        self.physical_bytes = bytes;
        self.beyond_memory = match self.split {
            Split::Bits { .. } => {
                let frames = (bytes / self.page_bytes).next_power_of_two();
                self.format.frame & !((frames - 1) << self.format.frame.trailing_zeros())
            }
            Split::Division { .. } => 0,
        };
        self
    }

    /// With another answer to what lies beyond the space.
    pub const fn with_addressing(mut self, addressing: Addressing) -> Self {
        self.addressing = addressing;
        self
    }

    /// With leaves at the given levels above 1, where an entry's `large` bit is set.
    pub const fn with_large_leaves(mut self, levels: &[usize]) -> Self {
        let mut place = 0;
        while place < levels.len() {
            assert!(levels[place] >= 2 && levels[place] <= self.level_count(), "a large leaf is above level 1");
            self.large_levels |= 1 << levels[place];
            place += 1;
        }
        self
    }

    /// How many levels there are; the root is of this level.
    pub const fn level_count(&self) -> usize {
        match self.split {
            Split::Bits { levels, .. } => levels,
            Split::Division { .. } => 1,
        }
    }

    /// Bytes of the whole virtual space.
    pub const fn virtual_bytes(&self) -> u64 {
        self.virtual_bytes
    }

    /// Bytes that a physical address can name.
    pub const fn physical_bytes(&self) -> u64 {
        self.physical_bytes
    }

    /// Bits needed to write a virtual address.
    pub const fn virtual_bits(&self) -> u32 {
        bits_below(self.virtual_bytes)
    }

    /// Bits needed to write a physical address.
    pub const fn physical_bits(&self) -> u32 {
        bits_below(self.physical_bytes)
    }

    /// Bytes of the smallest page.
    pub const fn page_bytes(&self) -> u64 {
        self.page_bytes
    }

    /// Whether addresses are cut by their bits; otherwise pages are found by division.
    pub const fn is_binary(&self) -> bool {
        matches!(self.split, Split::Bits { .. })
    }

    /// Bytes of one entry.
    pub const fn entry_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// What an entry's bits mean.
    pub const fn format(&self) -> &EntryFormat {
        &self.format
    }

    /// What lies beyond the space.
    pub const fn addressing(&self) -> Addressing {
        self.addressing
    }

    /// Entries of one table of a level.
    pub const fn table_entries(&self, level: usize) -> u64 {
        match &self.split {
            Split::Bits { fields, .. } => 1 << fields[level - 1].bits,
            Split::Division { entries } => *entries,
        }
    }

    /// Bytes of one table of a level.
    pub const fn table_bytes(&self, level: usize) -> u64 {
        self.table_entries(level) * self.entry_bytes
    }

    /// Bytes that one entry of a level maps.
    pub const fn span_bytes(&self, level: usize) -> u64 {
        match &self.split {
            Split::Bits { fields, .. } => 1 << fields[level - 1].shift,
            Split::Division { .. } => self.page_bytes,
        }
    }

    /// Whether an entry of a level with its `large` bit set is a leaf.
    pub const fn has_large_leaves(&self, level: usize) -> bool {
        self.large_levels >> level & 1 != 0
    }

    /// Whether an address lies in the space.
    #[inline]
    pub const fn contains(&self, addr: VirtAddr) -> bool {
        match self.addressing {
            Addressing::FromZero => addr.get() < self.virtual_bytes,
            // Adding half the space moves both halves next to each other.
            Addressing::Canonical => addr.get().wrapping_add(self.virtual_bytes / 2) < self.virtual_bytes,
        }
    }

    /// The index of an address into a table of a level.
    #[inline]
    pub const fn index(&self, addr: VirtAddr, level: usize) -> u64 {
        match &self.split {
            Split::Bits { fields, .. } => {
                let Field { shift, bits } = fields[level - 1];
                addr.get() >> shift & ((1 << bits) - 1)
            }
            Split::Division { entries } => addr.get() / self.page_bytes % *entries,
        }
    }

    /// The offset of an address in what one entry of a level maps: in its page, for level 1.
    #[inline]
    pub const fn offset(&self, addr: VirtAddr, level: usize) -> u64 {
        match &self.split {
            Split::Bits { fields, .. } => addr.get() & ((1 << fields[level - 1].shift) - 1),
            Split::Division { .. } => addr.get() % self.page_bytes,
        }
    }

    /// The number of the page of an address: all its indices, without what lies above the space.
    pub const fn page_number(&self, addr: VirtAddr) -> u64 {
        match self.split {
            Split::Bits { .. } => (addr.get() & (self.virtual_bytes - 1)) / self.page_bytes,
            Split::Division { .. } => addr.get() / self.page_bytes,
        }
    }

    /// The number of the frame of a physical address.
    pub const fn frame_number(&self, at: PhysAddr) -> u64 {
        at.get() / self.page_bytes
    }

    /// Cuts an address into an index per level and an offset.
    pub fn parts(&self, addr: VirtAddr) -> AddressParts {
        let indices = (1..=self.level_count()).rev().map(|level| self.index(addr, level)).collect();
        AddressParts { indices, offset: self.offset(addr, 1) }
    }

    /// The address with the given parts; the inverse of [`Self::parts`].
    pub fn join(&self, parts: &AddressParts) -> VirtAddr {
        let levels = (1..=self.level_count()).rev();
        let low: u64 = levels.zip(&parts.indices).map(|(level, index)| index * self.span_bytes(level)).sum();
        let low = low + parts.offset;
        match self.addressing {
            Addressing::Canonical if low >= self.virtual_bytes / 2 => {
                VirtAddr::new(low.wrapping_sub(self.virtual_bytes))
            }
            Addressing::Canonical | Addressing::FromZero => VirtAddr::new(low),
        }
    }

    /// The bits of an entry of a level that must be 0: address bits beyond physical memory, a `large` bit where there
    /// are no large leaves (level 1 uses that bit for other things), address bits below a large frame.
    #[inline]
    pub(crate) const fn reserved_bits(&self, level: usize, word: u64) -> u64 {
        if level == 1 || word & self.format.large == 0 {
            return self.beyond_memory;
        }
        if !self.has_large_leaves(level) {
            return self.beyond_memory | self.format.large;
        }
        // The lowest bit of a large leaf's address field is another flag (PAT).
        let frames = self.span_bytes(level) / self.page_bytes;
        self.beyond_memory | (frames - 2) << self.format.frame.trailing_zeros()
    }
}

const fn bits_below(count: u64) -> u32 {
    u64::BITS - (count - 1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(geometry: &Geometry, addr: u64) -> (Vec<u64>, u64) {
        let AddressParts { indices, offset } = geometry.parts(VirtAddr::new(addr));
        (indices, offset)
    }

    #[test]
    fn the_example_address_has_its_four_indices() {
        assert_eq!(parts(&Geometry::X86_64, 0x7fff_f7fc_3010), (vec![0xff, 0x1ff, 0x1bf, 0x1c3], 0x10));
        assert_eq!(parts(&Geometry::X86_64_FIVE_LEVEL, 0x7fff_f7fc_3010), (vec![0, 0xff, 0x1ff, 0x1bf, 0x1c3], 0x10));
    }

    #[test]
    fn the_textbooks_addresses_split_as_drawn() {
        assert_eq!(parts(&Geometry::SMALL, 0x03d4), (vec![0x0f], 0x14));
        assert_eq!(parts(&Geometry::TWO_LEVEL, 0xffff_f123), (vec![1023, 1023], 0x123));
        assert_eq!(parts(&Geometry::BOOK_100, 420), (vec![4], 20));
    }

    #[test]
    fn joining_undoes_splitting() {
        let shapes =
            [Geometry::X86_64, Geometry::X86_64_FIVE_LEVEL, Geometry::TWO_LEVEL, Geometry::SMALL, Geometry::BOOK_100];
        for geometry in shapes.into_iter().chain((1..=MAX_LEVELS).filter_map(Geometry::levels)) {
            for seed in 0..200_u64 {
                let low = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) % geometry.virtual_bytes();
                let addr = geometry.join(&AddressParts { indices: vec![], offset: low });
                assert!(geometry.contains(addr), "{addr} in {geometry:?}");
                assert_eq!(geometry.join(&geometry.parts(addr)), addr);
            }
        }
    }

    #[test]
    fn canonical_addresses_are_the_two_halves() {
        for bits in [48, 57] {
            let geometry = if bits == 48 { Geometry::X86_64 } else { Geometry::X86_64_FIVE_LEVEL };
            for raw in
                [0, 1 << (bits - 1), (1 << (bits - 1)) - 1, u64::MAX, u64::MAX << (bits - 1), u64::MAX << bits, 1 << 63]
            {
                let addr = VirtAddr::new(raw);
                assert_eq!(geometry.contains(addr), addr.is_canonical(bits), "{addr}, {bits} bits");
            }
        }
        assert!(!Geometry::SMALL.contains(VirtAddr::new(0x4000)));
        assert!(!Geometry::BOOK_100.contains(VirtAddr::new(500)));
    }

    #[test]
    fn levels_share_the_page_number_out() {
        let four = Geometry::levels(4).expect("four levels fit");
        assert_eq!((1..=4).map(|level| four.table_entries(level)).collect::<Vec<_>>(), [512; 4]);
        let five = Geometry::levels(5).expect("five levels fit");
        assert_eq!((1..=5).map(|level| five.table_entries(level)).collect::<Vec<_>>(), [256, 128, 128, 128, 128]);
        assert_eq!(five.virtual_bits(), 48);
        assert!(Geometry::levels(0).is_none() && Geometry::levels(37).is_none());
    }

    #[test]
    fn sizes_of_tables_are_the_textbooks() {
        assert_eq!(Geometry::of_bits(12, &[4]).table_entries(1), 16);
        assert_eq!(Geometry::of_bits(13, &[3]).table_entries(1), 8);
        assert_eq!(Geometry::of_bits(12, &[20]).table_entries(1), 1 << 20);
        assert_eq!(Geometry::of_bits(13, &[19]).table_entries(1), 512 << 10);
        assert_eq!(Geometry::TWO_LEVEL.table_bytes(1), 4096);
        assert_eq!((Geometry::SMALL.virtual_bits(), Geometry::SMALL.physical_bits()), (14, 12));
        assert_eq!(Geometry::BOOK_100.virtual_bits(), 9);
    }

    #[test]
    fn large_leaves_reserve_the_bits_below_their_frame() {
        let geometry = Geometry::X86_64.with_physical_bits(39);
        let large = geometry.format().large;
        assert_eq!(geometry.reserved_bits(1, large), 0x000f_ff80_0000_0000);
        assert_eq!(geometry.reserved_bits(2, large), 0x000f_ff80_001f_e000);
        assert_eq!(geometry.reserved_bits(3, large), 0x000f_ff80_3fff_e000);
        assert_eq!(geometry.reserved_bits(4, large), 0x000f_ff80_0000_0080);
    }
}
