//! What is counted in a space.

use trace::FaultCounts;

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
