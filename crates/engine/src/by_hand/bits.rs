//! Bit strings: `bt`, `bts`, `btr`, `btc` with a register offset, which reaches beyond the operand (SDM vol. 2, BT).

use crate::exit::Exit;
use crate::guest::Guest;
use crate::state::State;
use iced_x86::{Instruction, Mnemonic};

const CARRY: u64 = 1;

pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<(), Exit> {
    let offset_register = instruction.op1_register();
    let bytes = offset_register.size();
    let bits = 8 * bytes as u32;
    let offset = sign_extend(state.register(offset_register), bits);
    // The word that holds the bit, counted from the operand in words of the operand size.
    let word = (offset >> bits.trailing_zeros()).wrapping_mul(bytes as i64);
    let addr = bit_string_address(state, instruction, word);
    let mask = 1u64 << (offset as u64 & u64::from(bits - 1));
    if instruction.mnemonic() != Mnemonic::Bt {
        // A read-modify-write is refused as a store, also where it could be read.
        guest.check_writable(addr, bytes)?;
    }
    let old = guest.load(addr, bytes)?;
    let new = match instruction.mnemonic() {
        Mnemonic::Bts => old | mask,
        Mnemonic::Btr => old & !mask,
        Mnemonic::Btc => old ^ mask,
        _ => old,
    };
    if instruction.mnemonic() != Mnemonic::Bt {
        guest.store(addr, new, bytes)?;
    }
    let flags = state.rflags();
    state.set_arithmetic(if old & mask != 0 { flags | CARRY } else { flags & !CARRY });
    Ok(())
}

/// The operand's address plus a distance, at the address size.
fn bit_string_address(state: State<'_>, instruction: &Instruction, distance: i64) -> addr::VirtAddr {
    let mut address = crate::analysis::address_of(instruction);
    address.disp = address.disp.wrapping_add(distance);
    state.evaluate(&address)
}

fn sign_extend(value: u64, bits: u32) -> i64 {
    ((value << (64 - bits)) as i64) >> (64 - bits)
}
