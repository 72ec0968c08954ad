//! One random instruction of a given form.

use super::arena::{CODE, WINDOWS};
use super::operands::{self, ALL_POINTERS, IndexLanes, Pointers};
use super::state::random_integer;
use crate::random::Random;
use addr::{Gpr, PAGE_BYTES, Registers, VirtAddr};
use iced_x86::{Code, Instruction, Mnemonic, OpCodeOperandKind, OpKind, Register};

/// Where indirect branches go: a part of the code pages that holds nothing but traps.
pub const LANDING: u64 = 0x1800;
/// Bytes that an operand without a declared size may touch at most.
const UNSIZED_BYTES: u64 = 64;

/// What an instruction may use.
pub struct Setting<'a> {
    /// Registers that addresses are made of.
    pub pointers: &'a Pointers,
    /// Whether other operands may be those too. Later instructions of a sequence find them as they were then.
    pub destinations: Destinations,
    /// Where direct branches go.
    pub landing: VirtAddr,
}

/// Which registers may be named outside of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Destinations {
    /// All.
    Any,
    /// Those that no address is made of.
    NotPointers,
}

impl Setting<'static> {
    /// For an instruction on its own at `at`: its branches go a little further on.
    pub fn alone(at: VirtAddr) -> Self {
        Self { pointers: ALL_POINTERS, destinations: Destinations::Any, landing: at + 64 }
    }
}

/// An instruction of the form, with the registers set such that its operands are where they were meant to be.
/// It may turn out not to be encodable.
pub fn random_instruction(
    random: &mut Random,
    code: Code,
    setting: &Setting<'_>,
    registers: &mut Registers,
) -> Instruction {
    let form = code.op_code();
    let mut instruction = Instruction::default();
    instruction.set_code(code);
    set_implicit_pointers(random, code, registers);
    for (index, kind) in form.op_kinds().iter().enumerate() {
        Operand { random, setting, registers, instruction: &mut instruction, index: index as u32 }.set(*kind);
    }
    set_prefixes(random, &mut instruction, registers);
    instruction
}

/// Registers that the form uses without naming them point where it can go well.
fn set_implicit_pointers(random: &mut Random, code: Code, registers: &mut Registers) {
    let form = code.op_code();
    let mnemonic = form.mnemonic();
    if form.instruction_string().contains("m8") && matches!(mnemonic, Mnemonic::Xlatb) {
        registers.set(Gpr::Rbx, operands::random_place(random, 256).get());
    }
    if matches!(mnemonic, Mnemonic::Leave | Mnemonic::Enter) {
        registers.set(Gpr::Rbp, operands::random_place(random, 64).get());
    }
    if matches!(mnemonic, Mnemonic::Div | Mnemonic::Idiv) && random.percent(70) {
        // A small dividend, or most divisions overflow.
        registers.set(Gpr::Rdx, if random.percent(50) { 0 } else { random.below(16) });
    }
    if matches!(mnemonic, Mnemonic::Maskmovq | Mnemonic::Maskmovdqu | Mnemonic::Vmaskmovdqu) {
        registers.set(Gpr::Rdi, operands::random_place(random, 16).get());
    }
}

fn set_prefixes(random: &mut Random, instruction: &mut Instruction, registers: &mut Registers) {
    let form = instruction.code().op_code();
    if form.require_op_mask_register() || form.can_use_op_mask_register() && random.percent(50) {
        instruction.set_op_mask(Register::K1 + random.below(7) as u32);
    }
    let is_read_modify_write = instruction.op_count() > 0 && instruction.op0_kind() == OpKind::Memory;
    if form.can_use_lock_prefix() && is_read_modify_write && random.percent(30) {
        instruction.set_has_lock_prefix(true);
    }
    if instruction.is_string_instruction() && random.percent(60) {
        if form.can_use_rep_prefix() {
            instruction.set_has_rep_prefix(true);
        }
        if form.can_use_repne_prefix() && random.percent(50) {
            instruction.set_has_rep_prefix(false);
            instruction.set_has_repne_prefix(true);
        }
        // Long enough to leave a page now and then; never so long that a case takes time.
        let count = if random.percent(90) { random.below(20) } else { random.below(3000) };
        registers.set(Gpr::Rcx, count);
    }
}

/// One operand of an instruction under construction.
struct Operand<'a, 's> {
    random: &'a mut Random,
    setting: &'a Setting<'s>,
    registers: &'a mut Registers,
    instruction: &'a mut Instruction,
    index: u32,
}

