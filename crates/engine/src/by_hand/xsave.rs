//! FXSAVE, XSAVE, XSAVEC, XSAVEOPT and what restores them (SDM vol. 1, chapter 13), for x87, SSE and AVX.
//!
//! ```text
//! 0    legacy region: x87 at 0 and 32, MXCSR at 24, XMM at 160
//! 512  header: XSTATE_BV, XCOMP_BV, zeros
//! 576  upper halves of the YMM registers, in the standard and (as there is nothing before it) the compacted format
//! ```

use super::cpuid::XCR0;
use crate::Isa;
use crate::asm::{RAX, RDX};
use crate::context::Slot;
use crate::exit::{Exception, Exit, Opcode};
use crate::guest::Guest;
use crate::state::State;
use crate::x87;
use addr::{Access, VirtAddr, X87_BYTES};
use iced_x86::{Instruction, Mnemonic};

const X87: u64 = 1;
const SSE: u64 = 2;
const AVX: u64 = 4;
const COMPACTED: u64 = 1 << 63;

const MXCSR_AT: usize = 24;
const XMM_AT: usize = 160;
const HEADER_AT: usize = 512;
const YMM_AT: usize = 576;
const AREA_BYTES: usize = YMM_AT + 256;
const LEGACY_BYTES: usize = 512;

/// MXCSR bits that can be set.
const MXCSR_MASK: u32 = 0xffff;

type Area = [u8; AREA_BYTES];

pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction, isa: Isa) -> Result<(), Exit> {
    use Mnemonic::*;
    let addr = state.operand_address(instruction);
    let legacy = matches!(instruction.mnemonic(), Fxsave | Fxsave64 | Fxrstor | Fxrstor64);
    if !legacy && isa == Isa::V2 {
        return Err(Exit::Exception(Exception::InvalidOpcode(Opcode::Undefined)));
    }
    if legacy && !guest.is_in_space(addr) {
        guest.translate(addr, Access::Read)?;
    }
    if !addr.get().is_multiple_of(if legacy { 16 } else { 64 }) {
        return Err(Exit::Exception(Exception::GeneralProtection));
    }
    let requested = (state.gpr(RDX) << 32 | state.gpr(RAX) & u64::from(u32::MAX)) & XCR0;
    match instruction.mnemonic() {
        Fxsave | Fxsave64 => fxsave(state, guest, addr),
        Fxrstor | Fxrstor64 => fxrstor(state, guest, addr),
        Xrstor | Xrstor64 => xrstor(state, guest, addr, requested),
        Xsavec | Xsavec64 => xsave(state, guest, addr, requested, requested | COMPACTED),
        _ => xsave(state, guest, addr, requested, 0),
    }
}

fn fxsave(state: State<'_>, guest: &Guest<'_>, addr: VirtAddr) -> Result<(), Exit> {
    let mut area = [0; AREA_BYTES];
    put_x87(&mut area);
    put_sse(state, &mut area);
    put_mxcsr(state, &mut area);
    // The last 96 bytes are the program's, but have to be writable too.
    guest.check_writable(addr, LEGACY_BYTES)?;
    guest.write(addr, &area[..LEGACY_BYTES - 96])
}

fn fxrstor(state: State<'_>, guest: &Guest<'_>, addr: VirtAddr) -> Result<(), Exit> {
    let mut area = [0; AREA_BYTES];
    guest.read(addr, &mut area[..LEGACY_BYTES])?;
    take_mxcsr(state, &area)?;
    take_x87(state, &area);
    take_sse(state, &area);
    Ok(())
}

fn xsave(state: State<'_>, guest: &Guest<'_>, addr: VirtAddr, requested: u64, compaction: u64) -> Result<(), Exit> {
    let bytes = if requested & AVX != 0 { AREA_BYTES } else { YMM_AT };
    guest.check_writable(addr, bytes)?;
    let mut area = [0; AREA_BYTES];
    guest.read(addr, &mut area[..bytes])?;
    if requested & X87 != 0 {
        put_x87(&mut area);
    }
    if requested & SSE != 0 {
        put_sse(state, &mut area);
    }
    if requested & (SSE | AVX) != 0 {
        put_mxcsr(state, &mut area);
    }
    if requested & AVX != 0 {
        for register in 0..16 {
            let to = YMM_AT + 16 * register;
            area[to..to + 16].copy_from_slice(&state.ymm(register)[16..]);
        }
    }
    let old = word(&area, HEADER_AT);
    let present = if compaction != 0 { requested } else { old & !requested | requested };
    area[HEADER_AT..HEADER_AT + 8].copy_from_slice(&present.to_le_bytes());
    if compaction != 0 {
        area[HEADER_AT + 8..HEADER_AT + 16].copy_from_slice(&compaction.to_le_bytes());
    }
    guest.write(addr, &area[..bytes])
}

