//! Faults, counted by what became of them.

use crate::{Cost, FaultKind};
use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// The faults of a space, of a process or of all: the kinds part what was resolved, and the refused ones are apart.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct FaultCounts {
    /// Resolved in memory.
    pub minor: u64,
    /// Resolved by reading the disk.
    pub major: u64,
    /// A page of zeros, or the shared zero page.
    pub zero_fill: u64,
    /// A page of a file or of shared memory.
    pub file: u64,
    /// A private copy, or the re-use of a page that nobody shares any more.
    pub copy_on_write: u64,
    /// A page that had been swapped out.
    pub swap_in: u64,
    /// A stack that grew.
    pub stack_growth: u64,
    /// Refused: these became signals and are not part of `minor + major`.
    pub protection: u64,
}

impl FaultCounts {
    /// Counts a fault. One that found the page already there counts as nothing: minor and major faults are parted by
    /// what they did.
    pub fn count(&mut self, kind: FaultKind, cost: Cost) {
        let counter = match kind {
            FaultKind::ZeroFill => &mut self.zero_fill,
            FaultKind::File => &mut self.file,
            FaultKind::CopyOnWrite => &mut self.copy_on_write,
            FaultKind::SwapIn => &mut self.swap_in,
            FaultKind::StackGrowth => &mut self.stack_growth,
            FaultKind::Protection => {
                self.protection += 1;
                return;
            }
            FaultKind::Spurious => return,
        };
        *counter += 1;
        match cost {
            Cost::Minor => self.minor += 1,
            Cost::Major => self.major += 1,
        }
    }

    /// `minor + major`.
    pub fn resolved(&self) -> u64 {
        self.minor + self.major
    }

    /// The kinds that part what was resolved, by the names that reports use.
    pub fn kinds(&self) -> [(&'static str, u64); 5] {
        [
            (FaultKind::ZeroFill.name(), self.zero_fill),
            (FaultKind::File.name(), self.file),
            (FaultKind::CopyOnWrite.name(), self.copy_on_write),
            (FaultKind::SwapIn.name(), self.swap_in),
            (FaultKind::StackGrowth.name(), self.stack_growth),
        ]
    }

    /// Whether the kinds add up to `minor + major`; anything else is a bug of pagewalk.
    pub fn reconcile(&self) -> bool {
        self.resolved() == self.kinds().iter().map(|(_, count)| count).sum::<u64>()
    }
}

impl AddAssign for FaultCounts {
    fn add_assign(&mut self, other: Self) {
        self.minor += other.minor;
        self.major += other.major;
        self.zero_fill += other.zero_fill;
        self.file += other.file;
        self.copy_on_write += other.copy_on_write;
        self.swap_in += other.swap_in;
        self.stack_growth += other.stack_growth;
        self.protection += other.protection;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_a_partition() {
        let mut all = FaultCounts::default();
        for (kind, cost) in [
            (FaultKind::ZeroFill, Cost::Minor),
            (FaultKind::File, Cost::Major),
            (FaultKind::SwapIn, Cost::Major),
            (FaultKind::CopyOnWrite, Cost::Minor),
            (FaultKind::StackGrowth, Cost::Minor),
            (FaultKind::Spurious, Cost::Minor),
            (FaultKind::Protection, Cost::Minor),
        ] {
            all.count(kind, cost);
            assert!(all.reconcile(), "{kind:?}");
        }
        assert_eq!((all.minor, all.major, all.protection, all.resolved()), (3, 2, 1, 5));
        all += all;
        assert!(all.reconcile() && all.resolved() == 10);
        all.zero_fill += 1;
        assert!(!all.reconcile());
    }
}
