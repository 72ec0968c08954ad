//! The pages that a policy remembers, in one vector, and lists threaded through it.

use crate::page_map::{PageMap, hash};

/// The number of a remembered page: an index into [`Slots`].
pub type Slot = u32;

const NONE: Slot = Slot::MAX;

/// A fixed number of slots, each for one page with its data `T` and its place in up to `LISTS` lists.
#[derive(Clone, Debug)]
pub struct Slots<T, const LISTS: usize = 1> {
    nodes: Vec<Node<T, LISTS>>,
    map: PageMap,
    /// The first free slot; the others follow through `next` of list 0.
    free: Slot,
    used: usize,
}

#[derive(Clone, Copy, Debug)]
struct Node<T, const LISTS: usize> {
    page: u64,
    links: [Link; LISTS],
    data: T,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    before: Slot,
    after: Slot,
}

impl<T: Copy + Default, const LISTS: usize> Slots<T, LISTS> {
    /// Room for `capacity` pages.
    pub fn new(capacity: usize) -> Self {
        assert!(capacity < NONE as usize, "a slot number is 32 bits");
        let node = |slot: usize| Node {
            page: 0,
            links: [Link { before: NONE, after: if slot + 1 < capacity { slot as Slot + 1 } else { NONE } }; LISTS],
            data: T::default(),
        };
        let free = if capacity == 0 { NONE } else { 0 };
        Self { nodes: (0..capacity).map(node).collect(), map: PageMap::new(capacity), free, used: 0 }
    }

    /// The slot of a page.
    #[inline]
    pub fn find(&self, page: u64) -> Option<Slot> {
        self.map.find(hash(page), |slot| self.nodes[slot as usize].page == page)
    }

    /// Gives a page that has none a slot, in no list.
    #[inline]
    pub fn add(&mut self, page: u64, data: T) -> Slot {
        debug_assert!(self.find(page).is_none(), "page {page:#x} has no slot yet");
        let slot = self.free;
        assert!(slot != NONE, "a policy remembers no more pages than it has slots");
        let node = &mut self.nodes[slot as usize];
        self.free = node.links[0].after;
        *node = Node { page, links: [Link { before: NONE, after: NONE }; LISTS], data };
        self.map.insert(hash(page), slot);
        self.used += 1;
        slot
    }

    /// Forgets the page of a slot, which must be in no list any more.
    #[inline]
    pub fn release(&mut self, slot: Slot) -> u64 {
        let page = self.page(slot);
        self.map.remove(hash(page), slot);
        self.nodes[slot as usize].links[0].after = self.free;
        self.free = slot;
        self.used -= 1;
        page
    }

    /// The page of a slot.
    #[inline]
    pub fn page(&self, slot: Slot) -> u64 {
        self.nodes[slot as usize].page
    }

    /// How many slots are in use.
    pub fn used(&self) -> usize {
        self.used
    }
}

impl<T, const LISTS: usize> std::ops::Index<Slot> for Slots<T, LISTS> {
    type Output = T;
    #[inline]
    fn index(&self, slot: Slot) -> &T {
        &self.nodes[slot as usize].data
    }
}

impl<T, const LISTS: usize> std::ops::IndexMut<Slot> for Slots<T, LISTS> {
    #[inline]
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        &mut self.nodes[slot as usize].data
    }
}

/// A doubly linked list of slots, through their `LIST`th links.
#[derive(Clone, Debug)]
pub struct List<const LIST: usize = 0> {
    front: Slot,
    back: Slot,
    count: usize,
}

impl<const LIST: usize> Default for List<LIST> {
    fn default() -> Self {
        Self { front: NONE, back: NONE, count: 0 }
    }
}

impl<const LIST: usize> List<LIST> {
    /// How many slots it holds.
    #[inline]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The first slot.
    #[inline]
    pub fn front(&self) -> Option<Slot> {
        some(self.front)
    }

    /// The last slot.
    #[inline]
    pub fn back(&self) -> Option<Slot> {
        some(self.back)
    }

    /// The slot behind one of this list.
    #[inline]
    pub fn after<T, const LISTS: usize>(&self, slots: &Slots<T, LISTS>, slot: Slot) -> Option<Slot> {
        some(slots.nodes[slot as usize].links[LIST].after)
    }

