//! LIRS: keeps the pages with the shortest distance between their last two uses. S. Jiang and X. Zhang, "LIRS: an efficient low inter-reference recency set replacement policy", SIGMETRICS 2002.

use crate::policy::{Policy, Residency, TestAndClear};
use crate::slots::{List, Slot, Slots};
use addr::Access;

const STACK: usize = 0;
const QUEUE: usize = 1;

/// The stack S of recencies, the latest in front, and the queue Q of resident HIR pages, the next victim in front.
///
/// HIR pages have one frame in a hundred, at least 2. Consecutive references to one page are not skipped. Pages that
/// are remembered without being in memory are at most twice as many as memory holds; the paper sets no bound.
pub struct Lirs {
    frames: usize,
    slots: Slots<State, 2>,
    stack: List<STACK>,
    queue: List<QUEUE>,
    /// Remembered pages, which are in the stack and no more in the queue, the oldest in front.
    ghosts: List<QUEUE>,
    lir_count: usize,
    lir_frames: usize,
}

#[derive(Clone, Copy, Default)]
struct State {
    kind: Kind,
    is_stacked: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum Kind {
    Lir,
    #[default]
    Hir,
    Ghost,
}

impl Lirs {
    /// Memory of `frames` pages.
    pub fn new(frames: usize) -> Self {
        let hir_frames = (frames / 100).max(2).min(frames - 1);
        Self {
            frames,
            slots: Slots::new(3 * frames + 1),
            stack: List::default(),
            queue: List::default(),
            ghosts: List::default(),
            lir_count: 0,
            lir_frames: frames - hir_frames,
        }
    }

    fn stack_on_top(&mut self, slot: Slot) {
        if self.slots[slot].is_stacked {
            self.stack.move_to_front(&mut self.slots, slot);
        } else {
            self.slots[slot].is_stacked = true;
            self.stack.push_front(&mut self.slots, slot);
        }
    }

    fn unstack(&mut self, slot: Slot) {
        self.slots[slot].is_stacked = false;
        self.stack.unlink(&mut self.slots, slot);
    }

    /// Takes whatever is not LIR off the bottom of the stack.
    fn prune(&mut self) {
        while let Some(slot) = self.stack.back() {
            match self.slots[slot].kind {
                Kind::Lir => return,
                Kind::Hir => self.unstack(slot),
                Kind::Ghost => self.forget(slot),
            }
        }
    }

    fn forget(&mut self, ghost: Slot) {
        self.ghosts.unlink(&mut self.slots, ghost);
        self.unstack(ghost);
        self.slots.release(ghost);
    }

    /// A page in the stack was used again: it becomes LIR, and the LIR page at the bottom makes room.
    fn promote(&mut self, slot: Slot) {
        self.slots[slot].kind = Kind::Lir;
        self.lir_count += 1;
        self.stack_on_top(slot);
        if self.lir_count > self.lir_frames {
            self.demote_bottom();
        }
        self.prune();
    }

    fn demote_bottom(&mut self) {
        let bottom = self.stack.back().expect("LIR pages are in the stack");
        self.unstack(bottom);
        self.slots[bottom].kind = Kind::Hir;
        self.lir_count -= 1;
        self.queue.push_back(&mut self.slots, bottom);
    }
}

impl Policy for Lirs {
    fn frames(&self) -> usize {
        self.frames
    }

    fn resident(&self) -> usize {
        self.lir_count + self.queue.count()
    }

    #[inline]
    fn touch(&mut self, page: u64, _access: Access) -> Residency {
        let Some(slot) = self.slots.find(page) else {
            return Residency::Absent;
        };
        let State { kind, is_stacked } = self.slots[slot];
        match kind {
            Kind::Ghost => return Residency::Absent,
            Kind::Lir => {
                let was_bottom = self.stack.back() == Some(slot);
                self.stack_on_top(slot);
                if was_bottom {
                    self.prune();
                }
            }
            Kind::Hir if is_stacked => {
                self.queue.unlink(&mut self.slots, slot);
                self.promote(slot);
            }
            Kind::Hir => {
                self.stack_on_top(slot);
                self.queue.move_to_back(&mut self.slots, slot);
            }
        }
        Residency::Resident
    }

    fn evict(&mut self, incoming: Option<u64>, _marks: &mut TestAndClear<'_>) -> Option<u64> {
        if self.queue.count() == 0 {
            if self.lir_count == 0 {
                return None;
            }
            self.prune();
            self.demote_bottom();
        }
        let slot = self.queue.pop_front(&mut self.slots)?;
        if !self.slots[slot].is_stacked {
            self.prune();
            return Some(self.slots.release(slot));
        }
        self.slots[slot].kind = Kind::Ghost;
        self.ghosts.push_back(&mut self.slots, slot);
        let page = self.slots.page(slot);
        if self.ghosts.count() > 2 * self.frames {
            let oldest = self.ghosts.front().expect("a page was just pushed");
            if incoming != Some(self.slots.page(oldest)) {
                self.forget(oldest);
            }
        }
        Some(page)
    }

    fn insert(&mut self, page: u64, _access: Access) {
        if let Some(slot) = self.slots.find(page) {
            self.ghosts.unlink(&mut self.slots, slot);
            return self.promote(slot);
        }
        let slot = self.slots.add(page, State::default());
        if self.lir_count < self.lir_frames {
            return self.promote(slot);
        }
        self.stack_on_top(slot);
        self.queue.push_back(&mut self.slots, slot);
    }

    fn remove(&mut self, page: u64) {
        let Some(slot) = self.slots.find(page) else {
            return;
        };
        let State { kind, is_stacked } = self.slots[slot];
        match kind {
            Kind::Lir => self.lir_count -= 1,
            Kind::Hir => self.queue.unlink(&mut self.slots, slot),
            Kind::Ghost => self.ghosts.unlink(&mut self.slots, slot),
        }
        if is_stacked {
            self.unstack(slot);
        }
        self.slots.release(slot);
        self.prune();
    }

    fn check(&self) {
        assert_eq!(self.slots.used(), self.resident() + self.ghosts.count(), "every page has one kind");
        assert!(self.lir_count <= self.lir_frames, "LIR pages have their frames");
        let bottom = self.stack.back().map(|slot| self.slots[slot].kind);
        assert!(bottom.is_none_or(|kind| kind == Kind::Lir), "the bottom of the stack is LIR");
    }
}