impl Operand<'_, '_> {
    fn set(&mut self, kind: OpCodeOperandKind) {
        use OpCodeOperandKind as K;
        match kind {
            K::mem | K::mem_mib | K::sibmem => self.memory(),
            K::mem_offs => self.absolute(),
            K::mem_vsib32x => self.gather(Register::XMM0, IndexLanes::Doublewords),
            K::mem_vsib32y => self.gather(Register::YMM0, IndexLanes::Doublewords),
            K::mem_vsib64x => self.gather(Register::XMM0, IndexLanes::Quadwords),
            K::mem_vsib64y => self.gather(Register::YMM0, IndexLanes::Quadwords),
            K::mem_vsib32z => self.gather(Register::ZMM0, IndexLanes::Doublewords),
            K::mem_vsib64z => self.gather(Register::ZMM0, IndexLanes::Quadwords),
            K::seg_rSI => self.string(OpKind::MemorySegRSI, OpKind::MemorySegESI, Gpr::Rsi),
            K::es_rDI => self.string(OpKind::MemoryESRDI, OpKind::MemoryESEDI, Gpr::Rdi),
            K::seg_rDI => self.instruction.set_op_kind(self.index, OpKind::MemorySegRDI),
            K::seg_rBX_al => self.table(),
            K::br64_1 | K::br64_4 => self.branch(),
            kind => match of_register_or_memory(kind) {
                Some(_) if self.random.percent(60) => self.memory(),
                Some(first) => self.register(first),
                None => self.register_or_immediate(kind),
            },
        }
    }

    fn register_or_immediate(&mut self, kind: OpCodeOperandKind) {
        use OpCodeOperandKind as K;
        match fixed_or_first_register(kind) {
            Some((register, Choice::Fixed)) => self.put_register(register),
            Some((first, Choice::Any)) => self.register(first),
            None => {
                let (op_kind, value) = match kind {
                    K::imm8_const_1 => (OpKind::Immediate8, 1),
                    K::imm8 => (self.second_immediate(), self.random.below(256)),
                    K::imm8sex16 => (OpKind::Immediate8to16, random_integer(self.random) as i8 as u64),
                    K::imm8sex32 => (OpKind::Immediate8to32, random_integer(self.random) as i8 as u64),
                    K::imm8sex64 => (OpKind::Immediate8to64, random_integer(self.random) as i8 as u64),
                    K::imm16 => (OpKind::Immediate16, self.small_or_any(0xffff)),
                    K::imm32 => (OpKind::Immediate32, random_integer(self.random) & 0xffff_ffff),
                    K::imm32sex64 => (OpKind::Immediate32to64, random_integer(self.random) as i32 as u64),
                    K::imm64 => (OpKind::Immediate64, random_integer(self.random)),
                    other => unreachable!("no announced form has an operand {other:?}"),
                };
                self.put_immediate(op_kind, value);
            }
        }
    }

    fn put_immediate(&mut self, kind: OpKind, value: u64) {
        self.instruction.set_op_kind(self.index, kind);
        self.instruction.set_immediate_u64(self.index, value);
    }

    /// `enter` and `extrq` have two immediates; iced tells the second apart.
    fn second_immediate(&self) -> OpKind {
        let has_first = self.index > 0 && self.instruction.op_kind(self.index - 1) == OpKind::Immediate16;
        if has_first { OpKind::Immediate8_2nd } else { OpKind::Immediate8 }
    }

    fn small_or_any(&mut self, mask: u64) -> u64 {
        if self.random.percent(70) { self.random.below(64) } else { self.random.word() & mask }
    }

    fn memory(&mut self) {
        self.instruction.set_op_kind(self.index, OpKind::Memory);
        if self.setting.destinations == Destinations::NotPointers {
            return operands::near_pointer(self.random, self.instruction, self.setting.pointers);
        }
        let target = operands::random_place(self.random, self.bytes());
        operands::random_address(self.random, self.instruction, target, self.setting.pointers, self.registers);
    }

    fn absolute(&mut self) {
        self.instruction.set_op_kind(self.index, OpKind::Memory);
        let target = operands::random_place(self.random, self.bytes());
        operands::absolute_wide(self.instruction, target);
    }

    fn gather(&mut self, first: Register, lanes: IndexLanes) {
        self.instruction.set_op_kind(self.index, OpKind::Memory);
        let target = operands::random_place(self.random, 8);
        let index = first + self.random.below(16) as u32;
        operands::random_gather(self.random, self.instruction, target, index, lanes, self.registers);
    }

    fn string(&mut self, wide: OpKind, narrow: OpKind, pointer: Gpr) {
        // Both operands of an instruction have the width of the first.
        let first = self.instruction.op_kind(0);
        let is_narrow = if self.index == 0 || !is_string_kind(first) {
            self.random.percent(10)
        } else {
            matches!(first, OpKind::MemorySegESI | OpKind::MemoryESEDI)
        };
        self.instruction.set_op_kind(self.index, if is_narrow { narrow } else { wide });
        let bytes = self.bytes();
        let place = match self.random.below(10) {
            // The two operands overlap.
            0..=2 => VirtAddr::new(self.registers.get(if pointer == Gpr::Rsi { Gpr::Rdi } else { Gpr::Rsi }))
                .wrapping_add(self.random.below(32)),
            _ => operands::random_place(self.random, bytes),
        };
        self.registers.set(pointer, place.get());
    }

