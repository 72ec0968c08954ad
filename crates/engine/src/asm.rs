//! The few host instructions that the translator adds, as bytes (SDM vol. 2).
//!
//! Everything that belongs to the virtual CPU is addressed through `gs`, by displacement or by one register and a
//! displacement.

use crate::context::Slot;

/// A host register number as instructions encode it.
pub type Reg = u8;

pub const RAX: Reg = 0;
pub const RCX: Reg = 1;
pub const RDX: Reg = 2;
pub const RSP: Reg = 4;
pub const RBP: Reg = 5;

/// Condition codes (SDM vol. 1, appendix B).
pub const CC_NOT_EQUAL: u8 = 5;
pub const CC_BELOW_OR_EQUAL: u8 = 6;
pub const CC_ABOVE: u8 = 7;
pub const CC_SIGN: u8 = 8;

/// A memory operand that is not the virtual CPU's: `[base + index * scale + disp]`.
#[derive(Clone, Copy, Debug)]
pub struct Mem {
    pub base: Option<Reg>,
    pub index: Option<Reg>,
    /// 1, 2, 4 or 8.
    pub scale: u8,
    pub disp: i32,
}

/// Where in `gs` an operand lies: a displacement, or a register and a displacement.
#[derive(Clone, Copy, Debug)]
pub enum Gs {
    At(i32),
    Indexed(Reg, i32),
}

impl From<Slot> for Gs {
    fn from(slot: Slot) -> Self {
        Gs::At(slot.offset())
    }
}

/// The width of an integer operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Width {
    B32,
    B64,
}

/// Bytes under construction for a place in the code cache.
pub struct Assembler {
    bytes: Vec<u8>,
    /// The host address of the first byte.
    origin: u64,
}

impl Assembler {
    pub fn new(buffer: Vec<u8>, origin: u64) -> Self {
        let mut bytes = buffer;
        bytes.clear();
        Self { bytes, origin }
    }

    /// Another origin, on which nothing of what there is so far depends.
    pub fn move_to(&mut self, origin: u64) {
        self.origin = origin;
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where further bytes are appended.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }

