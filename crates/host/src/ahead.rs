//! Host memory that is committed before it is used.
//!
//! The host finds and clears a page when it is first touched, and a huge page takes it long: up to some milliseconds where
//! the host is a virtual machine itself that has to ask for the memory. Where memory is used from one end to the other,
//! another thread touches the next huge page meanwhile.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};

/// The size and alignment of the host's huge pages (SDM vol. 3, 5.5.4).
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// How far the use of a mapping has come. Only a hint: what is used without it is committed as ever.
pub struct Frontier {
    /// The address from which on the next huge page is asked for: half a page before that.
    next: AtomicUsize,
    end: usize,
}

impl Frontier {
    /// At the start of a mapping that ends at an address.
    pub fn new(start: usize, end: usize) -> Self {
        Self { next: AtomicUsize::new(start.next_multiple_of(HUGE_PAGE_BYTES) + HUGE_PAGE_BYTES / 2), end }
    }

    /// The mapping is used up to an address.
    #[inline]
    pub fn reach(&self, address: usize) {
        if address >= self.next.load(Ordering::Relaxed) {
            self.ask_beyond(address);
        }
    }

    #[cold]
    fn ask_beyond(&self, address: usize) {
        let page = address.next_multiple_of(HUGE_PAGE_BYTES);
        self.next.store(page + HUGE_PAGE_BYTES / 2, Ordering::Relaxed);
        if page + HUGE_PAGE_BYTES <= self.end
            && let Some(thread) = thread()
        {
            // Its end would be the end of the process.
            let _ = thread.send(page);
        }
    }
}

/// The thread that touches pages, begun when the first is to be; `None` if the host has no thread to spare.
fn thread() -> Option<&'static Sender<usize>> {
    static THREAD: OnceLock<Option<Sender<usize>>> = OnceLock::new();
    let start = || {
        let (sender, receiver) = mpsc::channel();
        let commit = move || receiver.into_iter().for_each(commit);
        std::thread::Builder::new().name("ahead".to_owned()).spawn(commit).ok().map(|_| sender)
    };
    THREAD.get_or_init(start).as_ref()
}

fn commit(page: usize) {
    // SAFETY: this changes no byte, even if the mapping has gone meanwhile and another taken its place; where there is
    // none, or it may not be written, it fails.
    unsafe { libc::madvise(page as *mut libc::c_void, HUGE_PAGE_BYTES, libc::MADV_POPULATE_WRITE) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ram;
    use addr::{PAGE_BYTES, Pfn};

    fn is_committed(page: usize) -> bool {
        let mut resident = 0;
        // SAFETY: one page, one byte.
        unsafe {
            libc::mincore(page as *mut libc::c_void, PAGE_BYTES as usize, &mut resident) == 0 && resident & 1 == 1
        }
    }

    #[test]
    fn the_huge_page_after_one_that_is_half_used_is_committed() {
        let ram = Ram::new(4 << 9).unwrap();
        let start = ram.frame_address(Pfn::new(0)) as usize;
        let first = start.next_multiple_of(HUGE_PAGE_BYTES);
        let frontier = Frontier::new(start, start + 4 * HUGE_PAGE_BYTES);
        frontier.reach(first + HUGE_PAGE_BYTES / 2 - 1);
        frontier.reach(first + HUGE_PAGE_BYTES + HUGE_PAGE_BYTES / 2);
        while !is_committed(first + 2 * HUGE_PAGE_BYTES) {
            std::thread::yield_now();
        }
        assert!(!is_committed(first + HUGE_PAGE_BYTES), "it was not asked for");
    }

    #[test]
    fn nothing_beyond_the_end_is_asked_for() {
        let frontier = Frontier::new(0, 2 * HUGE_PAGE_BYTES);
        frontier.reach(2 * HUGE_PAGE_BYTES);
    }
}
