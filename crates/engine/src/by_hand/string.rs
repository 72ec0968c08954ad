//! String instructions: `movs`, `stos`, `lods`, `scas`, `cmps`, alone or repeated (SDM vol. 2, REP).
//!
//! A repetition is interruptible: after each element the registers say how far it got. Runs of elements that stay in
//! one page on either side are done at once, which no program can tell from one by one.

use super::Next;
use crate::asm::{RAX, RCX};
use crate::exit::Exit;
use crate::guest::Guest;
use crate::state::{DIRECTION, State, mask};
use addr::{Access, PAGE_BYTES, PhysAddr, VirtAddr};
use iced_x86::{Instruction, Mnemonic, OpKind};
use mmu::TlbTable;

const RSI: u8 = 6;
const RDI: u8 = 7;
const ZERO: u64 = 0x40;
/// Elements after which a repetition looks whether somebody kicked.
const PATIENCE: u64 = 1 << 16;

/// Which string operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Move,
    Store,
    Load,
    Scan,
    Compare,
}

/// One string instruction and where it is.
struct StringOp<'a> {
    state: State<'a>,
    guest: &'a Guest<'a>,
    operation: Operation,
    /// Bytes of an element.
    bytes: u64,
    /// Bits of the address size, as a mask.
    address_mask: u64,
    /// What the source's segment starts at.
    source_base: u64,
    /// Each step: the element size, negative when DF is set.
    step: u64,
}

pub fn execute(state: State<'_>, guest: &Guest<'_>, instruction: &Instruction) -> Result<Next, Exit> {
    let bytes = instruction.memory_size().size() as u64;
    let address_mask = if uses_32_bit_addresses(instruction) { u64::from(u32::MAX) } else { u64::MAX };
    let step = if state.rflags() & DIRECTION != 0 { bytes.wrapping_neg() } else { bytes };
    let source_base = state.segment_base(instruction);
    let Some(operation) = operation(instruction.mnemonic()) else {
        // ins and outs need a privilege that no program has.
        return Err(Exit::Exception(crate::exit::Exception::GeneralProtection));
    };
    let op = StringOp { state, guest, operation, bytes, address_mask, source_base, step };
    let done = Next::At(VirtAddr::new(instruction.next_ip()));
    if !instruction.has_rep_prefix() && !instruction.has_repne_prefix() {
        op.one()?;
        return Ok(done);
    }
    let stop_on = match operation {
        Operation::Scan | Operation::Compare if instruction.has_repne_prefix() => Some(ZERO),
        Operation::Scan | Operation::Compare => Some(0),
        _ => None,
    };
    // Each element is a step.
    let mut patience = if state.is_stepping() { 1 } else { PATIENCE };
    while op.count() != 0 {
        if patience == 0 {
            return Ok(Next::Again);
        }
        let run = op.run_length().min(patience);
        op.run(run)?;
        op.set_count(op.count() - run);
        patience -= run;
        if stop_on.is_some_and(|zero| state.rflags() & ZERO == zero) {
            break;
        }
    }
    Ok(done)
}

fn operation(mnemonic: Mnemonic) -> Option<Operation> {
    use Mnemonic::*;
    Some(match mnemonic {
        Movsb | Movsw | Movsd | Movsq => Operation::Move,
        Stosb | Stosw | Stosd | Stosq => Operation::Store,
        Lodsb | Lodsw | Lodsd | Lodsq => Operation::Load,
        Scasb | Scasw | Scasd | Scasq => Operation::Scan,
        Cmpsb | Cmpsw | Cmpsd | Cmpsq => Operation::Compare,
        _ => return None,
    })
}

fn uses_32_bit_addresses(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|index| {
        matches!(instruction.op_kind(index), OpKind::MemorySegESI | OpKind::MemoryESEDI | OpKind::MemorySegEDI)
    })
}

