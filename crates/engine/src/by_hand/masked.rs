//! Gathers and masked moves: elements that the mask leaves out are not accessed, so they cannot fault.

use crate::exit::Exit;
use crate::guest::Guest;
use crate::state::State;
use crate::x87;
use addr::VirtAddr;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

const RDI: u8 = 7;

/// `vgather*`, `vpgather*` (SDM vol. 2, VGATHERDPD): elements in order; a done one clears its mask, so that a fault in
/// the middle loses nothing.
pub fn gather(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    use Mnemonic::*;
    let (index_bytes, element_bytes) = match instruction.mnemonic() {
        Vgatherdps | Vpgatherdd => (4, 4),
        Vgatherdpd | Vpgatherdq => (4, 8),
        Vgatherqps | Vpgatherqd => (8, 4),
        _ => (8, 8),
    };
    let (destination, mask_register) = (instruction.op0_register(), instruction.op2_register());
    let index_register = instruction.memory_index();
    let indices = state.ymm(index_register.number());
    let count = (destination.size() / element_bytes).min(index_register.size() / index_bytes);
    let base = base_address(state, instruction);
    let scale = u64::from(instruction.memory_index_scale());
    let mut values = state.ymm(destination.number());
    let mut mask = state.ymm(mask_register.number());
    // What lies beyond the elements is cleared, even if one of them faults.
    values[count * element_bytes..].fill(0);
    mask[count * element_bytes..].fill(0);
    // From here on only the sign of a mask element counts.
    for element in 0..count {
        let range = element * element_bytes..(element + 1) * element_bytes;
        let chosen = mask[range.end - 1] & 0x80 != 0;
        mask[range].fill(if chosen { 0xff } else { 0 });
    }
    let mut outcome = Ok(());
    for element in 0..count {
        let range = element * element_bytes..(element + 1) * element_bytes;
        if mask[range.start] == 0 {
            continue;
        }
        let index = sign_extended(&indices[element * index_bytes..][..index_bytes]);
        let addr = base(index.wrapping_mul(scale));
        match guest.load(addr, element_bytes) {
            Ok(value) => values[range.clone()].copy_from_slice(&value.to_le_bytes()[..element_bytes]),
            Err(exit) => {
                outcome = Err(exit);
                break;
            }
        }
        mask[range].fill(0);
    }
    state.set_ymm(destination.number(), &values);
    state.set_ymm(mask_register.number(), &mask);
    outcome
}

/// The address of an element, given its scaled index.
fn base_address<'a>(state: State<'a>, instruction: &Instruction) -> impl Fn(u64) -> VirtAddr + use<'a> {
    let mut address = crate::analysis::address_of(instruction);
    address.index = None;
    let disp = address.disp;
    if instruction.memory_base().size() == 4 && instruction.memory_base() != Register::None {
        address.narrow = crate::block::Narrow::Yes;
    }
    move |scaled| state.evaluate(&crate::block::Address { disp: disp.wrapping_add(scaled as i64), ..address })
}

fn sign_extended(bytes: &[u8]) -> u64 {
    match *bytes {
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])) as u64,
        _ => u64::from_le_bytes(bytes.try_into().expect("an index is four or eight bytes")),
    }
}

/// `vmaskmov*`, `vpmaskmov*`: loads zero what is left out, stores leave memory alone.
pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let element_bytes = match instruction.mnemonic() {
        Mnemonic::Vmaskmovps | Mnemonic::Vpmaskmovd => 4,
        _ => 8,
    };
    let mask = state.ymm(instruction.op1_register().number());
    let addr = state.operand_address(instruction);
    let chosen = |element: usize| mask[(element + 1) * element_bytes - 1] & 0x80 != 0;
    if instruction.op0_kind() == OpKind::Memory {
        let source = instruction.op2_register();
        let values = state.ymm(source.number());
        let runs = (0..source.size() / element_bytes).filter(|element| chosen(*element));
        return store_elements(guest, addr, &values, runs, element_bytes);
    }
    let destination = instruction.op0_register();
    let mut values = [0; 32];
    for element in (0..destination.size() / element_bytes).filter(|element| chosen(*element)) {
        let range = element * element_bytes..(element + 1) * element_bytes;
        guest.read(addr.wrapping_add(range.start as u64), &mut values[range])?;
    }
    state.set_ymm(destination.number(), &values);
    Ok(())
}

/// `maskmovdqu`, `maskmovq`: bytes whose mask byte is negative go to the memory at RDI.
pub fn byte_store(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let base = state.segment_base(instruction);
    let narrow = (0..instruction.op_count()).any(|index| instruction.op_kind(index) == OpKind::MemorySegEDI);
    let rdi = if narrow { state.gpr(RDI) & u64::from(u32::MAX) } else { state.gpr(RDI) };
    let addr = VirtAddr::new(rdi.wrapping_add(base));
    let (values, mask, bytes) = match instruction.mnemonic() {
        Mnemonic::Maskmovq => {
            let image = x87::save();
            if let Some(exception) = x87::pending_exception(&image) {
                return Err(Exit::Exception(exception));
            }
            let mm = |register: Register| {
                let mut bytes = [0; 32];
                bytes[..8].copy_from_slice(&image[x87::mmx_offset(&image, register.number())..][..8]);
                bytes
            };
            (mm(instruction.op1_register()), mm(instruction.op2_register()), 8)
        }
        _ => (state.ymm(instruction.op1_register().number()), state.ymm(instruction.op2_register().number()), 16),
    };
    // Whatever the mask says: as the processor does, for the first half.
    guest.check_end(addr, 8, addr::Access::Write)?;
    store_elements(guest, addr, &values, (0..bytes).filter(|byte| mask[*byte] & 0x80 != 0), 1)?;
    if instruction.mnemonic() == Mnemonic::Maskmovq {
        x87::enter_mmx();
    }
    Ok(())
}

/// Stores the chosen elements: all, or none if one faults.
fn store_elements(
    guest: &Guest<'_>,
    addr: VirtAddr,
    values: &[u8; 32],
    chosen: impl Iterator<Item = usize> + Clone,
    element_bytes: usize,
) -> Result<(), Exit> {
    for element in chosen.clone() {
        for (piece, _) in crate::guest::pieces(addr.wrapping_add((element * element_bytes) as u64), element_bytes) {
            guest.translate(piece, addr::Access::Write)?;
        }
    }
    for element in chosen {
        let from = element * element_bytes;
        guest.write(addr.wrapping_add(from as u64), &values[from..from + element_bytes])?;
    }
    Ok(())
}
