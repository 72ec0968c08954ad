//! Where the parts of an instruction lie in its bytes, and the same instruction with another memory operand.
//!
//! ```text
//! [legacy prefixes] [REX] [0F [38|3A]] opcode ModRM [SIB] [disp] [immediate]
//! [legacy prefixes] C5 RvvvvLpp | C4 RXBmmmmm WvvvvLpp   opcode ModRM [SIB] [disp] [immediate]
//! ```
//! Only ModRM, SIB and displacement are replaced, the address-size and segment prefixes dropped, and REX.X and REX.B
//! (or their VEX namesakes) set for the new base. Everything else is copied as it stands (SDM vol. 2, chapter 2).

use crate::asm::{At, RBP, RSP};

/// How the opcode is introduced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lead {
    /// No REX, or REX with its byte.
    Legacy(Option<u8>),
    /// The two-byte VEX prefix, its payload.
    Vex2(u8),
    /// The three-byte VEX prefix, its payload.
    Vex3(u8, u8),
}

/// The bytes of an instruction taken apart.
pub struct Layout<'a> {
    prefixes: &'a [u8],
    lead: Lead,
    /// Opcode bytes, escape bytes included.
    opcode: &'a [u8],
    modrm: u8,
    immediate: &'a [u8],
}

impl<'a> Layout<'a> {
    /// Takes the bytes of one instruction that has a ModRM byte apart; they were decoded before, so they are whole.
    pub fn of(bytes: &'a [u8]) -> Self {
        let (prefixes, rest) = bytes.split_at(prefix_bytes(bytes));
        let (lead, opcode_start) = match *rest {
            [0xc5, payload, ..] => (Lead::Vex2(payload), 2),
            [0xc4, first, second, ..] => (Lead::Vex3(first, second), 3),
            [rex, ..] if is_rex(rex) => (Lead::Legacy(Some(rex)), 1),
            _ => (Lead::Legacy(None), 0),
        };
        let rest = &rest[opcode_start..];
        let opcode_bytes = match (lead, rest) {
            (Lead::Vex2(_) | Lead::Vex3(..), _) => 1,
            (_, [0x0f, 0x38 | 0x3a, ..]) => 3,
            (_, [0x0f, ..]) => 2,
            _ => 1,
        };
        let (opcode, rest) = rest.split_at(opcode_bytes);
        let immediate = &rest[memory_operand_bytes(rest)..];
        Self { prefixes, lead, opcode, modrm: rest[0], immediate }
    }

    /// The instruction with another memory operand.
    pub fn with_base(&self, at: At, out: &mut Vec<u8>) {
        let At { pointer: base, disp } = at;
        let is_dropped = |byte: u8| is_rex(byte) || matches!(byte, 0x67 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65);
        out.extend(self.prefixes.iter().filter(|byte| !is_dropped(**byte)));
        let extended = base >> 3;
        match self.lead {
            Lead::Legacy(rex) => {
                let rex = rex.map_or(0, |rex| 0x40 | rex & 0b1100) | if extended != 0 { 0x41 } else { 0 };
                if rex != 0 {
                    out.push(rex);
                }
            }
            // R and vvvv and L and pp keep; the three-byte form has X, B (inverted) and map 0F.
            Lead::Vex2(payload) if extended != 0 => out.extend([0xc4, payload & 0x80 | 0x41, payload & 0x7f]),
            Lead::Vex2(payload) => out.extend([0xc5, payload]),
            Lead::Vex3(first, second) => out.extend([0xc4, first & 0x9f | 0x40 | u8::from(extended == 0) << 5, second]),
        }
        out.extend(self.opcode);
        let reg_field = self.modrm & 0x38;
        let mode = match disp {
            0 if base & 7 != RBP => 0x00,
            -128..=127 => 0x40,
            _ => 0x80,
        };
        out.push(mode | reg_field | base & 7);
        if base & 7 == RSP {
            out.push(0x24);
        }
        match mode {
            0x00 => {}
            0x40 => out.push(disp as u8),
            _ => out.extend(disp.to_le_bytes()),
        }
        out.extend(self.immediate);
    }
}

/// Whether an instruction names AH, CH, DH or BH.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HighByte {
    /// It does; no REX prefix may be added.
    Yes,
    /// It does not.
    No,
}

/// How many bytes precede the opcode of an instruction without VEX: prefixes, and REX.
pub fn opcode_offset(bytes: &[u8]) -> usize {
    let prefixes = prefix_bytes(bytes);
    prefixes + usize::from(bytes.get(prefixes).is_some_and(|byte| is_rex(*byte)))
}

