//! A case: code, registers and memory to start from, made from one number.

use super::arena::{CODE, CODE_PAGES, TRAP, WINDOWS};
use super::generate::{Destinations, LANDING, Setting, random_instruction};
use super::operands;
use super::state::random_registers;
use crate::random::Random;
use addr::{PAGE_BYTES, Registers, VirtAddr};
use iced_x86::{Code, Encoder, Instruction, MemoryOperand, Register};
use std::fmt;

/// How far apart the parts of a case's code start; no part is longer.
const PART_BYTES: u64 = 0x80;
/// Attempts to find an encodable instruction of a form.
const ATTEMPTS: usize = 40;
/// Bytes of the longest instruction.
const LONGEST_INSTRUCTION: u64 = 15;
/// The longest part of a sequence.
const MOST_INSTRUCTIONS: u64 = 12;

/// What a case is made from; printed as `SEED`, or `SEED-KEPT` when instructions were left out to make it smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CaseId {
    /// The number that everything random comes from.
    pub seed: u64,
    /// One bit an instruction: set where it is kept.
    pub kept: u64,
}

/// Straight pieces of code, each followed by traps; branches go from one to a later one.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it was made from.
    pub id: CaseId,
    /// The state it starts in.
    pub registers: Registers,
    /// Each instruction with its place and its bytes, in order of places.
    pub code: Vec<Placed>,
}

/// An instruction where it is.
#[derive(Clone, Debug)]
pub struct Placed {
    /// The instruction, decoded again from its bytes.
    pub instruction: Instruction,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl CaseId {
    /// A whole case.
    pub fn whole(seed: u64) -> Self {
        Self { seed, kept: u64::MAX }
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let seed = u64::from_str_radix(parts.next()?, 16).ok()?;
        let kept = parts.next().map_or(Some(u64::MAX), |part| u64::from_str_radix(part, 16).ok())?;
        parts.next().is_none().then_some(Self { seed, kept })
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kept {
            u64::MAX => write!(f, "{:x}", self.seed),
            kept => write!(f, "{:x}-{kept:x}", self.seed),
        }
    }
}

impl Case {
    /// One instruction of the form, or none where 40 attempts gave nothing that can be encoded.
    pub fn single(code: Code, seed: u64) -> Option<Self> {
        let mut random = Random::new(seed);
        // At the end of the first page the instruction may cross into the second.
        let at = CODE + if random.percent(10) { PAGE_BYTES - random.below(12) } else { PART_BYTES };
        let mut registers = random_registers(&mut random, at);
        let placed = encodable(&mut random, code, &Setting::alone(at), &mut registers, at)?;
        Some(Self { id: CaseId::whole(seed), registers, code: vec![placed] })
    }

    /// The same registers and memory, and nothing but traps.
    pub fn without_code(&self) -> Self {
        Self { code: Vec::new(), ..self.clone() }
    }

    /// A short sequence, or two or three joined by branches.
    pub fn sequence(forms: &[Code], id: CaseId) -> Self {
        let mut random = Random::new(id.seed);
        let mut registers = random_registers(&mut random, CODE + PART_BYTES);
        let pointers: Vec<Register> = (0..3).map(|_| random.pick(operands::ALL_POINTERS)).collect();
        for register in &pointers {
            registers.gpr[register.number()] = operands::random_pointer(&mut random);
        }
        let mut case = Self { id, registers: registers.clone(), code: Vec::new() };
        let mut number = 0;
        for part in 0..1 + random.below(3) {
            let mut at = CODE + PART_BYTES * (part + 1);
            let landing = at + PART_BYTES;
            let setting = Setting { pointers: &pointers, destinations: Destinations::NotPointers, landing };
            for _ in 0..1 + random.below(MOST_INSTRUCTIONS) {
                if landing - at <= LONGEST_INSTRUCTION {
                    break;
                }
                let Some(placed) = next_of_sequence(&mut random, forms, &setting, &mut registers, at) else {
                    continue;
                };
                let is_kept = id.kept >> (number % 64) & 1 == 1;
                number += 1;
                if is_kept {
                    at = at + placed.bytes.len() as u64;
                    case.code.push(placed);
                }
            }
        }
        case.registers = registers;
        case.registers.rip = CODE + PART_BYTES;
        case
    }

    /// Code that runs, is changed by a store, and runs again.
    pub fn self_modifying() -> Self {
        let at = CODE + PART_BYTES;
        let routine = at + PART_BYTES;
        let patch = MemoryOperand::with_displ(routine.get() + 1, 8);
        let form = |result: Result<Instruction, _>| result.expect("the form has these operands");
        let call = form(Instruction::with_branch(Code::Call_rel32_64, routine.get()));
        let store = form(Instruction::with2(Code::Mov_rm8_imm8, patch, 7));
        let add = form(Instruction::with2(Code::Add_EAX_imm32, Register::EAX, 5));
        let mut code = Vec::new();
        for (start, part) in [(at, [call, store, call].as_slice()), (routine, &[add, Instruction::with(Code::Retnq)])] {
            let mut at = start;
            for instruction in part {
                let placed = encoded(instruction, at).expect("these encode");
                at = at + placed.bytes.len() as u64;
                code.push(placed);
            }
        }
        let registers = Registers::at_entry(at, WINDOWS[0].0 + PAGE_BYTES);
        Self { id: CaseId::whole(0), registers, code }
    }

