//! Which bit of an entry means what.

use addr::{Access, Perms, PhysAddr, Privilege};

/// The bits of an entry, as masks; a mask of 0 is a bit that the format does not have.
///
/// ```text
/// x86-64   63 62..59 58..52   51..12   11..9 8 7  6 5 4 3 2  1  0     SDM vol. 3, 5.5.4
///          NX  key   software  address  soft G PS D A      US RW P
/// x86-32                       31..12   the same low bits, no NX      SDM vol. 3, 5.3
/// toy                     frame number 15..7   D A EXEC WRITE READ SUP V
/// ```
/// A right that the format lacks is always granted. A right that is stored as its opposite (NX, SUP) is in `negative`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryFormat {
    /// The entry translates.
    pub present: u64,
    /// Loads are allowed.
    pub read: u64,
    /// Stores are allowed.
    pub write: u64,
    /// Fetches are allowed.
    pub execute: u64,
    /// Programs may use it, not only the kernel.
    pub user: u64,
    /// Which of the four above are stored inverted.
    pub negative: u64,
    /// A walk has used it.
    pub accessed: u64,
    /// A walk has stored through it.
    pub dirty: u64,
    /// Above level 1: this is a leaf and not a table.
    pub large: u64,
    /// Where the frame number is.
    pub frame: u64,
}

impl EntryFormat {
    /// x86-64, eight bytes.
    pub const X86_64: Self = Self {
        present: 1 << 0,
        read: 0,
        write: 1 << 1,
        execute: 1 << 63,
        user: 1 << 2,
        negative: 1 << 63,
        accessed: 1 << 5,
        dirty: 1 << 6,
        large: 1 << 7,
        frame: 0x000f_ffff_ffff_f000,
    };

    /// x86 with 32-bit addresses, four bytes.
    pub const X86_32: Self = Self { execute: 0, negative: 0, frame: 0xffff_f000, ..Self::X86_64 };

    /// The textbooks' bits SUP, READ and WRITE with a valid bit, in two bytes.
    pub const TOY: Self = Self {
        present: 1 << 0,
        read: 1 << 2,
        write: 1 << 3,
        execute: 1 << 4,
        user: 1 << 1,
        negative: 1 << 1,
        accessed: 1 << 5,
        dirty: 1 << 6,
        large: 0,
        frame: 0xff80,
    };

    /// Whether a walk may use the entry.
    pub const fn is_present(&self, word: u64) -> bool {
        word & self.present != 0
    }

    /// The number of the frame that the entry names.
    pub const fn frame_number(&self, word: u64) -> u64 {
        (word & self.frame) >> self.frame.trailing_zeros()
    }

    /// An entry for a frame with the given rights, neither accessed nor dirty. Panics if the number does not fit.
    pub fn leaf(&self, frame_number: u64, perms: Perms, lowest: Privilege) -> u64 {
        let mut granted = if lowest == Privilege::User { self.user } else { 0 };
        for (right, bit) in [(Perms::READ, self.read), (Perms::WRITE, self.write), (Perms::EXECUTE, self.execute)] {
            if perms.contains(right) {
                granted |= bit;
            }
        }
        self.with_frame(frame_number) | (granted ^ self.negative)
    }

    /// An entry for a table: it grants everything, so that the leaf decides.
    pub fn table(&self, frame_number: u64) -> u64 {
        self.leaf(frame_number, Perms::ALL, Privilege::User)
    }

    /// What an entry says of its frame, were it the only one on the way.
    pub fn perms(&self, word: u64) -> Perms {
        self.granted(word ^ self.negative)
    }

    /// The lowest privilege that an entry admits.
    pub fn lowest_privilege(&self, word: u64) -> Privilege {
        if (word ^ self.negative) & self.user == self.user { Privilege::User } else { Privilege::Supervisor }
    }

    /// The bits that an access needs, in words whose negative bits were inverted.
    pub(crate) const fn needed(&self, access: Access, privilege: Privilege) -> u64 {
        let right = match access {
            Access::Read => self.read,
            Access::Write => self.write,
            Access::Execute => self.execute,
        };
        match privilege {
            Privilege::User => right | self.user,
            Privilege::Supervisor => right,
        }
    }

    /// What a word whose negative bits were inverted allows.
    pub(crate) const fn granted(&self, word: u64) -> Perms {
        let mut perms = Perms::NONE;
        if word & self.read == self.read {
            perms = perms.union(Perms::READ);
        }
        if word & self.write == self.write {
            perms = perms.union(Perms::WRITE);
        }
        if word & self.execute == self.execute {
            perms = perms.union(Perms::EXECUTE);
        }
        perms
    }

    /// Where the frame of an entry starts.
    pub(crate) const fn address(&self, word: u64, page_bytes: u64) -> PhysAddr {
        PhysAddr::new(self.frame_number(word) * page_bytes)
    }

    fn with_frame(&self, frame_number: u64) -> u64 {
        let word = (frame_number << self.frame.trailing_zeros()) | self.present;
        assert_eq!(self.frame_number(word), frame_number, "frame {frame_number:#x} fits in an entry");
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86_bits_are_the_manuals() {
        let word = EntryFormat::X86_64.leaf(0x12345, Perms::READ_WRITE, Privilege::User);
        assert_eq!(word, 0x8000_0000_1234_5007);
        assert_eq!(EntryFormat::X86_64.table(0x12345), 0x1234_5007);
        assert_eq!(EntryFormat::X86_64.leaf(1, Perms::READ_EXECUTE, Privilege::Supervisor), 0x1001);
        assert_eq!(EntryFormat::X86_32.leaf(0xfffff, Perms::READ, Privilege::User), 0xffff_f005);
    }

    #[test]
    fn a_toy_entry_says_sup_read_write() {
        let toy = EntryFormat::TOY;
        let word = toy.leaf(0x2d, Perms::READ, Privilege::Supervisor);
        assert_eq!(word, 0x2d << 7 | 0b111);
        assert_eq!(toy.perms(word), Perms::READ);
        assert_eq!(toy.lowest_privilege(word), Privilege::Supervisor);
        assert_eq!(toy.lowest_privilege(toy.table(1)), Privilege::User);
    }

    #[test]
    #[should_panic(expected = "fits in an entry")]
    fn a_frame_that_does_not_fit_is_our_bug() {
        EntryFormat::TOY.leaf(0x200, Perms::READ, Privilege::User);
    }
}
