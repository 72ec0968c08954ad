//! Simple segregated storage: cells of fixed classes, never split, never coalesced.
//!
//! ```text
//!   chunk            | class | cell | cell | cell | ... | waste |
//!                            ^ a multiple of the chunk size
//!   allocated cell   | payload .................................. padding |
//!   free cell        | next | (nothing)                                   |
//! ```
//! Classes are the powers of two from one word on. A class without a free cell takes one chunk (as many as one cell needs, for
//! a large class), cuts all of it into cells, and keeps them for ever. Cells have no header: the word before the first
//! cell of a chunk names the class of all its cells, and because chunks begin at multiples of their size, any payload
//! leads to its chunk. Allocation and free are a few instructions; the price is internal fragmentation (up to half a
//! cell), and that no class ever gives memory to another.

use crate::allocator::round_up;
use crate::words::Words;
use crate::*;

/// The word before a chunk's cells is this and the class; a large class's later chunks have no such word.
const CHUNK_MARK: u64 = 0xce11_0000;
/// No class holds more than 2^CLASSES bytes.
const CLASSES: usize = 40;

/// Simple segregated storage (`segregated-storage`).
pub(crate) struct SegregatedStorage<A, const WORD: u64> {
    words: Words<A, WORD>,
    align: u64,
    chunk: u64,
    checks: Checks,
    /// The first free cell of each class, or 0.
    free: [u64; CLASSES],
    /// Where the next chunk's cells will begin.
    top: u64,
    counters: Counters,
}

impl<A: Arena, const WORD: u64> SegregatedStorage<A, WORD> {
    /// An empty heap in `arena`.
    ///
    /// # Errors
    /// `NoMemory` when the arena has no room for the padding before the first chunk.
    pub fn new(arena: A, settings: Settings) -> Result<Self, Refusal> {
        let Settings { align, chunk, checks, .. } = settings;
        Ok(Self {
            words: Words { arena },
            align,
            chunk,
            checks,
            free: [0; CLASSES],
            top: align,
            counters: Counters::default(),
        })
    }

    /// The class of a request: the exponent of its cell's size.
    fn class_for(&self, bytes: u64) -> Result<usize, Refusal> {
        let cell = bytes.max(self.align).max(WORD).checked_next_power_of_two().ok_or(Refusal::NoMemory)?;
        Some(cell.ilog2() as usize).filter(|&class| class < CLASSES).ok_or(Refusal::NoMemory)
    }

    /// The bytes from a chunk's first cell to the next chunk's: at least one cell, and the next mark's word.
    fn span(&self, class: usize) -> Result<u64, Refusal> {
        round_up((1 << class) + self.align, self.chunk).ok_or(Refusal::NoMemory)
    }

    fn cells(&self, class: usize, span: u64) -> u64 {
        (span - self.align) >> class
    }

    /// Takes a chunk and threads its cells into the free list of the class, the lowest first.
    fn refill(&mut self, class: usize) -> Result<(), Refusal> {
        let span = self.span(class)?;
        let first = round_up(self.top, self.chunk).ok_or(Refusal::NoMemory)?;
        let end = first.checked_add(span).filter(|&end| end <= Words::<A, WORD>::MAX).ok_or(Refusal::NoMemory)?;
        let bytes = (end - self.align).checked_sub(self.words.arena.bytes()).expect("chunks lie above what was grown");
        self.words.arena.grow(bytes).map_err(|_| Refusal::NoMemory)?;
        self.counters.extensions += 1;
        self.top = end;
        self.words.put(first - WORD, CHUNK_MARK | class as u64);
        for cell in (0..self.cells(class, span)).rev() {
            let at = first + (cell << class);
            self.words.put(at, self.free[class]);
            self.free[class] = at;
        }
        Ok(())
    }

    /// The class of a payload, by the mark of its chunk.
    fn class_of(&self, payload: Ptr) -> Result<usize, Refusal> {
        let at = payload.get();
        let chunk = at / self.chunk * self.chunk;
        if chunk == 0 || at >= self.top {
            return Err(Refusal::InvalidFree(payload));
        }
        let class = match self.mark(chunk) {
            Some(class) => class,
            None if self.chunks().any(|(first, class)| first <= at && at < first + (1 << class)) => {
                return Err(Refusal::InteriorPointer(payload));
            }
            None => return Err(Refusal::Smashed(chunk - WORD)),
        };
        let offset = at - chunk;
        if offset >> class >= self.cells(class, self.span(class)?) {
            return Err(Refusal::InvalidFree(payload));
        }
        if offset & ((1 << class) - 1) != 0 {
            return Err(Refusal::InteriorPointer(payload));
        }
        match self.checks {
            Checks::Tags => Ok(class),
            Checks::Walk if !self.chunks().any(|found| found == (chunk, class)) => {
                Err(Refusal::InteriorPointer(payload))
            }
            Checks::Walk if self.free_cells(class)?.contains(&at) => Err(Refusal::DoubleFree(payload)),
            Checks::Walk => Ok(class),
        }
    }

