//! Host memory that is committed before it is used.
//!
//! The host finds and clears a page when it is first touched, and a huge page takes it long: up to some milliseconds where
//! the host is a virtual machine itself that has to ask for the memory. Where memory is used from one end to the other,
//! another thread touches what comes next meanwhile.

use crate::outer_signals::HeldSignals;
use std::hint;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};

/// The size and alignment of the host's huge pages (SDM vol. 3, 5.5.4).
pub const HUGE_PAGE_BYTES: usize = 2 << 20;

/// The size of its others.
const PAGE_BYTES: usize = addr::PAGE_BYTES as usize;

/// Which pages of the host memory lies in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pages {
    /// Huge ones, where it has them.
    Huge,
    /// Small ones: what is used little takes little.
    Small,
}

impl Pages {
    /// What is committed at a time.
    fn step_bytes(self) -> usize {
        match self {
            Self::Huge => HUGE_PAGE_BYTES,
            Self::Small => 512 << 10,
        }
    }
}

/// Memory of the host that can be read and written, all zeros at first. Used from its first byte on.
pub struct Reservation {
    mapping: Arc<Mapping>,
    /// What is committed at a time.
    step_bytes: usize,
    /// The address from which on the next step is asked for: half a step before that. Only a hint: what is used without it
    /// is committed as ever.
    next: AtomicUsize,
}

impl Reservation {
    /// Reserves a range of bytes, which begins with a huge page; `more` than reading and writing may be allowed.
    ///
    /// # Errors
    /// The host's.
    pub fn new(bytes: usize, pages: Pages, more: libc::c_int) -> io::Result<Self> {
        let mapping = Mapping::new(bytes, pages, libc::PROT_READ | libc::PROT_WRITE | more)?;
        let step_bytes = pages.step_bytes();
        let next = AtomicUsize::new(mapping.start.as_ptr() as usize + step_bytes / 2);
        let made = Self { mapping: Arc::new(mapping), step_bytes, next };
        if pages == Pages::Huge {
            // Soon the first page is used, and there is something else to do until then.
            made.ask_for(0);
        }
        Ok(made)
    }

    /// Its first byte.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.mapping.start
    }

    /// It is used up to an address.
    #[inline]
    pub fn reach(&self, address: usize) {
        if address >= self.next.load(Ordering::Relaxed) {
            self.ask_beyond(address);
        }
    }

    #[cold]
    fn ask_beyond(&self, address: usize) {
        let step = address.next_multiple_of(self.step_bytes);
        self.next.store(step + self.step_bytes / 2, Ordering::Relaxed);
        self.ask_for(step - self.mapping.start.as_ptr() as usize);
    }

    fn ask_for(&self, offset: usize) {
        let wanted = offset..offset + self.step_bytes;
        if wanted.end <= self.mapping.bytes
            && let Some(thread) = thread()
        {
            // Its end would be the end of the process.
            let _ = thread.send((Arc::clone(&self.mapping), wanted));
        }
    }
}

/// A mapping, which lives as long as somebody uses or commits it.
struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
    /// What was reserved, the alignment included.
    reserved: *mut libc::c_void,
}