    /// The slot before one of this list.
    #[inline]
    pub fn before<T, const LISTS: usize>(&self, slots: &Slots<T, LISTS>, slot: Slot) -> Option<Slot> {
        some(slots.nodes[slot as usize].links[LIST].before)
    }

    /// Puts a slot first.
    #[inline]
    pub fn push_front<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, slot: Slot) {
        slots.nodes[slot as usize].links[LIST] = Link { before: NONE, after: self.front };
        match self.front {
            NONE => self.back = slot,
            front => slots.nodes[front as usize].links[LIST].before = slot,
        }
        self.front = slot;
        self.count += 1;
    }

    /// Puts a slot last.
    #[inline]
    pub fn push_back<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, slot: Slot) {
        slots.nodes[slot as usize].links[LIST] = Link { before: self.back, after: NONE };
        match self.back {
            NONE => self.front = slot,
            back => slots.nodes[back as usize].links[LIST].after = slot,
        }
        self.back = slot;
        self.count += 1;
    }

    /// Puts a slot right before another one, which is in the list.
    pub fn insert_before<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, slot: Slot, next: Slot) {
        let before = slots.nodes[next as usize].links[LIST].before;
        if before == NONE {
            return self.push_front(slots, slot);
        }
        slots.nodes[slot as usize].links[LIST] = Link { before, after: next };
        slots.nodes[before as usize].links[LIST].after = slot;
        slots.nodes[next as usize].links[LIST].before = slot;
        self.count += 1;
    }

    /// Takes a slot out, wherever it is.
    #[inline]
    pub fn unlink<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, slot: Slot) {
        let Link { before, after } = slots.nodes[slot as usize].links[LIST];
        match before {
            NONE => self.front = after,
            before => slots.nodes[before as usize].links[LIST].after = after,
        }
        match after {
            NONE => self.back = before,
            after => slots.nodes[after as usize].links[LIST].before = before,
        }
        self.count -= 1;
    }

    /// Takes the first slot out.
    #[inline]
    pub fn pop_front<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>) -> Option<Slot> {
        let slot = self.front()?;
        self.unlink(slots, slot);
        Some(slot)
    }

    /// Makes a slot of the list its first.
    #[inline]
    pub fn move_to_front<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, slot: Slot) {
        if self.front != slot {
            self.unlink(slots, slot);
            self.push_front(slots, slot);
        }
    }

    /// Makes a slot of the list its last.
    #[inline]
    pub fn move_to_back<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, slot: Slot) {
        if self.back != slot {
            self.unlink(slots, slot);
            self.push_back(slots, slot);
        }
    }

    /// Appends all of `other`, leaving it empty.
    pub fn append<T, const LISTS: usize>(&mut self, slots: &mut Slots<T, LISTS>, other: &mut Self) {
        if self.back == NONE {
            std::mem::swap(self, other);
            return;
        }
        if other.front != NONE {
            slots.nodes[self.back as usize].links[LIST].after = other.front;
            slots.nodes[other.front as usize].links[LIST].before = self.back;
            self.back = other.back;
            self.count += other.count;
            *other = Self::default();
        }
    }
}

#[inline]
fn some(slot: Slot) -> Option<Slot> {
    (slot != NONE).then_some(slot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(slots: &Slots<()>, list: &List) -> Vec<u64> {
        std::iter::successors(list.front(), |&slot| list.after(slots, slot)).map(|slot| slots.page(slot)).collect()
    }

    #[test]
    fn a_list_keeps_its_order() {
        let (mut slots, mut list, mut other) = (Slots::<()>::new(4), List::<0>::default(), List::<0>::default());
        for page in [10, 11, 12] {
            let slot = slots.add(page, ());
            list.push_back(&mut slots, slot);
        }
        let eleven = slots.find(11).expect("it was added");
        list.move_to_front(&mut slots, eleven);
        assert_eq!(pages(&slots, &list), [11, 10, 12]);
        let new = slots.add(13, ());
        let twelve = slots.find(12).expect("it was added");
        list.insert_before(&mut slots, new, twelve);
        assert_eq!(pages(&slots, &list), [11, 10, 13, 12]);
        let first = list.pop_front(&mut slots).expect("there are four");
        assert_eq!(slots.release(first), 11);
        assert_eq!((slots.find(11), slots.used(), list.count()), (None, 3, 3));
        other.append(&mut slots, &mut list);
        assert_eq!((pages(&slots, &other), list.count()), (vec![10, 13, 12], 0));
    }
}
