//! The half of every space that belongs to the kernel.

use crate::tables::{TABLE_WORDS, Tables, slot, span_pages};
use crate::{Frames, Leaf, Levels, Origin, OutOfFrames};
use addr::{Page, Perms, Pfn, Privilege, VirtAddr};

/// A direct map of all RAM, supervisor-only, built once and led to by the root of every tree: so a program's access to
/// it is refused as protection, by the walk itself.
///
/// ```text
/// root [0 .. 255]    the program's half, each tree's own
/// root [256 .. 511]  the same words in every tree; RAM from 0xffff888000000000 (five levels: 0xff11000000000000)
/// ```
pub struct UpperHalf {
    template: Tables,
}

impl UpperHalf {
    /// Builds the direct map with the largest leaves that fit, or `None` without frames for its tables.
    pub fn new(levels: Levels, frames: &mut Frames) -> Option<Self> {
        let upper = Self { template: Tables::bare(levels, frames)? };
        upper.map_ram(frames).ok()?;
        Some(upper)
    }

    /// Where the direct map shows the first byte of RAM.
    pub const fn direct_map(levels: Levels) -> VirtAddr {
        match levels {
            Levels::Four => VirtAddr::new(0xffff_8880_0000_0000),
            Levels::Five => VirtAddr::new(0xff11_0000_0000_0000),
        }
    }

    /// How many levels its tables have.
    pub fn levels(&self) -> Levels {
        self.template.levels()
    }

    /// How many frames hold its tables.
    pub fn table_frames(&self) -> u64 {
        self.template.table_frames()
    }

    /// Gives the tables back, once no tree leads to them.
    pub fn release(self, frames: &mut Frames) {
        let start = Self::direct_map(self.levels()).page();
        let pages = u64::from(frames.memory().ram().frame_count());
        let range = addr::PageRange::from_count(start, pages);
        let mut cursor = self.template.cursor(range);
        while cursor.next().is_some() {
            cursor.take();
        }
        let mut shootdown = self.template.shootdown();
        self.template.prune(range, &mut shootdown);
        shootdown.complete(frames);
        self.template.release(frames);
    }

    pub(crate) fn copy_into(&self, tables: &Tables) {
        let level = self.levels().count();
        for index in TABLE_WORDS / 2..TABLE_WORDS {
            let page = Page::new(index * span_pages(level));
            let word = self.template.load(slot(self.template.root(), page, level));
            tables.store(slot(tables.root(), page, level), word);
        }
    }

    fn map_ram(&self, frames: &mut Frames) -> Result<(), OutOfFrames> {
        let first = Self::direct_map(self.levels()).page();
        let count = frames.memory().ram().frame_count();
        let mut pfn = 0;
        while pfn < count {
            let fits = |level: &u32| {
                let span = span_pages(*level);
                u64::from(pfn).is_multiple_of(span) && u64::from(count - pfn) >= span
            };
            let level = [3, 2, 1].into_iter().find(fits).expect("a single frame fits");
            let leaf =
                Leaf { lowest: Privilege::Supervisor, ..Leaf::user(Pfn::new(pfn), Perms::READ_WRITE, Origin::Object) };
            let page = first + u64::from(pfn);
            match level {
                1 => drop(self.template.set(page, crate::Entry::Leaf(leaf), frames)?),
                _ => self.template.set_large(page, leaf, level, frames)?,
            }
            pfn += span_pages(level) as u32;
        }
        Ok(())
    }
}
