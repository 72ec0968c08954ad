//! Reading what an ELF file asks for.
//!
//! ```text
//! file header   magic, class, machine, type, entry, where the program headers are
//! PT_LOAD       file bytes [offset, +filesz) at [vaddr, +memsz); the rest up to memsz is zeros
//! PT_INTERP     the path of the program that loads the rest
//! PT_GNU_STACK  whether the stack is executable
//! ```
//! Every number is the file's and may be nonsense; what is returned is checked.

use super::{Architecture, ByteOrder, LoadError};
use addr::{PAGE_BYTES, Perms};

const HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;
const PT_GNU_STACK: u32 = 0x6474_e551;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const EM_X86_64: u16 = 62;
/// The end of the program's half of the address space.
const TASK_SIZE: u64 = crate::mm::TASK_SIZE;
/// Linux reads at most one page of program headers... of this size.
const MAX_HEADERS: usize = 65536 / PROGRAM_HEADER_BYTES;

/// Whether the program chooses its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// ET_EXEC: at the addresses in the file.
    Fixed,
    /// ET_DYN: anywhere.
    Relocatable,
}

/// What an ELF file asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Elf {
    pub kind: Kind,
    pub entry: u64,
    /// Where the program headers are in memory, before relocation.
    pub headers_at: u64,
    pub header_count: u64,
    pub segments: Vec<Segment>,
    /// Where the interpreter's path is in the file: offset and bytes, with its final zero.
    pub interpreter: Option<(u64, u64)>,
    pub stack_perms: Perms,
    /// The largest alignment that a segment asks for.
    pub alignment: u64,
}

/// A PT_LOAD segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub addr: u64,
    pub offset: u64,
    pub file_bytes: u64,
    pub memory_bytes: u64,
    pub perms: Perms,
}

const X86_64: Architecture = Architecture { machine: EM_X86_64, bits: 64, order: ByteOrder::Little };

fn architecture_of(header: &[u8; HEADER_BYTES]) -> Result<Architecture, LoadError> {
    let bits = match header[4] {
        1 => 32,
        2 => 64,
        _ => return Err(LoadError::NotProgram),
    };
    let (order, machine) = match header[5] {
        1 => (ByteOrder::Little, half(header, 18)),
        2 => (ByteOrder::Big, half(header, 18).swap_bytes()),
        _ => return Err(LoadError::NotProgram),
    };
    Ok(Architecture { machine, bits, order })
}

impl Elf {
    /// Reads the headers through `read`, which fills a buffer from an offset and says how far it got.
    pub fn parse(size: u64, mut read: impl FnMut(u64, &mut [u8]) -> usize) -> Result<Self, LoadError> {
        let mut header = [0; HEADER_BYTES];
        let got = read(0, &mut header);
        if got < 4 || header[..4] != *b"\x7fELF" {
            return Err(LoadError::NotElf);
        }
        if got < HEADER_BYTES {
            return Err(LoadError::Truncated);
        }
        let architecture = architecture_of(&header)?;
        if architecture != X86_64 {
            return Err(LoadError::OtherArchitecture(architecture));
        }
        let kind = match half(&header, 16) {
            ET_EXEC => Kind::Fixed,
            ET_DYN => Kind::Relocatable,
            _ => return Err(LoadError::NotProgram),
        };
        let (table_at, count) = (word(&header, 32), half(&header, 56) as usize);
        if half(&header, 54) as usize != PROGRAM_HEADER_BYTES || count == 0 || count > MAX_HEADERS {
            return Err(LoadError::BadHeaders);
        }
        let mut table = vec![0; count * PROGRAM_HEADER_BYTES];
        if table_at > size || read(table_at, &mut table) < table.len() {
            return Err(LoadError::Truncated);
        }
        let mut elf = Self {
            kind,
            entry: word(&header, 24),
            headers_at: 0,
            header_count: count as u64,
            segments: Vec::new(),
            interpreter: None,
            stack_perms: Perms::READ_WRITE,
            alignment: PAGE_BYTES,
        };
        for entry in table.chunks_exact(PROGRAM_HEADER_BYTES) {
            elf.add_header(entry, size)?;
        }
        elf.find_headers(table_at, &table);
        elf.check_segments()?;
        Ok(elf)
    }

    /// The pages from the first to the last segment.
    pub fn span(&self) -> (u64, u64) {
        let first = self.segments.first().map_or(0, |segment| segment.addr / PAGE_BYTES * PAGE_BYTES);
        (first, self.segments.iter().map(Segment::end).max().unwrap_or(first).next_multiple_of(PAGE_BYTES))
    }

    fn add_header(&mut self, entry: &[u8], size: u64) -> Result<(), LoadError> {
        let (offset, file_bytes, memory_bytes) = (word(entry, 8), word(entry, 32), word(entry, 40));
        match long(entry, 0) {
            PT_LOAD if memory_bytes == 0 => {}
            PT_LOAD => {
                if offset.checked_add(file_bytes).is_none_or(|end| end > size) {
                    return Err(LoadError::BeyondFile);
                }
                let perms = perms_of(long(entry, 4));
                let alignment = word(entry, 48);
                if alignment.is_power_of_two() {
                    self.alignment = self.alignment.max(alignment);
                }
                self.segments.push(Segment { addr: word(entry, 16), offset, file_bytes, memory_bytes, perms });
            }
            PT_INTERP if self.interpreter.is_none() => {
                if !(2..=4096).contains(&file_bytes) || offset.checked_add(file_bytes).is_none_or(|end| end > size) {
                    return Err(LoadError::BadInterpreter);
                }
                self.interpreter = Some((offset, file_bytes));
            }
            PT_GNU_STACK if long(entry, 4) & 1 != 0 => self.stack_perms = Perms::ALL,
            _ => {}
        }
        Ok(())
    }

