//! Who owns which frame of RAM.
//!
//! A buddy allocator (Knowlton 1965) with a count for each frame:
//! ```text
//! order 2    [0........3]                         a block of order k is 2^k frames at a multiple of 2^k;
//! order 1                [4...5]                  its buddy is the block whose number differs in bit k;
//! order 0                        [6]  (7 in use)  two free buddies become one block of order k + 1
//! ```
//! The count of a frame says how many entries of page tables and caches name it. Freed single frames rest in a short
//! stack first, so that a frame that was just used, and is still in the host's caches, is used next.

use crate::bit_tree::BitTree;
use crate::{CpuView, Memory};
use addr::Pfn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The largest order: 2^18 frames are 1 GiB.
pub const MAX_ORDER: u32 = 18;
/// How many single frames rest in the stack at most.
const RECENT_FRAMES: usize = 128;
/// Set in a frame's word once the frame has been handed out: the host's zeros may be gone.
const TOUCHED: u32 = 1 << 31;
/// Set in a frame's word while the frame rests in the stack.
const RESTING: u32 = 1 << 30;
/// The rest of a frame's word: its count.
const COUNT: u32 = RESTING - 1;

/// One share in a block of frames. Whoever stores its number in an entry or a cache takes the share over with
/// [`Frame::into_pfn`], and later gives it back with [`Frames::release`].
#[must_use = "a frame that nobody remembers is lost"]
#[derive(Debug)]
pub struct Frame(Pfn);

impl Frame {
    /// The number of its first frame.
    pub fn pfn(&self) -> Pfn {
        self.0
    }

    /// Hands the share over to whoever stores the number.
    pub fn into_pfn(self) -> Pfn {
        self.0
    }
}

/// What became of a frame whose share was given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Released {
    /// Others still share it.
    Shared,
    /// That was the last share: the frame is free.
    Last,
}

/// All frames of a [`Memory`]. The kernel owns it, under its lock.
pub struct Frames {
    memory: Arc<Memory>,
    /// A word a frame: its count, and whether it was ever handed out.
    words: Vec<u32>,
    /// The free blocks of each order, by block number (`pfn >> order`).
    free: Vec<BitTree>,
    recent: Vec<Pfn>,
    free_frames: u32,
    untouched_frames: u32,
    waiting: Vec<Waiting>,
}

/// Frames that a CPU may still reach.
struct Waiting {
    /// Each CPU that was inside generated code, with the count it had then.
    cpus: Vec<(Arc<CpuView>, u64)>,
    frames: Vec<Pfn>,
}

impl Frames {
    /// All of the memory's frames, free and virgin.
    pub fn new(memory: &Arc<Memory>) -> Self {
        let count = memory.ram().frame_count();
        let mut frames = Self {
            memory: Arc::clone(memory),
            words: vec![0; count as usize],
            free: (0..=MAX_ORDER).map(|order| BitTree::new((count as usize >> order) + 1)).collect(),
            recent: Vec::with_capacity(RECENT_FRAMES),
            free_frames: count,
            untouched_frames: count,
            waiting: Vec::new(),
        };
        let mut at = 0;
        while at < count {
            let fits = (count - at).ilog2();
            let aligned = if at == 0 { MAX_ORDER } else { at.trailing_zeros() };
            let order = fits.min(aligned).min(MAX_ORDER);
            frames.free[order as usize].insert((at >> order) as usize);
            at += 1 << order;
        }
        frames
    }

    /// The memory the frames are of.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// A block of `2^order` frames, each with a count of 1, the lowest there is; its bytes are whatever they were.
    /// `None` when no such block is free.
    pub fn alloc(&mut self, order: u32) -> Option<Frame> {
        if !self.waiting.is_empty() {
            self.reap();
        }
        let pfn = match order {
            0 => self.recent.pop().or_else(|| self.take_block(0)),
            _ => self.take_block(order).or_else(|| {
                self.settle();
                self.take_block(order)
            }),
        }?;
        for word in self.block_words(pfn, order) {
            debug_assert_eq!(*word & COUNT, 0, "a free frame has no shares");
            *word = (*word & TOUCHED) | 1;
        }
        self.free_frames -= 1 << order;
        self.memory.ram().expect_use(pfn);
        Some(Frame(pfn))
    }

