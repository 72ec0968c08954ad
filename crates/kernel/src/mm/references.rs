//! Forgetting which pages were used or changed: /proc/PID/clear_refs.

use super::{Mm, SpaceId};
use addr::{PageRange, Perms, VirtAddr};
use mmu::{Entry, Leaf, Origin};
use std::sync::Arc;

/// What is forgotten, by the number that is written to clear_refs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClearReferences {
    /// 1: that any page was used.
    All,
    /// 2: that pages of the program's own were.
    Anonymous,
    /// 3: that pages of files were.
    Mapped,
    /// 4: that pages were changed: the next store to each is a fault, and pagemap tells which had one.
    SoftDirty,
    /// 5: the most that was in RAM.
    Peak,
}

impl ClearReferences {
    /// What a number stands for.
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::All, Self::Anonymous, Self::Mapped, Self::SoftDirty, Self::Peak]
            .into_iter()
            .zip(1..)
            .find_map(|(what, own)| (own == number).then_some(what))
    }

    fn of(self, leaf: Leaf) -> Leaf {
        let used = Leaf { accessed: false, ..leaf };
        match self {
            Self::All => used,
            Self::Anonymous if leaf.origin == Origin::Anonymous => used,
            Self::Mapped if leaf.origin == Origin::Object => used,
            Self::SoftDirty => Leaf { perms: leaf.perms.without(Perms::WRITE), unchanged: true, ..leaf },
            Self::Anonymous | Self::Mapped | Self::Peak => leaf,
        }
    }
}

impl Mm {
    /// Forgets it for every page of a space.
    pub fn clear_references(&mut self, id: SpaceId, what: ClearReferences) {
        let (space, store) = self.both(id);
        if what == ClearReferences::Peak {
            space.usage.peak_resident_pages = space.usage.resident_pages();
            return;
        }
        let everything = PageRange::new(VirtAddr::new(0).page(), space.layout.task_size.page() + 1);
        let tables = Arc::clone(&space.tables);
        let mut shootdown = tables.shootdown();
        let mut cursor = tables.cursor(everything);
        while let Some(met) = cursor.next() {
            let Entry::Leaf(leaf) = met.entry else { continue };
            if what.of(leaf) != leaf {
                cursor.replace(|entry| match entry {
                    Entry::Leaf(leaf) => Entry::Leaf(what.of(leaf)),
                    other => other,
                });
                shootdown.forget_range(met.pages());
            }
        }
        shootdown.complete(&mut store.frames);
    }
}
