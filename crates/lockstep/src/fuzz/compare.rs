//! The differences between two outcomes, each a line.

use super::arena;
use super::case::Case;
use super::masks;
use super::outcome::{Ending, Outcome};
use crate::flags;
use addr::{PAGE_BYTES, VirtAddr};
use iced_x86::Mnemonic;

/// How many bytes of memory are named at most.
const MOST_BYTES_NAMED: usize = 4;

/// What differs between the host's outcome and ours; nothing if they agree.
pub fn differences(case: &Case, host: &Outcome, ours: &Outcome) -> Vec<String> {
    let mut found = Vec::new();
    if !host.ending.agrees(&ours.ending) {
        found.push(format!("ended with {} on the host and {} here", host.ending, ours.ending));
    }
    registers(case, host, ours, &mut found);
    memory(case, host, ours, &mut found);
    found
}

fn registers(case: &Case, host: &Outcome, ours: &Outcome, found: &mut Vec<String>) {
    let flags = compared_flags(case, host);
    found.extend(crate::registers::differences(&host.registers, &ours.registers, flags).into_iter().map(|it| it.text));
}

/// All flags, less those that are undefined, and at a fault less those that are dead. What is dead at an instruction that
/// is not the case's (it jumped into its data, or wrote over its code) nobody knows here.
fn compared_flags(case: &Case, host: &Outcome) -> u64 {
    let undefined = masks::undefined_flags(case).at_end;
    let rip = host.registers.rip;
    let live = match host.ending {
        Ending::Fault { .. } | Ending::Exception(_) if case.at(rip).is_none() => 0,
        Ending::Fault { .. } | Ending::Exception(_) => flags::live(&|rip| case.at(rip).copied(), rip),
        _ => flags::ARITHMETIC,
    };
    !undefined & (!flags::ARITHMETIC | live)
}

fn memory(case: &Case, host: &Outcome, ours: &Outcome, found: &mut Vec<String>) {
    if host.memory == ours.memory {
        return;
    }
    let differing = host.memory.iter().zip(&ours.memory).enumerate().filter(|(_, (left, right))| left != right);
    let hidden = hidden_bytes(case, host);
    let named = differing
        .map(|(index, (left, right))| (place(index), left, right))
        .filter(|(at, _, _)| !hidden.iter().any(|(start, end)| start <= at && at < end));
    for (at, left, right) in named.take(MOST_BYTES_NAMED) {
        found.push(format!("byte at {at} {left:#x} on the host and {right:#x} here"));
    }
}

/// The address of a byte of [`Outcome::memory`].
fn place(index: usize) -> VirtAddr {
    let page = arena::data_pages().nth(index / PAGE_BYTES as usize).expect("the index lies in the arena");
    page.start + (index % PAGE_BYTES as usize) as u64
}

/// Bytes that hold addresses of x87 instructions, as far as the final registers still say where: a single instruction
/// that stores them changes none of the registers of its address.
fn hidden_bytes(case: &Case, host: &Outcome) -> Vec<(VirtAddr, VirtAddr)> {
    let stores = case.code.iter().filter_map(|placed| {
        let range = masks::x87_pointer_bytes(&placed.instruction)?;
        let base = placed.instruction.virtual_address(0, 0, |register, _, _| {
            use iced_x86::Register::{FS, GS};
            Some(match register {
                FS => host.registers.fs_base,
                GS => host.registers.gs_base,
                register if register.is_gpr() => host.registers.gpr[register.number()],
                _ => 0,
            })
        })?;
        let base = VirtAddr::new(base);
        Some((base.wrapping_add(range.start), base.wrapping_add(range.end)))
    });
    stores.collect()
}

/// Whether outcomes of the case can be compared. Not where what is undefined, or may differ, is read again: an undefined
/// flag, the address of an x87 instruction; nor where the instruction after POPF runs with TF or AC set, which traps on
/// the host.
pub fn is_comparable(case: &Case) -> bool {
    if let [_] = case.code.as_slice() {
        return true;
    }
    masks::undefined_flags(case).read == 0
        && !case.code.iter().any(|placed| {
            let instruction = &placed.instruction;
            masks::x87_pointer_bytes(instruction).is_some()
                || matches!(instruction.mnemonic(), Mnemonic::Popf | Mnemonic::Popfq)
        })
}