    /// As [`Frames::alloc`], filled with zeros. Frames that the host has just zeroed are not zeroed again.
    pub fn alloc_zeroed(&mut self, order: u32) -> Option<Frame> {
        let frame = self.alloc(order)?;
        for number in frame.0.get()..frame.0.get() + (1 << order) {
            if self.words[number as usize] & TOUCHED != 0 {
                self.memory.ram().zero_frame(Pfn::new(number));
            }
            self.note_touched(number);
        }
        Some(frame)
    }

    /// A single frame whose bytes the caller is about to replace, all of them.
    pub fn alloc_for_copy(&mut self) -> Option<Frame> {
        let frame = self.alloc(0)?;
        self.note_touched(frame.0.get());
        Some(frame)
    }

    fn note_touched(&mut self, number: u32) {
        let word = &mut self.words[number as usize];
        self.untouched_frames -= u32::from(*word & TOUCHED == 0);
        *word |= TOUCHED;
    }

    /// Adds a share to a frame in use.
    #[inline]
    pub fn share(&mut self, pfn: Pfn) {
        let word = &mut self.words[pfn.get() as usize];
        assert!(*word & COUNT != 0 && *word & RESTING == 0, "{pfn:?} is in use");
        *word += 1;
    }

    /// Gives a share of a single frame back.
    #[inline]
    pub fn release(&mut self, pfn: Pfn) -> Released {
        let word = &mut self.words[pfn.get() as usize];
        assert!(*word & COUNT != 0, "{pfn:?} is in use");
        *word -= 1;
        if *word & COUNT != 0 {
            return Released::Shared;
        }
        *word |= RESTING;
        self.memory.code().note_write(pfn);
        self.free_frames += 1;
        if self.recent.len() == RECENT_FRAMES {
            // The older half, so that the warm ones stay.
            for resting in self.recent.drain(..RECENT_FRAMES / 2).collect::<Vec<_>>() {
                self.give_block(resting);
            }
        }
        self.recent.push(pfn);
        Released::Last
    }

    /// How many shares a frame has; 0 when it is free.
    #[inline]
    pub fn count(&self, pfn: Pfn) -> u32 {
        self.words[pfn.get() as usize] & COUNT
    }

    /// How many frames are free.
    pub fn free_frames(&self) -> u32 {
        self.free_frames
    }

    /// How many frames were never in use: the host has no memory behind most of them yet.
    pub fn untouched_frames(&self) -> u32 {
        self.untouched_frames
    }

    /// Gives the host the memory back that is behind free frames; how many frames that were.
    pub fn give_back_free(&mut self) -> u32 {
        self.reap();
        self.settle();
        let is_given = |word: &u32| *word & (COUNT | TOUCHED) == TOUCHED;
        let (mut at, mut given) = (0, 0);
        while let Some(start) = self.words[at..].iter().position(is_given).map(|found| at + found) {
            let run = self.words[start..].iter().take_while(|word| is_given(word)).count();
            if self.memory.ram().give_back(Pfn::new(start as u32), run as u32).is_ok() {
                self.words[start..start + run].fill(0);
                given += run as u32;
            }
            at = start + run;
        }
        self.untouched_frames += given;
        given
    }

    /// How many free frames the host has memory behind, about.
    pub fn free_touched_frames(&self) -> u32 {
        self.free_frames.saturating_sub(self.untouched_frames)
    }

    /// How many frames are in use.
    pub fn in_use(&self) -> u32 {
        self.memory.ram().frame_count() - self.free_frames
    }

    /// Keeps frames until each of `cpus` has left the generated code that it was in, then gives the shares back.
    pub(crate) fn release_after(&mut self, cpus: Vec<(Arc<CpuView>, u64)>, frames: Vec<Pfn>) {
        self.waiting.push(Waiting { cpus, frames });
        self.reap();
    }

