//! The words of the machine: addresses, pages, frames, ranges, permissions, registers.
//!
//! A *page* is virtual and a *frame* is physical. [`Page`] and [`Pfn`] are numbers; [`VirtAddr`] and [`PhysAddr`] are
//! byte addresses. None of them converts from a bare `u64` by accident: each has a named constructor. Plain arithmetic
//! on them panics on overflow, because our own numbers never overflow; a number that a guest chose goes through the
//! `checked_*` methods.
#![forbid(unsafe_code)]

mod access;
mod address;
mod range;
mod registers;

pub use access::{Access, Perms, Privilege};
pub use address::{PAGE_BYTES, PAGE_SHIFT, Page, Pfn, PhysAddr, VirtAddr};
pub use range::{PageRange, VirtRange};
pub use registers::{Gpr, Registers, X87_BYTES};
