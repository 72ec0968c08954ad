//! Half-open ranges of bytes and of pages.

use crate::{PAGE_BYTES, Page, VirtAddr};
use std::fmt;

macro_rules! range {
    ($(#[$doc:meta])* $name:ident of $word:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name {
            /// The first one in the range.
            pub start: $word,
            /// The first one past the range.
            pub end: $word,
        }

        impl $name {
            /// The range `start..end`; panics if `end` is before `start`.
            #[inline]
            pub fn new(start: $word, end: $word) -> Self {
                assert!(start <= end, "a range ends at or after its start");
                Self { start, end }
            }

            /// How many it holds.
            #[inline]
            pub fn count(&self) -> u64 {
                self.end - self.start
            }

            /// Whether it holds none.
            #[inline]
            pub fn is_empty(&self) -> bool {
                self.start == self.end
            }

            /// Whether `one` lies in it.
            #[inline]
            pub fn contains(&self, one: $word) -> bool {
                self.start <= one && one < self.end
            }

            /// Whether all of `other` lies in it.
            #[inline]
            pub fn covers(&self, other: Self) -> bool {
                self.start <= other.start && other.end <= self.end
            }

            /// Whether the two share at least one.
            #[inline]
            pub fn overlaps(&self, other: Self) -> bool {
                self.start < other.end && other.start < self.end
            }

            /// What the two share; empty if nothing.
            pub fn intersection(&self, other: Self) -> Self {
                let start = self.start.max(other.start);
                Self { start, end: self.end.min(other.end).max(start) }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}..{:#x}", self.start, self.end)
            }
        }
    };
}

range! {
    /// Virtual bytes, half-open.
    VirtRange of VirtAddr
}
range! {
    /// Virtual pages, half-open.
    PageRange of Page
}

impl VirtRange {
    /// `bytes` bytes from `start`, or `None` past the top.
    pub fn checked_from(start: VirtAddr, bytes: u64) -> Option<Self> {
        Some(Self { start, end: start.checked_add(bytes)? })
    }

    /// The pages that hold at least one of the bytes.
    pub fn pages(&self) -> PageRange {
        if self.is_empty() {
            return PageRange { start: self.start.page(), end: self.start.page() };
        }
        PageRange { start: self.start.page(), end: (self.end - 1).page() + 1 }
    }
}

impl PageRange {
    /// `count` pages from `start`; panics past the top.
    #[inline]
    pub fn from_count(start: Page, count: u64) -> Self {
        Self { start, end: start + count }
    }

    /// The bytes of the pages.
    pub fn bytes(&self) -> VirtRange {
        VirtRange { start: self.start.start(), end: self.end.start() }
    }

    /// How many bytes the pages hold.
    pub fn byte_count(&self) -> u64 {
        self.count() * PAGE_BYTES
    }

    /// Each page, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Page> + use<> {
        (self.start.get()..self.end.get()).map(Page::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(start: u64, end: u64) -> VirtRange {
        VirtRange::new(VirtAddr::new(start), VirtAddr::new(end))
    }

    #[test]
    fn ranges_are_half_open() {
        let range = bytes(0x1000, 0x3000);
        assert!(range.contains(VirtAddr::new(0x1000)));
        assert!(!range.contains(VirtAddr::new(0x3000)));
        assert!(!range.overlaps(bytes(0x3000, 0x4000)));
        assert!(range.intersection(bytes(0x3000, 0x4000)).is_empty());
        assert_eq!(range.intersection(bytes(0x2000, 0x4000)), bytes(0x2000, 0x3000));
    }

    #[test]
    fn pages_cover_every_byte() {
        assert_eq!(bytes(0xfff, 0x1001).pages().count(), 2);
        assert_eq!(bytes(0x1000, 0x2000).pages().count(), 1);
        assert_eq!(bytes(0x1000, 0x1000).pages().count(), 0);
    }
}
