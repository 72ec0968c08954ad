//! The memory systems of the textbooks, drawn and computed step by step.
//!
//! A [`System`] is built of a machine file, the tables and walk of `paging`, and the TLBs and caches of `model`: the code
//! that real runs use. An access to it, or the machine's own tale, becomes a [`Story`] of steps, which [`text`] and
//! [`svg`] draw. Nothing here needs the engine or a particular platform.
#![forbid(unsafe_code)]

pub mod all;
mod complaint;
mod machine_file;
pub mod presets;
pub mod references;
mod stories;
mod story;
pub mod svg;
mod system;
pub mod text;
mod translate;

pub use complaint::Complaint;
pub use machine_file::{MachineFile, parse, schema};
pub use story::{Block, Field, Step, Story, Table};
pub use system::System;
pub use text::Ink;

use addr::{Access, VirtAddr};

/// Reads `0x3d4`, `w:0x3d4` or `x:980`.
///
/// # Errors
/// What was expected.
pub fn address(word: &str) -> Result<(VirtAddr, Access), Complaint> {
    let wrong = || {
        Complaint::new(format!("expected an address such as 0x3d4, w:0x3d4 (write) or x:0x3d4 (fetch), not \"{word}\""))
    };
    let (access, digits) = match word.split_once(':') {
        None => (Access::Read, word),
        Some(("r", digits)) => (Access::Read, digits),
        Some(("w", digits)) => (Access::Write, digits),
        Some(("x", digits)) => (Access::Execute, digits),
        Some(_) => return Err(wrong()),
    };
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    };
    number.map(|number| (VirtAddr::new(number), access)).ok_or_else(wrong)
}

/// What happens to the addresses one after the other, or the machine's own story if there are none.
///
/// # Errors
/// The machine has no story, or its story makes no sense.
pub fn tell(system: &mut System, addresses: &[(VirtAddr, Access)]) -> Result<Story, Complaint> {
    let title = format!("{}: {}", system.file.name, system.file.summary);
    let source = system.file.source.clone();
    if addresses.is_empty() {
        let Some(story) = system.file.story.clone() else {
            let name = &system.file.name;
            return Err(Complaint::new(format!("{name} tells no story of its own: give it an address, such as 0x3d4")));
        };
        let steps = stories::tell(system, &story)
            .map_err(|what| Complaint::new(format!("machine {}: {what}", system.file.name)))?;
        return Ok(Story { title, source, steps });
    }
    let steps = addresses.iter().flat_map(|&(addr, access)| translate::translate(system, addr, access).0).collect();
    Ok(Story { title, source, steps })
}