impl StringOp<'_> {
    fn source(&self) -> VirtAddr {
        VirtAddr::new((self.state.gpr(RSI) & self.address_mask).wrapping_add(self.source_base))
    }

    fn destination(&self) -> VirtAddr {
        VirtAddr::new(self.state.gpr(RDI) & self.address_mask)
    }

    fn count(&self) -> u64 {
        self.state.gpr(RCX) & self.address_mask
    }

    fn set_count(&self, count: u64) {
        self.state.set_gpr(RCX, count & self.address_mask);
    }

    fn uses_source(&self) -> bool {
        matches!(self.operation, Operation::Move | Operation::Load | Operation::Compare)
    }

    fn uses_destination(&self) -> bool {
        self.operation != Operation::Load
    }

    /// How many elements from here may be done at once: those that stay in their pages, for moves and stores that go
    /// upwards at whole addresses; else one.
    fn run_length(&self) -> u64 {
        if self.step != self.bytes || !matches!(self.operation, Operation::Move | Operation::Store) {
            return 1;
        }
        let in_page = |addr: VirtAddr| (PAGE_BYTES - addr.page_offset()) / self.bytes;
        let mut run = self.count().min(in_page(self.destination()));
        if self.operation == Operation::Move {
            run = run.min(in_page(self.source()));
        }
        run.max(1)
    }

    fn run(&self, elements: u64) -> Result<(), Exit> {
        match (self.operation, elements) {
            (_, 1) => return self.one(),
            (Operation::Move, _) => self.move_run(elements * self.bytes)?,
            _ => self.store_run(elements)?,
        }
        self.advance(elements);
        Ok(())
    }

    /// One element.
    fn one(&self) -> Result<(), Exit> {
        let bytes = self.bytes as usize;
        let accumulator = self.state.gpr(RAX) & mask(bytes);
        match self.operation {
            Operation::Move => {
                let value = self.guest.load(self.source(), bytes)?;
                self.guest.store(self.destination(), value, bytes)?;
            }
            Operation::Store => self.guest.store(self.destination(), accumulator, bytes)?,
            Operation::Load => {
                let value = self.guest.load(self.source(), bytes)?;
                let old = self.state.gpr(RAX);
                self.state.set_gpr(RAX, if bytes >= 4 { value } else { old & !mask(bytes) | value });
            }
            Operation::Scan => {
                let value = self.guest.load(self.destination(), bytes)?;
                self.state.set_arithmetic(flags_of_difference(accumulator, value, bytes));
            }
            Operation::Compare => {
                let left = self.guest.load(self.source(), bytes)?;
                let right = self.guest.load(self.destination(), bytes)?;
                self.state.set_arithmetic(flags_of_difference(left, right, bytes));
            }
        }
        self.advance(1);
        Ok(())
    }

    fn advance(&self, elements: u64) {
        let distance = self.step.wrapping_mul(elements);
        let moved =
            |register| (self.state.gpr(register) & self.address_mask).wrapping_add(distance) & self.address_mask;
        if self.uses_source() {
            self.state.set_gpr(RSI, moved(RSI));
        }
        if self.uses_destination() {
            self.state.set_gpr(RDI, moved(RDI));
        }
    }

    /// Moves bytes that lie in one page on either side.
    fn move_run(&self, bytes: u64) -> Result<(), Exit> {
        let from = self.find(self.source(), TlbTable::Read)?;
        let to = self.find(self.destination(), TlbTable::Write)?;
        let ram = self.guest.memory.ram();
        let distance = to.get().wrapping_sub(from.get());
        if distance >= bytes {
            ram.copy(from, to, bytes as usize);
        } else if distance >= self.bytes {
            // A destination that starts inside the source sees what was just moved: the bytes between the two, again and again.
            ram.repeat(from, distance as usize, (distance + bytes) as usize);
        } else {
            for done in (0..bytes).step_by(self.bytes as usize) {
                ram.copy(from + done, to + done, self.bytes as usize);
            }
        }
        self.guest.memory.code().note_write(to.pfn());
        Ok(())
    }

    /// Fills elements that lie in one page.
    fn store_run(&self, elements: u64) -> Result<(), Exit> {
        let to = self.find(self.destination(), TlbTable::Write)?;
        let element = self.state.gpr(RAX).to_le_bytes();
        self.guest.memory.ram().fill(to, &element[..self.bytes as usize], elements as usize);
        self.guest.memory.code().note_write(to.pfn());
        Ok(())
    }

    /// Where a byte is; remembered in the software TLB, so that the next run in the page is done inline.
    fn find(&self, addr: VirtAddr, table: TlbTable) -> Result<PhysAddr, Exit> {
        let access = if table.is_writable() { Access::Write } else { Access::Read };
        let at = self.guest.translate(addr, access)?;
        let memory = self.guest.memory;
        if !table.is_writable() || !memory.code().is_marked(at.pfn()) {
            memory.remember(self.state.view, table, addr.page(), at.pfn());
        }
        Ok(at)
    }
}

/// The arithmetic flags of `left - right` (SDM vol. 1, 3.4.3.1).
fn flags_of_difference(left: u64, right: u64, bytes: usize) -> u64 {
    let sign = 1u64 << (8 * bytes - 1);
    let difference = left.wrapping_sub(right) & mask(bytes);
    let carry = u64::from(left < right);
    let parity = u64::from((difference as u8).count_ones().is_multiple_of(2)) << 2;
    let auxiliary = (left ^ right ^ difference) & 0x10;
    let zero = u64::from(difference == 0) << 6;
    let negative = u64::from(difference & sign != 0) << 7;
    let overflow = u64::from((left ^ right) & (left ^ difference) & sign != 0) << 11;
    carry | parity | auxiliary | zero | negative | overflow
}