    /// The offset of the next byte from the origin.
    pub fn here(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// The host address of the next byte.
    pub fn address(&self) -> u64 {
        self.origin + self.bytes.len() as u64
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn dword(&mut self, value: i32) {
        self.raw(&value.to_le_bytes());
    }

    /// Appends up to eight bytes at once.
    #[inline]
    fn put(&mut self, few: Few) {
        let end = self.bytes.len() + few.len as usize;
        self.bytes.extend_from_slice(&few.bytes.to_le_bytes());
        self.bytes.truncate(end);
    }

    /// `mov to, from`.
    pub fn mov(&mut self, width: Width, to: Reg, from: Reg) {
        self.put(Few::rex(width, from, 0, to).byte(0x89).byte(0xc0 | (from & 7) << 3 | to & 7));
    }

    /// `mov to, value` in the shortest form that leaves the flags alone.
    pub fn mov_imm(&mut self, to: Reg, value: u64) {
        if let Ok(value) = u32::try_from(value) {
            self.put(Few::rex(Width::B32, 0, 0, to).byte(0xb8 | to & 7).dword(value as i32));
        } else if i64::from(value as i32) as u64 == value {
            self.put(Few::rex(Width::B64, 0, 0, to).byte(0xc7).byte(0xc0 | to & 7).dword(value as i32));
        } else {
            self.put(Few::rex(Width::B64, 0, 0, to).byte(0xb8 | to & 7));
            self.raw(&value.to_le_bytes());
        }
    }

    /// `lea to, [mem]`; with 32 bits the sum is truncated and zero-extended.
    pub fn lea(&mut self, width: Width, to: Reg, mem: Mem) {
        self.mem_op(width, 0x8d, to, mem);
    }

    /// `mov to, [at]`, 64 bits.
    pub fn load(&mut self, to: Reg, at: impl Into<At>) {
        self.mem_op(Width::B64, 0x8b, to, at.into().into());
    }

    /// `mov [at], from`, 64 bits.
    pub fn store(&mut self, at: impl Into<At>, from: Reg) {
        self.mem_op(Width::B64, 0x89, from, at.into().into());
    }

    /// `mov qword [at], value`, sign-extended.
    pub fn store_imm(&mut self, at: impl Into<At>, value: i32) {
        self.mem_op(Width::B64, 0xc7, 0, at.into().into());
        self.dword(value);
    }

    /// `mov to, gs:[..]`.
    pub fn load_gs(&mut self, width: Width, to: Reg, from: impl Into<Gs>) {
        self.gs_op(width, 0x8b, to, from.into());
    }

    /// `mov gs:[..], from`.
    pub fn store_gs(&mut self, width: Width, to: impl Into<Gs>, from: Reg) {
        self.gs_op(width, 0x89, from, to.into());
    }

    /// `mov dword gs:[..], value`.
    pub fn store_gs_imm(&mut self, to: impl Into<Gs>, value: u32) {
        self.gs_op(Width::B32, 0xc7, 0, to.into());
        self.raw(&value.to_le_bytes());
    }

    /// `add to, gs:[..]`, 64 bits.
    pub fn add_gs(&mut self, to: Reg, from: impl Into<Gs>) {
        self.gs_op(Width::B64, 0x03, to, from.into());
    }

    /// `cmp gs:[..], value`, sign-extended.
    pub fn cmp_gs_imm(&mut self, width: Width, left: impl Into<Gs>, value: i32) {
        if let Ok(value) = i8::try_from(value) {
            self.gs_op(width, 0x83, 7, left.into());
            self.raw(&[value as u8]);
        } else {
            self.gs_op(width, 0x81, 7, left.into());
            self.dword(value);
        }
    }

    /// `sub dword gs:[..], 1`.
    pub fn decrement_gs(&mut self, at: impl Into<Gs>) {
        self.gs_op(Width::B32, 0x83, 5, at.into());
        self.raw(&[1]);
    }

    /// `movzx reg, reg16`, 32 bits.
    pub fn zero_extend16(&mut self, to: Reg, from: Reg) {
        let modrm = 0xc0 | (to & 7) << 3 | from & 7;
        self.put(Few::rex(Width::B32, to, 0, from).byte(0x0f).byte(0xb7).byte(modrm));
    }

    /// `jmp gs:[index * 8 + disp]`.
    pub fn jmp_gs_scaled(&mut self, index: Reg, disp: i32) {
        let sib = 0xc5 | (index & 7) << 3;
        self.put(Few::rex(Width::B32, 0, index, 0).byte(0xff).byte(0x24).byte(sib).after_byte(0x65));
        self.dword(disp);
    }

    /// `jmp gs:[..]`.
    pub fn jmp_gs(&mut self, to: impl Into<Gs>) {
        // An indirect jump is 64 bits wide without REX.W.
        self.gs_op(Width::B32, 0xff, 4, to.into());
    }

    /// `push qword gs:[..]` or, with `/0` of opcode 8F, `pop`.
    pub fn push_gs(&mut self, from: impl Into<Gs>) {
        self.gs_op(Width::B32, 0xff, 6, from.into());
    }

    pub fn pop_gs(&mut self, to: impl Into<Gs>) {
        self.gs_op(Width::B32, 0x8f, 0, to.into());
    }

    /// `ldmxcsr gs:[..]`.
    pub fn ldmxcsr_gs(&mut self, from: impl Into<Gs>) {
        self.gs_op_0f(0xae, 2, from.into());
    }

    /// `stmxcsr gs:[..]`.
    pub fn stmxcsr_gs(&mut self, to: impl Into<Gs>) {
        self.gs_op_0f(0xae, 3, to.into());
    }

    /// `vmovdqu ymm, gs:[..]`.
    pub fn load_ymm_gs(&mut self, ymm: u8, from: i32) {
        self.vex_gs(0x6f, ymm, from);
    }

    /// `vmovdqu gs:[..], ymm`.
    pub fn store_ymm_gs(&mut self, to: i32, ymm: u8) {
        self.vex_gs(0x7f, ymm, to);
    }

    /// `movups xmm, gs:[..]` (0x10) or the store (0x11), for hosts without AVX.
    pub fn load_xmm_gs(&mut self, xmm: u8, from: i32) {
        self.xmm_gs(0x10, xmm, from);
    }

    pub fn store_xmm_gs(&mut self, to: i32, xmm: u8) {
        self.xmm_gs(0x11, xmm, to);
    }

    /// `shr reg, count`, 32 bits.
    pub fn shr32(&mut self, reg: Reg, count: u8) {
        self.put(Few::rex(Width::B32, 0, 0, reg).byte(0xc1).byte(0xe8 | reg & 7).byte(count));
    }

    /// `and reg, mask`, 32 bits.
    pub fn and32(&mut self, reg: Reg, mask: u32) {
        self.alu_imm(Width::B32, 4, reg, mask as i32);
    }

    /// `cmp reg, value`, 64 bits.
    pub fn cmp(&mut self, reg: Reg, value: i32) {
        self.alu_imm(Width::B64, 7, reg, value);
    }

    /// `cmp left, right`, of 64 bits.
    pub fn cmp_registers(&mut self, left: Reg, right: Reg) {
        self.put(Few::rex(Width::B64, right, 0, left).byte(0x39).byte(0xc0 | (right & 7) << 3 | left & 7));
    }

    /// Saves SF, ZF, AF, PF, CF in AH and OF in AL; no flag changes.
    pub fn flags_to_ax(&mut self) {
        self.raw(&[0x9f, 0x0f, 0x90, 0xc0]); // lahf; seto al
    }

    /// The reverse of [`Assembler::flags_to_ax`]: 0x7f + 1 overflows, 0x7f + 0 does not.
    pub fn ax_to_flags(&mut self) {
        self.raw(&[0x04, 0x7f, 0x9e]); // add al, 0x7f; sahf
    }

    /// `jmp target`, rel32; returns the offset of the displacement.
    pub fn jmp(&mut self, target: u64) -> u32 {
        self.jump(Few::default().byte(0xe9), target)
    }

    /// `jcc target`, rel32, with the condition code of the opcode's low nibble; returns the offset of the displacement.
    pub fn jcc(&mut self, condition: u8, target: u64) -> u32 {
        self.jump(Few::default().byte(0x0f).byte(0x80 | condition), target)
    }

    /// A short forward jump (opcode `EB`, `E3` for jrcxz, `70 | cc`); returns what [`Assembler::bind_short`] takes.
    pub fn short(&mut self, opcode: u8) -> u32 {
        self.raw(&[opcode, 0]);
        self.here()
    }

    /// Makes a short jump land here.
    pub fn bind_short(&mut self, jump: u32) {
        let distance = self.here() - jump;
        self.bytes[jump as usize - 1] =
            u8::try_from(distance).ok().filter(|&d| d < 128).expect("a short jump is short");
    }

    /// Makes the rel32 at `at` lead to an address.
    pub fn patch_rel32(&mut self, at: u32, target: u64) {
        let relative = rel32(self.origin + u64::from(at), target);
        self.bytes[at as usize..at as usize + 4].copy_from_slice(&relative);
    }

    #[inline]
    fn jump(&mut self, opcode: Few, target: u64) -> u32 {
        let at = self.here() + opcode.len;
        let relative = rel32(self.origin + u64::from(at), target);
        self.put(opcode.dword(i32::from_le_bytes(relative)));
        at
    }

    #[inline]
    fn alu_imm(&mut self, width: Width, operation: u8, reg: Reg, value: i32) {
        let head = Few::rex(width, 0, 0, reg);
        let modrm = 0xc0 | operation << 3 | reg & 7;
        self.put(match i8::try_from(value) {
            Ok(value) => head.byte(0x83).byte(modrm).byte(value as u8),
            Err(_) => head.byte(0x81).byte(modrm).dword(value),
        });
    }

    #[inline]
    fn mem_op(&mut self, width: Width, opcode: u8, reg: Reg, mem: Mem) {
        let head = Few::rex(width, reg, mem.index.unwrap_or(0), mem.base.unwrap_or(0)).byte(opcode);
        self.put(head.modrm(reg, mem));
    }

    #[inline]
    fn gs_op(&mut self, width: Width, opcode: u8, reg: Reg, at: Gs) {
        self.put(Few::rex(width, reg, 0, at.base()).byte(opcode).after_byte(0x65));
        self.gs_modrm(reg, at);
    }

    fn gs_op_0f(&mut self, opcode: u8, reg: Reg, at: Gs) {
        self.put(Few::rex(Width::B32, reg, 0, at.base()).byte(0x0f).byte(opcode).after_byte(0x65));
        self.gs_modrm(reg, at);
    }

    #[inline]
    fn gs_modrm(&mut self, reg: Reg, at: Gs) {
        let field = (reg & 7) << 3;
        self.put(match at {
            Gs::At(disp) => Few::default().byte(field | 4).byte(0x25).dword(disp),
            Gs::Indexed(base, disp) if base & 7 == RSP => {
                Few::default().byte(0x80 | field | RSP).byte(0x24).dword(disp)
            }
            Gs::Indexed(base, disp) => Few::default().byte(0x80 | field | base & 7).dword(disp),
        });
    }

    /// VEX.256.F3.0F (SDM vol. 2, 2.3.5): R inverted, vvvv unused, L 1, pp 2.
    fn vex_gs(&mut self, opcode: u8, ymm: u8, disp: i32) {
        self.raw(&[0x65, 0xc5, if ymm < 8 { 0xfe } else { 0x7e }, opcode]);
        self.gs_modrm(ymm, Gs::At(disp));
    }

    fn xmm_gs(&mut self, opcode: u8, xmm: u8, disp: i32) {
        self.gs_op_0f(opcode, xmm, Gs::At(disp));
    }
}

/// Up to eight bytes.
#[derive(Clone, Copy, Default)]
struct Few {
    bytes: u64,
    len: u32,
}

impl Few {
    #[inline]
    fn byte(self, byte: u8) -> Self {
        Self { bytes: self.bytes | u64::from(byte) << (8 * self.len), len: self.len + 1 }
    }

    #[inline]
    fn dword(self, value: i32) -> Self {
        Self { bytes: self.bytes | u64::from(value as u32) << (8 * self.len), len: self.len + 4 }
    }

    /// The same after another byte.
    #[inline]
    fn after_byte(self, byte: u8) -> Self {
        Self { bytes: self.bytes << 8 | u64::from(byte), len: self.len + 1 }
    }

    /// A REX prefix where one is needed: W, and the fourth bits of the reg, index and base fields.
    #[inline]
    fn rex(width: Width, reg: Reg, index: Reg, base: Reg) -> Self {
        let w = u8::from(width == Width::B64) << 3;
        let rex = w | (reg >> 3) << 2 | (index >> 3) << 1 | base >> 3;
        if rex == 0 { Self::default() } else { Self::default().byte(0x40 | rex) }
    }

    /// ModRM, SIB and displacement (SDM vol. 2, tables 2-2 and 2-3).
    #[inline]
    fn modrm(self, reg: Reg, mem: Mem) -> Self {
        let field = (reg & 7) << 3;
        let Some(base) = mem.base else {
            // mod 00 with SIB base 101: index and a 32-bit displacement, no base.
            let sib = scale_bits(mem.scale) << 6 | mem.index.map_or(4, |i| i & 7) << 3 | 5;
            return self.byte(field | 4).byte(sib).dword(mem.disp);
        };
        let has_sib = mem.index.is_some() || base & 7 == RSP;
        let rm = base & 7;
        let mode = match mem.disp {
            0 if rm != RBP => 0x00,
            -128..=127 => 0x40,
            _ => 0x80,
        };
        let start = if has_sib {
            let sib = scale_bits(mem.scale) << 6 | mem.index.map_or(4, |i| i & 7) << 3 | rm;
            self.byte(mode | field | 4).byte(sib)
        } else {
            self.byte(mode | field | rm)
        };
        match mode {
            0x00 => start,
            0x40 => start.byte(mem.disp as u8),
            _ => start.dword(mem.disp),
        }
    }
}

impl Gs {
    fn base(self) -> Reg {
        match self {
            Gs::At(_) => 0,
            Gs::Indexed(base, _) => base,
        }
    }
}

/// The host operand of an access: `[pointer + disp]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// Holds a host address.
    pub pointer: Reg,
    pub disp: i32,
}

impl From<Reg> for At {
    fn from(pointer: Reg) -> Self {
        Self { pointer, disp: 0 }
    }
}

impl From<At> for Mem {
    fn from(at: At) -> Self {
        Self { base: Some(at.pointer), index: None, scale: 1, disp: at.disp }
    }
}

/// The rel32 that, lying at host address `at`, leads to `target`.
pub fn rel32(at: u64, target: u64) -> [u8; 4] {
    let distance = target.wrapping_sub(at + 4) as i64;
    i32::try_from(distance).expect("the code cache is smaller than 2 GiB").to_le_bytes()
}

fn scale_bits(scale: u8) -> u8 {
    scale.trailing_zeros() as u8
}

#[cfg(test)]
mod tests;
