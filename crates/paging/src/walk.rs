//! The walk: from a virtual address down the tables to a physical one.

use crate::Geometry;
use addr::{Access, Perms, PhysAddr, Privilege, VirtAddr};
use std::fmt;

/// Memory that a walk reads entries in: simulated RAM, or the bytes of a small system.
pub trait EntrySource {
    /// The entry of `bytes` bytes at an address aligned to them.
    fn load_entry(&self, at: PhysAddr, bytes: u64) -> u64;

    /// Replaces `current` by `new`, atomically for every CPU.
    ///
    /// # Errors
    /// The entry, when it was not `current`.
    fn exchange_entry(&self, at: PhysAddr, bytes: u64, current: u64, new: u64) -> Result<u64, u64>;
}

/// What a walk found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// Where the byte is.
    pub phys: PhysAddr,
    /// Bytes of the page that holds it: more than the geometry's under a large leaf.
    pub page_bytes: u64,
    /// What all the entries on the way allow, to the privilege that asked.
    pub perms: Perms,
    /// Whether the leaf is marked dirty; as long as it is not, the next store has to walk.
    pub dirty: bool,
}

/// Why there is no translation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The reason.
    pub cause: Cause,
    /// What was attempted.
    pub access: Access,
    /// By whom.
    pub privilege: Privilege,
}

/// The reason for a [`Refusal`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The address lies outside the space.
    OutsideSpace,
    /// The entry of this level translates nothing.
    Absent {
        /// The level.
        level: usize,
    },
    /// The entries do not allow the access.
    Protection,
    /// The entry of this level has a bit set that must be 0.
    ReservedBit {
        /// The level.
        level: usize,
    },
}

/// Whether a walk leaves accessed and dirty marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marking {
    /// As the CPU does.
    Mark,
    /// As a debugger does.
    LeaveAlone,
}

/// One entry that a walk read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The level of its table.
    pub level: usize,
    /// Its index there.
    pub index: u64,
    /// Where it is.
    pub at: PhysAddr,
    /// What was read, before any mark.
    pub word: u64,
}

/// Walks as the CPU does: sets A in every entry used and, for a store, D in the leaf.
///
/// # Errors
/// Why the access is refused; the leaf of a refused access is not marked.
#[inline]
pub fn walk(
    memory: &impl EntrySource,
    geometry: &Geometry,
    root: PhysAddr,
    addr: VirtAddr,
    access: Access,
    privilege: Privilege,
) -> Result<Translation, Refusal> {
    walk_observed(memory, geometry, root, addr, access, privilege, Marking::Mark, |_| {})
}

/// Walks without a trace.
///
/// # Errors
/// As [`walk`].
pub fn peek(
    memory: &impl EntrySource,
    geometry: &Geometry,
    root: PhysAddr,
    addr: VirtAddr,
    access: Access,
    privilege: Privilege,
) -> Result<Translation, Refusal> {
    walk_observed(memory, geometry, root, addr, access, privilege, Marking::LeaveAlone, |_| {})
}

/// Walks and shows each entry to `observe` as it is read.
///
/// # Errors
/// As [`walk`].
#[inline]
#[allow(clippy::too_many_arguments)]
pub fn walk_observed(
    memory: &impl EntrySource,
    geometry: &Geometry,
    root: PhysAddr,
    addr: VirtAddr,
    access: Access,
    privilege: Privilege,
    marking: Marking,
    mut observe: impl FnMut(Step),
) -> Result<Translation, Refusal> {
    let refuse = |cause| Err(Refusal { cause, access, privilege });
    if !geometry.contains(addr) {
        return refuse(Cause::OutsideSpace);
    }
    let format = geometry.format();
    let bytes = geometry.entry_bytes();
    let needed = format.needed(access, privilege);
    let mut granted = u64::MAX;
    let mut table = root;
    let mut level = geometry.level_count();
    loop {
        let index = geometry.index(addr, level);
        let at = table + index * bytes;
        let word = memory.load_entry(at, bytes);
        observe(Step { level, index, at, word });
        if !format.is_present(word) {
            return refuse(Cause::Absent { level });
        }
        if word & geometry.reserved_bits(level, word) != 0 {
            return refuse(Cause::ReservedBit { level });
        }
        let granted_here = granted & (word ^ format.negative);
        let is_leaf = level == 1 || word & format.large != 0;
        if is_leaf && granted_here & needed != needed {
            return refuse(Cause::Protection);
        }
        let marked = match marking {
            Marking::Mark if is_leaf && access == Access::Write => word | format.accessed | format.dirty,
            Marking::Mark => word | format.accessed,
            Marking::LeaveAlone => word,
        };
        if marked != word && memory.exchange_entry(at, bytes, word, marked).is_err() {
            // Another CPU or the kernel changed the entry: it is read again.
            continue;
        }
        if is_leaf {
            return Ok(translation(geometry, addr, level, marked, format.granted(granted_here)));
        }
        granted = granted_here;
        table = format.address(word, geometry.page_bytes());
        level -= 1;
    }
}

fn translation(geometry: &Geometry, addr: VirtAddr, level: usize, leaf: u64, perms: Perms) -> Translation {
    let format = geometry.format();
    // Bits of a large leaf below its frame are flags (PAT), not address.
    let page_bytes = geometry.span_bytes(level);
    let frame = format.address(leaf, geometry.page_bytes());
    let start = if level == 1 { frame } else { PhysAddr::new(frame.get() & !(page_bytes - 1)) };
    let dirty = leaf & format.dirty == format.dirty;
    Translation { phys: start + geometry.offset(addr, level), page_bytes, perms, dirty }
}

impl Refusal {
    /// What the CPU pushes for a page fault (SDM vol. 3, 5.7), or `None` when it raises another exception.
    pub fn error_code(&self) -> Option<u32> {
        let cause = match self.cause {
            Cause::OutsideSpace => return None,
            Cause::Absent { .. } => 0,
            Cause::Protection => 1,
            Cause::ReservedBit { .. } => 1 | 8,
        };
        let access = match self.access {
            Access::Read => 0,
            Access::Write => 2,
            Access::Execute => 16,
        };
        let privilege = match self.privilege {
            Privilege::User => 4,
            Privilege::Supervisor => 0,
        };
        Some(cause | access | privilege)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::OutsideSpace => write!(f, "the address lies outside the space"),
            Cause::Absent { level } => write!(f, "the entry of level {level} is not present"),
            Cause::ReservedBit { level } => write!(f, "the entry of level {level} has a reserved bit set"),
            Cause::Protection => {
                let who = match self.privilege {
                    Privilege::User => "a program",
                    Privilege::Supervisor => "the kernel",
                };
                let what = match self.access {
                    Access::Read => "read",
                    Access::Write => "write",
                    Access::Execute => "execute",
                };
                write!(f, "the entries do not let {who} {what}")
            }
        }
    }
}

#[cfg(test)]
mod tests;