    /// PT_PHDR says where the headers are in memory; else it is where the segment that holds them goes.
    fn find_headers(&mut self, table_at: u64, table: &[u8]) {
        let named = table.chunks_exact(PROGRAM_HEADER_BYTES).find(|entry| long(entry, 0) == PT_PHDR);
        let held = self
            .segments
            .iter()
            .find(|segment| segment.offset <= table_at && table_at - segment.offset < segment.file_bytes);
        self.headers_at = match (named, held) {
            (Some(entry), _) => word(entry, 16),
            (None, Some(segment)) => segment.addr.wrapping_add(table_at - segment.offset),
            (None, None) => 0,
        };
    }

    fn check_segments(&self) -> Result<(), LoadError> {
        if self.segments.is_empty() {
            return Err(LoadError::NoSegments);
        }
        let mut past = 0;
        for segment in &self.segments {
            let end = segment.addr.checked_add(segment.memory_bytes).filter(|end| *end <= TASK_SIZE);
            if end.is_none() || segment.file_bytes > segment.memory_bytes {
                return Err(LoadError::BadSegment);
            }
            if segment.addr % PAGE_BYTES != segment.offset % PAGE_BYTES && segment.file_bytes > 0 {
                return Err(LoadError::BadSegment);
            }
            if segment.addr < past {
                return Err(LoadError::OverlappingSegments);
            }
            past = segment.end();
        }
        Ok(())
    }
}

impl Segment {
    /// The first byte past it.
    pub fn end(&self) -> u64 {
        self.addr + self.memory_bytes
    }
}

fn perms_of(flags: u32) -> Perms {
    [(4, Perms::READ), (2, Perms::WRITE), (1, Perms::EXECUTE)]
        .into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .fold(Perms::NONE, |perms, (_, perm)| perms.union(perm))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(kind: u16, machine: u16, headers: &[[u64; 7]]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[16..18].copy_from_slice(&kind.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&(headers.len() as u16).to_le_bytes());
        for [kind_flags, rest @ ..] in headers {
            bytes.extend(kind_flags.to_le_bytes());
            rest.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        }
        bytes.resize(bytes.len().max(0x1000), 0);
        bytes
    }

    fn parse(bytes: &[u8]) -> Result<Elf, LoadError> {
        Elf::parse(bytes.len() as u64, |offset, to| {
            let from = bytes.get(offset as usize..).unwrap_or_default();
            let count = from.len().min(to.len());
            to[..count].copy_from_slice(&from[..count]);
            count
        })
    }

    /// kind and flags, offset, vaddr, paddr, filesz, memsz, align
    fn load(offset: u64, addr: u64, file_bytes: u64, memory_bytes: u64) -> [u64; 7] {
        [1 | 5 << 32, offset, addr, addr, file_bytes, memory_bytes, 0x1000]
    }

    #[test]
    fn a_static_program_is_understood() {
        let elf = parse(&file(ET_EXEC, EM_X86_64, &[load(0, 0x40_0000, 0x1000, 0x2345)])).unwrap();
        assert_eq!((elf.kind, elf.entry, elf.span()), (Kind::Fixed, 0x40_1000, (0x40_0000, 0x40_3000)));
        assert_eq!(elf.headers_at, 0x40_0040);
        assert_eq!(elf.segments[0].perms, Perms::READ_EXECUTE);
    }

    #[test]
    fn each_defect_has_its_own_error() {
        let good = load(0, 0x40_0000, 0x1000, 0x1000);
        let cases = [
            (b"#!/bin/sh\n".to_vec(), LoadError::NotElf),
            (Vec::new(), LoadError::NotElf),
            (b"\x7fELF\x02\x01".to_vec(), LoadError::Truncated),
            (file(ET_EXEC, 183, &[good]), LoadError::OtherArchitecture(Architecture { machine: 183, ..X86_64 })),
            (file(1, EM_X86_64, &[good]), LoadError::NotProgram),
            (file(ET_EXEC, EM_X86_64, &[]), LoadError::BadHeaders),
            (file(ET_EXEC, EM_X86_64, &[[6, 0, 0, 0, 0, 0, 0]]), LoadError::NoSegments),
            (file(ET_EXEC, EM_X86_64, &[load(0, 0x40_0000, 0x2000, 0x2000)]), LoadError::BeyondFile),
            (file(ET_EXEC, EM_X86_64, &[load(0, 0x40_0000, 0x1000, 0x800)]), LoadError::BadSegment),
            (file(ET_EXEC, EM_X86_64, &[load(0, u64::MAX - 0xfff, 0x1000, 0x1000)]), LoadError::BadSegment),
            (file(ET_EXEC, EM_X86_64, &[load(1, 0x40_0000, 0x100, 0x1000)]), LoadError::BadSegment),
            (file(ET_EXEC, EM_X86_64, &[good, load(0, 0x40_0000, 0x10, 0x10)]), LoadError::OverlappingSegments),
            (file(ET_EXEC, EM_X86_64, &[good, [3, 0x900, 0, 0, 0x2000, 0, 1]]), LoadError::BadInterpreter),
        ];
        for (bytes, error) in cases {
            assert_eq!(parse(&bytes).unwrap_err(), error);
        }
    }

    #[test]
    fn no_prefix_of_a_program_panics() {
        let whole = file(ET_DYN, EM_X86_64, &[load(0, 0, 0x1000, 0x2000), [0x6474_e551 | 7 << 32, 0, 0, 0, 0, 0, 16]]);
        assert_eq!(parse(&whole).unwrap().stack_perms, Perms::ALL);
        for length in 0..0x1000 {
            assert!(parse(&whole[..length]).is_err());
        }
    }
}
