//! Simulated RAM: one reservation of host memory, reached only by copying and atomic methods.

use crate::ahead::{Pages, Reservation};
use crate::mapped_file::FileBytes;
use addr::{PAGE_BYTES, Pfn, PhysAddr};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

/// Simulated RAM.
///
/// Guest memory is never a `&[u8]`: generated code of any thread may store to it at any time. All access is by atomic
/// words or by byte copies, and every method panics when the range leaves RAM, because a physical address is ours.
pub struct Ram {
    memory: Reservation,
    frame_count: u32,
}

impl Ram {
    /// Reserves `frame_count` frames; the host commits each when it is first touched, in huge pages where it can.
    ///
    /// # Errors
    /// The host's, when it cannot reserve the address range.
    pub fn new(frame_count: u32) -> io::Result<Self> {
        let bytes = u64::from(frame_count) * PAGE_BYTES;
        Ok(Self { memory: Reservation::new(bytes as usize, Pages::Huge, 0)?, frame_count })
    }

    /// Says that a frame is about to be used, for the first time or again: memory is taken from the lowest frames.
    #[inline]
    pub fn expect_use(&self, pfn: Pfn) {
        self.memory.reach(self.frame_address(pfn) as usize);
    }

    /// How many frames there are.
    #[inline]
    pub fn frame_count(&self) -> u32 {
        self.frame_count
    }

    /// The host address of a frame, for generated code and for host system calls. Dereferencing it is the caller's risk.
    #[inline]
    pub fn frame_address(&self, pfn: Pfn) -> *mut u8 {
        self.address(pfn.start(), PAGE_BYTES as usize)
    }

    /// Loads an aligned word.
    #[inline]
    pub fn load(&self, at: PhysAddr) -> u64 {
        self.word(at).load(Ordering::Acquire)
    }

    /// Stores an aligned word.
    #[inline]
    pub fn store(&self, at: PhysAddr, value: u64) {
        self.word(at).store(value, Ordering::Release);
    }

    /// Replaces `current` by `new` in an aligned word, or says what was there instead.
    ///
    /// # Errors
    /// The word's value, when it was not `current`.
    #[inline]
    pub fn compare_exchange(&self, at: PhysAddr, current: u64, new: u64) -> Result<u64, u64> {
        self.word(at).compare_exchange(current, new, Ordering::AcqRel, Ordering::Acquire)
    }

    /// Copies bytes out.
    #[inline]
    pub fn read(&self, at: PhysAddr, to: &mut [u8]) {
        // SAFETY: `address` checked the range, and `to` is ours, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.address(at, to.len()), to.as_mut_ptr(), to.len()) }
    }

    /// Copies bytes in.
    #[inline]
    pub fn write(&self, at: PhysAddr, from: &[u8]) {
        // SAFETY: `address` checked the range, and `from` is ours, so the two do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.address(at, from.len()), from.len()) }
    }

    /// Copies bytes of a file in.
    #[inline]
    pub fn write_from(&self, at: PhysAddr, from: FileBytes<'_>) {
        // SAFETY: `address` checked the range; no file is mapped where RAM is, and no reference to RAM is ever made.
        unsafe { from.copy_to(self.address(at, from.len())) }
    }

    /// Fills a frame with zeros.
    #[inline]
    pub fn zero_frame(&self, pfn: Pfn) {
        // SAFETY: `frame_address` checked that the whole frame is RAM.
        unsafe { std::ptr::write_bytes(self.frame_address(pfn), 0, PAGE_BYTES as usize) }
    }

