//! Memory of atomic words that the host commits as it is touched.

use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

/// Atomic words on a page boundary, zero at first. Nothing is written when they are made, so that words that nobody
/// touches cost nothing.
pub struct Words {
    base: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the words are reached as atomics only; the pointer itself never changes.
unsafe impl Send for Words {}
// SAFETY: as for `Send`.
unsafe impl Sync for Words {}

impl Words {
    /// So many words that are all zero.
    ///
    /// # Panics
    /// When the host has no memory, or for no words at all.
    pub fn zeroed(count: usize) -> Self {
        // SAFETY: a fresh anonymous mapping at an address of the host's choice aliases nothing.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                count * size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(base != libc::MAP_FAILED, "the host has memory for {count} words: {}", std::io::Error::last_os_error());
        Self { base: NonNull::new(base.cast()).expect("a successful mmap without MAP_FIXED is not null"), count }
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: mapped in `zeroed` for as long as `self` lives; aligned, and zeros are atomic words.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.count) }
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `zeroed`, which nobody can reach once the owner is gone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.count * size_of::<AtomicU64>()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn words_are_zero_and_lie_on_a_page() {
        let words = Words::zeroed(1000);
        assert_eq!(words.len(), 1000);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        assert_eq!(words.as_ptr() as usize % 4096, 0);
    }
}