// SAFETY: it is an address; memory is reached through its owner's methods, and by `commit`.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(bytes: usize, pages: Pages, protection: libc::c_int) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping at an address of the host's choice aliases nothing.
        let reserved = unsafe { libc::mmap(ptr::null_mut(), bytes + HUGE_PAGE_BYTES, protection, flags, -1, 0) };
        if reserved == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = reserved.cast::<u8>();
        // SAFETY: the reservation is longer than `bytes` by one alignment.
        let start = unsafe { first.add(first.align_offset(HUGE_PAGE_BYTES)) };
        if pages == Pages::Huge {
            // SAFETY: the range is in the reservation. The advice may be refused; then pages are small.
            unsafe { libc::madvise(start.cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        let start = NonNull::new(start).expect("a successful mmap without MAP_FIXED is not null");
        Ok(Self { start, bytes, reserved })
    }

    /// Has the host commit a range of bytes. By touching it, because that lets other threads change other mappings
    /// meanwhile: madvise(2) would keep even malloc waiting.
    fn commit(&self, wanted: Range<usize>) {
        for at in wanted.step_by(PAGE_BYTES) {
            assert!(at < self.bytes, "what is committed was reserved");
            // A compiler that knew the zero would load the byte only, and the host would show a page of zeros.
            let nothing = hint::black_box(0);
            // SAFETY: the byte is in the mapping, which lives as long as `self`. It keeps its value, whoever stores to it
            // at the same time.
            unsafe { AtomicU8::from_ptr(self.start.as_ptr().add(at)) }.fetch_or(nothing, Ordering::Relaxed);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nobody can reach once the owner is gone.
        unsafe { libc::munmap(self.reserved, self.bytes + HUGE_PAGE_BYTES) };
    }
}

/// What is to be committed.
type Wanted = (Arc<Mapping>, Range<usize>);

/// The thread that commits memory, begun when the first is to be; `None` if the host has no thread to spare.
fn thread() -> Option<&'static Sender<Wanted>> {
    static THREAD: OnceLock<Option<Sender<Wanted>>> = OnceLock::new();
    let start = || {
        // It is begun before the signals are held back that guests get, and must not be the one who takes them.
        let _held = HeldSignals::hold();
        let (sender, receiver) = mpsc::channel::<Wanted>();
        let commit = move || receiver.into_iter().for_each(|(mapping, wanted)| mapping.commit(wanted));
        std::thread::Builder::new().name("ahead".to_owned()).spawn(commit).ok().map(|_| sender)
    };
    THREAD.get_or_init(start).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a reservation the host has committed; the page of zeros that it shows to those who load is none.
    fn committed_bytes(memory: &Reservation) -> usize {
        let start = format!("{:x}-", memory.start().as_ptr() as usize);
        let smaps = std::fs::read_to_string("/proc/self/smaps").expect("the host tells");
        let of_memory = &smaps[smaps.find(&start).expect("it is an area of its own, by its advice")..];
        let resident = of_memory.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<usize>().ok());
        kilobytes.expect("every area has such a line") << 10
    }

    fn wait_until_committed(memory: &Reservation, pages: usize) {
        while committed_bytes(memory) < pages * HUGE_PAGE_BYTES {
            std::thread::yield_now();
        }
    }

    #[test]
    fn the_first_huge_page_and_that_after_one_that_is_half_used_are_committed() {
        let memory = Reservation::new(4 * HUGE_PAGE_BYTES, Pages::Huge, 0).expect("addresses are left");
        let first = memory.start().as_ptr() as usize;
        memory.reach(first + HUGE_PAGE_BYTES / 2 - 1);
        memory.reach(first + HUGE_PAGE_BYTES + HUGE_PAGE_BYTES / 2);
        wait_until_committed(&memory, 2);
        let third = memory.start().as_ptr().wrapping_add(2 * HUGE_PAGE_BYTES);
        // SAFETY: it was reserved, and the thread is done with it.
        unsafe { ptr::write_bytes(third, 1, HUGE_PAGE_BYTES) };
        assert_eq!(committed_bytes(&memory), 2 * HUGE_PAGE_BYTES, "the third page was one of them");
    }

    #[test]
    fn nothing_beyond_the_end_is_asked_for() {
        let memory = Reservation::new(2 * HUGE_PAGE_BYTES - PAGE_BYTES, Pages::Huge, 0).expect("addresses are left");
        let first = memory.start().as_ptr() as usize;
        memory.reach(first + HUGE_PAGE_BYTES / 2);
        memory.reach(first + 2 * HUGE_PAGE_BYTES - PAGE_BYTES);
        let again = Reservation::new(2 * HUGE_PAGE_BYTES, Pages::Huge, 0).expect("addresses are left");
        let other = again.start().as_ptr() as usize;
        again.reach(other + HUGE_PAGE_BYTES / 2);
        wait_until_committed(&again, 2);
        assert_eq!(committed_bytes(&memory), HUGE_PAGE_BYTES, "the last page is not whole");
    }
}
