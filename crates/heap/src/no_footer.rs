//! The implicit list whose allocated blocks have no footer.
//!
//! ```text
//!   allocated   | header | payload ................................ padding |
//!   free        | header | (nothing)                               | footer |
//!                 ^ size, p, a
//! ```
//! Coalescing needs the footer of the block before only if that block is free. So the footer is kept in free blocks
//! alone, and bit 1 of every header, `p`, says whether the block before is allocated: the word saved becomes payload.

use crate::implicit::WalkEveryBlock;
use crate::tagged::Tagged;
use crate::*;

/// The implicit list without footers in allocated blocks (`implicit-nofooter`).
///
/// # Errors
/// `NoMemory` when the arena has no room for the epilogue.
#[expect(private_interfaces, reason = "the index is an allocator's own affair")]
pub fn implicit_no_footer<A: Arena>(arena: A, settings: Settings) -> Result<Tagged<A, WalkEveryBlock>, Refusal> {
    Tagged::with_index(arena, Settings { footers: Footers::Free, ..settings }, WalkEveryBlock::new(settings.fit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Practice problem 9.6: sizes and headers of four requests. In a heap the header also has the bit for the block
    /// before, which is allocated in each case: 2.
    #[test]
    fn headers_are_the_textbooks_and_the_bit_for_the_block_before() {
        let spec = Kind::ImplicitNoFooter.spec();
        let mut heap = implicit_no_footer(ByteArena::new(1 << 16), spec.settings).expect("room for an epilogue");
        let found = [1, 5, 12, 13].map(|bytes| {
            let at = heap.malloc(bytes).expect("room");
            (heap.block_bytes(at), heap.arena().load32(at.get() - 4))
        });
        assert_eq!(found, [(8, 0x9 | 2), (16, 0x11 | 2), (16, 0x11 | 2), (24, 0x19 | 2)]);
    }
}
