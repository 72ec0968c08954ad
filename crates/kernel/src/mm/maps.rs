//! /proc/PID/maps, and areas as others see them.

use super::area::{Area, Backing};
use super::space::Space;
use super::store::Store;
use super::{Mm, SpaceId};
use addr::{PAGE_BYTES, Page, Perms, VirtAddr, VirtRange};
use std::fmt::Write;

/// Where names begin in a line of maps.
const NAME_COLUMN: usize = 73;

/// An area as /proc/PID/maps describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AreaInfo {
    /// Its bytes.
    pub range: VirtRange,
    /// What is allowed.
    pub perms: Perms,
    /// Whether what is stored there is seen by others.
    pub sharing: Sharing,
    /// Where it begins in its file; 0 without one.
    pub offset: u64,
    /// The file's device, as `stat` gives it; 0 without one.
    pub dev: u64,
    /// The file's number on its device; 0 without one.
    pub ino: u64,
    /// A path, `[heap]`, `[stack]`, `[anon:..]`, or nothing.
    pub name: String,
}

/// Whether stores to an area are seen by others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// They are not.
    Private,
    /// They are.
    Shared,
}

impl AreaInfo {
    pub(super) fn of(area: &Area, space: &Space, store: &Store) -> Self {
        let object = area.backing.object().map(|object| store.objects.get(object.id()));
        let (dev, ino) = object.map_or((0, 0), |object| object.dev_ino());
        Self {
            range: area.pages.bytes(),
            perms: area.perms,
            sharing: if area.backing.is_shared() { Sharing::Shared } else { Sharing::Private },
            offset: if object.is_some() { area.backing.first().wrapping_mul(PAGE_BYTES) } else { 0 },
            dev,
            ino,
            name: name_of(area, space, store),
        }
    }

    /// The line of /proc/PID/maps, with its end.
    pub fn line(&self) -> String {
        let Self { range, perms, offset, dev, ino, .. } = self;
        let sharing = if self.sharing == Sharing::Shared { 's' } else { 'p' };
        let (major, minor) = (dev >> 8 & 0xfff | dev >> 32 & !0xfff, dev & 0xff | dev >> 12 & 0xffff_ff00);
        let mut line = format!(
            "{:08x}-{:08x} {perms}{sharing} {offset:08x} {major:02x}:{minor:02x} {ino} ",
            range.start, range.end
        );
        if !self.name.is_empty() {
            while line.len() < NAME_COLUMN {
                line.push(' ');
            }
            line.push_str(&self.name.replace('\n', "\\012"));
        }
        line.push('\n');
        line
    }
}

/// The last column of maps.
fn name_of(area: &Area, space: &Space, store: &Store) -> String {
    let pages = area.pages.bytes();
    if let Some(name) = &area.name {
        return if area.backing.is_shared() { format!("[anon_shmem:{name}]") } else { format!("[anon:{name}]") };
    }
    match &area.backing {
        Backing::File { object, .. } | Backing::Shared { object, .. } => {
            store.objects.get(object.id()).name.to_string()
        }
        Backing::Anonymous { .. } if pages.start < space.heap.1 && pages.end > space.heap.0 => "[heap]".to_owned(),
        Backing::Anonymous { .. } if pages.contains(space.layout.stack_top - 1) => "[stack]".to_owned(),
        Backing::Anonymous { .. } => String::new(),
    }
}

impl Mm {
    /// Every area of a space, in order.
    pub fn areas(&self, id: SpaceId) -> impl Iterator<Item = AreaInfo> + '_ {
        let space = self.space(id);
        space.areas.iter().map(|area| AreaInfo::of(area, space, &self.store))
    }

    /// The area that holds an address.
    pub fn area_at(&self, id: SpaceId, addr: VirtAddr) -> Option<AreaInfo> {
        let space = self.space(id);
        space.areas.find(addr.page()).map(|area| AreaInfo::of(area, space, &self.store))
    }

    /// The areas next to an address that lies in none: below and above it.
    pub fn areas_around(&self, id: SpaceId, addr: VirtAddr) -> (Option<AreaInfo>, Option<AreaInfo>) {
        let space = self.space(id);
        let info = |area: &Area| AreaInfo::of(area, space, &self.store);
        let above = space.areas.first_after(Page::new(addr.page().get()));
        (space.areas.last_before(addr.page()).map(info), above.map(info))
    }

    /// How many areas a space has.
    pub fn area_count(&self, id: SpaceId) -> usize {
        self.space(id).areas.count()
    }

    /// /proc/PID/maps.
    pub fn maps_text(&self, id: SpaceId) -> String {
        self.areas(id).fold(String::new(), |mut text, area| {
            write!(text, "{}", area.line()).expect("a string takes all text");
            text
        })
    }
}