    /// Gives the host's memory of some frames back: they read as zeros, and memory comes again when they are touched.
    ///
    /// # Errors
    /// The host's; then the frames are as they were.
    pub fn give_back(&self, first: Pfn, count: u32) -> io::Result<()> {
        let bytes = u64::from(count) * PAGE_BYTES;
        let start = self.address(first.start(), bytes as usize);
        // SAFETY: the range was checked and is a private mapping of ours; who reads it sees bytes of another value, as
        // after any store.
        match unsafe { libc::madvise(start.cast(), bytes as usize, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Copies a frame over another.
    #[inline]
    pub fn copy_frame(&self, from: Pfn, to: Pfn) {
        // SAFETY: both frames were checked; `copy` allows them to be the same.
        unsafe { std::ptr::copy(self.frame_address(from), self.frame_address(to), PAGE_BYTES as usize) }
    }

    /// Copies bytes within RAM; the ranges may overlap.
    pub fn copy(&self, from: PhysAddr, to: PhysAddr, bytes: usize) {
        // SAFETY: both ranges were checked, and `copy` allows them to overlap.
        unsafe { std::ptr::copy(self.address(from, bytes), self.address(to, bytes), bytes) }
    }

    /// Repeats an element `count` times from `at`, as a memory set of that many bytes costs.
    pub fn fill(&self, at: PhysAddr, element: &[u8], count: usize) {
        let to = self.address(at, element.len() * count);
        let Some(first) = element.first().filter(|_| count > 0) else { return };
        if element.iter().all(|byte| byte == first) {
            // SAFETY: the whole range was checked.
            return unsafe { to.write_bytes(*first, element.len() * count) };
        }
        // SAFETY: the whole range was checked; `element` is ours and lies elsewhere.
        unsafe { to.copy_from_nonoverlapping(element.as_ptr(), element.len()) }
        self.repeat(at, element.len(), element.len() * count);
    }

    /// Goes on with the first `period` bytes at `at`, again and again, until there are so many bytes of them.
    pub fn repeat(&self, at: PhysAddr, period: usize, bytes: usize) {
        assert!(period > 0, "something is repeated");
        let start = self.address(at, bytes);
        let mut done = period;
        while done < bytes {
            let more = done.min(bytes - done);
            // SAFETY: both parts are in the range that was checked, the second right after the first.
            unsafe { start.add(done).copy_from_nonoverlapping(start, more) }
            done += more;
        }
    }

    #[inline]
    fn word(&self, at: PhysAddr) -> &AtomicU64 {
        assert!(at.get().is_multiple_of(8), "a word of RAM is aligned");
        let address = self.address(at, 8);
        // SAFETY: in RAM and aligned, as just checked; RAM lives as long as `self`, and racing stores are atomic words
        // or the guest's, which the walk re-reads.
        unsafe { AtomicU64::from_ptr(address.cast()) }
    }

    #[inline]
    fn address(&self, at: PhysAddr, bytes: usize) -> *mut u8 {
        let end = at.get().checked_add(bytes as u64).expect("a physical range does not wrap");
        assert!(end <= u64::from(self.frame_count) * PAGE_BYTES, "{at:?} and {bytes} bytes lie in RAM");
        // SAFETY: the offset lies in the reservation, as just checked.
        unsafe { self.memory.start().as_ptr().add(at.get() as usize) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bytes_are_the_same_memory() {
        let ram = Ram::new(4).expect("four frames fit");
        ram.store(PhysAddr::new(0x1008), 0x0102_0304_0506_0708);
        let mut byte = [0];
        ram.read(PhysAddr::new(0x1008), &mut byte);
        assert_eq!(byte, [8]);
        ram.copy_frame(Pfn::new(1), Pfn::new(2));
        assert_eq!(ram.load(PhysAddr::new(0x2008)), 0x0102_0304_0506_0708);
        ram.zero_frame(Pfn::new(2));
        assert_eq!(ram.load(PhysAddr::new(0x2008)), 0);
    }

    #[test]
    fn elements_are_repeated() {
        let ram = Ram::new(1).expect("a frame fits");
        for (element, count) in [(&[7][..], 5), (&[1, 2], 1), (&[1, 2, 3, 4], 7), (&[9, 9], 3), (&[1, 2], 0), (&[], 3)]
        {
            ram.zero_frame(Pfn::new(0));
            ram.fill(PhysAddr::new(3), element, count);
            let mut bytes = [0; 64];
            ram.read(PhysAddr::new(0), &mut bytes);
            let mut expected = vec![0; 3];
            expected.extend(element.repeat(count));
            expected.resize(64, 0);
            assert_eq!(bytes[..], expected);
        }
    }

    #[test]
    fn frames_that_were_given_back_are_zeros() {
        let ram = Ram::new(4).expect("four frames fit");
        (0..4).for_each(|pfn| ram.store(Pfn::new(pfn).start(), 7));
        ram.give_back(Pfn::new(1), 2).expect("the host takes them");
        assert_eq!([0, 1, 2, 3].map(|pfn| ram.load(Pfn::new(pfn).start())), [7, 0, 0, 7]);
    }

    #[test]
    #[should_panic(expected = "lie in RAM")]
    fn outside_ram_is_our_bug() {
        let ram = Ram::new(4).expect("four frames fit");
        ram.read(PhysAddr::new(4 * PAGE_BYTES - 1), &mut [0; 2]);
    }
}
