//! The x87 state, which stays in the host's registers while generated code and Rust take turns.

use crate::exit::Exception;
use addr::X87_BYTES;
use std::arch::asm;
use std::cell::Cell;

/// An FXSAVE image (SDM vol. 1, 10.5.1).
#[repr(C, align(16))]
struct Image([u8; 512]);

/// Where MXCSR and its mask lie in the image.
const MXCSR: std::ops::Range<usize> = 24..32;
/// The last opcode and pointers: host addresses, which are nobody's business.
const POINTERS: std::ops::Range<usize> = 6..24;

thread_local! {
    /// What this thread's x87 registers hold, as far as is known.
    static LOADED: Cell<Option<[u8; X87_BYTES]>> = const { Cell::new(None) };
}

/// Makes the host's x87 registers hold a state, unless they do already.
pub fn load(state: &[u8; X87_BYTES]) {
    if LOADED.get().as_ref() == Some(state) {
        return;
    }
    let mut image = Image([0; 512]);
    image.0[..X87_BYTES].copy_from_slice(state);
    image.0[MXCSR].fill(0);
    let mut mxcsr = 0u32;
    // SAFETY: stores four bytes to a local.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut mxcsr, options(nostack, preserves_flags)) };
    image.0[MXCSR.start..MXCSR.start + 4].copy_from_slice(&mxcsr.to_le_bytes());
    // SAFETY: the image is 512 aligned bytes with a valid MXCSR; every register it loads is declared.
    unsafe {
        asm!("fxrstor64 [{}]", in(reg) &raw const image,
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _, out("xmm13") _,
            out("xmm14") _, out("xmm15") _, options(nostack, preserves_flags));
    }
    LOADED.set(Some(*state));
}

/// Where MMX register `number` is in an image: images are in the order of the x87 stack, whose top is in the status word.
pub fn mmx_offset(image: &[u8; X87_BYTES], number: usize) -> usize {
    let top = usize::from(image[3] >> 3) & 7;
    32 + 16 * (number.wrapping_sub(top) & 7)
}

/// The unmasked exception that is pending: the next instruction of the unit but a few raises it.
pub fn pending_exception(image: &[u8; X87_BYTES]) -> Option<Exception> {
    let is_pending = image[2] & 0x80 != 0;
    // FPE_FLTINV, FPE_FLTDIV, FPE_FLTOVF, FPE_FLTUND, FPE_FLTRES.
    is_pending.then_some(Exception::X87(match image[2] & !image[0] {
        raised if raised & 1 != 0 => 7,
        raised if raised & 4 != 0 => 3,
        raised if raised & 8 != 0 => 4,
        raised if raised & 0x12 != 0 => 5,
        _ => 6,
    }))
}

/// What any MMX instruction does: the top of the stack is register 0, and all registers are in use.
pub fn enter_mmx() {
    // SAFETY: reads a register; the caller saw that no exception is pending. Compiled code keeps nothing in these.
    unsafe { asm!("movd {0:e}, mm0", out(reg) _, options(nomem, nostack, preserves_flags)) };
    LOADED.set(None);
}

/// What the host's x87 registers hold.
pub fn save() -> [u8; X87_BYTES] {
    let mut image = Image([0; 512]);
    // SAFETY: the image is 512 aligned bytes; nothing else is written.
    unsafe { asm!("fxsave64 [{}]", in(reg) &raw mut image, options(nostack, preserves_flags)) };
    image.0[POINTERS].fill(0);
    image.0[MXCSR].fill(0);
    let mut state = [0; X87_BYTES];
    state.copy_from_slice(&image.0[..X87_BYTES]);
    LOADED.set(Some(state));
    state
}
