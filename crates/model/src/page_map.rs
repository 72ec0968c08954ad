//! From page to slot: a hash table of fixed size.

/// Finds the slot of a page in a few nanoseconds and never allocates after [`PageMap::new`].
///
/// Open addressing with linear probing (Knuth, TAOCP vol. 3, 6.4, algorithms L and R): a bucket holds 32 bits of the
/// hash above a slot number, so that eight of them share a cache line and a wrong page is rarely looked at. The home
/// of a hash is its topmost bits. At most half of the buckets are in use.
#[derive(Clone, Debug)]
pub struct PageMap {
    buckets: Vec<u64>,
    shift: u32,
    count: usize,
}

const EMPTY: u64 = u64::MAX;

impl PageMap {
    /// A map for at most `capacity` pages.
    pub fn new(capacity: usize) -> Self {
        let buckets = (2 * capacity.max(1)).next_power_of_two().max(4);
        assert!(buckets <= 1 << 31, "a map holds fewer than 2^30 pages");
        Self { buckets: vec![EMPTY; buckets], shift: 32 - buckets.trailing_zeros(), count: 0 }
    }

    /// The slot of the page for which `is_page(slot)`; the hash must be that page's.
    #[inline]
    pub fn find(&self, hash: u32, is_page: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let bucket = self.buckets[at];
            if bucket == EMPTY {
                return None;
            }
            if (bucket >> 32) as u32 == hash && is_page(bucket as u32) {
                return Some(bucket as u32);
            }
            at = self.after(at);
        }
    }

    /// Adds a page that is not there.
    #[inline]
    pub fn insert(&mut self, hash: u32, slot: u32) {
        assert!(2 * self.count < self.buckets.len(), "the map has room for the page");
        let mut at = self.home(hash);
        while self.buckets[at] != EMPTY {
            at = self.after(at);
        }
        self.buckets[at] = u64::from(hash) << 32 | u64::from(slot);
        self.count += 1;
    }

    /// Takes out a page that is there.
    #[inline]
    pub fn remove(&mut self, hash: u32, slot: u32) {
        let wanted = u64::from(hash) << 32 | u64::from(slot);
        let mut hole = self.home(hash);
        while self.buckets[hole] != wanted {
            assert!(self.buckets[hole] != EMPTY, "the page is in the map");
            hole = self.after(hole);
        }
        // Moves later entries of the same run back, so that no probe stops at the hole.
        let mut at = self.after(hole);
        while self.buckets[at] != EMPTY {
            let home = self.home((self.buckets[at] >> 32) as u32);
            let mask = self.buckets.len() - 1;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.buckets[hole] = self.buckets[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.buckets[hole] = EMPTY;
        self.count -= 1;
    }

    #[inline]
    fn home(&self, hash: u32) -> usize {
        (hash >> self.shift) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }
}

/// The hash of a page number: the upper half of a product with 2^64 / phi (TAOCP vol. 3, 6.4).
#[inline]
pub fn hash(page: u64) -> u32 {
    (page.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_agrees_with_the_standard_map() {
        let mut pages = vec![0; 64];
        let mut map = PageMap::new(64);
        let mut reference = HashMap::new();
        let mut state = 1_u64;
        for step in 0..20_000_u32 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let page = state >> 33 & 127;
            let found = map.find(hash(page), |slot| pages[slot as usize] == page);
            assert_eq!(found, reference.get(&page).copied(), "step {step}");
            match found {
                Some(slot) => {
                    map.remove(hash(page), slot);
                    reference.remove(&page);
                }
                None if reference.len() < 64 => {
                    let slot = (0..64).find(|slot| !reference.values().any(|used| used == slot)).expect("room");
                    pages[slot as usize] = page;
                    map.insert(hash(page), slot);
                    reference.insert(page, slot);
                }
                None => {}
            }
        }
    }
}
