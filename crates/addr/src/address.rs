//! Byte addresses and page and frame numbers.

use std::fmt;

/// log2 of the granule of the machine that runs programs: 4 KiB.
pub const PAGE_SHIFT: u32 = 12;
/// Bytes of a page and of a frame.
pub const PAGE_BYTES: u64 = 1 << PAGE_SHIFT;

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $repr:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name($repr);

        impl $name {
            /// Wraps a number.
            pub const fn new(value: $repr) -> Self {
                Self(value)
            }

            /// The bare number.
            pub const fn get(self) -> $repr {
                self.0
            }

            /// `self + count`, or `None` past the largest number.
            pub const fn checked_add(self, count: $repr) -> Option<Self> {
                match self.0.checked_add(count) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// `self - count`, or `None` below zero.
            pub const fn checked_sub(self, count: $repr) -> Option<Self> {
                match self.0.checked_sub(count) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }
        }

        impl std::ops::Add<$repr> for $name {
            type Output = Self;
            #[inline]
            fn add(self, count: $repr) -> Self {
                self.checked_add(count).expect(concat!(stringify!($name), " addition stays in range"))
            }
        }

        impl std::ops::Sub<$repr> for $name {
            type Output = Self;
            #[inline]
            fn sub(self, count: $repr) -> Self {
                self.checked_sub(count).expect(concat!(stringify!($name), " subtraction stays in range"))
            }
        }

        /// The distance between two of them; panics if `other` is the larger.
        impl std::ops::Sub for $name {
            type Output = $repr;
            #[inline]
            fn sub(self, other: Self) -> $repr {
                self.0.checked_sub(other.0).expect(concat!(stringify!($name), " distance is not negative"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:#x})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

word! {
    /// A guest's virtual byte address. Any 64-bit number: guests use wild ones.
    VirtAddr, u64
}
word! {
    /// A byte address in simulated RAM; 0 is the first byte of frame 0.
    PhysAddr, u64
}
word! {
    /// The number of a virtual page of [`PAGE_BYTES`].
    Page, u64
}
word! {
    /// The number of a frame of [`PAGE_BYTES`] of simulated RAM (a page frame number).
    Pfn, u32
}

impl VirtAddr {
    /// The page that holds this byte.
    pub const fn page(self) -> Page {
        Page(self.0 >> PAGE_SHIFT)
    }

    /// The offset of this byte in its page.
    pub const fn page_offset(self) -> u64 {
        self.0 & (PAGE_BYTES - 1)
    }

    /// Whether this is the first byte of a page.
    pub const fn is_page_aligned(self) -> bool {
        self.page_offset() == 0
    }

    /// The first byte of the page that holds this byte.
    pub const fn page_floor(self) -> Self {
        Self(self.0 & !(PAGE_BYTES - 1))
    }

    /// The first page boundary at or after this byte, or `None` past the top.
    pub const fn checked_page_ceil(self) -> Option<Self> {
        match self.0.checked_add(PAGE_BYTES - 1) {
            Some(sum) => Some(Self(sum & !(PAGE_BYTES - 1))),
            None => None,
        }
    }

    /// `self + count` modulo 2^64, as an effective address is computed (SDM vol. 1, 3.3.7).
    pub const fn wrapping_add(self, count: u64) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Whether bits 63 to `bits - 1` are all equal (SDM vol. 1, 3.3.7.1); `bits` is 48 with four levels, 57 with five.
    pub const fn is_canonical(self, bits: u32) -> bool {
        let shift = 64 - bits;
        (((self.0 << shift) as i64) >> shift) as u64 == self.0
    }
}

impl PhysAddr {
    /// The frame that holds this byte.
    pub const fn pfn(self) -> Pfn {
        Pfn((self.0 >> PAGE_SHIFT) as u32)
    }

    /// The offset of this byte in its frame.
    pub const fn frame_offset(self) -> u64 {
        self.0 & (PAGE_BYTES - 1)
    }
}

impl Page {
    /// The first byte of the page.
    pub const fn start(self) -> VirtAddr {
        VirtAddr(self.0 << PAGE_SHIFT)
    }
}

impl Pfn {
    /// The first byte of the frame.
    pub const fn start(self) -> PhysAddr {
        PhysAddr((self.0 as u64) << PAGE_SHIFT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_address_splits_into_page_and_offset() {
        let addr = VirtAddr::new(0x7fff_f7fc_3010);
        assert_eq!(addr.page(), Page::new(0x7_ffff_7fc3));
        assert_eq!(addr.page_offset(), 0x10);
        assert_eq!(addr.page().start() + 0x10, addr);
    }

    #[test]
    fn canonical_means_the_upper_bits_are_equal() {
        assert!(VirtAddr::new(0x0000_7fff_ffff_ffff).is_canonical(48));
        assert!(!VirtAddr::new(0x0000_8000_0000_0000).is_canonical(48));
        assert!(VirtAddr::new(0xffff_8000_0000_0000).is_canonical(48));
        assert!(VirtAddr::new(0x00ff_ffff_ffff_ffff).is_canonical(57));
    }

    #[test]
    fn rounding_up_past_the_top_is_none() {
        assert_eq!(VirtAddr::new(u64::MAX).checked_page_ceil(), None);
        assert_eq!(VirtAddr::new(1).checked_page_ceil(), Some(VirtAddr::new(4096)));
    }

    #[test]
    #[should_panic(expected = "addition stays in range")]
    fn our_own_arithmetic_panics_on_overflow() {
        let _ = VirtAddr::new(u64::MAX) + 1;
    }
}