    /// Gives back what no CPU reaches any more.
    pub fn reap(&mut self) {
        let reached =
            |waiting: &Waiting| waiting.cpus.iter().any(|(cpu, then)| cpu.inside().load(Ordering::Acquire) == *then);
        let (still, done): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting).into_iter().partition(reached);
        self.waiting = still;
        for pfn in done.into_iter().flat_map(|waiting| waiting.frames) {
            self.release(pfn);
        }
    }

    /// Proves that each frame is either free, in exactly one place, or in use.
    ///
    /// # Panics
    /// When that is not so: the allocator is broken.
    pub fn check(&self) {
        let mut free = vec![false; self.words.len()];
        let mut mark = |number: usize| {
            assert!(!std::mem::replace(&mut free[number], true), "frame {number:#x} is free once");
        };
        for (order, blocks) in self.free.iter().enumerate() {
            for block in blocks.iter() {
                assert!(
                    order as u32 == MAX_ORDER || !blocks.contains(block ^ 1),
                    "free buddies of order {order} are one block"
                );
                (block << order..(block + 1) << order).for_each(&mut mark);
            }
        }
        for pfn in &self.recent {
            assert!(self.words[pfn.get() as usize] & RESTING != 0, "{pfn:?} rests");
            mark(pfn.get() as usize);
        }
        for (number, word) in self.words.iter().enumerate() {
            assert_eq!(free[number], word & COUNT == 0, "frame {number:#x} is free if it has no share");
        }
        let untouched = self.words.iter().filter(|word| **word & TOUCHED == 0).count();
        assert_eq!(untouched, self.untouched_frames as usize, "untouched frames are counted");
        assert_eq!(free.iter().filter(|free| **free).count(), self.free_frames as usize, "free frames are counted");
    }

    /// The lowest free block of at least the order, split down to it.
    fn take_block(&mut self, order: u32) -> Option<Pfn> {
        let lowest = |at: u32| self.free[at as usize].first().map(|block| (block << at, at));
        let (start, found) = (order..=MAX_ORDER).filter_map(lowest).min()?;
        let block = start >> found;
        self.free[found as usize].remove(block);
        let mut block = block;
        for smaller in (order..found).rev() {
            block *= 2;
            self.free[smaller as usize].insert(block + 1);
        }
        Some(Pfn::new((block << order) as u32))
    }

    /// Puts a single frame among the free blocks, joined with its free buddies.
    fn give_block(&mut self, pfn: Pfn) {
        self.words[pfn.get() as usize] &= !RESTING;
        let mut block = pfn.get() as usize;
        let mut order = 0;
        while order < MAX_ORDER as usize && self.free[order].remove(block ^ 1) {
            block /= 2;
            order += 1;
        }
        self.free[order].insert(block);
    }

    /// Empties the stack, so that its frames can join into blocks.
    fn settle(&mut self) {
        for pfn in std::mem::take(&mut self.recent) {
            self.give_block(pfn);
        }
    }

    fn block_words(&mut self, pfn: Pfn, order: u32) -> impl Iterator<Item = &mut u32> {
        let start = pfn.get() as usize;
        self.words[start..start + (1 << order)].iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(count: u32) -> Frames {
        Frames::new(&Memory::new(count).expect("a small RAM fits"))
    }

    #[test]
    fn low_frames_come_first_and_blocks_are_aligned() {
        let mut frames = frames(1000);
        assert_eq!(frames.alloc(0).expect("RAM is empty").into_pfn(), Pfn::new(0));
        assert_eq!(frames.alloc(3).expect("RAM is empty").into_pfn(), Pfn::new(8));
        assert_eq!(frames.alloc(0).expect("RAM is empty").into_pfn(), Pfn::new(1));
        assert!(frames.alloc(10).is_none());
        frames.check();
        assert_eq!(frames.in_use(), 10);
    }

    #[test]
    fn only_a_frame_that_was_used_is_zeroed() {
        let mut frames = frames(4);
        let frame = frames.alloc_zeroed(0).expect("RAM is empty").into_pfn();
        let memory = Arc::clone(frames.memory());
        memory.ram().store(frame.start(), 7);
        assert_eq!(frames.release(frame), Released::Last);
        let again = frames.alloc_zeroed(0).expect("a frame was freed").into_pfn();
        assert_eq!((again, memory.ram().load(again.start())), (frame, 0));
    }

    #[test]
    fn a_freed_code_frame_is_noted() {
        let mut frames = frames(4);
        let frame = frames.alloc(0).expect("RAM is empty").into_pfn();
        let _ = frames.memory().code().mark(frame);
        frames.share(frame);
        assert_eq!(frames.release(frame), Released::Shared);
        assert!(!frames.memory().code().has_written());
        frames.release(frame);
        assert_eq!(frames.memory().code().take_written(), [frame]);
    }

    #[test]
    fn a_frame_waits_for_a_cpu_that_may_reach_it() {
        let mut frames = frames(4);
        let frame = frames.alloc(0).expect("RAM is empty").into_pfn();
        let cpu = CpuView::new();
        cpu.enter();
        frames.release_after(vec![(Arc::clone(&cpu), cpu.inside().load(Ordering::Acquire))], vec![frame]);
        assert_eq!(frames.in_use(), 1);
        cpu.leave();
        frames.reap();
        assert_eq!(frames.in_use(), 0);
    }

    #[test]
    fn free_frames_are_given_back() {
        let mut frames = frames(600);
        let held: Vec<Pfn> = (0..400).map(|_| frames.alloc_zeroed(0).expect("RAM is empty").into_pfn()).collect();
        let memory = Arc::clone(frames.memory());
        held.iter().for_each(|pfn| memory.ram().store(pfn.start(), 7));
        held.iter().filter(|pfn| pfn.get() % 100 != 50).for_each(|pfn| {
            frames.release(*pfn);
        });
        assert_eq!(frames.free_touched_frames(), 396);
        assert_eq!((frames.give_back_free(), frames.free_touched_frames(), frames.give_back_free()), (396, 0, 0));
        frames.check();
        let left: Vec<u64> = held.iter().map(|pfn| memory.ram().load(pfn.start())).collect();
        assert_eq!(left.iter().sum::<u64>(), 4 * 7, "frames in use stay");
        assert_eq!(frames.alloc_zeroed(0).map(|frame| memory.ram().load(frame.pfn().start())), Some(0));
    }

    proptest! {
        #[test]
        fn frames_are_free_or_in_use(steps in prop::collection::vec((0..8_u32, 0..64_usize), 1..300)) {
            let mut frames = frames(777);
            let mut held: Vec<(Pfn, u32)> = Vec::new();
            for (what, pick) in steps {
                if pick == 0 {
                    frames.give_back_free();
                }
                match what {
                    0..=3 => held.extend(frames.alloc(what).map(|frame| (frame.into_pfn(), what))),
                    4 if !held.is_empty() => {
                        let (pfn, order) = held[pick % held.len()];
                        (0..1 << order).for_each(|at| frames.share(pfn + at));
                        held.push((pfn, order));
                    }
                    _ if !held.is_empty() => {
                        let (pfn, order) = held.swap_remove(pick % held.len());
                        for at in 0..1 << order {
                            let others = held.iter().any(|(other, size)| *other <= pfn + at && pfn + at < *other + (1 << size));
                            prop_assert_eq!(frames.release(pfn + at) == Released::Shared, others);
                        }
                    }
                    _ => {}
                }
                frames.check();
            }
            for (pfn, order) in held {
                (0..1 << order).for_each(|at| { frames.release(pfn + at); });
            }
            frames.check();
            prop_assert_eq!(frames.in_use(), 0);
            frames.settle();
            frames.check();
            prop_assert_eq!(frames.free[9].first(), Some(0));
        }
    }
}
