//! LRU: the page that was not used for the longest time leaves. R. L. Mattson et al., "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970.

use super::recency::{Leaves, Recency};
use crate::slots::{List, Slot};

/// The page at the far end of the stack leaves.
pub type Lru = Recency<Oldest>;

/// LRU's choice.
pub struct Oldest;

impl Leaves for Oldest {
    #[inline]
    fn choose(stack: &List) -> Option<Slot> {
        stack.back()
    }
}
