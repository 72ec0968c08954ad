//! MRU: the page that was used last leaves, which is right for a loop larger than memory. H.-T. Chou and D. J. DeWitt, "An evaluation of buffer management strategies for relational database systems", VLDB 1985.

use super::recency::{Leaves, Recency};
use crate::slots::{List, Slot};

/// The page on top of the stack leaves.
pub type Mru = Recency<Latest>;

/// MRU's choice.
pub struct Latest;

impl Leaves for Latest {
    #[inline]
    fn choose(stack: &List) -> Option<Slot> {
        stack.front()
    }
}
