//! futex_waitv(2): sleeping until one of several words is said to have changed.

use super::{Args, Flow};
use crate::Errno;
use crate::kernel::Kernel;
use crate::waiting::{FutexWaiter, Waiting};
use addr::VirtAddr;

/// Words at most.
const MAX_WORDS: u64 = 128;
/// Bytes of struct futex_waitv: a value, an address, flags and nothing.
const ENTRY_BYTES: usize = 24;
/// FUTEX2_SIZE_U32, the only size there is, and FUTEX2_PRIVATE.
const SIZE_U32: u32 = 2;
const PRIVATE: u32 = 128;

impl Kernel {
    pub(super) fn futex_waitv(&mut self, args: &Args) -> Result<Flow, Errno> {
        let (at, count, flags, time) = (args.at(0), args.at(1), args.at(2), args.at(3));
        if flags != 0 || count == 0 || count > MAX_WORDS || at == 0 {
            return Err(Errno::EINVAL);
        }
        let until = match (self.restarted_until(args.tid), time) {
            (Some(until), _) => until,
            (None, 0) => None,
            (None, time) => Some(self.clock_deadline(args.tid, args.int(4), time)?),
        };
        let space = self.space_of(args.tid);
        let entries = self.bytes_in(space, at, count as usize * ENTRY_BYTES)?;
        let mut waiters = Vec::new();
        for (index, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
            let (expected, word) = (super::word_of(entry, 0), super::word_of(entry, 8));
            let (flags, reserved) = (super::word_of(entry, 16) as u32, (super::word_of(entry, 16) >> 32) as u32);
            if flags & !PRIVATE != SIZE_U32 || reserved != 0 {
                return Err(Errno::EINVAL);
            }
            let key = self.futex_key(args.tid, word)?;
            if u64::from(self.mm.read_u32(space, VirtAddr::new(word))?) != expected & u64::from(u32::MAX) {
                return Err(Errno::EAGAIN);
            }
            waiters.push(FutexWaiter { key, tid: args.tid, bits: u32::MAX, index: index as u32 });
        }
        self.futexes.extend(waiters);
        Ok(Flow::Sleep(Waiting::Futex { woken: None, until }))
    }
}
