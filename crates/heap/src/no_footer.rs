//! The implicit list whose allocated blocks have no footer.
//!
//! ```text
//!   allocated   | header | payload ................................ padding |
//!   free        | header | (nothing)                               | footer |
//!                 ^ size, p, a
//! ```
//! Coalescing needs the footer of the block before only if that block is free. So the footer is kept in free blocks
//! alone, and bit 1 of every header, `p`, says whether the block before is allocated: the word saved becomes payload.
//!
//! `malloc` walks the blocks as in `implicit`; it sets `p` in the block after the one it gives. `free` clears that bit,
//! writes the footer, and reads the footer before the block only if its own `p` is clear.

use crate::implicit::Implicit;
use crate::tagged::Tagged;

/// The implicit list without footers in allocated blocks: `footers=free` is what makes the difference.
pub(crate) type ImplicitNoFooter<A, const WORD: u64> = Tagged<A, Implicit, WORD>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::*;

    /// Practice problem 9.6: sizes and headers of four requests. In a heap the header also has the bit for the block
    /// before, which is allocated in each case: 2.
    #[test]
    fn headers_are_the_textbooks_and_the_bit_for_the_block_before() {
        let settings = Kind::ImplicitNoFooter.spec().settings;
        let mut heap = ImplicitNoFooter::<_, 4>::new(ByteArena::new(1 << 16), settings).expect("room for an epilogue");
        let found = [1, 5, 12, 13].map(|bytes| {
            let at = heap.malloc(bytes).expect("room");
            (heap.block_bytes(at), heap.arena().load32(at.get() - 4))
        });
        assert_eq!(found, [(8, 0x9 | 2), (16, 0x11 | 2), (16, 0x11 | 2), (24, 0x19 | 2)]);
    }
}