    /// The class that the mark before a chunk names, if it is one.
    fn mark(&self, chunk: u64) -> Option<usize> {
        let class = self.words.get(chunk - WORD).checked_sub(CHUNK_MARK)? as usize;
        (class < CLASSES).then_some(class)
    }

    /// The first cell and the class of each chunk, in order of address, up to the first destroyed mark.
    fn chunks(&self) -> impl Iterator<Item = (u64, usize)> {
        let mut next = self.chunk;
        std::iter::from_fn(move || {
            let first = next;
            let class = (first < self.top).then(|| self.mark(first))??;
            next += self.span(class).ok()?;
            Some((first, class))
        })
    }

    fn free_cells(&self, class: usize) -> Result<Vec<u64>, Refusal> {
        let (mut cells, mut next) = (Vec::new(), self.free[class]);
        while next != 0 {
            let endless = cells.len() as u64 > self.top >> class;
            if endless || !self.may_be_cell(next, class) {
                return Err(Refusal::Smashed(next));
            }
            cells.push(next);
            next = self.words.get(next);
        }
        Ok(cells)
    }

    /// Whether a link can lead there.
    fn may_be_cell(&self, at: u64, class: usize) -> bool {
        let offset = at % self.chunk;
        at >= self.chunk && at < self.top && offset & ((1 << class) - 1) == 0 && self.mark(at - offset) == Some(class)
    }
}

impl<A: Arena, const WORD: u64> Allocator<A> for SegregatedStorage<A, WORD> {
    fn malloc(&mut self, bytes: u64) -> Result<Ptr, Refusal> {
        let class = self.class_for(bytes)?;
        if self.free[class] == 0 {
            self.refill(class)?;
        }
        self.counters.searched += 1;
        let at = self.free[class];
        let next = self.words.get(at);
        if next != 0 && !self.may_be_cell(next, class) {
            return Err(Refusal::Smashed(at));
        }
        self.free[class] = next;
        Ok(Ptr::new(at))
    }

    fn free(&mut self, at: Ptr) -> Result<(), Refusal> {
        if at.is_null() {
            return Ok(());
        }
        let class = self.class_of(at)?;
        self.words.put(at.get(), self.free[class]);
        self.free[class] = at.get();
        Ok(())
    }

    fn usable_bytes(&self, at: Ptr) -> Result<u64, Refusal> {
        Ok(1 << self.class_of(at)?)
    }

    /// Cells lie at multiples of their size up to the size of a chunk, and larger alignments are refused.
    fn aligned_alloc(&mut self, alignment: u64, bytes: u64) -> Result<Ptr, Refusal> {
        if !alignment.is_power_of_two() || alignment > self.chunk {
            return Err(Refusal::BadAlignment(alignment));
        }
        self.malloc(bytes.max(alignment))
    }

    fn block_bytes(&self, at: Ptr) -> u64 {
        self.class_of(at).map_or(0, |class| 1 << class)
    }

    fn tag_bytes(&self) -> u64 {
        0
    }

    fn table_bytes(&self) -> u64 {
        size_of_val(&self.free) as u64
    }

    fn alignment(&self) -> u64 {
        self.align
    }

    fn blocks(&self) -> Result<Vec<Block>, Refusal> {
        let mut free = Vec::new();
        for class in 0..CLASSES {
            free.extend(self.free_cells(class)?);
        }
        free.sort_unstable();
        let mut blocks = Vec::new();
        for (first, class) in self.chunks() {
            for cell in 0..self.cells(class, self.span(class)?) {
                let at = first + (cell << class);
                let used = if free.binary_search(&at).is_ok() { Use::Free } else { Use::Allocated };
                blocks.push(Block { at, bytes: 1 << class, used });
            }
        }
        Ok(blocks)
    }

    /// Chunks fill the heap; each free list holds cells of its own class, each once.
    fn check(&self) -> Result<(), String> {
        let end = self.chunks().try_fold(self.chunk, |_, (first, class)| Ok::<_, Refusal>(first + self.span(class)?));
        let end = end.map_err(|refusal| refusal.to_string())?;
        if self.top != self.align && end != self.top {
            return Err(format!("the chunks end at {end:#x} and the heap at {:#x}", self.top));
        }
        for class in 0..CLASSES {
            let mut cells = self.free_cells(class).map_err(|refusal| refusal.to_string())?;
            let count = cells.len();
            cells.sort_unstable();
            cells.dedup();
            if cells.len() != count {
                return Err(format!("a cell of 2^{class} bytes is free twice"));
            }
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn arena(&self) -> &A {
        &self.words.arena
    }

    fn arena_mut(&mut self) -> &mut A {
        &mut self.words.arena
    }
}