/// Bytes of prefixes: legacy ones, and each REX that another prefix follows, which is without effect (SDM vol. 2, 2.2.1).
fn prefix_bytes(bytes: &[u8]) -> usize {
    let is_prefix = |byte: u8| is_legacy_prefix(byte) || is_rex(byte);
    let end = bytes.iter().take_while(|byte| is_prefix(**byte)).count();
    if end > 0 && is_rex(bytes[end - 1]) { end - 1 } else { end }
}

/// How many prefixes other than REX come first.
pub fn legacy_prefix_bytes(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| is_legacy_prefix(**byte)).count()
}

fn is_rex(byte: u8) -> bool {
    matches!(byte, 0x40..=0x4f)
}

fn is_legacy_prefix(byte: u8) -> bool {
    matches!(byte, 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65)
}

/// Bytes of ModRM, SIB and displacement (SDM vol. 2, table 2-2).
fn memory_operand_bytes(rest: &[u8]) -> usize {
    let modrm = rest[0];
    let (mode, rm) = (modrm >> 6, modrm & 7);
    let sib = usize::from(mode != 3 && rm == 4);
    let disp = match (mode, rm) {
        (0, 5) => 4,
        (0, 4) if rest[1] & 7 == 5 => 4,
        (1, _) => 1,
        (2, _) => 4,
        _ => 0,
    };
    1 + sib + disp
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asm::Reg;
    use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

    fn rebased(bytes: &[u8], base: Reg) -> String {
        moved(bytes, base, 0)
    }

    fn moved(bytes: &[u8], base: Reg, disp: i32) -> String {
        let mut out = Vec::new();
        Layout::of(bytes).with_base(At { pointer: base, disp }, &mut out);
        let mut decoder = Decoder::with_ip(64, &out, 0, DecoderOptions::NONE);
        let instruction = decoder.decode();
        assert_eq!(instruction.len(), out.len(), "nothing is left over of {out:02x?}");
        let mut text = String::new();
        NasmFormatter::new().format(&instruction, &mut text);
        text
    }

    #[test]
    fn a_rex_before_another_prefix_is_none() {
        assert_eq!(rebased(&[0x48, 0x66, 0x8b, 0x07], 3), "mov ax,[rbx]");
        assert_eq!(rebased(&[0x4f, 0x48, 0x8b, 0x07], 3), "mov rax,[rbx]");
        assert_eq!(opcode_offset(&[0x48, 0x67, 0xa1, 1, 2, 3, 4]), 2);
        assert_eq!(opcode_offset(&[0x26, 0x26, 0x67, 0x48, 0xa1, 1, 2, 3, 4]), 4);
    }

    #[test]
    fn only_the_memory_operand_changes() {
        assert_eq!(rebased(&[0x8b, 0x84, 0x8b, 0x10, 0, 0, 0], 8), "mov eax,[r8]");
        assert_eq!(rebased(&[0x4e, 0x8b, 0x04, 0x28], 1), "mov r8,[rcx]");
        assert_eq!(rebased(&[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], 12), "mov rax,[r12]");
        assert_eq!(rebased(&[0xf3, 0x0f, 0x10, 0x05, 1, 2, 3, 4], 13), "movss xmm0,[r13]");
        assert_eq!(rebased(&[0xc5, 0xfc, 0x28, 0x44, 0x24, 0x40], 9), "vmovaps ymm0,[r9]");
        assert_eq!(rebased(&[0xc5, 0x7c, 0x28, 0x44, 0x24, 0x40], 1), "vmovaps ymm8,[rcx]");
        assert_eq!(rebased(&[0xc4, 0xc3, 0x7d, 0x4a, 0x14, 0x24, 0x30], 2), "vblendvps ymm2,ymm0,[rdx],ymm3");
        assert_eq!(rebased(&[0xc4, 0xe2, 0xf1, 0xf7, 0x03], 10), "shlx rax,[r10],rcx");
        assert_eq!(rebased(&[0x66, 0x0f, 0x3a, 0x0f, 0x07, 0x05], 11), "palignr xmm0,[r11],5");
        assert_eq!(rebased(&[0xf0, 0x48, 0x0f, 0xc7, 0x0f], 6), "lock cmpxchg16b [rsi]");
        assert_eq!(rebased(&[0x81, 0x45, 0xfc, 1, 0, 0, 0], 5), "add dword [rbp],1");
        assert_eq!(rebased(&[0xdd, 0x45, 0xf8], 0), "fld qword [rax]");
        assert_eq!(rebased(&[0x8a, 0x20], 7), "mov ah,[rdi]");
        assert_eq!(moved(&[0x81, 0x45, 0xfc, 1, 0, 0, 0], 13, -8), "add dword [r13-8],1");
        assert_eq!(moved(&[0x8b, 0x84, 0x8b, 0x10, 0, 0, 0], 12, 0x123), "mov eax,[r12+123h]");
    }
}