    /// How many instructions a bit of [`CaseId::kept`] can leave out.
    pub fn instruction_count(&self) -> usize {
        self.code.len()
    }

    /// The code pages: traps, with the instructions in their places.
    pub fn code_bytes(&self) -> Vec<u8> {
        let mut page = vec![TRAP; (CODE_PAGES * PAGE_BYTES) as usize];
        for placed in &self.code {
            let at = (placed.instruction.ip() - CODE.get()) as usize;
            page[at..at + placed.bytes.len()].copy_from_slice(&placed.bytes);
        }
        page
    }

    /// The instruction at an address.
    pub fn at(&self, rip: VirtAddr) -> Option<&Instruction> {
        self.code.iter().map(|placed| &placed.instruction).find(|instruction| instruction.ip() == rip.get())
    }
}

/// The next instruction of a part: of any form, or a branch to a later part.
fn next_of_sequence(
    random: &mut Random,
    forms: &[Code],
    setting: &Setting<'_>,
    registers: &mut Registers,
    at: VirtAddr,
) -> Option<Placed> {
    let code = match random.below(10) {
        // The plain integer instructions, which read, write and keep flags in every mix, more often than their number.
        0..=5 => random.pick(COMMON),
        _ => random.pick(forms),
    };
    let fixed: Vec<u64> = setting.pointers.iter().map(|register| registers.gpr[register.number()]).collect();
    let placed = encodable(random, code, setting, registers, at)?;
    for (register, value) in setting.pointers.iter().zip(fixed) {
        registers.gpr[register.number()] = value;
    }
    Some(placed)
}

fn encodable(
    random: &mut Random,
    code: Code,
    setting: &Setting<'_>,
    registers: &mut Registers,
    at: VirtAddr,
) -> Option<Placed> {
    (0..ATTEMPTS).find_map(|_| {
        let mut attempt = registers.clone();
        let instruction = random_instruction(random, code, setting, &mut attempt);
        let placed = encoded(&instruction, at)?;
        *registers = attempt;
        Some(placed)
    })
}

/// The instruction with its bytes, decoded again, so that what is said about it is what its bytes mean.
fn encoded(instruction: &Instruction, at: VirtAddr) -> Option<Placed> {
    let mut encoder = Encoder::new(64);
    encoder.encode(instruction, at.get()).ok()?;
    let bytes = encoder.take_buffer();
    let decoded = iced_x86::Decoder::with_ip(64, &bytes, at.get(), iced_x86::DecoderOptions::NONE).decode();
    (decoded.len() == bytes.len() && decoded.code() == instruction.code())
        .then_some(Placed { instruction: decoded, bytes })
}

/// Forms that sequences are mostly made of.
const COMMON: &[Code] = {
    use Code::*;
    &[
        Add_r64_rm64,
        Add_rm32_r32,
        Add_rm8_r8,
        Sub_rm64_imm8,
        Cmp_r32_rm32,
        Cmp_rm64_r64,
        Test_rm32_r32,
        And_rm32_imm32,
        Xor_r32_rm32,
        Or_rm8_imm8,
        Adc_r64_rm64,
        Sbb_rm32_r32,
        Inc_rm32,
        Dec_rm64,
        Neg_rm32,
        Not_rm64,
        Shl_rm32_CL,
        Shr_rm64_imm8,
        Sar_rm8_1,
        Rol_rm32_CL,
        Ror_rm16_imm8,
        Rcl_rm32_1,
        Rcr_rm64_CL,
        Bt_rm32_r32,
        Bts_rm64_imm8,
        Imul_r64_rm64,
        Mul_rm32,
        Lea_r64_m,
        Lea_r32_m,
        Mov_r64_rm64,
        Mov_rm64_r64,
        Mov_r8_rm8,
        Mov_rm8_r8,
        Mov_rm16_r16,
        Mov_r32_imm32,
        Movzx_r32_rm8,
        Movsx_r64_rm16,
        Xchg_rm32_r32,
        Cmovb_r64_rm64,
        Cmovg_r32_rm32,
        Setne_rm8,
        Setl_rm8,
        Push_r64,
        Pop_r64,
        Push_rm64,
        Pushfq,
        Lahf,
        Sahf,
        Cmc,
        Stc,
        Clc,
        Bsf_r32_rm32,
        Popcnt_r64_rm64,
        VEX_Andn_r32_r32_rm32,
        Cmpxchg_rm32_r32,
        Xadd_rm64_r64,
        Jb_rel32_64,
        Jne_rel8_64,
        Jle_rel32_64,
        Jo_rel8_64,
        Jp_rel32_64,
        Movups_xmm_xmmm128,
        Movaps_xmmm128_xmm,
        Paddd_xmm_xmmm128,
        VEX_Vpaddq_ymm_ymm_ymmm256,
        Cld,
        Std,
        Stosd_m32_EAX,
        Movsb_m8_m8,
    ]
};

/// Code pages past this hold nothing but traps.
const _: () = assert!(PART_BYTES * 5 < LANDING);
