//! How much of the host's memory the buffers of calls on their way may take.
//!
//! What a guest writes lies in a buffer of ours while the host takes it, and so does what it reads. Thousands of threads can wait
//! in the host at once, with pipes that nobody empties. So there is a budget, and the more of it is held, the less one call gets:
//! ```text
//! held   0 ........ half ........ budget ........ full (5/4)
//! most     32 MiB    | 1/8 of rest  |    64 KiB     |  a page     a longer transfer is made in parts (`in_parts`)
//! others   whole                                    |  refused    messages, which cannot be divided, and lists of descriptors
//! ```
//! What is small is always let through: as many tasks as there can be hold 64 MiB in that way. What has been given back is not
//! the host's at once: malloc keeps some of it for each of many arenas, and is told to return it now and then.

use crate::Errno;
use addr::PAGE_BYTES;
use host::call::Call;

/// The most that one call of the host transfers.
pub(crate) const MAX_TRANSFER_BYTES: u64 = 32 << 20;
/// The least, before all is held.
const MIN_TRANSFER_BYTES: u64 = 64 << 10;
const SMALL_BYTES: u64 = 16 << 10;
/// The budget, of the host's memory that is available when the machine begins: at most, at least, and what part of it.
const MAX_BUDGET_BYTES: u64 = 512 << 20;
const MIN_BUDGET_BYTES: u64 = 16 << 20;
const SHARE: u64 = 16;

/// The account.
#[derive(Debug)]
pub(crate) struct HostBuffers {
    budget: u64,
    held: u64,
    /// What has been given back since malloc returned memory to the host.
    freed: u64,
}

impl HostBuffers {
    /// For a host that has so many bytes available, if it says so.
    pub fn new(available: Option<u64>) -> Self {
        let budget = available.map_or(MAX_BUDGET_BYTES, |bytes| bytes / SHARE);
        Self { budget: budget.clamp(MIN_BUDGET_BYTES, MAX_BUDGET_BYTES), held: 0, freed: 0 }
    }

    /// How much one call transfers now at most.
    pub fn most(&self) -> u64 {
        if self.is_full() {
            return PAGE_BYTES;
        }
        let share = self.budget.saturating_sub(self.held) / 8;
        // Whole pages, for files that are read and written in blocks.
        (share / MIN_TRANSFER_BYTES * MIN_TRANSFER_BYTES).clamp(MIN_TRANSFER_BYTES, MAX_TRANSFER_BYTES)
    }

    /// Whether a call is let through.
    ///
    /// # Errors
    /// What Linux answers without memory.
    pub fn check(&self, call: &Call) -> Result<(), Errno> {
        match call.nr as i64 {
            _ if !self.is_full() || bytes_of(call) <= SMALL_BYTES => Ok(()),
            libc::SYS_sendto
            | libc::SYS_sendmsg
            | libc::SYS_sendmmsg
            | libc::SYS_recvfrom
            | libc::SYS_recvmsg
            | libc::SYS_recvmmsg => Err(Errno::ENOBUFS),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// A call goes to the host, and holds its buffers until it is back.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn take(&mut self, call: &Call) -> Result<(), Errno> {
        self.check(call)?;
        self.held += bytes_of(call);
        Ok(())
    }

    /// A call is back, with the buffers that it went with.
    pub fn give_back(&mut self, call: &Call) {
        let bytes = bytes_of(call);
        self.held -= bytes;
        // Smaller ones are used again before they become many.
        self.freed += if bytes > MIN_TRANSFER_BYTES { bytes } else { 0 };
    }

    /// After buffers are gone: memory that malloc keeps goes back to the host, if that may be much.
    pub fn settle(&mut self) {
        if self.freed >= self.budget / 2 {
            self.freed = 0;
            host::return_free_heap();
        }
    }

    fn is_full(&self) -> bool {
        self.held >= self.budget / 4 * 5
    }
}

fn bytes_of(call: &Call) -> u64 {
    call.buffers.iter().map(|buffer| buffer.capacity() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: u64 = 1 << 10;
    const M: u64 = 1 << 20;
    const G: u64 = 1 << 30;

    fn call(nr: i64, bytes: u64) -> Call {
        let mut call = Call::plain(nr as u64, [0; 6]);
        call.buffer(Vec::with_capacity(bytes as usize));
        call
    }

    #[test]
    fn the_more_is_held_the_less_one_call_gets() {
        let most = |held| HostBuffers { budget: 512 * M, held, freed: 0 }.most();
        assert_eq!([0, 256 * M, 384 * M, 448 * M].map(most), [32 * M, 32 * M, 16 * M, 8 * M]);
        assert_eq!([511 * M, 512 * M, 640 * M - 1].map(most), [128 * K, 64 * K, 64 * K]);
        assert_eq!([640 * M, 10 * G].map(most), [PAGE_BYTES; 2]);
        assert_eq!(most(400 * M - 5) % (64 * K), 0);
    }

    #[test]
    fn a_small_host_gives_less() {
        let budget = |available| HostBuffers::new(available).budget;
        let available = [None, Some(64 * G), Some(G), Some(0)];
        assert_eq!(available.map(budget), [512 * M, 512 * M, 64 * M, 16 * M]);
        assert_eq!(HostBuffers::new(Some(G)).most(), 8 * M);
    }

    #[test]
    fn as_many_tasks_as_there_can_be_stay_within_some_hundred_mebibytes() {
        let mut buffers = HostBuffers::new(None);
        let mut calls = Vec::new();
        for _ in 0..crate::kernel::MAX_TASKS {
            calls.push(call(libc::SYS_write, buffers.most()));
            buffers.take(calls.last().unwrap()).expect("a part is let through");
        }
        assert!(buffers.held > 512 * M && buffers.held < 700 * M, "{}", buffers.held);
        calls.iter().for_each(|call| buffers.give_back(call));
        assert_eq!((buffers.held, buffers.most()), (0, 32 * M));
    }

    #[test]
    fn only_what_is_small_is_let_through_when_all_is_held() {
        let mut buffers = HostBuffers { budget: 512 * M, held: 640 * M - 1, freed: 0 };
        assert_eq!(buffers.check(&call(libc::SYS_sendto, 32 * M)), Ok(()));
        assert_eq!(buffers.take(&call(libc::SYS_read, 1)), Ok(()));
        assert_eq!(buffers.take(&call(libc::SYS_sendto, SMALL_BYTES + 1)), Err(Errno::ENOBUFS));
        assert_eq!(buffers.take(&call(libc::SYS_ppoll, SMALL_BYTES + 1)), Err(Errno::ENOMEM));
        assert_eq!(buffers.take(&call(libc::SYS_ppoll, SMALL_BYTES)), Ok(()));
    }

    #[test]
    fn much_that_was_given_back_is_the_hosts_again() {
        let mut buffers = HostBuffers::new(Some(G));
        for (bytes, freed) in [(64 * K, 0), (20 * M, 20 * M), (11 * M, 31 * M), (M, 0)] {
            let call = call(libc::SYS_write, bytes);
            buffers.take(&call).unwrap();
            buffers.give_back(&call);
            buffers.settle();
            assert_eq!((buffers.held, buffers.freed), (0, freed));
        }
    }
}