    fn table(&mut self) {
        self.instruction.set_op_kind(self.index, OpKind::Memory);
        self.instruction.set_memory_base(Register::RBX);
        self.instruction.set_memory_index(Register::AL);
    }

    fn branch(&mut self) {
        self.instruction.set_op_kind(self.index, OpKind::NearBranch64);
        self.instruction.set_near_branch64(self.setting.landing.get());
    }

    fn register(&mut self, first: Register) {
        let register = loop {
            let candidate = random_register(self.random, first);
            let is_pointer = self.setting.pointers.contains(&candidate.full_register());
            if self.setting.destinations == Destinations::Any || !is_pointer || self.random.percent(3) {
                break candidate;
            }
        };
        self.put_register(register);
        if self.instruction.mnemonic() == Mnemonic::Jmp || self.instruction.mnemonic() == Mnemonic::Call {
            self.registers.gpr[register.number()] = random_code_address(self.random);
        }
    }

    fn put_register(&mut self, register: Register) {
        self.instruction.set_op_kind(self.index, OpKind::Register);
        self.instruction.set_op_register(self.index, register);
    }

    fn bytes(&self) -> u64 {
        match self.instruction.code().op_code().memory_size().size() as u64 {
            0 => UNSIZED_BYTES,
            bytes => bytes,
        }
    }
}

/// Where an indirect branch goes: among the traps, or where no code can be.
fn random_code_address(random: &mut Random) -> u64 {
    match random.below(8) {
        0 => (random.pick(&WINDOWS).0 + random.below(PAGE_BYTES)).get(),
        1 => random.word() >> 16,
        _ => (CODE + LANDING + random.below(0x100)).get(),
    }
}

fn is_string_kind(kind: OpKind) -> bool {
    matches!(kind, OpKind::MemorySegRSI | OpKind::MemorySegESI | OpKind::MemoryESRDI | OpKind::MemoryESEDI)
}

enum Choice {
    Fixed,
    Any,
}

/// The first register of the bank, where the operand may be memory as well.
fn of_register_or_memory(kind: OpCodeOperandKind) -> Option<Register> {
    use OpCodeOperandKind as K;
    Some(match kind {
        K::r8_or_mem => Register::AL,
        K::r16_or_mem => Register::AX,
        K::r32_or_mem => Register::EAX,
        K::r64_or_mem => Register::RAX,
        K::mm_or_mem => Register::MM0,
        K::xmm_or_mem => Register::XMM0,
        K::ymm_or_mem => Register::YMM0,
        K::zmm_or_mem => Register::ZMM0,
        K::k_or_mem => Register::K0,
        _ => return None,
    })
}

fn fixed_or_first_register(kind: OpCodeOperandKind) -> Option<(Register, Choice)> {
    use OpCodeOperandKind as K;
    Some(match kind {
        K::r8_reg | K::r8_opcode => (Register::AL, Choice::Any),
        K::r16_reg | K::r16_reg_mem | K::r16_rm | K::r16_opcode => (Register::AX, Choice::Any),
        K::r32_reg | K::r32_reg_mem | K::r32_rm | K::r32_opcode | K::r32_vvvv => (Register::EAX, Choice::Any),
        K::r64_reg | K::r64_reg_mem | K::r64_rm | K::r64_opcode | K::r64_vvvv => (Register::RAX, Choice::Any),
        K::mm_reg | K::mm_rm => (Register::MM0, Choice::Any),
        K::xmm_reg | K::xmm_rm | K::xmm_vvvv | K::xmmp3_vvvv | K::xmm_is4 | K::xmm_is5 => (Register::XMM0, Choice::Any),
        K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_is4 | K::ymm_is5 => (Register::YMM0, Choice::Any),
        K::zmm_reg | K::zmm_rm | K::zmm_vvvv | K::zmmp3_vvvv => (Register::ZMM0, Choice::Any),
        K::k_reg | K::kp1_reg | K::k_rm | K::k_vvvv => (Register::K0, Choice::Any),
        K::sti_opcode => (Register::ST0, Choice::Any),
        K::al => (Register::AL, Choice::Fixed),
        K::cl => (Register::CL, Choice::Fixed),
        K::ax => (Register::AX, Choice::Fixed),
        K::dx => (Register::DX, Choice::Fixed),
        K::eax => (Register::EAX, Choice::Fixed),
        K::rax => (Register::RAX, Choice::Fixed),
        K::st0 => (Register::ST0, Choice::Fixed),
        _ => return None,
    })
}

fn random_register(random: &mut Random, first: Register) -> Register {
    let count = match first {
        // AH to BH lie between BL and SPL.
        Register::AL => 20,
        Register::MM0 | Register::ST0 | Register::K0 => 8,
        _ => 16,
    };
    first + random.below(count) as u32
}
