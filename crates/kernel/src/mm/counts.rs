//! What is counted in a space.

use trace::{Cost, FaultKind};

/// Faults by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FaultCounts {
    /// Resolved in memory.
    pub minor: u64,
    /// The disk was read.
    pub major: u64,
    /// Pages of zeros.
    pub zero_fill: u64,
    /// Pages of files and of shared memory.
    pub file: u64,
    /// Private copies, and re-uses of pages that nobody shares any more.
    pub copy_on_write: u64,
    /// Pages that had been swapped out.
    pub swap_in: u64,
    /// Stacks that grew.
    pub stack_growth: u64,
    /// Refused; they end in a signal.
    pub protection: u64,
}

impl FaultCounts {
    /// Counts a fault. One that found the page already there counts as nothing: minor and major faults are parted by
    /// what they did.
    pub fn add(&mut self, kind: FaultKind, cost: Cost) {
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

    /// Both together, by kind.
    pub fn plus(self, other: Self) -> Self {
        Self {
            minor: self.minor + other.minor,
            major: self.major + other.major,
            zero_fill: self.zero_fill + other.zero_fill,
            file: self.file + other.file,
            copy_on_write: self.copy_on_write + other.copy_on_write,
            swap_in: self.swap_in + other.swap_in,
            stack_growth: self.stack_growth + other.stack_growth,
            protection: self.protection + other.protection,
        }
    }

    /// Proves that the kinds part the faults.
    ///
    /// # Panics
    /// When they do not.
    pub fn check(&self) {
        let kinds = self.zero_fill + self.file + self.copy_on_write + self.swap_in + self.stack_growth;
        assert_eq!(self.minor + self.major, kinds, "each fault is of one kind");
    }
}

/// What a space uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Pages of its own in RAM.
    pub anonymous_pages: u64,
    /// Pages of files and of shared memory that it maps.
    pub object_pages: u64,
    /// Pages of its own in swap.
    pub swapped_pages: u64,
    /// The most pages in RAM at once.
    pub peak_resident_pages: u64,
    /// The most pages of areas at once.
    pub peak_mapped_pages: u64,
    /// The most areas at once.
    pub peak_areas: u64,
    /// The most frames that held tables at once.
    pub peak_table_frames: u64,
    /// Its faults.
    pub faults: FaultCounts,
}

impl Usage {
    /// Pages in RAM.
    pub fn resident_pages(&self) -> u64 {
        self.anonymous_pages + self.object_pages
    }

    pub(crate) fn note_peaks(&mut self, table_frames: u64) {
        self.peak_resident_pages = self.peak_resident_pages.max(self.resident_pages());
        self.peak_table_frames = self.peak_table_frames.max(table_frames);
    }
}
