//! What lockstep found, for people.

use super::mirror::ByteDifference;
use super::steps::{self, Done};
use crate::registers::Difference;
use addr::VirtAddr;
use iced_x86::{Formatter, Instruction, NasmFormatter};
use std::fmt;

/// A program that the two CPUs did alike.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// Blocks compared.
    pub blocks: u64,
    /// Instructions in them.
    pub instructions: u64,
    /// Blocks with an instruction whose results were taken from our run.
    pub told: u64,
    /// System calls and faults that the kernel saw to.
    pub kernel_entries: u64,
}

/// Where the two CPUs parted.
#[derive(Debug)]
pub struct Divergence {
    /// What was compared until then.
    pub until: Agreement,
    /// The block's instructions, as the host did them.
    pub block: Vec<Instruction>,
    /// Which of them is the last to write what differs.
    pub suspect: Option<usize>,
    /// What differs.
    pub differences: Vec<String>,
}

impl Divergence {
    /// From what the host did and what differs afterwards.
    pub fn new(until: Agreement, done: &[Done], registers: &[Difference], byte: Option<ByteDifference>) -> Self {
        let stores = |done: &Done, at: VirtAddr| {
            done.stores.iter().any(|(start, length)| at.get().wrapping_sub(start.get()) < *length as u64)
        };
        let is_suspect = |done: &Done| {
            registers.iter().any(|difference| done.writes.contains(&steps::widest(difference.register)))
                || byte.is_some_and(|byte| stores(done, byte.at))
        };
        let mut differences: Vec<String> = registers.iter().map(|difference| difference.text.clone()).collect();
        differences.extend(byte.map(|byte| {
            format!("the byte at {} is {:#04x} on the host and {:#04x} here", byte.at, byte.host, byte.ours)
        }));
        Self {
            until,
            block: done.iter().map(|done| done.instruction).collect(),
            suspect: done.iter().rposition(is_suspect).or(done.len().checked_sub(1)),
            differences,
        }
    }

    /// For something that is no register and no byte.
    pub fn because(until: Agreement, done: &[Done], sentence: String) -> Self {
        let mut divergence = Self::new(until, done, &[], None);
        divergence.differences.push(sentence);
        divergence
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} blocks of {} instructions compared, {} taken from our run, {} entries to the kernel",
            self.blocks, self.instructions, self.told, self.kernel_entries
        )
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut formatter = NasmFormatter::new();
        writeln!(f, "diverged after {}", self.until)?;
        for (index, instruction) in self.block.iter().enumerate() {
            let mut text = String::new();
            formatter.format(instruction, &mut text);
            let mark = if self.suspect == Some(index) { "->" } else { "  " };
            writeln!(f, "{mark} {:#x}: {text}", instruction.ip())?;
        }
        for difference in &self.differences {
            writeln!(f, "   differs: {difference}")?;
        }
        Ok(())
    }
}
