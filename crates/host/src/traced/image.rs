//! The program that the traced process starts as: an ELF file of one page.

use addr::VirtAddr;

const HEADER_BYTES: u64 = 64;
const SEGMENT_BYTES: u64 = 56;
/// Where the code is in the page.
pub const CODE_OFFSET: u64 = HEADER_BYTES + SEGMENT_BYTES;
/// Where `popfq` is.
pub const POP_FLAGS_OFFSET: u64 = CODE_OFFSET + 3;
/// A word that `popfq` can take.
pub const FLAGS_OFFSET: u64 = CODE_OFFSET + 8;
/// `syscall; int3; popfq`, and room for a word.
const CODE: [u8; 16] = [0x0f, 0x05, 0xcc, 0x9d, 0xcc, 0xcc, 0xcc, 0xcc, 0, 0, 0, 0, 0, 0, 0, 0];

const ET_EXEC: u64 = 2;
const EM_X86_64: u64 = 62;
const PT_LOAD: u64 = 1;
const PF_READ_EXECUTE: u64 = 5;

/// A file with one readable and executable segment at `at` (System V ABI, chapters 4 and 5).
pub fn of_one_page(at: VirtAddr) -> Vec<u8> {
    let bytes = CODE_OFFSET + CODE.len() as u64;
    let mut image = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |fields: &[(u64, usize)]| {
        for &(value, width) in fields {
            image.extend_from_slice(&value.to_le_bytes()[..width]);
        }
    };
    put(&[(ET_EXEC, 2), (EM_X86_64, 2), (1, 4)]);
    put(&[(at.get() + CODE_OFFSET, 8), (HEADER_BYTES, 8), (0, 8)]);
    put(&[(0, 4), (HEADER_BYTES, 2), (SEGMENT_BYTES, 2), (1, 2), (0, 2), (0, 2), (0, 2)]);
    put(&[(PT_LOAD, 4), (PF_READ_EXECUTE, 4)]);
    put(&[(0, 8), (at.get(), 8), (at.get(), 8), (bytes, 8), (bytes, 8), (addr::PAGE_BYTES, 8)]);
    image.extend_from_slice(&CODE);
    image
}
