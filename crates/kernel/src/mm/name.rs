//! prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME): names that programs give their memory.

use super::mmap::page_bytes;
use super::{Mm, SpaceId};
use crate::Errno;
use addr::{PAGE_BYTES, PageRange, VirtAddr};
use std::sync::Arc;

/// Bytes of a name, without the zero byte.
const NAME_BYTES: usize = 79;

impl Mm {
    /// Names the memory of a range, as maps will show it; no name takes one away.
    ///
    /// # Errors
    /// Linux's: `EINVAL` for a name or range that cannot be, `EBADF` for files, `ENOMEM` for holes.
    pub fn name_areas(&mut self, id: SpaceId, start: u64, bytes: u64, name: Option<&[u8]>) -> Result<(), Errno> {
        let name: Option<Arc<str>> = name.map(checked_name).transpose()?;
        if !start.is_multiple_of(PAGE_BYTES) {
            return Err(Errno::EINVAL);
        }
        let end = page_bytes(bytes).and_then(|bytes| start.checked_add(bytes)).ok_or(Errno::EINVAL)?;
        let range = PageRange::new(VirtAddr::new(start).page(), VirtAddr::new(end).page());
        let (space, store) = self.both(id);
        space.each_part(range, |space, area, part| {
            if area.backing.object().is_some_and(|object| store.objects.get(object.id()).is_file()) {
                return Err(Errno::EBADF);
            }
            if area.name == name {
                return Ok(());
            }
            space.may_cut(part, store)?;
            space.areas.change(part, |area| area.name.clone_from(&name));
            space.note_areas();
            Ok(())
        })
    }
}

/// A name of printable characters that cannot be mistaken for a part of a line of maps.
fn checked_name(name: &[u8]) -> Result<Arc<str>, Errno> {
    let is_fine = |byte: &u8| matches!(byte, b' '..=b'~') && !b"\\`$[]".contains(byte);
    match std::str::from_utf8(name) {
        Ok(text) if name.len() <= NAME_BYTES && name.iter().all(is_fine) => Ok(text.into()),
        _ => Err(Errno::EINVAL),
    }
}
