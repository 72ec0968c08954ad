//! The traced process's bytes, without a descriptor: the tracing thread may stand in the descriptor table of a guest,
//! which closes whatever it finds there.

use super::ptrace::Process;
use addr::VirtAddr;
use std::io;

const WORD: usize = size_of::<u64>();

/// Copies bytes out, whatever the permissions.
pub fn read(process: &Process, at: VirtAddr, to: &mut [u8]) -> io::Result<()> {
    if process.read_permitted(at, to) {
        return Ok(());
    }
    for (place, part) in words(at, to.len()) {
        let word = process.peek(place.start)?;
        to[part].copy_from_slice(&word[place.bytes]);
    }
    Ok(())
}

/// Copies bytes in, whatever the permissions.
pub fn write(process: &Process, at: VirtAddr, from: &[u8]) -> io::Result<()> {
    if process.write_permitted(at, from) {
        return Ok(());
    }
    for (place, part) in words(at, from.len()) {
        let mut word = if part.len() == WORD { [0; WORD] } else { process.peek(place.start)? };
        word[place.bytes].copy_from_slice(&from[part]);
        process.poke(place.start, word)?;
    }
    Ok(())
}

/// Bytes of one aligned word of the process.
struct Place {
    start: VirtAddr,
    bytes: std::ops::Range<usize>,
}

/// The aligned words that a range touches, each with the part of the caller's bytes that lies in it.
fn words(at: VirtAddr, length: usize) -> impl Iterator<Item = (Place, std::ops::Range<usize>)> {
    let skipped = at.get() as usize % WORD;
    (0..(skipped + length).div_ceil(WORD)).map(move |index| {
        let (start, end) = ((index * WORD).max(skipped), ((index + 1) * WORD).min(skipped + length));
        let place = Place {
            start: VirtAddr::new(at.get() - skipped as u64 + (index * WORD) as u64),
            bytes: start - index * WORD..end - index * WORD,
        };
        (place, start - skipped..end - skipped)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_lies_in_aligned_words() {
        let found: Vec<_> =
            words(VirtAddr::new(0x1005), 12).map(|(place, part)| (place.start.get(), place.bytes, part)).collect();
        assert_eq!(found, [(0x1000, 5..8, 0..3), (0x1008, 0..8, 3..11), (0x1010, 0..1, 11..12)]);
        assert_eq!(words(VirtAddr::new(0x1008), 0).count(), 0);
    }
}
