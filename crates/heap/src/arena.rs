//! The arena: a contiguous range of bytes that grows at its top, which is all that an allocator knows of memory.
//!
//! Offsets count from the arena's start, which is page-aligned wherever the bytes really are. Words and bytes are
//! copied in and out and never borrowed, so that an arena may lie in a byte vector, behind a page table, or in memory
//! that other threads of a guest also reach. What `grow` has granted can always be loaded and stored: an arena whose
//! memory may be missing (a guest's) brings it in by itself.

use std::ops::DerefMut;

/// The unit in which memory behind a page table is committed.
const PAGE_BYTES: usize = 4096;

/// The arena cannot grow by as much as was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Memory that an allocator manages. Offsets past `bytes()` are the allocator's bug, and panic.
pub trait Arena {
    /// How many bytes there are now.
    fn bytes(&self) -> u64;

    /// Appends `count` bytes, as `sbrk` does. Their content is unspecified.
    ///
    /// # Errors
    /// `Full`, and then nothing has changed.
    fn grow(&mut self, count: u64) -> Result<(), Full>;

    /// Loads four bytes, least significant first; `at` is a multiple of four.
    fn load32(&self, at: u64) -> u32;

    /// Stores four bytes.
    fn store32(&mut self, at: u64, value: u32);

    /// Loads eight bytes, least significant first; `at` is a multiple of four.
    fn load64(&self, at: u64) -> u64;

    /// Stores eight bytes.
    fn store64(&mut self, at: u64, value: u64);

    /// Copies bytes out.
    fn read(&self, at: u64, to: &mut [u8]);

    /// Copies bytes in.
    fn write(&mut self, at: u64, from: &[u8]);

    /// Sets `count` bytes to `byte`.
    fn fill(&mut self, at: u64, count: u64, byte: u8) {
        let pattern = [byte; 256];
        let mut done = 0;
        while done < count {
            let step = (count - done).min(pattern.len() as u64);
            self.write(at + done, &pattern[..step as usize]);
            done += step;
        }
    }

    /// Copies `count` bytes within the arena; the two ranges do not overlap.
    fn copy(&mut self, from: u64, to: u64, count: u64) {
        let mut buffer = [0; 256];
        let mut done = 0;
        while done < count {
            let step = (count - done).min(buffer.len() as u64);
            self.read(from + done, &mut buffer[..step as usize]);
            self.write(to + done, &buffer[..step as usize]);
            done += step;
        }
    }
}

/// Four bytes: what a byte arena is made of, so that one comparison bounds a word.
pub type Quad = [u8; 4];

/// An arena in one byte vector, or in one that is lent: the quickest, for timing and for tests.
pub struct ByteArena<M = Vec<Quad>> {
    /// All that may ever be used, zero until first touched, so that growing costs nothing.
    reserved: M,
    bytes: u64,
}

impl ByteArena {
    /// An empty arena that grows to at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { reserved: Self::reserve(limit), bytes: 0 }
    }

    /// Memory for `ByteArena::over`.
    pub fn reserve(limit: u64) -> Vec<Quad> {
        let quads = usize::try_from(limit / 4).expect("an arena fits the host's address space");
        vec![[0; 4]; quads]
    }
}

impl<'a> ByteArena<&'a mut [Quad]> {
    /// An empty arena in memory that is used again after it; its content is what the last one left.
    pub fn over(reserved: &'a mut [Quad]) -> Self {
        Self { reserved, bytes: 0 }
    }
}

impl<M: DerefMut<Target = [Quad]>> Arena for ByteArena<M> {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grow(&mut self, count: u64) -> Result<(), Full> {
        let limit = 4 * self.reserved.len() as u64;
        self.bytes = self.bytes.checked_add(count).filter(|&bytes| bytes <= limit).ok_or(Full)?;
        Ok(())
    }

    #[inline(always)]
    fn load32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.reserved[at as usize / 4])
    }

    #[inline(always)]
    fn store32(&mut self, at: u64, value: u32) {
        self.reserved[at as usize / 4] = value.to_le_bytes();
    }

    #[inline(always)]
    fn load64(&self, at: u64) -> u64 {
        let quads: &[Quad; 2] = self.reserved[at as usize / 4..].first_chunk().expect("a word lies in the arena");
        u64::from(u32::from_le_bytes(quads[0])) | u64::from(u32::from_le_bytes(quads[1])) << 32
    }

    #[inline(always)]
    fn store64(&mut self, at: u64, value: u64) {
        let quads: &mut [Quad; 2] =
            self.reserved[at as usize / 4..].first_chunk_mut().expect("a word lies in the arena");
        *quads = [value as u32, (value >> 32) as u32].map(u32::to_le_bytes);
    }

    fn read(&self, at: u64, to: &mut [u8]) {
        to.copy_from_slice(&self.reserved.as_flattened()[at as usize..][..to.len()]);
    }

    fn write(&mut self, at: u64, from: &[u8]) {
        self.reserved.as_flattened_mut()[at as usize..][..from.len()].copy_from_slice(from);
    }

    fn fill(&mut self, at: u64, count: u64, byte: u8) {
        self.reserved.as_flattened_mut()[at as usize..][..count as usize].fill(byte);
    }

    fn copy(&mut self, from: u64, to: u64, count: u64) {
        self.reserved.as_flattened_mut().copy_within(from as usize..(from + count) as usize, to as usize);
    }
}