fn xrstor(state: State<'_>, guest: &Guest<'_>, addr: VirtAddr, requested: u64) -> Result<(), Exit> {
    let mut area = [0; AREA_BYTES];
    guest.read(addr, &mut area[..YMM_AT])?;
    let (present, compaction) = (word(&area, HEADER_AT), word(&area, HEADER_AT + 8));
    let allowed = if compaction & COMPACTED != 0 { compaction & XCR0 } else { XCR0 };
    let wrong_compaction = compaction & !(COMPACTED | XCR0) != 0 || (compaction != 0 && compaction & COMPACTED == 0);
    if present & !allowed != 0 || wrong_compaction {
        return Err(Exit::Exception(Exception::GeneralProtection));
    }
    if requested & present & AVX != 0 {
        guest.read(addr.wrapping_add(YMM_AT as u64), &mut area[YMM_AT..])?;
    }
    restore(state, &mut area, requested, present)
}

/// Loads what is requested: from the area if it is present there, else its initial state.
fn restore(state: State<'_>, area: &mut Area, requested: u64, present: u64) -> Result<(), Exit> {
    if requested & (SSE | AVX) != 0 {
        take_mxcsr(state, area)?;
    }
    if requested & X87 != 0 {
        if present & X87 == 0 {
            area[..X87_BYTES].fill(0);
            area[..2].copy_from_slice(&0x37fu16.to_le_bytes());
        }
        take_x87(state, area);
    }
    if requested & SSE != 0 {
        if present & SSE == 0 {
            area[XMM_AT..XMM_AT + 256].fill(0);
        }
        take_sse(state, area);
    }
    if requested & AVX != 0 {
        if present & AVX == 0 {
            area[YMM_AT..].fill(0);
        }
        for register in 0..16 {
            let mut ymm = state.ymm(register);
            ymm[16..].copy_from_slice(&area[YMM_AT + 16 * register..][..16]);
            state.set_ymm(register, &ymm);
        }
    }
    Ok(())
}

fn word(area: &Area, at: usize) -> u64 {
    u64::from_le_bytes(area[at..at + 8].try_into().expect("eight bytes"))
}

fn put_x87(area: &mut Area) {
    let state = x87::save();
    area[..MXCSR_AT].copy_from_slice(&state[..MXCSR_AT]);
    area[MXCSR_AT + 8..X87_BYTES].copy_from_slice(&state[MXCSR_AT + 8..]);
}

fn take_x87(state: State<'_>, area: &Area) {
    let mut image = [0; X87_BYTES];
    image.copy_from_slice(&area[..X87_BYTES]);
    image[MXCSR_AT..MXCSR_AT + 8].fill(0);
    // The pointers to the last instruction are not kept: the host's are not the guest's.
    image[6..MXCSR_AT].fill(0);
    x87::load(&image);
    Slot::X87_USED.set(state.view, 1);
}

fn put_mxcsr(state: State<'_>, area: &mut Area) {
    area[MXCSR_AT..MXCSR_AT + 4].copy_from_slice(&(Slot::GUEST_MXCSR.get(state.view) as u32).to_le_bytes());
    area[MXCSR_AT + 4..MXCSR_AT + 8].copy_from_slice(&MXCSR_MASK.to_le_bytes());
}

fn take_mxcsr(state: State<'_>, area: &Area) -> Result<(), Exit> {
    let value = u32::from_le_bytes(area[MXCSR_AT..MXCSR_AT + 4].try_into().expect("four bytes"));
    if value & !MXCSR_MASK != 0 {
        return Err(Exit::Exception(Exception::GeneralProtection));
    }
    Slot::GUEST_MXCSR.set(state.view, u64::from(value));
    Ok(())
}

fn put_sse(state: State<'_>, area: &mut Area) {
    for register in 0..16 {
        area[XMM_AT + 16 * register..][..16].copy_from_slice(&state.ymm(register)[..16]);
    }
}

fn take_sse(state: State<'_>, area: &Area) {
    for register in 0..16 {
        let mut ymm = state.ymm(register);
        ymm[..16].copy_from_slice(&area[XMM_AT + 16 * register..][..16]);
        state.set_ymm(register, &ymm);
    }
}
