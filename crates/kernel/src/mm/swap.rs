//! Where evicted pages wait.

use addr::{PAGE_BYTES, Pfn};
use host::Ram;
use mmu::SwapSlot;

/// Swap, in the host's memory: a file would need a descriptor, and each guest process has a descriptor table of its
/// own.
#[derive(Default)]
pub(crate) struct Swap {
    slots: Vec<Slot>,
    free: Vec<SwapSlot>,
}

struct Slot {
    /// How many entries name it; 0 when it is free.
    shares: u32,
    bytes: Box<[u8]>,
}

impl Swap {
    /// Copies a frame out; the slot has one share.
    pub fn store(&mut self, ram: &Ram, pfn: Pfn) -> SwapSlot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { shares: 0, bytes: vec![0; PAGE_BYTES as usize].into() });
            SwapSlot::new(self.slots.len() as u64 - 1)
        });
        let place = &mut self.slots[slot.get() as usize];
        place.shares = 1;
        ram.read(pfn.start(), &mut place.bytes);
        slot
    }

    /// Copies a slot into a frame.
    pub fn load(&self, slot: SwapSlot, ram: &Ram, pfn: Pfn) {
        ram.write(pfn.start(), &self.slots[slot.get() as usize].bytes);
    }

    /// Copies a slot into a buffer.
    pub fn peek(&self, slot: SwapSlot, to: &mut [u8; PAGE_BYTES as usize]) {
        to.copy_from_slice(&self.slots[slot.get() as usize].bytes);
    }

    /// Adds a share.
    pub fn share(&mut self, slot: SwapSlot) {
        self.slots[slot.get() as usize].shares += 1;
    }

    /// Gives a share back; the last one frees the slot.
    pub fn release(&mut self, slot: SwapSlot) {
        let place = &mut self.slots[slot.get() as usize];
        place.shares = place.shares.checked_sub(1).expect("a slot in use has a share");
        if place.shares == 0 {
            self.free.push(slot);
        }
    }

    /// How many slots are in use.
    pub fn used(&self) -> u64 {
        (self.slots.len() - self.free.len()) as u64
    }
}
