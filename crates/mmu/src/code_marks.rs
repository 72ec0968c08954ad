//! Which frames hold code that the engine has translated.

use addr::Pfn;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// One bit a frame: set by the engine when it translates from the frame, looked at by everyone who writes to frames.
///
/// A frame that is marked never has a write entry in a software TLB, so that every guest store to it reaches the
/// engine. The kernel calls [`CodeMarks::note_write`] when it writes to a frame itself (a `read(2)` into it, say) and
/// [`CodeMarks::note_write`] too when it gives the frame another use; the engine drains the notes at its next safepoint.
pub struct CodeMarks {
    bits: Box<[AtomicU64]>,
    /// Frames that a software TLB may have an entry for stores of.
    stored_to: Box<[AtomicU64]>,
    written: Mutex<Vec<Pfn>>,
    pending: AtomicBool,
}

impl CodeMarks {
    pub(crate) fn new(frame_count: u32) -> Self {
        let words = (frame_count as usize).div_ceil(64);
        let none = || (0..words).map(|_| AtomicU64::new(0)).collect();
        Self { bits: none(), stored_to: none(), written: Mutex::new(Vec::new()), pending: AtomicBool::new(false) }
    }

    /// Marks a frame as holding translated code, and says whether entries for stores to it have to be dropped.
    #[must_use]
    pub fn mark(&self, pfn: Pfn) -> Stores {
        self.word(pfn).fetch_or(Self::bit(pfn), Ordering::AcqRel);
        let old = self.stored_to[pfn.get() as usize / 64].fetch_and(!Self::bit(pfn), Ordering::AcqRel);
        if old & Self::bit(pfn) != 0 { Stores::Possible } else { Stores::Impossible }
    }

    /// Says that a software TLB is about to have an entry for stores to a frame.
    pub(crate) fn note_store_entry(&self, pfn: Pfn) {
        let word = &self.stored_to[pfn.get() as usize / 64];
        if word.load(Ordering::Relaxed) & Self::bit(pfn) == 0 {
            word.fetch_or(Self::bit(pfn), Ordering::AcqRel);
        }
    }

    /// Takes the mark away: nothing that the engine knows depends on the frame's bytes any more.
    pub fn unmark(&self, pfn: Pfn) {
        self.word(pfn).fetch_and(!Self::bit(pfn), Ordering::AcqRel);
    }

    /// Whether some block depends on the frame's bytes.
    pub fn is_marked(&self, pfn: Pfn) -> bool {
        self.word(pfn).load(Ordering::Acquire) & Self::bit(pfn) != 0
    }

    /// Says that the bytes of a frame changed, or that the frame is about to serve something else.
    pub fn note_write(&self, pfn: Pfn) {
        if self.is_marked(pfn) {
            self.notes().push(pfn);
            self.pending.store(true, Ordering::Release);
        }
    }

    /// Whether [`CodeMarks::take_written`] would return something; one atomic load.
    pub fn has_written(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// The marked frames that were written to since the last call.
    pub fn take_written(&self) -> Vec<Pfn> {
        let mut notes = self.notes();
        self.pending.store(false, Ordering::Release);
        std::mem::take(&mut notes)
    }

    fn notes(&self) -> std::sync::MutexGuard<'_, Vec<Pfn>> {
        self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn word(&self, pfn: Pfn) -> &AtomicU64 {
        &self.bits[pfn.get() as usize / 64]
    }

    fn bit(pfn: Pfn) -> u64 {
        1 << (pfn.get() % 64)
    }
}

/// Whether a software TLB may let stores to a frame through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stores {
    /// One may.
    Possible,
    /// None does.
    Impossible,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_writes_to_marked_frames_are_noted() {
        let marks = CodeMarks::new(130);
        marks.note_store_entry(Pfn::new(129));
        assert_eq!(marks.mark(Pfn::new(129)), Stores::Possible);
        assert_eq!(marks.mark(Pfn::new(129)), Stores::Impossible);
        marks.note_write(Pfn::new(3));
        assert!(!marks.has_written());
        marks.note_write(Pfn::new(129));
        assert_eq!(marks.take_written(), [Pfn::new(129)]);
        assert!(!marks.has_written());
        marks.unmark(Pfn::new(129));
        assert!(!marks.is_marked(Pfn::new(129)));
    }
}