/// An arena behind a page table of one level: a page is committed when it is first stored to, as an operating system
/// does it, so that `touched_bytes` says what the heap costs in RAM.
pub struct PagedArena {
    pages: Vec<Option<Box<[u8; PAGE_BYTES]>>>,
    bytes: u64,
    limit: u64,
    touched_pages: u64,
}

impl PagedArena {
    /// An empty arena that grows to at most `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self { pages: Vec::new(), bytes: 0, limit, touched_pages: 0 }
    }

    /// The bytes of the pages that were stored to.
    pub fn touched_bytes(&self) -> u64 {
        self.touched_pages * PAGE_BYTES as u64
    }

    /// The bytes of a word that lies in one page, if that page was stored to.
    #[inline]
    fn word<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let page = self.pages.get(at as usize / PAGE_BYTES)?.as_ref()?;
        page.get(at as usize % PAGE_BYTES..)?.first_chunk().copied()
    }

    fn load<const N: usize>(&self, at: u64) -> [u8; N] {
        self.word(at).unwrap_or_else(|| {
            let mut word = [0; N];
            self.read(at, &mut word);
            word
        })
    }

    /// The page and the offset in it of `at`, and how many of `count` bytes lie in that page.
    fn part(&self, at: u64, count: usize) -> (usize, usize, usize) {
        assert!(at + count as u64 <= self.bytes, "{at} and {count} bytes lie in the arena");
        let offset = at as usize % PAGE_BYTES;
        (at as usize / PAGE_BYTES, offset, count.min(PAGE_BYTES - offset))
    }
}

impl Arena for PagedArena {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn grow(&mut self, count: u64) -> Result<(), Full> {
        self.bytes = self.bytes.checked_add(count).filter(|&bytes| bytes <= self.limit).ok_or(Full)?;
        self.pages.resize(self.bytes.div_ceil(PAGE_BYTES as u64) as usize, None);
        Ok(())
    }

    fn load32(&self, at: u64) -> u32 {
        u32::from_le_bytes(self.load(at))
    }

    fn store32(&mut self, at: u64, value: u32) {
        self.write(at, &value.to_le_bytes());
    }

    fn load64(&self, at: u64) -> u64 {
        u64::from_le_bytes(self.load(at))
    }

    fn store64(&mut self, at: u64, value: u64) {
        self.write(at, &value.to_le_bytes());
    }

    fn read(&self, mut at: u64, mut to: &mut [u8]) {
        while !to.is_empty() {
            let (page, offset, step) = self.part(at, to.len());
            let (now, later) = to.split_at_mut(step);
            match &self.pages[page] {
                Some(bytes) => now.copy_from_slice(&bytes[offset..offset + step]),
                None => now.fill(0),
            }
            to = later;
            at += step as u64;
        }
    }

    fn write(&mut self, mut at: u64, mut from: &[u8]) {
        while !from.is_empty() {
            let (page, offset, step) = self.part(at, from.len());
            let touched = &mut self.touched_pages;
            let bytes = self.pages[page].get_or_insert_with(|| {
                *touched += 1;
                Box::new([0; PAGE_BYTES])
            });
            bytes[offset..offset + step].copy_from_slice(&from[..step]);
            from = &from[step..];
            at += step as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words_and_bytes_agree(mut arena: impl Arena) {
        arena.grow(3 * 4096).expect("the limit is four pages");
        arena.store64(4092, 0x0102_0304_0506_0708);
        assert_eq!(arena.load32(4096), 0x0102_0304);
        arena.fill(5000, 4000, 7);
        arena.copy(5000, 100, 1000);
        let mut bytes = [0; 3];
        arena.read(1098, &mut bytes);
        assert_eq!(bytes, [7, 7, 0]);
        assert_eq!(arena.grow(4097), Err(Full));
        assert_eq!(arena.grow(u64::MAX), Err(Full));
        assert_eq!(arena.bytes(), 3 * 4096);
    }

    #[test]
    fn both_arenas_are_the_same_memory() {
        words_and_bytes_agree(ByteArena::new(4 * 4096));
        words_and_bytes_agree(PagedArena::new(4 * 4096));
    }

    #[test]
    fn a_page_costs_when_it_is_first_stored_to() {
        let mut arena = PagedArena::new(1 << 20);
        arena.grow(1 << 20).expect("the limit");
        assert_eq!((arena.load64(0), arena.touched_bytes()), (0, 0));
        arena.fill(4000, 200, 1);
        assert_eq!(arena.touched_bytes(), 2 * 4096);
    }
}
