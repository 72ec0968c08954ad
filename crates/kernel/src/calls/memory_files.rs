//! Calls that make files in the host's memory grow: as far as the host has room (`mm::memory_files`).

use super::Args;
use super::buffers::MAX_TRANSFER_BYTES;
use super::file_limit::writing;
use crate::Errno;
use crate::kernel::Kernel;
use addr::PAGE_BYTES;
use std::ops::Range;

impl Kernel {
    /// The call with as many bytes as it may write, if it writes to a file of a device whose files lie in memory.
    ///
    /// # Errors
    /// `ENOSPC` when that is none.
    pub(super) fn within_memory(&mut self, args: &Args, device: Option<u64>) -> Result<Args, Errno> {
        let mut args = *args;
        if args.nr as i64 == libc::SYS_fallocate {
            self.check_allocation(&args, device)?;
        } else if let Some(length) = writing(&args).and_then(|writing| writing.length) {
            args.words[length] = self.room_in_memory(&args, device, args.at(length))?;
        }
        Ok(args)
    }

    /// How many of some bytes a call may write.
    ///
    /// # Errors
    /// `ENOSPC` when that is none.
    pub(super) fn room_in_memory(&mut self, args: &Args, device: Option<u64>, bytes: u64) -> Result<u64, Errno> {
        let Some((writing, device)) = writing(args).zip(device) else { return Ok(bytes) };
        let descriptor = args.int(writing.descriptor);
        if bytes == 0 || !self.is_in_memory(device, descriptor) {
            return Ok(bytes);
        }
        let bytes = bytes.min(MAX_TRANSFER_BYTES);
        let cost = self.mm.memory_files().cost(device, bytes);
        let Err(room) = self.mm.take_for_call(args.tid, cost) else { return Ok(bytes) };
        let Ok(file) = host::files::describe(descriptor) else { return Ok(bytes) };
        let start = self.start_of(args, &writing, &file)?;
        let Some(end) = start.checked_add(bytes).filter(|end| takes_memory(descriptor, file.identity.size, *end))
        else {
            return Ok(bytes);
        };
        // What is there already is written over; of what is not, the beginning.
        let pages = start / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        let fitting = room.saturating_sub(self.mm.memory_files().cost(device, 0)) / PAGE_BYTES;
        let end = match self.cost_of_missing(descriptor, device, &pages) {
            missing if missing <= room => end,
            _ => end.min((pages.start + fitting) * PAGE_BYTES),
        };
        if end <= start {
            return Err(Errno::ENOSPC);
        }
        self.mm.note_call(args.tid, cost);
        Ok(end - start)
    }

    /// Whether fallocate(2) may take what it asks for: all of it or nothing.
    fn check_allocation(&mut self, args: &Args, device: Option<u64>) -> Result<(), Errno> {
        let (descriptor, mode, start, bytes) = (args.int(0), args.int(1), args.at(2), args.at(3));
        let end = start.checked_add(bytes).filter(|end| bytes > 0 && *end <= i64::MAX as u64);
        let (Some(device), Some(end)) = (device, end) else { return Ok(()) };
        if mode & libc::FALLOC_FL_PUNCH_HOLE != 0 || !self.is_in_memory(device, descriptor) {
            return Ok(());
        }
        let cost = self.mm.memory_files().cost(device, bytes);
        let Err(room) = self.mm.take_for_call(args.tid, cost) else { return Ok(()) };
        // With this flag a file does not grow, whatever its seals say.
        let new_end = if mode & libc::FALLOC_FL_KEEP_SIZE == 0 { end } else { 0 };
        let size = host::files::describe(descriptor).map_or(0, |file| file.identity.size);
        let pages = start / PAGE_BYTES..end.div_ceil(PAGE_BYTES);
        if !takes_memory(descriptor, size, new_end) {
            return Ok(());
        }
        if self.cost_of_missing(descriptor, device, &pages) > room {
            return Err(Errno::ENOSPC);
        }
        self.mm.note_call(args.tid, cost);
        Ok(())
    }

    /// What pages of a file take that the host does not have yet; all of them where it does not say.
    fn cost_of_missing(&mut self, descriptor: i32, device: u64, pages: &Range<u64>) -> u64 {
        let present = host::pages_present(descriptor, pages).unwrap_or(0);
        match pages.end - pages.start - present {
            0 => 0,
            missing => self.mm.memory_files().cost(device, missing * PAGE_BYTES),
        }
    }

    /// Whether the file of a descriptor, which was on this device, lies in the host's memory. Another thread may be changing the
    /// table: what is remembered of a device is what the vault sees in its own.
    pub(super) fn is_in_memory(&mut self, device: u64, descriptor: i32) -> bool {
        if let Some(known) = self.mm.memory_files().knows(device) {
            return known;
        }
        let kept = host::files::borrow(&descriptor).and_then(|descriptor| self.vault.keep(descriptor));
        if let Ok((seen, unit)) = kept.and_then(|kept| kept.memory_unit()) {
            self.mm.memory_files().note_device(seen, unit);
        }
        self.mm.memory_files().knows(device).unwrap_or(true)
    }
}

/// Whether the host would let a call write up to `end`, by the descriptor's mode and by the file's seals. If not, that is the
/// error.
fn takes_memory(descriptor: i32, size: u64, end: u64) -> bool {
    let seals = host::files::seals(descriptor).unwrap_or(0);
    let is_fixed = seals & (libc::F_SEAL_WRITE | libc::F_SEAL_FUTURE_WRITE) != 0;
    let may_grow = seals & libc::F_SEAL_GROW == 0;
    host::files::is_writable(descriptor) && !is_fixed && (may_grow || end <= size)
}
